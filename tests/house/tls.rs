//! An upstream over TLS that speaks HTTP/2 or HTTP/1.1, with a certificate of its own making for `localhost`.

use super::House;
use http_body_util::combinators::BoxBody;
use hyper::{
    Request, Response,
    body::{Bytes, Incoming},
    service::service_fn,
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use std::{
    convert::Infallible,
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        ServerConfig,
        crypto::ring,
        pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer},
    },
};

/// It ends with the process.
pub struct TlsUpstream {
    pub port: u16,
    authority_pem: String,
    connections: Arc<AtomicUsize>,
}

pub type Answered = Result<Response<BoxBody<Bytes, Infallible>>, Infallible>;

impl TlsUpstream {
    /// Offers these protocols to those who connect, and takes so many calls at once on one HTTP/2 connection.
    pub fn start<F: Future<Output = Answered> + Send + 'static>(
        protocols: &[&str],
        streams: Option<u32>,
        answer: impl Fn(Request<Incoming>) -> F + Clone + Send + Sync + 'static,
    ) -> TlsUpstream {
        let mut of_authority = CertificateParams::new([]).unwrap();
        of_authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority = CertifiedIssuer::self_signed(of_authority, KeyPair::generate().unwrap()).unwrap();
        let key = KeyPair::generate().unwrap();
        let certificate = CertificateParams::new(["localhost".to_owned()]).unwrap().signed_by(&key, &authority).unwrap();
        let private = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], private)
            .unwrap();
        config.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let upstream =
            TlsUpstream { port: listener.local_addr().unwrap().port(), authority_pem: authority.pem(), connections: Arc::default() };
        let connections = upstream.connections.clone();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(serve(listener, TlsAcceptor::from(Arc::new(config)), connections, streams, answer));
        });
        upstream
    }

    /// How many connections were made to it.
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    /// A home that trusts it and calls it `openai`, at `port`, with nothing running.
    pub fn house_at(&self, port: u16) -> House {
        let mut house = House::new(&format!("[upstreams.openai]\nbase_url = \"https://localhost:{port}\""));
        std::fs::write(house.path("authority.pem"), &self.authority_pem).unwrap();
        let authority = house.path("authority.pem");
        house.set("SSL_CERT_FILE", authority.to_str().unwrap());
        house
    }

    /// The same, with the engine running.
    pub fn house(&self) -> House {
        let mut house = self.house_at(self.port);
        house.start();
        house
    }
}

async fn serve<F: Future<Output = Answered> + Send + 'static>(
    listener: std::net::TcpListener,
    acceptor: TlsAcceptor,
    connections: Arc<AtomicUsize>,
    streams: Option<u32>,
    answer: impl Fn(Request<Incoming>) -> F + Clone + Send + Sync + 'static,
) {
    let listener = tokio::net::TcpListener::from_std(listener).unwrap();
    while let Ok((stream, _)) = listener.accept().await {
        connections.fetch_add(1, Ordering::SeqCst);
        let (acceptor, answer) = (acceptor.clone(), answer.clone());
        tokio::spawn(async move {
            let Ok(stream) = acceptor.accept(stream).await else { return };
            let speaks_2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
            let io = TokioIo::new(stream);
            if speaks_2 {
                let mut server = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
                if streams.is_some() {
                    server.max_concurrent_streams(streams);
                }
                let _ = server.serve_connection(io, service_fn(answer)).await;
            } else {
                let _ = hyper::server::conn::http1::Builder::new().serve_connection(io, service_fn(answer)).await;
            }
        });
    }
}

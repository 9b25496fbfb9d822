//! Opens connections: TCP, then the proxy's tunnel, then TLS.

use super::{Io, Outgoing, Via, Way};
use events::query::{Fault, FaultCode};
use http_body_util::Empty;
use hyper::{
    Request, StatusCode, Uri,
    body::Bytes,
    client::conn::http1,
    header::{self, HeaderValue},
    http::uri::Scheme,
};
use hyper_util::{
    client::legacy::connect::{
        HttpConnector,
        proxy::{SocksV4, SocksV5},
    },
    rt::TokioIo,
};
use rustls::{ClientConfig, RootCertStore, pki_types::ServerName};
use std::{error::Error, net::IpAddr, sync::Arc, time::Duration};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tower_service::Service as _;

/// A machine that does not take the TCP connection within this time is not there.
const TCP_WAIT: Duration = Duration::from_secs(15);
/// How long all of it may take: TCP, the proxy's tunnel, TLS.
const CONNECT_WAIT: Duration = Duration::from_secs(30);
/// A silent connection is probed after this time: home routers forget one after a minute or more. Anthropic's SDK probes after 60 s.
const KEEPALIVE_AFTER: Duration = Duration::from_secs(30);
const KEEPALIVE_EVERY: Duration = Duration::from_secs(15);
/// After so many probes without an answer the connection is dead.
const KEEPALIVE_PROBES: u32 = 4;

/// Opens connections to other machines.
pub(crate) struct Connector {
    tcp: HttpConnector,
    /// Offers HTTP/2 and HTTP/1.1.
    tls_any: TlsConnector,
    /// Offers HTTP/1.1 only.
    tls_http1: TlsConnector,
    outgoing: Outgoing,
}

/// Which protocols are offered over TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Offers {
    /// HTTP/2, or else HTTP/1.1.
    Any,
    Http1,
    /// HTTP/1.1 on a connection of its own, as a WebSocket needs it: a proxy is always asked for a tunnel.
    Tunnel,
}

/// A connection that stands.
pub(crate) struct Connected {
    pub(crate) io: Io,
    pub(crate) http2: bool,
    /// Whether the other end is this machine or one of its private network.
    pub(crate) local: bool,
    /// The proxy that requests are sent to with their whole address; `None` where the other end is the server itself, or seems to be.
    pub(crate) forwarded_by: Option<Arc<Via>>,
}

/// Why no connection stands: one line, with everything that caused it.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct ConnectError(String);

impl ConnectError {
    /// The error, and what caused it.
    fn of(error: &(dyn Error + 'static)) -> ConnectError {
        ConnectError(causes(error))
    }
}

/// An error and what caused it, in one line.
pub(crate) fn causes(error: &(dyn Error + 'static)) -> String {
    let mut said: Vec<String> = Vec::new();
    let mut next = Some(error);
    while let Some(error) = next {
        let text = error.to_string();
        if !said.iter().any(|before| before.contains(&text)) {
            said.push(text);
        }
        next = error.source();
    }
    said.join(": ")
}

impl Connector {
    /// A connector that trusts the system's certificates.
    pub(crate) fn new(outgoing: Outgoing) -> Result<Connector, Fault> {
        let mut tcp = HttpConnector::new();
        tcp.set_nodelay(true);
        tcp.set_connect_timeout(Some(TCP_WAIT));
        tcp.set_keepalive(Some(KEEPALIVE_AFTER));
        tcp.set_keepalive_interval(Some(KEEPALIVE_EVERY));
        tcp.set_keepalive_retries(Some(KEEPALIVE_PROBES));
        let mut roots = RootCertStore::empty();
        // A machine without certificates still reaches servers over plain http; https fails with a clear word.
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let tls = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().map_err(|error| {
            let cause = format!("TLS cannot be set up: {error}");
            Fault::new(FaultCode::Internal, cause, "install the system's CA certificates (Debian: ca-certificates)")
        })?;
        let mut any = tls.with_root_certificates(roots).with_no_client_auth();
        let mut http1 = any.clone();
        any.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        http1.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Connector { tcp, tls_any: Arc::new(any).into(), tls_http1: Arc::new(http1).into(), outgoing })
    }

    /// Opens a connection for requests to this address.
    pub(crate) async fn connect(&self, to: &Uri, offers: Offers) -> Result<Connected, ConnectError> {
        match tokio::time::timeout(CONNECT_WAIT, self.open(to, offers)).await {
            Ok(opened) => opened,
            Err(_) => Err(ConnectError(format!("no connection within {} s", CONNECT_WAIT.as_secs()))),
        }
    }

    async fn open(&self, to: &Uri, offers: Offers) -> Result<Connected, ConnectError> {
        let https = to.scheme() == Some(&Scheme::HTTPS);
        let target = authority(to);
        let (io, local) = match self.outgoing.way(to) {
            Way::Direct => {
                let stream = self.tcp(&target).await?;
                let local = stream.peer_addr().is_ok_and(|peer| is_local(peer.ip()));
                (Io::Tcp(stream), local)
            }
            Way::Unusable(cause) => return Err(ConnectError(cause)),
            Way::Through(via) => {
                let stands = if via.is_socks() { self.socks(&via, &target).await } else { self.proxy(&via).await };
                let io = stands.map_err(|ConnectError(cause)| ConnectError(format!("the proxy {via} cannot be used: {cause}")))?;
                if !https && !via.is_socks() && offers != Offers::Tunnel {
                    return Ok(Connected { io, http2: false, local: false, forwarded_by: Some(via) });
                }
                let io = if via.is_socks() { io } else { tunnel(io, &via, &target).await? };
                (io, false)
            }
        };
        if !https {
            return Ok(Connected { io, http2: false, local, forwarded_by: None });
        }
        let tls = if offers == Offers::Any { &self.tls_any } else { &self.tls_http1 };
        let stream = handshake(tls, io, to.host().unwrap_or_default()).await?;
        let http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
        Ok(Connected { io: Io::Wrapped(Box::new(stream)), http2, local, forwarded_by: None })
    }

    async fn tcp(&self, target: &str) -> Result<TcpStream, ConnectError> {
        let stream = self.tcp.clone().call(plain(target)?).await.map_err(|error| ConnectError::of(&error))?;
        Ok(stream.into_inner())
    }

    /// A connection to an HTTP proxy.
    async fn proxy(&self, via: &Via) -> Result<Io, ConnectError> {
        let stream = self.tcp(&authority(&via.uri)).await?;
        if via.uri.scheme() != Some(&Scheme::HTTPS) {
            return Ok(Io::Tcp(stream));
        }
        let stream = handshake(&self.tls_http1, Io::Tcp(stream), via.uri.host().unwrap_or_default()).await?;
        Ok(Io::Wrapped(Box::new(stream)))
    }

    /// A connection through a SOCKS proxy. `socks4a` and `socks5h` leave looking names up to the proxy, the others do not.
    async fn socks(&self, via: &Via, target: &str) -> Result<Io, ConnectError> {
        let (target, proxy) = (plain(target)?, plain(&authority(&via.uri))?);
        let scheme = via.uri.scheme_str().unwrap_or_default();
        let stream = if scheme.starts_with("socks4") {
            let mut socks = SocksV4::new(proxy, self.tcp.clone()).local_dns(scheme == "socks4");
            socks.call(target).await.map_err(|error| ConnectError::of(&error))?
        } else {
            let mut socks = SocksV5::new(proxy, self.tcp.clone()).local_dns(scheme == "socks5");
            if let Some((user, password)) = via.user.clone() {
                socks = socks.with_auth(user, password);
            }
            socks.call(target).await.map_err(|error| ConnectError::of(&error))?
        };
        Ok(Io::Tcp(stream.into_inner()))
    }
}

/// Asks an HTTP proxy for a tunnel to `target`.
async fn tunnel(io: Io, via: &Via, target: &str) -> Result<Io, ConnectError> {
    let failed = |cause: String| ConnectError(format!("the proxy {via} opened no tunnel to {target}: {cause}"));
    let (mut sender, connection) = http1::handshake::<_, Empty<Bytes>>(TokioIo::new(io)).await.map_err(|error| failed(causes(&error)))?;
    tokio::spawn(connection.with_upgrades());
    let mut request = Request::connect(target).body(Empty::new()).map_err(|error| failed(error.to_string()))?;
    let host = HeaderValue::from_str(target).map_err(|error| failed(error.to_string()))?;
    request.headers_mut().insert(header::HOST, host);
    if let Some(authorization) = &via.authorization {
        request.headers_mut().insert(header::PROXY_AUTHORIZATION, authorization.clone());
    }
    let response = sender.send_request(request).await.map_err(|error| failed(causes(&error)))?;
    match response.status() {
        status if status.is_success() => {}
        StatusCode::PROXY_AUTHENTICATION_REQUIRED if via.authorization.is_none() => {
            return Err(failed("it asks for credentials (407); write them into its address: http://user:password@host:port".to_owned()));
        }
        StatusCode::PROXY_AUTHENTICATION_REQUIRED => return Err(failed("it refuses the credentials of its address (407)".to_owned())),
        status => return Err(failed(format!("it answered {status}"))),
    }
    let upgraded = hyper::upgrade::on(response).await.map_err(|error| failed(causes(&error)))?;
    Ok(Io::Wrapped(Box::new(TokioIo::new(upgraded))))
}

async fn handshake(tls: &TlsConnector, io: Io, host: &str) -> Result<tokio_rustls::client::TlsStream<Io>, ConnectError> {
    let host = host.trim_start_matches('[').trim_end_matches(']').trim_end_matches('.').to_owned();
    let name = ServerName::try_from(host).map_err(|error| ConnectError::of(&error))?;
    tls.connect(name, io).await.map_err(|error| ConnectError::of(&error))
}

/// Host and port of an address.
fn authority(to: &Uri) -> String {
    let port = to.port_u16().unwrap_or(if to.scheme() == Some(&Scheme::HTTPS) { 443 } else { 80 });
    format!("{}:{port}", to.host().unwrap_or_default())
}

/// The address for a connector that knows of TCP only.
fn plain(authority: &str) -> Result<Uri, ConnectError> {
    format!("http://{authority}/").parse().map_err(|_| ConnectError(format!("{authority} is no address")))
}

fn is_local(ip: IpAddr) -> bool {
    match ip.to_canonical() {
        IpAddr::V4(ip) => ip.is_loopback() || ip.is_private() || ip.is_link_local(),
        IpAddr::V6(ip) => ip.is_loopback() || ip.is_unique_local() || ip.is_unicast_link_local(),
    }
}

//! What may stand between the proxy and its upstream: a company's HTTP proxy, a SOCKS proxy, a router that forgets connections.

use super::wire::read_request;
use std::{
    io::{self, BufReader, Read, Write},
    net::{Shutdown, TcpListener, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
};

/// A company's proxy: tunnels for CONNECT, and asks for what it is given whole addresses of. It ends with the process.
pub struct HttpProxy {
    /// `127.0.0.1:PORT`.
    pub address: String,
    heads: Arc<Mutex<Vec<String>>>,
}

impl HttpProxy {
    /// One that wants this value of `Proxy-Authorization`, and leads every call to `target`, whatever its name.
    pub fn start(authorization: Option<&'static str>, target: String) -> HttpProxy {
        let heads = Arc::<Mutex<Vec<String>>>::default();
        let heard = heads.clone();
        let address = serve(move |stream| {
            let mut reader = BufReader::new(stream.try_clone()?);
            let Some(request) = read_request(&mut reader) else { return Ok(()) };
            heard.lock().unwrap().push(request.head.clone());
            let mut stream = stream;
            let allowed = authorization.is_none_or(|value| request.head.contains(&format!("authorization: {value}\r\n")));
            if !allowed {
                return stream.write_all(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n");
            }
            let mut upstream = TcpStream::connect(&target)?;
            if request.head.starts_with("CONNECT ") {
                stream.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n")?;
            } else {
                upstream.write_all(request.head.as_bytes())?;
                upstream.write_all(&request.body)?;
            }
            carry(stream, upstream, || false);
            Ok(())
        });
        HttpProxy { address, heads }
    }

    /// The heads of what it was asked, oldest first.
    pub fn heads(&self) -> Vec<String> {
        self.heads.lock().unwrap().clone()
    }
}

/// A SOCKS5 proxy without credentials that leads everybody to `target`; gives its address and the names that it was asked for.
pub fn socks5(target: String) -> (String, Arc<Mutex<Vec<String>>>) {
    let names = Arc::<Mutex<Vec<String>>>::default();
    let heard = names.clone();
    let address = serve(move |mut stream| {
        let mut greeting = [0; 2];
        stream.read_exact(&mut greeting)?;
        stream.read_exact(&mut vec![0; greeting[1].into()])?;
        stream.write_all(&[5, 0])?;
        let mut asked = [0; 5];
        stream.read_exact(&mut asked)?;
        assert_eq!(asked[3], 3, "a name, which the proxy resolves");
        let mut name = vec![0; asked[4].into()];
        stream.read_exact(&mut name)?;
        stream.read_exact(&mut [0; 2])?;
        heard.lock().unwrap().push(String::from_utf8(name).unwrap());
        stream.write_all(&[5, 0, 0, 1, 0, 0, 0, 0, 0, 0])?;
        carry(stream, TcpStream::connect(&target)?, || false);
        Ok(())
    });
    (address, names)
}

/// A router that can forget all connections that go through it: nothing passes on them any more, and neither end is told.
pub struct Router {
    pub port: u16,
    forgotten: Arc<Mutex<Arc<AtomicBool>>>,
}

impl Router {
    pub fn start(target: String) -> Router {
        let forgotten = Arc::<Mutex<Arc<AtomicBool>>>::default();
        let current = forgotten.clone();
        let address = serve(move |stream| {
            let forgotten = current.lock().unwrap().clone();
            carry(stream, TcpStream::connect(&target)?, move || forgotten.load(Ordering::SeqCst));
            Ok(())
        });
        Router { port: address.rsplit(':').next().unwrap().parse().unwrap(), forgotten }
    }

    /// From now on nothing passes on the connections that stand. New ones are carried.
    pub fn forget(&self) {
        std::mem::take(&mut *self.forgotten.lock().unwrap()).store(true, Ordering::SeqCst);
    }
}

fn serve(handle: impl Fn(TcpStream) -> io::Result<()> + Clone + Send + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let handle = handle.clone();
            std::thread::spawn(move || {
                stream.set_nodelay(true).unwrap();
                let _ = handle(stream);
            });
        }
    });
    address
}

/// Carries bytes both ways until both ends have said all. What comes while `drops` says so is lost.
fn carry(one: TcpStream, other: TcpStream, drops: impl Fn() -> bool + Clone + Send + 'static) {
    let way = |mut from: TcpStream, mut to: TcpStream, drops: Box<dyn Fn() -> bool + Send>| {
        move || {
            let mut bytes = [0; 16 << 10];
            while let Ok(count @ 1..) = from.read(&mut bytes) {
                if !drops() && to.write_all(&bytes[..count]).is_err() {
                    break;
                }
            }
            if !drops() {
                let _ = to.shutdown(Shutdown::Write);
            }
        }
    };
    let back = way(other.try_clone().unwrap(), one.try_clone().unwrap(), Box::new(drops.clone()));
    let thread = std::thread::spawn(back);
    way(one, other, Box::new(drops))();
    let _ = thread.join();
}

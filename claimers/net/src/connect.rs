use std::future::poll_fn;
use std::io;
use std::net::{IpAddr, SocketAddr, TcpStream, ToSocketAddrs};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use async_io::Async;
use blocking::unblock;
use futures_lite::{AsyncRead, AsyncWrite};
use futures_rustls::client::TlsStream;
use rustix::net::sockopt;

use crate::{Endpoint, Tls};

/// A connection to a server, plain or through TLS.
///
/// To drop it closes it.
#[derive(Debug)]
pub struct Stream(Kind);

#[derive(Debug)]
enum Kind {
    Plain(Async<TcpStream>),
    Tls(Box<TlsStream<Async<TcpStream>>>),
}

/// Connects to `endpoint`: to the first of its addresses that takes it.
///
/// What is written leaves at once (`TCP_NODELAY`); a connection on which nothing is heard for long
/// is probed, and so found out if it is dead (`SO_KEEPALIVE`).
///
/// # Errors
///
/// If the host is not known, nobody listens there, or the server's certificate is not good.
///
/// # Cancel safety
///
/// What was opened is closed.
pub async fn connect(endpoint: &Endpoint, tls: Option<&Tls>) -> io::Result<Stream> {
    let mut failure = io::Error::new(io::ErrorKind::NotFound, "the host has no address");
    for address in resolve(endpoint).await? {
        match Async::<TcpStream>::connect(address).await {
            Ok(stream) => {
                prepare(&stream)?;
                let stream = Stream(Kind::Plain(stream));
                return match tls {
                    Some(tls) => stream.secure(tls, &endpoint.host).await,
                    None => Ok(stream),
                };
            }
            Err(error) => failure = error,
        }
    }
    Err(failure)
}

async fn resolve(endpoint: &Endpoint) -> io::Result<Vec<SocketAddr>> {
    let Endpoint { host, port } = endpoint.clone();
    if let Ok(address) = host.parse::<IpAddr>() {
        return Ok(vec![SocketAddr::new(address, port)]);
    }
    unblock(move || Ok((host, port).to_socket_addrs()?.collect())).await
}

fn prepare(stream: &Async<TcpStream>) -> io::Result<()> {
    const IDLE: Duration = Duration::from_secs(20);
    const INTERVAL: Duration = Duration::from_secs(5);
    const PROBES: u32 = 3;
    stream.get_ref().set_nodelay(true)?;
    sockopt::set_socket_keepalive(stream, true)?;
    // How often is a matter of taste: where it cannot be set, the system's own will do.
    let _ = sockopt::set_tcp_keepidle(stream, IDLE);
    let _ = sockopt::set_tcp_keepintvl(stream, INTERVAL);
    let _ = sockopt::set_tcp_keepcnt(stream, PROBES);
    Ok(())
}

impl Stream {
    /// Goes on through TLS, for protocols that agree on it first. `host` is whom the certificate
    /// must be for.
    ///
    /// # Errors
    ///
    /// If the server speaks no TLS, or its certificate is not good. The stream is closed then.
    pub async fn secure(self, tls: &Tls, host: &str) -> io::Result<Stream> {
        match self.0 {
            Kind::Plain(stream) => {
                let stream = tls.connect(host, stream).await?;
                Ok(Stream(Kind::Tls(Box::new(stream))))
            }
            Kind::Tls(_) => Err(io::Error::other("this stream goes through TLS already")),
        }
    }

    /// Whether it goes through TLS.
    pub fn is_secure(&self) -> bool {
        match self.0 {
            Kind::Plain(_) => false,
            Kind::Tls(_) => true,
        }
    }

    /// Whether it is open and nothing has come that nobody asked for: as it must be before it is
    /// used once more. A connection that the server has closed is not.
    pub async fn is_quiet(&mut self) -> bool {
        poll_fn(|context| {
            let read = Pin::new(&mut *self).poll_read(context, &mut [0]);
            Poll::Ready(read.is_pending())
        })
        .await
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        match &mut self.0 {
            Kind::Plain(stream) => Pin::new(stream).poll_read(context, buffer),
            Kind::Tls(stream) => Pin::new(stream).poll_read(context, buffer),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &[u8],
    ) -> Poll<io::Result<usize>> {
        match &mut self.0 {
            Kind::Plain(stream) => Pin::new(stream).poll_write(context, buffer),
            Kind::Tls(stream) => Pin::new(stream).poll_write(context, buffer),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.0 {
            Kind::Plain(stream) => Pin::new(stream).poll_flush(context),
            Kind::Tls(stream) => Pin::new(stream).poll_flush(context),
        }
    }

    fn poll_close(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.0 {
            Kind::Plain(stream) => Pin::new(stream).poll_close(context),
            Kind::Tls(stream) => Pin::new(stream).poll_close(context),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_lite::{AsyncReadExt, AsyncWriteExt, future};
    use std::io::{Read, Write};
    use std::net::TcpListener;

    fn server() -> (TcpListener, Endpoint) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        (listener, Endpoint { host: "localhost".to_owned(), port })
    }

    #[test]
    fn a_stream_carries_bytes_both_ways_until_one_end_closes() {
        let (listener, endpoint) = server();
        future::block_on(async {
            let mut stream = connect(&endpoint, None).await.unwrap();
            let (mut session, _) = listener.accept().unwrap();
            assert!(!stream.is_secure() && stream.is_quiet().await);
            stream.write_all(b"one").await.unwrap();
            let mut bytes = [0; 3];
            session.read_exact(&mut bytes).unwrap();
            session.write_all(&bytes).unwrap();
            stream.read_exact(&mut bytes).await.unwrap();
            assert_eq!(&bytes, b"one");
            assert!(stream.is_quiet().await);
            drop(session);
            assert_eq!(stream.read(&mut bytes).await.unwrap(), 0);
            assert!(!stream.is_quiet().await);
        });
    }

    #[test]
    fn where_nobody_listens_the_connection_is_refused() {
        let (listener, endpoint) = server();
        drop(listener);
        let error = future::block_on(connect(&endpoint, None)).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
    }
}

use std::future::poll_fn;
use std::io;
use std::net::{SocketAddr, TcpStream};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use async_io::Async;
use futures_lite::{AsyncRead, AsyncWrite};
use futures_rustls::client::TlsStream;
use rustix::net::sockopt;

use crate::budget::{Budget, Metered};
use crate::race::race;
use crate::{Endpoint, Tls, address};

/// A connection to a server, plain or through TLS.
///
/// To drop it closes it.
#[derive(Debug)]
pub struct Stream(Kind);

#[derive(Debug)]
enum Kind {
    Plain(Metered),
    Tls(Box<TlsStream<Metered>>),
}

/// Connects to `endpoint`: to the first of its addresses that takes it.
///
/// A name may have several addresses, one of which swallows everything. So the next one is tried
/// too once one has not answered for a quarter of a second, and the first to answer is it (RFC
/// 8305, "happy eyeballs"). For the whole process it is kept in mind what came of each: what worked
/// last comes first, and what failed, or was still being tried when the call was given up, comes
/// last.
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
/// What was opened is closed. A lookup of a name goes on, and the next call waits for that one.
pub async fn connect(endpoint: &Endpoint, tls: Option<&Tls>) -> io::Result<Stream> {
    if let Some(tls) = tls {
        // What is wrong with a file is said also while no server is there.
        tls.refresh().await?;
    }
    connect_to(endpoint, address::resolve(endpoint).await?, tls).await
}

async fn connect_to(
    endpoint: &Endpoint,
    addresses: Vec<SocketAddr>,
    tls: Option<&Tls>,
) -> io::Result<Stream> {
    let stream = race(endpoint, address::sorted(endpoint, addresses)).await?;
    prepare(&stream)?;
    let stream = Stream(Kind::Plain(Metered::new(stream)));
    match tls {
        Some(tls) => stream.secure(tls, &endpoint.host).await,
        None => Ok(stream),
    }
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

    /// How much may come over it: see [`Budget`].
    pub fn budget(&self) -> Budget {
        match &self.0 {
            Kind::Plain(stream) => stream.budget().clone(),
            Kind::Tls(stream) => stream.get_ref().0.budget().clone(),
        }
    }

    /// Whether it is open and nothing has come that nobody asked for: as it must be before it is
    /// used once more. A connection that the server has closed is not.
    pub async fn is_quiet(&mut self) -> bool {
        // A reader that has to let others run looks like one that has nothing to read.
        self.budget().renew();
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
    use crate::{Endpoints, TimedOut, within};
    use futures_lite::{AsyncReadExt, AsyncWriteExt, future};
    use std::io::{Read, Write};
    use std::net::{IpAddr, Ipv4Addr, TcpListener};

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

    /// Longer than a machine with much else to do takes.
    const PATIENCE: Duration = Duration::from_secs(20);

    /// A name of two addresses with the same port: what listens at each, and the addresses.
    fn two_addresses(host: &str) -> (Endpoint, [TcpListener; 2], Vec<SocketAddr>) {
        let last = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = last.local_addr().unwrap().port();
        let address = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2)), port);
        let first = TcpListener::bind(address).unwrap();
        let addresses = vec![address, last.local_addr().unwrap()];
        (Endpoint { host: host.to_owned(), port }, [first, last], addresses)
    }

    /// Has `listener` swallow whoever comes, as a firewall does: what fills its queue.
    fn swallow(listener: &TcpListener) -> Vec<TcpStream> {
        rustix::net::listen(listener, 0).unwrap();
        let address = listener.local_addr().unwrap();
        let short = Duration::from_millis(100);
        let fill = || TcpStream::connect_timeout(&address, short).ok();
        let filling: Vec<_> = std::iter::from_fn(fill).take(64).collect();
        assert!(filling.len() < 64, "the queue is never full");
        filling
    }

    #[test]
    fn an_address_that_swallows_everything_holds_up_nobody() {
        let (name, [hole, good], addresses) = two_addresses("swallows");
        let _filling = swallow(&hole);
        let connected = within(PATIENCE, connect_to(&name, addresses.clone(), None));
        future::block_on(connected).unwrap().unwrap();
        assert!(good.accept().is_ok());
        // Next time it is the one that did which comes first.
        let order = vec![addresses[1], addresses[0]];
        assert_eq!(address::sorted(&name, addresses), order);
    }

    #[test]
    fn an_address_that_one_gave_up_on_comes_last_the_next_time() {
        let (name, [hole, _good], addresses) = two_addresses("gave-up");
        let _filling = swallow(&hole);
        // Less than its head start.
        let given_up =
            within(Duration::from_millis(20), connect_to(&name, addresses.clone(), None));
        let TimedOut { .. } = future::block_on(given_up).unwrap_err();
        let order = vec![addresses[1], addresses[0]];
        assert_eq!(address::sorted(&name, addresses), order);
    }

    #[test]
    fn an_address_that_takes_connections_and_never_answers_comes_last_the_next_time() {
        let (name, [_silent, good], addresses) = two_addresses("silent");
        std::thread::spawn(move || {
            for stream in good.incoming() {
                let _ = stream.unwrap().write_all(b"!");
            }
        });
        let endpoints = Endpoints::new(vec![name]);
        let open = |name| {
            let addresses = addresses.clone();
            async move { connect_to(name, addresses, None).await?.read_exact(&mut [0]).await }
        };
        let attempt = |limit| future::block_on(endpoints.first(limit, open)).is_ok();
        assert!(!attempt(Duration::from_millis(100)));
        assert!(attempt(PATIENCE));
        assert!(attempt(PATIENCE));
        // Its caller may have less patience than the attempt itself.
        endpoints.skip();
        let given_up = endpoints.first(PATIENCE, open);
        let limit = within(Duration::from_millis(100), given_up);
        assert!(future::block_on(limit).is_err());
        assert!(attempt(PATIENCE));
    }

    #[test]
    fn why_each_address_failed_is_said() {
        let (name, listeners, addresses) = two_addresses("refuses");
        drop(listeners);
        let error = future::block_on(connect_to(&name, addresses.clone(), None)).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
        let text = error.to_string();
        assert!(addresses.iter().all(|address| text.contains(&address.to_string())), "{text}");
        let none = future::block_on(connect_to(&name, Vec::new(), None)).unwrap_err();
        assert_eq!(none.to_string(), "the host has no address");
    }
}

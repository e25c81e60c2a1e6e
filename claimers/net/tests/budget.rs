//! What becomes of a server that sends without end.
#![forbid(unsafe_code)]

use std::error::Error;
use std::future::{pending, ready};
use std::io::{self, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use futures_lite::{AsyncReadExt, future};
use tenure_net::{Budget, Endpoint, Stream, TimedOut, TooMuch, connect, within};

type Outcome = Result<(), Box<dyn Error>>;

/// Longer than anything takes here, however busy the machine is.
const PATIENCE: Duration = Duration::from_secs(60);

/// Both ends of a connection.
fn pair() -> io::Result<(Stream, TcpStream)> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let endpoint = Endpoint { host: "127.0.0.1".to_owned(), port: listener.local_addr()?.port() };
    let stream = future::block_on(connect(&endpoint, None))?;
    Ok((stream, listener.accept()?.0))
}

/// Reads until there is an error, and says how much came before it.
async fn read_all(stream: &mut Stream) -> (u64, io::Error) {
    let mut len = 0;
    loop {
        match stream.read(&mut [0; 1000]).await {
            Ok(0) => return (len, io::ErrorKind::UnexpectedEof.into()),
            Ok(read) => len += read as u64,
            Err(error) => return (len, error),
        }
    }
}

/// Sends without end, until the other side has gone.
fn talk(mut session: TcpStream) {
    thread::spawn(move || while session.write_all(&[b'x'; 100_000]).is_ok() {});
}

#[test]
fn a_limit_ends_what_never_waits_and_spoils_no_answer() {
    let limit = Duration::from_millis(50);
    let busy = async {
        loop {
            future::yield_now().await;
        }
    };
    let ended: Result<(), _> = future::block_on(within(limit, busy));
    assert_eq!(ended, Err(TimedOut { limit }));
    let limit = Duration::ZERO;
    assert_eq!(future::block_on(within(limit, pending::<()>())), Err(TimedOut { limit }));
    assert_eq!(future::block_on(within(limit, ready(7))), Ok(7));
}

#[test]
fn a_reader_that_always_finds_something_ends_in_time() -> Outcome {
    let (mut stream, session) = pair()?;
    talk(session);
    let (says, ended) = mpsc::channel();
    thread::spawn(move || {
        stream.budget().limited_to(u64::MAX);
        let limit = Duration::from_millis(200);
        says.send(future::block_on(within(limit, read_all(&mut stream))).is_err())
    });
    assert!(ended.recv_timeout(PATIENCE)?, "it was cut off");
    Ok(())
}

#[test]
fn as_much_as_a_budget_allows_comes_and_no_more() -> Outcome {
    let (mut stream, session) = pair()?;
    talk(session);
    for limit in [Budget::DEFAULT, 100_001, 1] {
        stream.budget().limited_to(limit);
        stream.budget().renew();
        let (len, error) = future::block_on(read_all(&mut stream));
        assert_eq!(TooMuch::behind(&error), Some(TooMuch { limit, period: None }), "{error}");
        assert!(error.to_string().contains(&limit.to_string()), "{error}");
        assert!(len <= limit, "{len} bytes of {limit}");
    }
    // What is exactly as long as it may be is whole.
    let (mut stream, mut session) = pair()?;
    stream.budget().limited_to(5);
    for _ in 0..3 {
        stream.budget().renew();
        session.write_all(b"hello")?;
        future::block_on(stream.read_exact(&mut [0; 5]))?;
        assert!(future::block_on(stream.is_quiet()));
    }
    Ok(())
}

#[test]
fn a_wait_has_a_budget_for_each_second() -> Outcome {
    let (mut stream, mut session) = pair()?;
    stream.budget().limited_to(5);
    stream.budget().renew_each_second();
    for _ in 0..2 {
        session.write_all(b"hello")?;
        future::block_on(stream.read_exact(&mut [0; 5]))?;
        thread::sleep(Duration::from_millis(1_100));
    }
    session.write_all(b"hello")?;
    session.write_all(b"hello, and more")?;
    let (_, error) = future::block_on(read_all(&mut stream));
    let expected = TooMuch { limit: 5, period: Some(Duration::from_secs(1)) };
    assert_eq!(TooMuch::behind(&error), Some(expected), "{error}");
    Ok(())
}

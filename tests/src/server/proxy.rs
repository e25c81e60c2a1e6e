use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

/// What a [`Proxy`] does to what goes one way through it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Link {
    /// It is passed on at once.
    Passing,
    /// It is passed on after this long, each piece after the one before it.
    Late(Duration),
    /// It is held, as by a network that drops packets: no reset, and all arrives late if the
    /// connection outlasts it.
    Stalled,
    /// It is thrown away. A connection that has lost something is closed once that is over.
    Lost,
    /// In its place comes this, without end: once the first, and then the second over and over. A
    /// connection that has seen some of it is closed once that is over.
    Flood(&'static [u8], &'static [u8]),
}

/// Stands between a server and its clients, and does to their connections what networks do.
///
/// To drop it closes them all.
///
/// ```
/// use std::io::{Read, Write};
/// use std::net::{TcpListener, TcpStream};
/// use tenure_testkit::server::{Link, Proxy};
///
/// let server = TcpListener::bind("127.0.0.1:0")?;
/// let proxy = Proxy::new(server.local_addr()?)?;
/// let mut client = TcpStream::connect(proxy.address())?;
/// let (mut session, _) = server.accept()?;
///
/// proxy.answers(Link::Lost);
/// client.write_all(b"a question")?;
/// session.read_exact(&mut [0; 10])?;
/// session.write_all(b"an answer")?;
/// proxy.cut();
/// assert_eq!(client.read(&mut [0; 10])?, 0, "it never came");
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
}

#[derive(Debug)]
struct State {
    links: [Link; 2],
    hold: Hold,
    is_refusing: bool,
    is_over: bool,
    /// Both ends of every connection that is open.
    open: Vec<(u64, [TcpStream; 2])>,
    accepted: u64,
}

/// What becomes of one request, whatever the link.
#[derive(Clone, Debug, Eq, PartialEq)]
enum Hold {
    /// Nothing.
    Nothing,
    /// The next one that has this in it is held.
    Next(Vec<u8>),
    /// One is held.
    Held,
}

/// Which way something goes.
#[derive(Clone, Copy, Debug)]
enum Way {
    Requests,
    Answers,
}

impl Proxy {
    /// Stands before the server at `server`, and passes everything on until told otherwise.
    ///
    /// # Errors
    ///
    /// What the system said when it refused a port or a thread.
    pub fn new(server: SocketAddr) -> io::Result<Proxy> {
        Proxy::listening(Ipv4Addr::LOCALHOST, server)
    }

    /// As [`new`](Proxy::new), at all addresses of this machine. For a network that nobody else can
    /// reach.
    ///
    /// # Errors
    ///
    /// What the system said when it refused a port or a thread.
    pub fn everywhere(server: SocketAddr) -> io::Result<Proxy> {
        Proxy::listening(Ipv4Addr::UNSPECIFIED, server)
    }

    fn listening(at: Ipv4Addr, server: SocketAddr) -> io::Result<Proxy> {
        let listener = TcpListener::bind((at, 0))?;
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, listener.local_addr()?.port()));
        let state = Arc::new(Mutex::new(State {
            links: [Link::Passing; 2],
            hold: Hold::Nothing,
            is_refusing: false,
            is_over: false,
            open: Vec::new(),
            accepted: 0,
        }));
        let shared = state.clone();
        thread::Builder::new().name("proxy".to_owned()).spawn(move || {
            for client in listener.incoming() {
                if lock(&shared).is_over {
                    return;
                }
                let shared = shared.clone();
                // On a thread, as a server that does not answer keeps only this one waiting. A
                // connection that cannot be made is one that is closed.
                let connect = move || connect(shared, client?, server);
                let _ = thread::Builder::new().name("proxy".to_owned()).spawn(connect);
            }
        })?;
        Ok(Proxy { address, state })
    }

    /// Where clients connect.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What becomes of what clients send.
    pub fn requests(&self, link: Link) {
        lock(&self.state).links[Way::Requests as usize] = link;
    }

    /// What becomes of what the server sends.
    pub fn answers(&self, link: Link) {
        lock(&self.state).links[Way::Answers as usize] = link;
    }

    /// Holds the next request that has `part` in it, and all that comes after it on its connection,
    /// until it is [let go](Proxy::let_go). Other connections overtake it.
    ///
    /// ```
    /// use std::io::{Read, Write};
    /// use std::net::{TcpListener, TcpStream};
    /// use std::time::Duration;
    /// use tenure_testkit::server::Proxy;
    ///
    /// let server = TcpListener::bind("127.0.0.1:0")?;
    /// let proxy = Proxy::new(server.local_addr()?)?;
    /// let mut client = TcpStream::connect(proxy.address())?;
    /// let (mut session, _) = server.accept()?;
    ///
    /// proxy.hold_next(b"write");
    /// client.write_all(b"a write")?;
    /// while !proxy.is_holding() {
    ///     std::thread::sleep(Duration::from_millis(1));
    /// }
    /// proxy.let_go();
    /// session.read_exact(&mut [0; 7])?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn hold_next(&self, part: &[u8]) {
        lock(&self.state).hold = Hold::Next(part.to_vec());
    }

    /// Whether a request is held.
    pub fn is_holding(&self) -> bool {
        lock(&self.state).hold == Hold::Held
    }

    /// Lets go what is held, and holds nothing any more.
    pub fn let_go(&self) {
        lock(&self.state).hold = Hold::Nothing;
    }

    /// Whether new connections are closed at once, as of a port where nobody listens.
    pub fn refuse(&self, refuse: bool) {
        lock(&self.state).is_refusing = refuse;
    }

    /// Closes all connections. New ones may be made.
    pub fn cut(&self) {
        for (_, ends) in lock(&self.state).open.drain(..) {
            close(&ends);
        }
    }

    /// How many connections are open.
    pub fn open(&self) -> usize {
        lock(&self.state).open.len()
    }

    /// How many connections have been made so far.
    pub fn accepted(&self) -> u64 {
        lock(&self.state).accepted
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        lock(&self.state).is_over = true;
        self.let_go();
        self.cut();
        // It waits for the next client, so here is one.
        let _ = TcpStream::connect(self.address);
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

fn close(ends: &[TcpStream; 2]) {
    for end in ends {
        let _ = end.shutdown(Shutdown::Both);
    }
}

fn connect(shared: Arc<Mutex<State>>, client: TcpStream, server: SocketAddr) -> io::Result<()> {
    if lock(&shared).is_refusing {
        return Ok(());
    }
    let session = TcpStream::connect_timeout(&server, Duration::from_secs(1))?;
    client.set_nodelay(true)?;
    session.set_nodelay(true)?;
    let number = {
        let mut state = lock(&shared);
        state.accepted += 1;
        let number = state.accepted;
        state.open.push((number, [client.try_clone()?, session.try_clone()?]));
        number
    };
    let ways = [
        (Way::Requests, client.try_clone()?, session.try_clone()?),
        (Way::Answers, session, client),
    ];
    for (way, from, to) in ways {
        let state = shared.clone();
        thread::Builder::new().name("proxy".to_owned()).spawn(move || {
            // Whatever broke, the connection is over.
            let _ = carry(&state, number, way, from, to);
            let mut state = lock(&state);
            if let Some(index) = state.open.iter().position(|(open, _)| *open == number) {
                close(&state.open.swap_remove(index).1);
            }
        })?;
    }
    Ok(())
}

fn carry(
    state: &Mutex<State>,
    number: u64,
    way: Way,
    mut from: TcpStream,
    mut to: TcpStream,
) -> io::Result<()> {
    let mut buffer = vec![0; 64 * 1024];
    let mut has_lost = false;
    // Looks up now and then, for what has lost something ends when the loss does.
    from.set_read_timeout(Some(TICK))?;
    loop {
        let length = match from.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(length) => length,
            Err(error) if is_tick(&error) => 0,
            Err(error) => return Err(error),
        };
        let link = || {
            let state = lock(state);
            let is_open = state.open.iter().any(|(open, _)| *open == number);
            is_open.then_some(state.links[way as usize])
        };
        if length > 0 && matches!(way, Way::Requests) && is_to_be_held(state, &buffer[..length]) {
            while lock(state).hold == Hold::Held {
                thread::sleep(TICK);
            }
        }
        let mut current = link();
        while length > 0 && current == Some(Link::Stalled) {
            thread::sleep(TICK);
            current = link();
        }
        match current {
            None => return Ok(()),
            Some(Link::Lost) => has_lost |= length > 0,
            Some(Link::Flood(first, then)) => {
                flood(&mut to, first, then, || matches!(link(), Some(Link::Flood(..))))?;
                has_lost = true;
            }
            Some(_) if has_lost => return Ok(()),
            Some(Link::Late(by)) if length > 0 => {
                thread::sleep(by);
                to.write_all(&buffer[..length])?;
            }
            Some(_) => to.write_all(&buffer[..length])?,
        }
    }
}

fn is_to_be_held(state: &Mutex<State>, piece: &[u8]) -> bool {
    let mut state = lock(state);
    let Hold::Next(part) = &state.hold else { return false };
    let is_it = part.is_empty() || piece.windows(part.len()).any(|found| found == part);
    if is_it {
        state.hold = Hold::Held;
    }
    is_it
}

/// Writes without end, as long as `goes_on`.
fn flood(
    to: &mut TcpStream,
    first: &[u8],
    then: &[u8],
    goes_on: impl Fn() -> bool,
) -> io::Result<()> {
    let many = then.repeat((64 * 1024 / then.len().max(1)).max(1));
    to.set_write_timeout(Some(TICK))?;
    let mut rest = first;
    while goes_on() {
        if rest.is_empty() {
            rest = &many;
        }
        match to.write(rest) {
            Ok(length) => rest = &rest[length..],
            Err(error) if is_tick(&error) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

const TICK: Duration = Duration::from_millis(5);

fn is_tick(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A client through a proxy, and the session at the server that belongs to it.
    fn pair() -> (Proxy, TcpStream, TcpStream) {
        let server = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let proxy = Proxy::new(server.local_addr().unwrap()).unwrap();
        let client = TcpStream::connect(proxy.address()).unwrap();
        let (session, _) = server.accept().unwrap();
        (proxy, client, session)
    }

    fn read(stream: &mut TcpStream) -> io::Result<[u8; 3]> {
        let mut bytes = [0; 3];
        stream.read_exact(&mut bytes).map(|()| bytes)
    }

    #[test]
    fn what_is_stalled_arrives_later_and_the_other_way_is_open() {
        let (proxy, mut client, mut session) = pair();
        proxy.requests(Link::Stalled);
        client.write_all(b"one").unwrap();
        session.write_all(b"two").unwrap();
        assert_eq!(&read(&mut client).unwrap(), b"two");
        session.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
        assert!(is_tick(&read(&mut session).unwrap_err()));
        proxy.requests(Link::Passing);
        session.set_read_timeout(None).unwrap();
        assert_eq!(&read(&mut session).unwrap(), b"one");
    }

    #[test]
    fn what_is_lost_never_arrives_and_ends_its_connection() {
        let (proxy, mut client, mut session) = pair();
        proxy.answers(Link::Lost);
        client.write_all(b"one").unwrap();
        assert_eq!(&read(&mut session).unwrap(), b"one");
        session.write_all(b"two").unwrap();
        // It may take that a moment to get to the proxy.
        thread::sleep(Duration::from_millis(50));
        proxy.answers(Link::Passing);
        assert_eq!(client.read(&mut [0; 3]).unwrap(), 0);
        assert_eq!((proxy.open(), proxy.accepted()), (0, 1));
    }

    #[test]
    fn one_request_is_held_and_others_overtake_it() {
        let (proxy, mut client, mut session) = pair();
        proxy.hold_next(b"w");
        client.write_all(b"one").unwrap();
        assert_eq!(&read(&mut session).unwrap(), b"one");
        client.write_all(b"two").unwrap();
        session.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
        assert!(is_tick(&read(&mut session).unwrap_err()) && proxy.is_holding());
        proxy.let_go();
        session.set_read_timeout(None).unwrap();
        assert_eq!(&read(&mut session).unwrap(), b"two");
        assert!(!proxy.is_holding());
    }

    #[test]
    fn a_flood_has_no_end_before_it_is_over() {
        let (proxy, mut client, _session) = pair();
        proxy.answers(Link::Flood(b"one", b"two"));
        let mut bytes = vec![0; 3_000_000];
        client.read_exact(&mut bytes).unwrap();
        assert_eq!((&bytes[..6], &bytes[2_999_997..]), (&b"onetwo"[..], &b"two"[..]));
        proxy.answers(Link::Passing);
        // What was on its way comes, and then the end.
        let mut rest = Vec::new();
        let _ = client.read_to_end(&mut rest);
        assert_eq!(proxy.open(), 0);
    }

    #[test]
    fn what_is_late_arrives_whole() {
        let (proxy, mut client, mut session) = pair();
        proxy.requests(Link::Late(Duration::from_millis(10)));
        client.write_all(b"one").unwrap();
        assert_eq!(&read(&mut session).unwrap(), b"one");
    }

    #[test]
    fn who_is_refused_is_closed() {
        let (proxy, mut client, _session) = pair();
        proxy.refuse(true);
        let mut refused = TcpStream::connect(proxy.address()).unwrap();
        assert_eq!(refused.read(&mut [0; 3]).unwrap_or(0), 0);
        assert_eq!(proxy.open(), 1);
        drop(proxy);
        assert_eq!(client.read(&mut [0; 3]).unwrap_or(0), 0);
    }
}

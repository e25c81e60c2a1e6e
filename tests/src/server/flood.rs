use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

/// Stands between a server and its clients, until it takes the server's part and never stops
/// talking.
///
/// To drop it closes all connections.
#[derive(Debug)]
pub struct Flood {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    armed: Option<Armed>,
    is_over: bool,
    open: Vec<TcpStream>,
    /// How much it has said in place of the server.
    said: u64,
}

#[derive(Clone, Debug)]
struct Armed {
    moment: Moment,
    head: Arc<[u8]>,
    body: Arc<[u8]>,
}

/// When it takes the server's part.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Moment {
    /// At the next request on each connection, instead of an answer.
    NextRequest,
    /// Now, on each connection that is open.
    Now,
}

impl Flood {
    /// Stands before the server at `server`, and passes everything on until it is armed.
    ///
    /// # Errors
    ///
    /// What the system said when it refused a port or a thread.
    pub fn new(server: SocketAddr) -> io::Result<Flood> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let address = listener.local_addr()?;
        let state = Arc::new(Mutex::new(State::default()));
        let shared = state.clone();
        thread::Builder::new().name("flood".to_owned()).spawn(move || {
            for client in listener.incoming() {
                if lock(&shared).is_over {
                    return;
                }
                let shared = shared.clone();
                let serve = move || serve(&shared, client?, server);
                let _ = thread::Builder::new().name("flood".to_owned()).spawn(serve);
            }
        })?;
        Ok(Flood { address, state })
    }

    /// Where clients connect.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// From then on it says `head`, and then `body` again and again.
    pub fn arm(&self, moment: Moment, head: &[u8], body: &[u8]) {
        // Many of them at once, or it would be the system that limits it.
        let body = body.repeat((64 * 1024 / body.len().max(1)).max(1));
        let armed = Armed { moment, head: head.into(), body: body.into() };
        lock(&self.state).armed = Some(armed);
    }

    /// Closes all connections, and passes everything on again.
    pub fn disarm(&self) {
        let mut state = lock(&self.state);
        state.armed = None;
        close(&mut state);
    }

    /// How many bytes it has said in place of the server.
    pub fn said(&self) -> u64 {
        lock(&self.state).said
    }
}

impl Drop for Flood {
    fn drop(&mut self) {
        let mut state = lock(&self.state);
        state.is_over = true;
        close(&mut state);
        drop(state);
        // It waits for the next client, so here is one.
        let _ = TcpStream::connect(self.address);
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

fn close(state: &mut State) {
    for stream in state.open.drain(..) {
        let _ = stream.shutdown(Shutdown::Both);
    }
}

fn serve(shared: &Arc<Mutex<State>>, client: TcpStream, server: SocketAddr) -> io::Result<()> {
    let session = TcpStream::connect_timeout(&server, Duration::from_secs(1))?;
    client.set_nodelay(true)?;
    session.set_nodelay(true)?;
    {
        let mut state = lock(shared);
        state.open.push(client.try_clone()?);
        state.open.push(session.try_clone()?);
    }
    let asked = Arc::new(Mutex::new(false));
    let (mut from, mut to, hears) = (client.try_clone()?, session.try_clone()?, asked.clone());
    let requests = shared.clone();
    thread::Builder::new().name("flood".to_owned()).spawn(move || {
        let mut buffer = [0; 4096];
        while let Ok(length @ 1..) = from.read(&mut buffer) {
            if lock(&requests).armed.is_some() {
                // The server does not hear of it.
                *hears.lock().unwrap_or_else(PoisonError::into_inner) = true;
            } else if to.write_all(&buffer[..length]).is_err() {
                break;
            }
        }
        let _ = to.shutdown(Shutdown::Both);
    })?;
    answer(shared, &asked, client, session)
}

/// Passes the server's answers on, until it is time to make others.
fn answer(
    shared: &Mutex<State>,
    asked: &Mutex<bool>,
    mut client: TcpStream,
    mut session: TcpStream,
) -> io::Result<()> {
    const TICK: Duration = Duration::from_millis(2);
    session.set_read_timeout(Some(TICK))?;
    let mut buffer = [0; 4096];
    loop {
        let armed = lock(shared).armed.clone();
        if let Some(armed) = armed {
            let is_time = match armed.moment {
                Moment::Now => true,
                Moment::NextRequest => *asked.lock().unwrap_or_else(PoisonError::into_inner),
            };
            if is_time {
                client.write_all(&armed.head)?;
                loop {
                    client.write_all(&armed.body)?;
                    lock(shared).said += armed.body.len() as u64;
                }
            }
        }
        match session.read(&mut buffer) {
            Ok(0) => return client.shutdown(Shutdown::Both),
            Ok(length) => client.write_all(&buffer[..length])?,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
}

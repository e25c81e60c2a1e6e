//! What leaders write to: a resource that checks terms.

use std::io::{self, BufRead, BufReader, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

/// Takes a write with a term that is as high as any that it has seen, and refuses a lower one.
#[derive(Debug)]
pub(crate) struct Sink {
    address: SocketAddr,
    tally: Arc<Mutex<Tally>>,
}

/// What came to a sink.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Tally {
    highest: u64,
    pub(crate) taken: u64,
    pub(crate) refused: u64,
}

impl Tally {
    /// Whether a write is taken.
    fn write(&mut self, term: u64) -> bool {
        let is_taken = term >= self.highest;
        self.highest = self.highest.max(term);
        *(if is_taken { &mut self.taken } else { &mut self.refused }) += 1;
        is_taken
    }
}

impl Sink {
    pub(crate) fn start() -> io::Result<Sink> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let address = listener.local_addr()?;
        let tally = Arc::<Mutex<Tally>>::default();
        let shared = tally.clone();
        thread::Builder::new().name("sink".to_owned()).spawn(move || {
            for stream in listener.incoming().flatten() {
                let tally = shared.clone();
                // It ends with the candidate at its other end.
                thread::spawn(move || serve(&tally, stream));
            }
        })?;
        Ok(Sink { address, tally })
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn tally(&self) -> Tally {
        *self.tally.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn serve(tally: &Mutex<Tally>, stream: TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut answers = stream.try_clone()?;
    for line in BufReader::new(stream).lines() {
        let Ok(term) = line?.parse() else { break };
        let is_taken = tally.lock().unwrap_or_else(PoisonError::into_inner).write(term);
        answers.write_all(if is_taken { b"done\n" } else { b"refused\n" })?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_write_with_a_lower_term_is_refused() {
        let sink = Sink::start().unwrap();
        let write = |stream: &mut TcpStream, term| {
            writeln!(stream, "{term}").unwrap();
            let mut answer = String::new();
            BufReader::new(stream).read_line(&mut answer).unwrap();
            answer
        };
        let mut old = TcpStream::connect(sink.address()).unwrap();
        let mut new = TcpStream::connect(sink.address()).unwrap();
        assert_eq!(write(&mut old, 7), "done\n");
        assert_eq!(write(&mut new, 8), "done\n");
        assert_eq!(write(&mut old, 7), "refused\n");
        assert_eq!(write(&mut new, 8), "done\n");
        assert_eq!(sink.tally(), Tally { highest: 8, taken: 3, refused: 1 });
    }
}

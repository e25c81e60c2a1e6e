//! The machine in an event loop of one's own: one thread, one socket, no runtime, plain `std`.
//!
//! Two candidates elect a leader over a small lease server that speaks datagrams, which may get
//! lost, and hand the lease over. Each candidate is one thread that does nothing but this:
//!
//! 1. wait on its socket until a datagram comes or the timer is due,
//! 2. hand the event to the machine,
//! 3. carry out the actions, most of which send a datagram.
//!
//! Run it with `cargo run -p tenure-core --example event_loop`.
#![forbid(unsafe_code)]

use std::collections::{HashMap, VecDeque};
use std::error::Error;
use std::io::ErrorKind;
use std::net::{SocketAddr, UdpSocket};
use std::thread;
use std::time::{Duration, Instant as Clock};

use tenure_core::{
    Action, Actions, AttemptId, ClaimOutcome, Config, Event, FinishReason, Instant, Outcome,
    TenureId, Term, Then, TicketKind, Tracker, Transition, WatchId,
};

fn main() -> Result<(), Box<dyn Error + Send + Sync>> {
    let origin = Clock::now();
    let server = UdpSocket::bind("127.0.0.1:0")?;
    let address = server.local_addr()?;
    thread::spawn(move || Server::default().serve(&server));

    let first = Candidate::new("mysql/0", address, origin)?;
    let second = Candidate::new("mysql/1", address, origin)?;
    // Each leads until it has been told so, and then lets the other one lead.
    let candidates = [first, second].map(|candidate| thread::spawn(|| candidate.run()));
    for candidate in candidates {
        let reason = candidate.join().expect("no candidate panics")?;
        assert_eq!(reason, FinishReason::Resigned);
    }
    println!("both have led, one after the other");
    Ok(())
}

/// One unit: a machine, a socket, and the one timer that the machine asks for.
struct Candidate {
    name: &'static str,
    socket: UdpSocket,
    tracker: Tracker,
    timer: Instant,
    /// What this thread itself has to tell the machine.
    pending: VecDeque<Event>,
    origin: Clock,
    finished: Option<FinishReason>,
}

impl Candidate {
    fn new(
        name: &'static str,
        server: SocketAddr,
        origin: Clock,
    ) -> Result<Candidate, Box<dyn Error + Send + Sync>> {
        let socket = UdpSocket::bind("127.0.0.1:0")?;
        socket.connect(server)?;
        // `std`'s clock is good enough for an example; a real driver's also counts suspended time.
        let now = Instant::ORIGIN.saturating_add(origin.elapsed());
        let (tracker, actions) = Tracker::new(Config::new(Duration::from_millis(200))?, now);
        let pending = VecDeque::from([Event::TicketRequested { kind: TicketKind::WaitLeader }]);
        let mut candidate =
            Candidate { name, socket, tracker, timer: now, pending, origin, finished: None };
        candidate.carry_out(actions)?;
        Ok(candidate)
    }

    fn run(mut self) -> Result<FinishReason, Box<dyn Error + Send + Sync>> {
        loop {
            let event = match self.pending.pop_front() {
                Some(event) => event,
                None => self.next_event()?,
            };
            let actions = self.tracker.handle(event, self.now());
            self.carry_out(actions)?;
            if let Some(reason) = self.finished {
                return Ok(reason);
            }
        }
    }

    /// Waits until a datagram comes or the timer is due.
    fn next_event(&self) -> Result<Event, Box<dyn Error + Send + Sync>> {
        let wait = self.timer.saturating_duration_since(self.now());
        self.socket.set_read_timeout(Some(wait.max(Duration::from_millis(1))))?;
        let mut buffer = [0; 64];
        match self.socket.recv(&mut buffer) {
            Ok(len) => parse_reply(std::str::from_utf8(&buffer[..len])?),
            Err(error) if matches!(error.kind(), ErrorKind::TimedOut | ErrorKind::WouldBlock) => {
                Ok(Event::TimerFired)
            }
            Err(error) => Err(error.into()),
        }
    }

    fn carry_out(&mut self, actions: Actions) -> Result<(), Box<dyn Error + Send + Sync>> {
        for action in actions {
            match action {
                Action::ArmTimer { at } => self.timer = at,
                Action::AwaitRelease { watch } => self.send(&format!("watch {watch}"))?,
                Action::Claim { attempt, tenure, lease } => {
                    let nonce = self.nonce(tenure);
                    self.send(&format!("claim {attempt} {nonce} {}", lease.as_nanos()))?;
                }
                Action::Release { tenure } => {
                    self.send(&format!("release {tenure} {}", self.nonce(tenure)))?;
                }
                // No work is guarded here, so it has ended as soon as it has to.
                Action::Drain { tenure } => self.pending.push_back(Event::Drained { tenure }),
                Action::Resolve { kind: TicketKind::WaitLeader, outcome } => {
                    if let Outcome::Leader { term, .. } = outcome {
                        println!("{}: I lead, in term {term}; now let the other one", self.name);
                        self.pending.push_back(Event::Resign { then: Then::Stop });
                    }
                }
                Action::Notify(Transition::Demoted { term, reason }) => {
                    println!("{}: term {term} is over: {reason:?}", self.name);
                }
                Action::Finish { reason } => self.finished = Some(reason),
                // A datagram cannot be called back. An answer that comes all the same carries a
                // number that is not out any more, and changes nothing.
                Action::AbandonClaim { .. }
                | Action::AbandonRelease { .. }
                | Action::AbandonWatch { .. }
                | Action::Notify(_)
                | Action::Resolve { .. } => {}
            }
        }
        Ok(())
    }

    fn send(&self, request: &str) -> std::io::Result<()> {
        self.socket.send(request.as_bytes()).map(drop)
    }

    /// Random in real life; unique is enough for one run of an example.
    fn nonce(&self, tenure: TenureId) -> String {
        format!("{}#{tenure}", self.name)
    }

    fn now(&self) -> Instant {
        Instant::ORIGIN.saturating_add(self.origin.elapsed())
    }
}

fn parse_reply(reply: &str) -> Result<Event, Box<dyn Error + Send + Sync>> {
    let words: Vec<&str> = reply.split(' ').collect();
    match words[..] {
        ["granted", attempt, term] => Ok(Event::ClaimFinished {
            attempt: AttemptId::new(attempt.parse()?),
            outcome: ClaimOutcome::Granted { term: Term::new(term.parse()?) },
        }),
        ["denied", attempt, nanos] => Ok(Event::ClaimFinished {
            attempt: AttemptId::new(attempt.parse()?),
            outcome: ClaimOutcome::Denied {
                retry_after: Some(Duration::from_nanos(nanos.parse()?)),
            },
        }),
        ["free", watch] => Ok(Event::ReleaseObserved { watch: WatchId::new(watch.parse()?) }),
        ["released", tenure] => {
            Ok(Event::ReleaseFinished { tenure: TenureId::new(tenure.parse()?) })
        }
        _ => Err(format!("no reply: {reply:?}").into()),
    }
}

/// The lease of one service, by its own clock.
struct Server {
    holder: Option<String>,
    term: u64,
    expires: Clock,
    watches: HashMap<SocketAddr, String>,
}

impl Default for Server {
    fn default() -> Server {
        Server { holder: None, term: 0, expires: Clock::now(), watches: HashMap::new() }
    }
}

impl Server {
    fn serve(mut self, socket: &UdpSocket) {
        let mut buffer = [0; 64];
        while let Ok((len, from)) = socket.recv_from(&mut buffer) {
            let request = String::from_utf8_lossy(&buffer[..len]).into_owned();
            for (to, reply) in self.answer(&request, from) {
                if let Err(error) = socket.send_to(reply.as_bytes(), to) {
                    eprintln!("the server cannot answer {to}: {error}");
                }
            }
        }
    }

    fn answer(&mut self, request: &str, from: SocketAddr) -> Vec<(SocketAddr, String)> {
        let now = Clock::now();
        if self.expires <= now {
            self.holder = None;
        }
        let words: Vec<&str> = request.split(' ').collect();
        match words[..] {
            ["claim", attempt, nonce, nanos] => {
                let free = self.holder.is_none();
                if free {
                    (self.holder, self.term) = (Some(nonce.to_owned()), self.term + 1);
                }
                if self.holder.as_deref() == Some(nonce) {
                    let lease = Duration::from_nanos(nanos.parse().unwrap_or(0));
                    self.expires = self.expires.max(now + lease);
                    return vec![(from, format!("granted {attempt} {}", self.term))];
                }
                let left = self.expires.duration_since(now).as_nanos();
                vec![(from, format!("denied {attempt} {left}"))]
            }
            ["watch", watch] => {
                if self.holder.is_none() {
                    return vec![(from, format!("free {watch}"))];
                }
                self.watches.insert(from, watch.to_owned());
                Vec::new()
            }
            ["release", tenure, nonce] => {
                let mut replies = vec![(from, format!("released {tenure}"))];
                if self.holder.as_deref() == Some(nonce) {
                    self.holder = None;
                    let free = |(to, watch)| (to, format!("free {watch}"));
                    replies.extend(self.watches.drain().map(free));
                }
                replies
            }
            _ => Vec::new(),
        }
    }
}

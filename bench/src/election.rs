//! What engines have of their own for electing a leader.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::harness::Samples;
use crate::stores::{Kind, Store};

/// How long the change took, in nanoseconds: after a release, and beyond the lease after a crash.
pub(crate) struct Own {
    pub(crate) name: &'static str,
    pub(crate) release: Samples,
    pub(crate) crash: Samples,
}

/// The engine's own election, if it has one.
pub(crate) fn of(store: &Store, rounds: usize, lease: Duration) -> Option<Own> {
    let name = match store.kind {
        Kind::Etcd => "etcd's election service",
        Kind::Postgres => "advisory lock",
        Kind::Redis => "SET NX PX, asked each 100 ms",
        Kind::Sqlite => return None,
    };
    let mut own = Own { name, release: Samples::default(), crash: Samples::default() };
    for round in 0..rounds {
        for (crashes, samples) in [(false, &mut own.release), (true, &mut own.crash)] {
            let place = format!("own-{round}-{crashes}");
            let address = store.address();
            let nanos = match store.kind {
                Kind::Etcd => change::<Etcd>(address, &place, crashes, lease),
                Kind::Postgres => change::<Postgres>(address, &place, crashes, lease),
                Kind::Redis => change::<Redis>(address, &place, crashes, lease),
                Kind::Sqlite => return None,
            };
            samples.push(nanos.expect("the engine works"));
        }
    }
    Some(own)
}

/// Somebody who leads, by means of the engine alone.
trait Leader: Sized {
    /// Waits until it leads `place`.
    fn elect(address: SocketAddr, place: &str, lease: Duration) -> io::Result<Self>;

    /// Leads no more, and says so.
    fn resign(self) -> io::Result<()>;

    /// Leads no more, and says nothing. When its lease is over.
    fn crash(self, elected: Instant, lease: Duration) -> Instant;
}

/// How long it takes another to lead.
fn change<L: Leader>(
    address: SocketAddr,
    place: &str,
    crashes: bool,
    lease: Duration,
) -> io::Result<f64> {
    let elected = Instant::now();
    let first = L::elect(address, place, lease)?;
    let next = {
        let place = place.to_owned();
        thread::spawn(move || {
            let next = L::elect(address, &place, lease)?;
            let led = Instant::now();
            next.resign()?;
            io::Result::Ok(led)
        })
    };
    // It begins to wait.
    thread::sleep(Duration::from_millis(50));
    let start = if crashes {
        first.crash(elected, lease)
    } else {
        let start = Instant::now();
        first.resign()?;
        start
    };
    let led = next.join().map_err(|_| io::Error::other("whoever waited panicked"))??;
    Ok(led.saturating_duration_since(start).as_nanos() as f64)
}

/// The election service, through the JSON gateway.
struct Etcd {
    address: SocketAddr,
    leader: Value,
}

impl Leader for Etcd {
    fn elect(address: SocketAddr, place: &str, lease: Duration) -> io::Result<Etcd> {
        let lease = post(address, "/v3/lease/grant", &json!({ "TTL": lease.as_secs() }))?;
        // Names and values are in base64; any will do that says the same to both.
        let name: String = place.bytes().map(|byte| format!("{byte:04}")).collect();
        let request = json!({ "name": name, "value": "AAAA", "lease": lease["ID"] });
        let mut answer = post(address, "/v3/election/campaign", &request)?;
        Ok(Etcd { address, leader: answer["leader"].take() })
    }

    fn resign(self) -> io::Result<()> {
        let request = json!({ "leader": self.leader });
        post(self.address, "/v3/election/resign", &request).map(drop)
    }

    fn crash(self, elected: Instant, lease: Duration) -> Instant {
        elected + lease
    }
}

fn post(address: SocketAddr, path: &str, body: &Value) -> io::Result<Value> {
    let body = body.to_string();
    let mut stream = TcpStream::connect(address)?;
    let length = body.len();
    let head = format!("POST {path} HTTP/1.0\r\nHost: localhost\r\nContent-Length: {length}");
    stream.write_all(format!("{head}\r\n\r\n{body}").as_bytes())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let (_, body) = answer.split_once("\r\n\r\n").ok_or(io::ErrorKind::InvalidData)?;
    let value: Value = serde_json::from_str(body)?;
    if value.get("error").is_some() { Err(io::Error::other(body)) } else { Ok(value) }
}

/// A session that holds an advisory lock. It has no lease: it is over when the server sees its
/// connection close, which it does at once if a process dies, and late or never if a host does.
struct Postgres {
    session: Child,
    answers: BufReader<ChildStdout>,
}

impl Postgres {
    fn ask(&mut self, question: &str) -> io::Result<()> {
        let input = self.session.stdin.as_mut().ok_or(io::ErrorKind::BrokenPipe)?;
        writeln!(input, "{question};")?;
        let mut answer = String::new();
        match self.answers.read_line(&mut answer)? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            _ => Ok(()),
        }
    }
}

impl Leader for Postgres {
    fn elect(address: SocketAddr, place: &str, _: Duration) -> io::Result<Postgres> {
        let mut session = Command::new("psql")
            .args(["-h", "127.0.0.1", "-U", "postgres", "-qAtX", "-p"])
            .arg(address.port().to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let output = session.stdout.take().ok_or(io::ErrorKind::BrokenPipe)?;
        let mut leader = Postgres { session, answers: BufReader::new(output) };
        leader.ask(&format!("SELECT 1 FROM pg_advisory_lock(hashtext('{place}'))"))?;
        Ok(leader)
    }

    fn resign(mut self) -> io::Result<()> {
        self.ask("SELECT 1 FROM (SELECT pg_advisory_unlock_all()) AS unlocked")?;
        self.session.kill()?;
        self.session.wait().map(drop)
    }

    fn crash(mut self, _: Instant, _: Duration) -> Instant {
        let start = Instant::now();
        let _ = self.session.kill();
        let _ = self.session.wait();
        start
    }
}

/// A key that expires, and that others ask for again and again.
struct Redis {
    stream: BufReader<TcpStream>,
    place: String,
}

impl Redis {
    fn ask(&mut self, question: &str) -> io::Result<String> {
        self.stream.get_mut().write_all(format!("{question}\r\n").as_bytes())?;
        let mut answer = String::new();
        self.stream.read_line(&mut answer)?;
        Ok(answer)
    }
}

impl Leader for Redis {
    fn elect(address: SocketAddr, place: &str, lease: Duration) -> io::Result<Redis> {
        let stream = BufReader::new(TcpStream::connect(address)?);
        let mut leader = Redis { stream, place: place.to_owned() };
        let question = format!("SET {place} me NX PX {}", lease.as_millis());
        while !leader.ask(&question)?.starts_with("+OK") {
            thread::sleep(Duration::from_millis(100));
        }
        Ok(leader)
    }

    fn resign(mut self) -> io::Result<()> {
        self.ask(&format!("DEL {}", self.place)).map(drop)
    }

    fn crash(self, elected: Instant, lease: Duration) -> Instant {
        elected + lease
    }
}

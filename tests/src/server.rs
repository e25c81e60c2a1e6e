//! Real servers for tests: each test starts its own, and stops it again.
//!
//! A [`Server`] listens on a free port of the loopback interface and keeps its data in a temporary
//! directory, which goes with it. It is killed when it is dropped, also by a test that fails, and
//! (where `setpriv` is to be had) when the process that started it dies without dropping it.
//! Tests of one program may [share](Shared) one. A [`Proxy`] stands between a server and its
//! clients and does to their connections what networks do, and a [`Flood`] takes the server's part
//! and never stops talking; an [`Authority`] makes certificates.
//!
//! ```no_run
//! use tenure_testkit::server::Server;
//!
//! let mut server = Server::redis(&[])?;
//! println!("it listens on {}", server.address());
//! server.kill();
//! server.restart()?;
//! # Ok::<(), tenure_testkit::server::ServerError>(())
//! ```

mod authority;
mod etcd;
mod flood;
mod keeper;
mod pgbouncer;
mod postgres;
mod proxy;
mod redis;
mod shared;

use std::fmt;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use redis::{Kind, Redis};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

pub use authority::{Authority, Certificate};
pub use flood::{Flood, Moment};
pub use postgres::psql;
pub use proxy::{Link, Proxy};
pub use redis::redis_cli;
pub use shared::Shared;

/// A server that runs for a test.
#[derive(Debug)]
pub struct Server {
    engine: Box<dyn Engine>,
    arguments: Vec<String>,
    environment: Vec<(String, String)>,
    directory: TempDir,
    ports: Ports,
    running: Option<Running>,
}

/// Where a server listens: for its clients, and for its peers if it has any.
#[derive(Clone, Copy, Debug)]
struct Ports {
    clients: u16,
    peers: u16,
}

/// What one kind of server needs.
trait Engine: fmt::Debug + Send + Sync {
    /// What it is called, and what to install to get it.
    fn package(&self) -> (&'static str, &'static str);

    /// Whatever has to be done once, before the first start.
    fn prepare(&self, directory: &Path) -> Result<(), ServerError> {
        let _ = directory;
        Ok(())
    }

    /// What runs it.
    fn command(&self, directory: &Path, ports: Ports) -> Result<Command, ServerError>;

    /// Whether it answers.
    fn is_ready(&self, ports: Ports) -> bool;

    /// How it is asked to end.
    fn stop_signal(&self) -> Signal {
        Signal::TERM
    }
}

/// Why there is no server.
#[derive(Debug)]
#[non_exhaustive]
pub enum ServerError {
    /// Its program is not installed.
    Missing {
        /// The program that was looked for.
        program: &'static str,
        /// The Debian package that has it.
        package: &'static str,
    },
    /// It ended, or did not answer in time: what it said last.
    NotReady {
        /// The program that was started.
        program: &'static str,
        /// The end of its log.
        log: String,
    },
    /// The system did not let it start.
    Io(io::Error),
}

impl fmt::Display for ServerError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ServerError::Missing { program, package } => {
                write!(formatter, "{program} is not installed: it is in the package {package}")
            }
            ServerError::NotReady { program, log } => {
                write!(formatter, "{program} does not answer; its log ends with\n{log}")
            }
            ServerError::Io(error) => write!(formatter, "the server cannot be started: {error}"),
        }
    }
}

impl std::error::Error for ServerError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            ServerError::Missing { .. } | ServerError::NotReady { .. } => None,
            ServerError::Io(error) => Some(error),
        }
    }
}

impl From<io::Error> for ServerError {
    fn from(error: io::Error) -> ServerError {
        ServerError::Io(error)
    }
}

impl Server {
    /// A node of etcd, a cluster of its own, with default timing and `arguments` besides.
    ///
    /// In the arguments of a server, `{port}` and `{peer-port}` are the ports, and `{directory}` is
    /// the directory, that it has been given.
    ///
    /// # Errors
    ///
    /// Why there is none.
    ///
    /// # Blocking
    ///
    /// Until it answers: up to a second or so.
    pub fn etcd(arguments: &[&str]) -> Result<Server, ServerError> {
        Server::start(etcd::Etcd::alone(), arguments)
    }

    /// A cluster of this many members of etcd, with default timing and `arguments` besides.
    ///
    /// # Errors
    ///
    /// Why there is none.
    ///
    /// # Blocking
    ///
    /// Until they all answer: some seconds. A member that is started again answers once most of
    /// them run.
    pub fn etcd_cluster(members: usize, arguments: &[&str]) -> Result<Vec<Server>, ServerError> {
        let mut result = Server::start_cluster(members, arguments);
        for _ in 1..TRIES {
            let Err(ServerError::NotReady { .. }) = result else { break };
            result = Server::start_cluster(members, arguments);
        }
        result
    }

    /// A Postgres whose user `postgres` needs no password, with `arguments` besides: `-c` and a
    /// setting, say.
    ///
    /// # Errors
    ///
    /// Why there is none.
    ///
    /// # Blocking
    ///
    /// Until it answers: up to a second or so.
    pub fn postgres(arguments: &[&str]) -> Result<Server, ServerError> {
        Server::start(postgres::Postgres { primary: None }, arguments)
    }

    /// A standby of `primary`, which is a [Postgres](Server::postgres) that runs. It has what that
    /// one has, receives all that it writes, and takes no writes of its own until it is promoted.
    ///
    /// The primary waits for it only if it is told to, by `synchronous_standby_names`.
    ///
    /// # Errors
    ///
    /// Why there is none.
    ///
    /// # Blocking
    ///
    /// Until it answers: some seconds.
    pub fn postgres_standby(primary: &Server, arguments: &[&str]) -> Result<Server, ServerError> {
        let primary = Some(primary.address());
        Server::start(postgres::Postgres { primary }, arguments)
    }

    /// A PgBouncer before `postgres`, which is a [Postgres](Server::postgres): it pools
    /// transactions, in two connections.
    ///
    /// # Errors
    ///
    /// Why there is none.
    ///
    /// # Blocking
    ///
    /// Until it answers: a few milliseconds.
    pub fn pgbouncer(postgres: &Server, arguments: &[&str]) -> Result<Server, ServerError> {
        Server::start(pgbouncer::PgBouncer { postgres: postgres.address() }, arguments)
    }

    /// A Redis that writes every command to its disk before it answers, unless `arguments` say
    /// otherwise.
    ///
    /// # Errors
    ///
    /// Why there is none.
    ///
    /// # Blocking
    ///
    /// Until it answers: a few milliseconds.
    pub fn redis(arguments: &[&str]) -> Result<Server, ServerError> {
        Server::start(Redis { kind: Kind::Redis, durable: true }, arguments)
    }

    /// A Redis that forgets everything when it is killed.
    ///
    /// # Errors
    ///
    /// Why there is none.
    ///
    /// # Blocking
    ///
    /// Until it answers: a few milliseconds.
    pub fn forgetful_redis(arguments: &[&str]) -> Result<Server, ServerError> {
        Server::start(Redis { kind: Kind::Redis, durable: false }, arguments)
    }

    /// A Valkey that writes every command to its disk before it answers, unless `arguments` say
    /// otherwise.
    ///
    /// # Errors
    ///
    /// Why there is none.
    ///
    /// # Blocking
    ///
    /// Until it answers: a few milliseconds.
    pub fn valkey(arguments: &[&str]) -> Result<Server, ServerError> {
        Server::start(Redis { kind: Kind::Valkey, durable: true }, arguments)
    }

    /// Gives it a variable in its environment, from its next start on.
    pub fn environment(&mut self, name: impl Into<String>, value: impl Into<String>) {
        self.environment.push((name.into(), value.into()));
    }

    /// Where its clients connect.
    pub fn address(&self) -> SocketAddr {
        SocketAddr::from((Ipv4Addr::LOCALHOST, self.ports.clients))
    }

    /// A second address that is its own: for its peers, or for whatever its arguments use it for.
    pub fn peer_address(&self) -> SocketAddr {
        SocketAddr::from((Ipv4Addr::LOCALHOST, self.ports.peers))
    }

    /// Where it keeps its data and its log.
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// Its process, if it runs.
    pub fn id(&self) -> Option<u32> {
        self.running.as_ref().map(|running| running.0.id())
    }

    /// Ends it the way it ends when it is asked to.
    ///
    /// # Blocking
    ///
    /// Until it has ended.
    pub fn stop(&mut self) {
        self.signal(self.engine.stop_signal());
        if let Some(mut running) = self.running.take() {
            let _ = running.0.wait();
        }
    }

    /// Kills it, and its children if it has any: what it had not written down is lost.
    pub fn kill(&mut self) {
        // One that stands still has no more children.
        self.freeze();
        let children = self.children();
        self.signal_children(Signal::KILL);
        self.running = None;
        // A child holds what its parent shared with it, its port and its memory, until it has gone.
        let begun = Instant::now();
        let is_held =
            || children.iter().any(is_running) || TcpStream::connect(self.address()).is_ok();
        while is_held() && begun.elapsed() < PATIENCE {
            thread::sleep(Duration::from_millis(1));
        }
    }

    /// Has it stand still with its children, as if its machine did.
    pub fn freeze(&self) {
        self.signal(Signal::STOP);
        self.signal_children(Signal::STOP);
        // A thread that runs on another processor goes on for a little while, and may answer.
        let start = Instant::now();
        while !self.stands_still() && start.elapsed() < Duration::from_secs(5) {
            thread::sleep(Duration::from_millis(1));
        }
    }

    /// Has it go on after a [`freeze`](Server::freeze).
    pub fn thaw(&self) {
        self.signal_children(Signal::CONT);
        self.signal(Signal::CONT);
    }

    /// Starts it again, at the same address and with the data that it has on disk.
    ///
    /// # Errors
    ///
    /// Why it does not start.
    ///
    /// # Blocking
    ///
    /// Until it answers.
    pub fn restart(&mut self) -> Result<(), ServerError> {
        self.launch()?;
        self.wait()
    }

    fn launch(&mut self) -> Result<(), ServerError> {
        self.running = None;
        let mut command = self.engine.command(self.directory.path(), self.ports)?;
        command.args(self.arguments.iter().map(|argument| self.filled_in(argument)));
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        let log = File::options().create(true).append(true).open(self.log())?;
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        self.running = Some(Running(keeper::spawn(command)?));
        Ok(())
    }

    /// Waits until it answers.
    fn wait(&mut self) -> Result<(), ServerError> {
        let deadline = Instant::now() + PATIENCE;
        while !self.engine.is_ready(self.ports) {
            let has_ended = match &mut self.running {
                Some(running) => running.0.try_wait()?.is_some(),
                None => true,
            };
            if has_ended || Instant::now() > deadline {
                self.running = None;
                let (program, _) = self.engine.package();
                return Err(ServerError::NotReady { program, log: self.end_of_log() });
            }
            thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }

    fn start(engine: impl Engine + 'static, arguments: &[&str]) -> Result<Server, ServerError> {
        let mut server = Server::new(engine, arguments, Ports::free()?)?;
        let mut result = server.restart();
        // Between the choice of a port and its use somebody else may take it.
        for _ in 1..TRIES {
            let Err(ServerError::NotReady { .. }) = result else { break };
            server.ports = Ports::free()?;
            result = server.restart();
        }
        result.map(|()| server)
    }

    fn start_cluster(members: usize, arguments: &[&str]) -> Result<Vec<Server>, ServerError> {
        let ports = Ports::free_for(members)?;
        let engines = etcd::Etcd::cluster(&ports);
        let mut servers = engines
            .into_iter()
            .zip(ports)
            .map(|(engine, ports)| Server::new(engine, arguments, ports))
            .collect::<Result<Vec<_>, _>>()?;
        // None of them answers before most of them run.
        servers.iter_mut().try_for_each(Server::launch)?;
        servers.iter_mut().try_for_each(Server::wait)?;
        Ok(servers)
    }

    fn new(
        engine: impl Engine + 'static,
        arguments: &[&str],
        ports: Ports,
    ) -> Result<Server, ServerError> {
        let arguments = arguments.iter().map(ToString::to_string).collect();
        let engine: Box<dyn Engine> = Box::new(engine);
        let directory = tempfile::Builder::new().prefix("tenure-server-").tempdir()?;
        engine.prepare(directory.path())?;
        let environment = Vec::new();
        Ok(Server { engine, arguments, environment, directory, ports, running: None })
    }

    fn filled_in(&self, argument: &str) -> String {
        let directory = self.directory.path().display().to_string();
        argument
            .replace("{port}", &self.ports.clients.to_string())
            .replace("{peer-port}", &self.ports.peers.to_string())
            .replace("{directory}", &directory)
    }

    fn signal(&self, signal: Signal) {
        if let Some(running) = &self.running {
            let _ = kill_process(Pid::from_child(&running.0), signal);
        }
    }

    /// Whether all its threads are stopped; also where the system does not say.
    fn stands_still(&self) -> bool {
        let threads = self.id().map(|id| fs::read_dir(format!("/proc/{id}/task")));
        let Some(Ok(threads)) = threads else { return true };
        threads.flatten().all(|thread| !matches!(state_in(&thread.path()), Some('R' | 'S' | 'D')))
    }

    /// Postgres has a child for each connection. None is known where the system lists no children.
    fn children(&self) -> Vec<Pid> {
        let Some(id) = self.id() else { return Vec::new() };
        let list = fs::read_to_string(format!("/proc/{id}/task/{id}/children"));
        let list = list.unwrap_or_default();
        list.split_whitespace().filter_map(|id| Pid::from_raw(id.parse().ok()?)).collect()
    }

    fn signal_children(&self, signal: Signal) {
        for child in self.children() {
            let _ = kill_process(child, signal);
        }
    }

    fn log(&self) -> PathBuf {
        self.directory.path().join("log")
    }

    fn end_of_log(&self) -> String {
        let log = fs::read(self.log()).unwrap_or_default();
        let log = String::from_utf8_lossy(&log);
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(10)..].join("\n")
    }
}

/// How long a server may take to its first answer, on a machine with much else to do.
const PATIENCE: Duration = Duration::from_secs(60);

/// How many ports are tried.
const TRIES: usize = 3;

/// A process that does not outlive its owner.
#[derive(Debug)]
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Ports {
    fn free() -> io::Result<Ports> {
        Ok(Ports::free_for(1)?[0])
    }

    fn free_for(servers: usize) -> io::Result<Vec<Ports>> {
        // All at once, so that they differ.
        let listen = || TcpListener::bind((Ipv4Addr::LOCALHOST, 0));
        let pairs = (0..servers).map(|_| Ok((listen()?, listen()?)));
        let listening: Vec<_> = pairs.collect::<io::Result<_>>()?;
        let ports = listening.iter().map(|(clients, peers)| {
            let (clients, peers) = (clients.local_addr()?.port(), peers.local_addr()?.port());
            Ok(Ports { clients, peers })
        });
        ports.collect()
    }
}

/// Whether that process runs. One that has ended, and was not waited for, holds nothing any more.
fn is_running(process: &Pid) -> bool {
    let state = state_in(Path::new(&format!("/proc/{}", process.as_raw_pid())));
    state.is_some_and(|state| !matches!(state, 'Z' | 'X' | 'x'))
}

/// The state of the process or thread that the system describes in this directory.
fn state_in(directory: &Path) -> Option<char> {
    // The name of the program stands in parentheses, and may have any character in it.
    let stat = fs::read_to_string(directory.join("stat")).ok()?;
    stat.rsplit_once(") ").and_then(|(_, fields)| fields.chars().next())
}

/// Whether something answers `question` with what begins like `answer`.
fn answers(port: u16, question: &[u8], answer: &[u8]) -> bool {
    let ask = || -> io::Result<bool> {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
        stream.set_read_timeout(Some(Duration::from_secs(1)))?;
        stream.write_all(question)?;
        let mut got = vec![0; answer.len()];
        stream.read_exact(&mut got)?;
        Ok(got == answer)
    };
    ask().unwrap_or(false)
}

/// A command that is killed with the thread that starts it, where that can be had.
fn tied(program: &Path, user: Option<&str>) -> Command {
    let Ok(setpriv) = which::which("setpriv") else { return Command::new(program) };
    let mut command = Command::new(setpriv);
    command.args(["--pdeathsig", "KILL"]);
    if let Some(user) = user {
        command.args([&format!("--reuid={user}"), &format!("--regid={user}"), "--clear-groups"]);
    }
    command.arg(program);
    command
}

fn find(program: &'static str, package: &'static str) -> Result<PathBuf, ServerError> {
    which::which(program).map_err(|_| ServerError::Missing { program, package })
}

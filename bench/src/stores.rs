//! The stores that are measured, each with a server of its own where it has one.

use std::cell::Cell;
use std::fmt;
use std::fs;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};

use clap::ValueEnum;
use tempfile::TempDir;
use tenure_etcd::{EtcdClaimer, EtcdOptions};
use tenure_postgres::{PostgresClaimer, PostgresOptions};
use tenure_redis::{RedisClaimer, RedisOptions};
use tenure_sqlite::SqliteClaimer;
use tenure_testkit::server::{Server, ServerError, redis_cli};

/// Which store.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub(crate) enum Kind {
    /// One node, with its default timing
    Etcd,
    /// One server, with its default settings
    Postgres,
    /// One server, which writes every command to its disk before it answers
    Redis,
    /// A file in a temporary directory
    Sqlite,
}

impl fmt::Display for Kind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Kind::Etcd => "etcd",
            Kind::Postgres => "Postgres",
            Kind::Redis => "Redis",
            Kind::Sqlite => "SQLite",
        })
    }
}

/// A store that is there for as long as this is.
pub(crate) struct Store {
    pub(crate) kind: Kind,
    server: Option<Server>,
    directory: TempDir,
    /// How many claimers there have been: each has a name of its own within the store.
    opened: Cell<u32>,
}

impl Store {
    /// Starts what it needs.
    pub(crate) fn start(kind: Kind) -> Result<Store, ServerError> {
        Store::start_with(kind, &[])
    }

    /// As [`start`](Store::start), and the server can tell [how much it did](Store::operations).
    pub(crate) fn start_counting(kind: Kind) -> Result<Store, ServerError> {
        Store::start_with(kind, &["-c", "log_statement=all"])
    }

    fn start_with(kind: Kind, postgres: &[&str]) -> Result<Store, ServerError> {
        let server = match kind {
            Kind::Etcd => Some(Server::etcd(&[])?),
            Kind::Postgres => {
                Some(Server::postgres(&[&["-c", "max_connections=400"], postgres].concat())?)
            }
            Kind::Redis => Some(Server::redis(&[])?),
            Kind::Sqlite => None,
        };
        Ok(Store { kind, server, directory: tempfile::tempdir()?, opened: Cell::new(0) })
    }

    /// Where its server is.
    pub(crate) fn address(&self) -> SocketAddr {
        self.server.as_ref().expect("this store has a server").address()
    }

    /// A name that nothing in the store has yet.
    pub(crate) fn fresh(&self) -> String {
        self.opened.set(self.opened.get() + 1);
        format!("bench{}", self.opened.get())
    }

    pub(crate) fn etcd(&self, name: &str) -> EtcdClaimer {
        let url = format!("etcd://{}/{name}", self.address());
        EtcdOptions::from_url(&url).expect("a good URL").open()
    }

    pub(crate) fn postgres(&self, name: &str) -> PostgresClaimer {
        let url = format!("postgres://postgres@{}/postgres?table={name}", self.address());
        PostgresOptions::from_url(&url).expect("a good URL").open()
    }

    pub(crate) fn redis(&self, name: &str) -> RedisClaimer {
        // One that is new could have been wiped, and so its first lease would be waited for.
        let marker = format!("{name}:marker");
        let marked = ["HSET", &marker, "schema", "1", "since_ms", "0"];
        redis_cli(self.address(), &marked).expect("a good command");
        let url = format!("redis://{}/0?prefix={name}:", self.address());
        RedisOptions::from_url(&url).expect("a good URL").open()
    }

    pub(crate) fn sqlite(&self, name: &str) -> SqliteClaimer {
        let path = self.directory.path().join(name);
        SqliteClaimer::open(path).expect("there is room for a small file")
    }

    /// How many operations the server has counted so far: requests of etcd, statements of
    /// Postgres, commands of Redis. `None` where there is no server.
    ///
    /// To ask may be counted itself: what it costs is the difference of two times in a row.
    pub(crate) fn operations(&self) -> Option<u64> {
        let count = match self.kind {
            Kind::Etcd => self.etcd_requests(),
            Kind::Postgres => self.postgres_statements(),
            Kind::Redis => self.redis_commands(),
            Kind::Sqlite => return None,
        };
        Some(count.expect("a server says how much it has done"))
    }

    fn etcd_requests(&self) -> io::Result<u64> {
        let mut stream = TcpStream::connect(self.address())?;
        stream.write_all(b"GET /metrics HTTP/1.0\r\nHost: localhost\r\n\r\n")?;
        let mut text = String::new();
        stream.read_to_string(&mut text)?;
        let started = text.lines().filter(|line| line.starts_with("grpc_server_started_total"));
        let counts = started.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok());
        Ok(counts.sum::<f64>() as u64)
    }

    fn postgres_statements(&self) -> io::Result<u64> {
        let server = self.server.as_ref().ok_or(io::ErrorKind::NotFound)?;
        let log = fs::read(server.directory().join("log"))?;
        let lines = String::from_utf8_lossy(&log);
        let is_statement =
            |line: &&str| line.contains(" LOG:  statement: ") || line.contains(" LOG:  execute ");
        Ok(lines.lines().filter(is_statement).count() as u64)
    }

    /// What clients sent: a script is one command, whatever it does inside.
    fn redis_commands(&self) -> io::Result<u64> {
        let mut stream = TcpStream::connect(self.address())?;
        stream.write_all(b"INFO commandstats\r\nQUIT\r\n")?;
        let sent =
            ["eval", "evalsha", "script", "subscribe", "unsubscribe", "ping", "auth", "hello"];
        let sent = sent.map(|name| format!("cmdstat_{name}"));
        let lines = BufReader::new(stream).lines().map_while(Result::ok);
        let counts = lines.filter_map(|line| {
            let (name, figures) = line.split_once(':')?;
            let name = name.split('|').next()?;
            let calls = figures.strip_prefix("calls=")?.split(',').next()?;
            sent.iter().any(|sent| sent == name).then(|| calls.parse::<u64>().ok())?
        });
        Ok(counts.sum())
    }
}

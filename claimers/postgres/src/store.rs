use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use async_io::Timer;
use tenure_core::{Candidate, ClaimAnswer, Leader, ServiceName, Term};
use tenure_net::{Attempt, Endpoint, Endpoints, Idle, Tls, before, within};
use tokio_postgres::{Config, SimpleQueryRow};

use crate::error::StoreError;
use crate::session::{Held, Reply, Session, held, number, optional_text, text};
use crate::sql::{COMMENT, LEASE_MAX, SCHEMA_VERSION, Statements, Telling};
use crate::table::TableName;
use crate::wire::Wire;

/// As many are kept as one tracker has calls out at once.
const IDLE_MAX: usize = 4;

/// A wait is never shorter: the clocks of the server and of this host differ a little.
const NAP_MIN: Duration = Duration::from_millis(1);

const OLDEST_VERSION: u32 = 130_000;

/// A table on a server, and the connections to it that nobody uses just now.
pub(crate) struct Store {
    endpoints: Endpoints,
    tls: Option<Tls>,
    config: Config,
    table: TableName,
    statements: Statements,
    time_limit: Duration,
    heartbeat: Duration,
    idle: Idle<Session>,
    has_warned: AtomicBool,
    /// Whether the last change was made without telling those who wait.
    is_untold: AtomicBool,
    /// Whether the table has been there.
    has_seen_table: AtomicBool,
}

/// When a call is over.
#[derive(Clone, Copy, Debug)]
struct Deadline(Instant);

impl Deadline {
    fn left(self) -> Duration {
        self.0.saturating_duration_since(Instant::now())
    }
}

/// Whether a missing table is made.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Missing {
    Make,
    Leave,
}

/// What whoever waits has been told by the end of its nap.
enum Told {
    /// How long the lease lasts from now on; nothing if it was released.
    News(Option<Duration>),
    Nothing,
}

impl Store {
    pub(crate) fn new(
        endpoints: Vec<Endpoint>,
        tls: Option<Tls>,
        config: Config,
        table: TableName,
        (time_limit, heartbeat): (Duration, Duration),
    ) -> Store {
        Store {
            endpoints: Endpoints::new(endpoints),
            tls,
            config,
            statements: Statements::new(&table),
            table,
            time_limit,
            heartbeat,
            idle: Idle::new(IDLE_MAX),
            has_warned: AtomicBool::new(false),
            is_untold: AtomicBool::new(false),
            has_seen_table: AtomicBool::new(false),
        }
    }

    pub(crate) async fn check(&self) -> Result<(), StoreError> {
        self.call(async |deadline| {
            let (mut session, _) = self.session(Missing::Make, deadline).await?;
            session.ask(&self.statements.rehearsal(deadline.left())).await?;
            self.idle.put(session);
            Ok(())
        })
        .await
    }

    pub(crate) async fn claim(
        &self,
        candidate: &Candidate,
        lease: Duration,
    ) -> Result<ClaimAnswer, StoreError> {
        if lease > LEASE_MAX {
            return Err(StoreError::LeaseTooLong { lease });
        }
        self.call(async |deadline| {
            let (mut session, _) = self.session(Missing::Make, deadline).await?;
            let claim = |telling| self.statements.claim(candidate, lease, deadline.left(), telling);
            let reply = self.change(&mut session, claim).await?;
            self.idle.put(session);
            if let Some(row) = reply.row_with("granted") {
                return Ok(ClaimAnswer::Granted { term: term(number(row, "granted")?)? });
            }
            // Between the two statements a lease that was held may have run out.
            let held = held(&reply)?;
            let leader = held.as_ref().and_then(|held| held.unit.parse().ok());
            let retry_after = Some(held.map_or(Duration::ZERO, |held| held.remaining));
            Ok(ClaimAnswer::Denied { leader, retry_after })
        })
        .await
    }

    pub(crate) async fn release(&self, candidate: &Candidate) -> Result<(), StoreError> {
        self.call(async |deadline| {
            let (mut session, has_table) = self.session(Missing::Leave, deadline).await?;
            if has_table {
                let release =
                    |telling| self.statements.release(candidate, deadline.left(), telling);
                self.change(&mut session, release).await?;
            }
            self.idle.put(session);
            Ok(())
        })
        .await
    }

    pub(crate) async fn leader(&self, service: &ServiceName) -> Result<Option<Leader>, StoreError> {
        self.call(async |deadline| {
            let (mut session, has_table) = self.session(Missing::Leave, deadline).await?;
            let mut found = None;
            if has_table {
                let reply = session.ask(&self.statements.look(service, deadline.left())).await?;
                found = held(&reply)?;
            }
            self.idle.put(session);
            let leader = |held: Held| {
                let unit = held.unit.parse().map_err(|error| StoreError::NotOurs {
                    table: self.table.clone(),
                    what: format!("{error}"),
                })?;
                Ok(Leader { unit, term: term(held.term)?, remaining: held.remaining })
            };
            found.map(leader).transpose()
        })
        .await
    }

    pub(crate) async fn released(&self, service: &ServiceName) -> Result<(), StoreError> {
        let begin = async |deadline| {
            let (mut session, has_table) = self.session(Missing::Leave, deadline).await?;
            if has_table {
                session.listen(service).await?;
            }
            Ok((session, has_table))
        };
        let (mut session, has_table) = self.call(begin).await?;
        if has_table {
            self.wait(&mut session, service).await?;
        }
        self.idle.put(session);
        Ok(())
    }

    /// Waits on a session that listens to `service`, until nobody leads it.
    async fn wait(&self, session: &mut Session, service: &ServiceName) -> Result<(), StoreError> {
        loop {
            // It is told of whatever happens from before this look on.
            let look = async |deadline: Deadline| {
                let question = self.statements.look(service, deadline.left());
                held(&session.ask_listening(&question).await?)
            };
            let Some(mut held) = self.call(look).await? else { return Ok(()) };
            // Renewals are told too, so that whoever waits need not ask again until the leader
            // was silent for as long as its lease lasts.
            loop {
                let nap = held.remaining.min(self.heartbeat).max(NAP_MIN);
                let told = async { session.told(&held).await.map(Told::News) };
                match before(Timer::after(nap), told).await.unwrap_or(Ok(Told::Nothing))? {
                    Told::News(Some(remaining)) => held.remaining = remaining,
                    Told::News(None) => return Ok(()),
                    Told::Nothing => break,
                }
            }
        }
    }

    pub(crate) fn guard(&self) -> String {
        self.statements.guard()
    }

    /// Makes a change, and tells those who wait of it if the server takes notifications.
    ///
    /// What a server refuses because of the notification has had no effect, so it is asked once
    /// more without it: they look at the store anyway, when the lease that they know of is over.
    async fn change(
        &self,
        session: &mut Session,
        question: impl Fn(Telling) -> String,
    ) -> Result<Reply, StoreError> {
        match session.ask(&question(Telling::Waiters)).await {
            Err(error) if error.may_be_of_a_notification() => {
                let reply = session.ask(&question(Telling::Nobody)).await?.acknowledged()?;
                if !self.is_untold.swap(true, Ordering::Relaxed) {
                    tracing::warn!(
                        table = %self.table, %error,
                        "the server takes no notifications: candidates that wait learn of a \
                         release only when the lease would have been over, or at a heartbeat"
                    );
                }
                Ok(reply)
            }
            reply => {
                let reply = reply?.acknowledged()?;
                if reply.row_with("told").is_some() {
                    self.is_untold.store(false, Ordering::Relaxed);
                }
                Ok(reply)
            }
        }
    }

    /// Does `work` within the time limit.
    async fn call<T>(
        &self,
        work: impl AsyncFnOnce(Deadline) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        // A limit that is too long to be represented is a year.
        let year = Duration::from_secs(365 * 24 * 3600);
        let deadline = Deadline(Instant::now() + self.time_limit.min(year));
        let result = match within(self.time_limit, work(deadline)).await {
            Ok(result) => result,
            Err(late) => Err(late.into()),
        };
        match &result {
            // The others have probably lost the server too.
            Err(
                StoreError::Lost { .. } | StoreError::Server { .. } | StoreError::TimedOut { .. },
            ) => self.idle.clear(),
            // One of the others may have taken its place.
            Err(StoreError::ReadOnly { .. }) => {
                self.idle.clear();
                self.endpoints.skip();
            }
            _ => {}
        }
        result
    }

    /// A session, and whether there is a table.
    async fn session(
        &self,
        missing: Missing,
        deadline: Deadline,
    ) -> Result<(Session, bool), StoreError> {
        let mut session = self.open_session(deadline).await?;
        if !session.has_table {
            self.find_table(&mut session, missing, deadline).await?;
        }
        let has_table = session.has_table;
        Ok((session, has_table))
    }

    async fn open_session(&self, deadline: Deadline) -> Result<Session, StoreError> {
        while let Some(mut session) = self.idle.take() {
            if session.is_open().await {
                return Ok(session);
            }
        }
        let start = |endpoint| self.start(endpoint, deadline);
        self.endpoints.first(deadline.left(), start).await.map_err(|mut attempts| {
            match attempts.0.pop() {
                Some((_, Attempt::Failed(error))) if attempts.0.is_empty() => error,
                Some((_, Attempt::TimedOut(late))) if attempts.0.is_empty() => late.into(),
                last => {
                    attempts.0.extend(last);
                    StoreError::NoServer { attempts: Box::new(attempts) }
                }
            }
        })
    }

    async fn start(&self, endpoint: &Endpoint, deadline: Deadline) -> Result<Session, StoreError> {
        let wire = Wire::connect(endpoint, self.tls.as_ref()).await?;
        let mut session = Session::start(wire, &self.config, endpoint, &self.table).await?;
        self.greet(&mut session, deadline).await?;
        Ok(session)
    }

    /// Makes sure that the server will do, and looks for the table.
    async fn greet(&self, session: &mut Session, deadline: Deadline) -> Result<(), StoreError> {
        // A look from before the table was seen does not tell that it is gone: another session may
        // have made it in between.
        let was_there = self.has_seen_table.load(Ordering::Relaxed);
        let reply = session.ask(&self.statements.greeting(deadline.left())).await?;
        let missing = || StoreError::Unexpected { what: "there is no row".to_owned() };
        let row = reply.row_with("in_recovery").ok_or_else(missing)?;
        let version = u32::try_from(number(row, "version")?).unwrap_or(0);
        if version < OLDEST_VERSION {
            return Err(StoreError::TooOld { version });
        }
        if text(row, "in_recovery")? == "t" {
            return Err(StoreError::ReadOnly { what: "it is a standby, in recovery".to_owned() });
        }
        if text(row, "read_only")? == "on" {
            let what = "default_transaction_read_only is on".to_owned();
            return Err(StoreError::ReadOnly { what });
        }
        if text(row, "fsync")? == "off" && !self.has_warned.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                table = %self.table,
                "the server runs with fsync = off: if its host crashes, it forgets leases that it \
                 has granted, and two may lead"
            );
        }
        session.has_table = text(row, "exists")? == "t";
        if session.has_table {
            self.check_table(row)?;
            self.has_seen_table.store(true, Ordering::Relaxed);
        } else if was_there {
            // To make it anew would be to forget who leads.
            return Err(StoreError::Dropped { table: self.table.clone() });
        }
        Ok(())
    }

    /// Makes sure that the table is one of ours, in a version that this one knows.
    fn check_table(&self, row: &SimpleQueryRow) -> Result<(), StoreError> {
        let table = self.table.clone();
        let not_ours = |what: &str| {
            Err(StoreError::NotOurs { table: self.table.clone(), what: what.to_owned() })
        };
        if text(row, "kind")? != "r" {
            return not_ours("it is not a plain table");
        }
        if text(row, "persistence")? != "p" {
            return not_ours("a crash empties it, as it is unlogged or temporary");
        }
        let comment = optional_text(row, "comment")?.unwrap_or_default();
        let version = comment.strip_prefix(COMMENT).and_then(|version| version.parse().ok());
        match version {
            None => not_ours("it does not have the comment that tells the schema's version"),
            Some(found) if found > SCHEMA_VERSION => {
                Err(StoreError::NewerSchema { table, found, known: SCHEMA_VERSION })
            }
            Some(_) if text(row, "keyed")? != "t" => {
                not_ours("it lacks the key (service), or the unique key (service, term)")
            }
            Some(_) => Ok(()),
        }
    }

    /// Looks again for a table that was not there, and makes it if it is to be made.
    async fn find_table(
        &self,
        session: &mut Session,
        missing: Missing,
        deadline: Deadline,
    ) -> Result<(), StoreError> {
        self.greet(session, deadline).await?;
        if session.has_table || missing == Missing::Leave {
            return Ok(());
        }
        match session.ask(&self.statements.create(deadline.left())).await {
            Ok(_) => {
                session.has_table = true;
                self.has_seen_table.store(true, Ordering::Relaxed);
            }
            // Somebody else may have made it at the same time.
            Err(error) => {
                self.greet(session, deadline).await?;
                if !session.has_table {
                    return Err(error);
                }
            }
        }
        Ok(())
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Store")
            .field("endpoints", &self.endpoints)
            .field("table", &self.table)
            .field("time_limit", &self.time_limit)
            .field("heartbeat", &self.heartbeat)
            .finish_non_exhaustive()
    }
}

fn term(number: i64) -> Result<Term, StoreError> {
    let unexpected = |_| StoreError::Unexpected { what: format!("the term is {number}") };
    u64::try_from(number).map(Term::new).map_err(unexpected)
}

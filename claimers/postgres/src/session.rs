use std::error::Error as _;
use std::future::poll_fn;
use std::io;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use tenure_core::ServiceName;
use tenure_net::{Budget, Endpoint};
use tokio_postgres::error::{DbError, Severity};
use tokio_postgres::tls::{NoTls, NoTlsStream};
use tokio_postgres::{
    AsyncMessage, Client, Config, Connection, SimpleQueryMessage, SimpleQueryRow,
};

use crate::error::StoreError;
use crate::sql;
use crate::table::TableName;
use crate::wire::Wire;

/// A connection that has been let in. It does something only while it is asked something, or
/// waited on: there is no task behind it.
pub(crate) struct Session {
    client: Client,
    connection: Connection<Wire, NoTlsStream>,
    budget: Budget,
    endpoint: Endpoint,
    table: TableName,
    /// Whether the table has been found to be there, and to be ours.
    pub(crate) has_table: bool,
    /// What it is told of, if anything.
    listens_to: Option<ServiceName>,
    /// What it was told of that while it asked something.
    heard: Vec<News>,
}

/// What became of a lease, as it was told.
#[derive(Clone, Debug, Eq, PartialEq)]
struct News {
    table: i64,
    term: i64,
    /// How long it lasts from then on, if it was granted or renewed: else it was released.
    remaining: Option<Duration>,
}

/// A lease as it was found.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Held {
    pub(crate) unit: String,
    pub(crate) term: i64,
    /// Never zero.
    pub(crate) remaining: Duration,
    /// Which table it is in: another may have a service of that name.
    table: i64,
}

/// What the server said to one message, once it was done with it.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) rows: Vec<SimpleQueryRow>,
    warnings: Vec<DbError>,
}

impl Session {
    pub(crate) async fn start(
        wire: Wire,
        config: &Config,
        endpoint: &Endpoint,
        table: &TableName,
    ) -> Result<Session, StoreError> {
        let budget = wire.budget();
        let started = config.connect_raw(wire, NoTls).await;
        let (client, connection) = started.map_err(|error| refusal(error, endpoint, table))?;
        let (endpoint, table) = (endpoint.clone(), table.clone());
        let (has_table, listens_to, heard) = (false, None, Vec::new());
        Ok(Session { client, connection, budget, endpoint, table, has_table, listens_to, heard })
    }

    /// Asks one thing, and waits for the whole answer: until the server is ready for the next
    /// question, and so has committed.
    pub(crate) async fn ask(&mut self, question: &str) -> Result<Reply, StoreError> {
        // In the same transaction: it costs no round trip.
        let unlisten = self.listens_to.take().map(|_| format!("{}{question}", sql::UNLISTEN));
        self.send(unlisten.as_deref().unwrap_or(question)).await
    }

    async fn send(&mut self, question: &str) -> Result<Reply, StoreError> {
        let Session { client, connection, budget, endpoint, table, listens_to, heard, .. } = self;
        budget.renew();
        let mut warnings = Vec::new();
        let mut end = None;
        let mut answer = pin!(client.simple_query(question));
        let result = poll_fn(|context| {
            // First it is put into the queue of the connection.
            let mut result = answer.as_mut().poll(context);
            while result.is_pending() && end.is_none() {
                match connection.poll_message(context) {
                    Poll::Ready(Some(Ok(AsyncMessage::Notice(notice)))) => {
                        if is_warning(&notice) {
                            warnings.push(notice);
                        }
                    }
                    Poll::Ready(Some(Ok(message))) => heard.extend(news(&message, listens_to)),
                    Poll::Ready(Some(Err(error))) => end = Some(Some(error)),
                    Poll::Ready(None) => end = Some(None),
                    Poll::Pending => break,
                }
            }
            if result.is_pending() {
                result = answer.as_mut().poll(context);
            }
            match result {
                Poll::Ready(result) => Poll::Ready(result.map_err(Some)),
                // The client would wait for what a connection that has ended never brings.
                Poll::Pending if end.is_some() => Poll::Ready(Err(None)),
                Poll::Pending => Poll::Pending,
            }
        })
        .await;
        let messages = result.map_err(|error| {
            // What ended the connection says more than that it has ended.
            let error = match (end.flatten(), error) {
                (Some(end), None) => end,
                (Some(end), Some(error)) if error.is_closed() => end,
                (_, Some(error)) => error,
                (None, None) => {
                    return StoreError::Lost { source: "the server has closed it".into() };
                }
            };
            StoreError::from_client(error, endpoint, table)
        })?;
        let row = |message| match message {
            SimpleQueryMessage::Row(row) => Some(row),
            _ => None,
        };
        Ok(Reply { rows: messages.into_iter().filter_map(row).collect(), warnings })
    }

    /// Has the session told of what becomes of `service` from now on.
    pub(crate) async fn listen(&mut self, service: &ServiceName) -> Result<(), StoreError> {
        self.heard.clear();
        if self.listens_to.as_ref() != Some(service) {
            self.ask(&sql::listen(service)).await?;
            self.listens_to = Some(service.clone());
        }
        Ok(())
    }

    /// As [`ask`](Session::ask), but goes on listening.
    pub(crate) async fn ask_listening(&mut self, question: &str) -> Result<Reply, StoreError> {
        self.send(question).await
    }

    /// Waits until it is told what became of what was `held`: how long the lease lasts from now on,
    /// or nothing if it was released.
    pub(crate) async fn told(&mut self, held: &Held) -> Result<Option<Duration>, StoreError> {
        let Session { connection, budget, endpoint, table, listens_to, heard, .. } = self;
        budget.renew_each_second();
        let is_of_it = |news: &News| news.table == held.table && news.term >= held.term;
        if let Some(news) = heard.drain(..).rfind(is_of_it) {
            return Ok(news.remaining);
        }
        poll_fn(|context| {
            loop {
                match connection.poll_message(context) {
                    Poll::Ready(Some(Ok(message))) => {
                        if let Some(news) = news(&message, listens_to).filter(is_of_it) {
                            return Poll::Ready(Ok(news.remaining));
                        }
                    }
                    Poll::Ready(Some(Err(error))) => {
                        return Poll::Ready(Err(StoreError::from_client(error, endpoint, table)));
                    }
                    Poll::Ready(None) => {
                        let source = "the server has closed it".into();
                        return Poll::Ready(Err(StoreError::Lost { source }));
                    }
                    Poll::Pending => return Poll::Pending,
                }
            }
        })
        .await
    }

    /// Whether it is still open, as far as can be told without asking.
    pub(crate) async fn is_open(&mut self) -> bool {
        self.budget.renew();
        poll_fn(|context| {
            loop {
                match self.connection.poll_message(context) {
                    // Nobody waits for it any more.
                    Poll::Ready(Some(Ok(_))) => {}
                    Poll::Ready(_) => return Poll::Ready(false),
                    Poll::Pending => return Poll::Ready(true),
                }
            }
        })
        .await
    }
}

impl Reply {
    /// The reply, unless the server warned that the commit may be lost again.
    ///
    /// A commit that was told to wait for a standby no longer is a success with a warning.
    pub(crate) fn acknowledged(self) -> Result<Reply, StoreError> {
        match self.warnings.iter().find(|warning| is_of_the_commit(warning)) {
            None => {
                for warning in &self.warnings {
                    tracing::debug!(warning = warning.message(), "the server warns");
                }
                Ok(self)
            }
            Some(warning) => {
                let message = warning.message().to_owned();
                Err(StoreError::Unacknowledged { message })
            }
        }
    }

    /// The row that has `column`.
    pub(crate) fn row_with(&self, column: &str) -> Option<&SimpleQueryRow> {
        let has = |row: &&SimpleQueryRow| row.columns().iter().any(|found| found.name() == column);
        self.rows.iter().find(has)
    }
}

/// Whether a notice is more than information. One that does not tell may be.
fn is_warning(notice: &DbError) -> bool {
    !matches!(
        notice.parsed_severity(),
        Some(Severity::Debug | Severity::Info | Severity::Log | Severity::Notice)
    )
}

/// Whether a warning says that a commit may be lost again, as far as can be told.
///
/// Its code is that of nearly all warnings, and its text is in the server's language. But each
/// names the place in the server's source that it comes from: here, the wait for standbys. One
/// that names none may come from there.
fn is_of_the_commit(warning: &DbError) -> bool {
    match (warning.file(), warning.routine()) {
        (None, None) => true,
        (file, routine) => {
            file.is_some_and(|file| file.ends_with("syncrep.c"))
                || routine.is_some_and(|routine| routine.starts_with("SyncRep"))
        }
    }
}

/// The lease that the reply tells of, unless it is free.
pub(crate) fn held(reply: &Reply) -> Result<Option<Held>, StoreError> {
    let Some(row) = reply.row_with("remaining_us") else { return Ok(None) };
    let remaining_us = u64::try_from(number(row, "remaining_us")?).unwrap_or(0);
    if remaining_us == 0 {
        return Ok(None);
    }
    Ok(Some(Held {
        unit: text(row, "unit")?.to_owned(),
        term: number(row, "term")?,
        remaining: Duration::from_micros(remaining_us),
        table: number(row, "tableoid")?,
    }))
}

/// What a message tells of `service`, if it does.
fn news(message: &AsyncMessage, service: &Option<ServiceName>) -> Option<News> {
    let AsyncMessage::Notification(notification) = message else { return None };
    let mut words = notification.payload().split(' ');
    let mut number = || words.next()?.parse().ok();
    let (table, term) = (number()?, number()?);
    // Some long names have a channel in common.
    if words.next() != service.as_ref().map(ServiceName::as_str) {
        return None;
    }
    let remaining = match words.next() {
        None => None,
        Some(micros) => Some(Duration::from_micros(micros.parse().ok()?)),
    };
    Some(News { table, term, remaining })
}

/// Why a server did not let the session in.
fn refusal(error: tokio_postgres::Error, endpoint: &Endpoint, table: &TableName) -> StoreError {
    match error.source() {
        None if !error.is_closed() => StoreError::NotPostgres { endpoint: endpoint.clone() },
        // It is the client that finds out: no password was given, or the server asks for a method
        // that the client lacks.
        Some(source) if !source.is::<DbError>() && !source.is::<io::Error>() => {
            StoreError::Authentication { message: source.to_string() }
        }
        _ => StoreError::from_client(error, endpoint, table),
    }
}

/// A row's text in `column`.
pub(crate) fn text<'a>(row: &'a SimpleQueryRow, column: &str) -> Result<&'a str, StoreError> {
    let unexpected = || StoreError::Unexpected { what: format!("there is no {column}") };
    row.try_get(column).ok().flatten().ok_or_else(unexpected)
}

/// A row's number in `column`.
pub(crate) fn number(row: &SimpleQueryRow, column: &str) -> Result<i64, StoreError> {
    let text = text(row, column)?;
    let unexpected = |_| StoreError::Unexpected { what: format!("{column} is {text:?}") };
    text.parse().map_err(unexpected)
}

/// A row's text in `column`, where there may be none.
pub(crate) fn optional_text<'a>(
    row: &'a SimpleQueryRow,
    column: &str,
) -> Result<Option<&'a str>, StoreError> {
    row.try_get(column)
        .map_err(|_| StoreError::Unexpected { what: format!("there is no {column}") })
}

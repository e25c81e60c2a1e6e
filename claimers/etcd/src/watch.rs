use std::time::Duration;

use async_io::Timer;
use serde::de::IgnoredAny;
use serde_json::json;
use tenure_core::ServiceName;
use tenure_net::before;

use crate::error::StoreError;
use crate::holding::Holding;
use crate::http::{Answer, Connection, HttpError, Lines, Streamed};
use crate::lease::duration;
use crate::store::{Store, answered, posting};
use crate::wire::{EventKind, Refusal, WatchLine, WatchResult, encoded};

/// How late etcd may be to give up a lease that is over. It looks twice a second.
const LATE: Duration = Duration::from_secs(1);

/// A watch on the key of a service that is held.
struct Watch {
    lines: Lines,
    key: String,
    /// How long nothing need be heard.
    quiet: Duration,
    /// Whether anything was.
    has_heard: bool,
}

/// What a watch has come to.
enum End {
    /// The key was deleted.
    Released,
    /// It cannot tell any more, or should have told by now.
    Unsure,
    /// It broke.
    Broken(StoreError),
}

impl Store {
    pub(crate) async fn released(&self, service: &ServiceName) -> Result<(), StoreError> {
        let key = self.key(service);
        let mut has_broken = false;
        loop {
            let watch = self.limited(self.watch(&key)).await?;
            let Some(mut watch) = watch else { return Ok(()) };
            let end = watch.end(self.heartbeat).await;
            has_broken &= !watch.has_heard;
            match end {
                End::Released => return Ok(()),
                End::Unsure => {}
                // Another endpoint may do better. But not again and again.
                End::Broken(error) if has_broken => return Err(error),
                End::Broken(_) => has_broken = true,
            }
        }
    }

    /// Starts to watch `key` from what it is now, if there is one.
    async fn watch(&self, key: &str) -> Result<Option<Watch>, StoreError> {
        // Nothing of this has an effect: another endpoint may begin anew.
        self.first(|connection| self.watch_over(connection, key)).await
    }

    async fn watch_over(
        &self,
        mut connection: Connection,
        key: &str,
    ) -> Result<Option<Watch>, StoreError> {
        let look = self.range(&mut connection, key).await?;
        let Some(found) = look.found else {
            self.idle.put(connection);
            return Ok(None);
        };
        let holding = Holding::parse(key, &found)?;
        let remaining_s = self.remaining_s(&mut connection, &holding).await?;
        let token = self.token(&mut connection, None).await?;
        let endpoint = connection.endpoint.clone();
        // Kept for the claim that may follow the wait: so it need not connect.
        self.idle.put(connection);
        let create = json!({ "create_request": {
            "key": encoded(key),
            "start_revision": look.revision.saturating_add(1).to_string(),
        } });
        let ask = posting("/v3/watch", &create, token.as_deref());
        let lines = match self.connect(&endpoint).await?.stream(ask).await? {
            Streamed::Lines(lines) => lines,
            Streamed::Refused(answer) => return Err(refused(answer)),
        };
        let quiet = duration(remaining_s.saturating_add(1)) + LATE;
        Ok(Some(Watch { lines, key: key.to_owned(), quiet, has_heard: false }))
    }
}

impl Watch {
    /// Waits until the key is deleted, or until a look at it is due.
    async fn end(&mut self, heartbeat: Duration) -> End {
        loop {
            let quiet = self.quiet.min(heartbeat);
            match before(Timer::after(quiet), self.lines.next()).await {
                None => return End::Unsure,
                Some(line) => {
                    if let Some(end) = self.take(line) {
                        return end;
                    }
                }
            }
        }
    }

    /// Takes in one line.
    fn take(&mut self, line: Result<Option<Vec<u8>>, HttpError>) -> Option<End> {
        let line = match line {
            Ok(Some(line)) => line,
            Ok(None) => return Some(End::Broken(ended("the watch was closed"))),
            Err(error) => return Some(End::Broken(error.into())),
        };
        let result = match serde_json::from_slice(&line) {
            Ok(WatchLine { result: Some(result), error: None }) => result,
            Ok(WatchLine { error, .. }) => {
                let message = error.and_then(Refusal::text);
                return Some(End::Broken(ended(&message.unwrap_or_default())));
            }
            Err(error) => {
                let what = format!("what it says of a watch: {error}");
                return Some(End::Broken(StoreError::NotEtcd { what }));
            }
        };
        let WatchResult { canceled, cancel_reason, compact_revision, events } = result;
        if canceled {
            return Some(match compact_revision {
                0 => End::Broken(ended(&cancel_reason)),
                // What happened since we looked is history that was thrown away.
                _ => End::Unsure,
            });
        }
        for event in events {
            self.has_heard = true;
            if event.kind == EventKind::Delete {
                return Some(End::Released);
            }
            match Holding::parse(&self.key, &event.kv) {
                Ok(holding) => self.quiet = duration(holding.lease_s) + LATE,
                Err(_) => return Some(End::Unsure),
            }
        }
        None
    }
}

fn refused(answer: Answer) -> StoreError {
    match answered::<IgnoredAny>(answer) {
        Ok(_) => ended("the watch was not begun"),
        Err(error) => error,
    }
}

fn ended(reason: &str) -> StoreError {
    StoreError::from_refusal(reason.to_owned())
}

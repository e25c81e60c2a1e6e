use std::time::{Duration, Instant};

use async_io::Timer;
use redis::Value;
use tenure_core::ServiceName;
use tenure_net::{before, within};

use crate::error::StoreError;
use crate::facts::text;
use crate::store::{Look, Store};
use crate::wire::Wire;

/// What came while one waited.
enum Heard {
    /// A lease that lasts this long from now, or one that is over.
    Lasting(Duration),
    /// Nothing for as long as one could wait.
    Nothing,
}

impl Store {
    /// Waits until nobody leads `service`.
    ///
    /// Every grant, renewal and release is published with how long it lasts. So one who waits asks
    /// the store when it begins, and again only after the leader was silent until its lease was
    /// over.
    pub(crate) async fn released(&self, service: &ServiceName) -> Result<(), StoreError> {
        let began = Instant::now();
        let session = self.connect(self.time_limit).await?;
        let left = self.time_limit.saturating_sub(began.elapsed());
        // Before the first look, or a release between the two would be missed.
        let mut news =
            within(left, session.subscribe(&self.keys(service.as_str()).channel)).await??;
        loop {
            let mut lasting = match self.look(service).await? {
                Look::Free => return Ok(()),
                Look::Held { leader } => leader.remaining,
                Look::HeldOff(held_off) => held_off.remaining,
            };
            loop {
                // A lease is over a millisecond after its last one.
                let longest = self.heartbeat.max(MILLI);
                let patience = lasting.saturating_add(MILLI).min(longest);
                match listen(&mut news, patience).await? {
                    Heard::Lasting(Duration::ZERO) => return Ok(()),
                    Heard::Lasting(anew) => lasting = anew,
                    Heard::Nothing => break,
                }
            }
        }
    }
}

const MILLI: Duration = Duration::from_millis(1);

async fn listen(news: &mut Wire, patience: Duration) -> Result<Heard, StoreError> {
    let heard = async {
        loop {
            // What is not ours to understand changes nothing.
            if let Some(lasting) = lasting(&news.receive().await?) {
                return Ok(Heard::Lasting(lasting));
            }
        }
    };
    before(Timer::after(patience), heard).await.unwrap_or(Ok(Heard::Nothing))
}

/// What a message says: `message`, the channel, and milliseconds.
fn lasting(message: &Value) -> Option<Duration> {
    let [kind, _, payload] = message.as_sequence()? else { return None };
    if text(kind).as_deref() != Some("message") {
        return None;
    }
    text(payload)?.parse().ok().map(Duration::from_millis)
}

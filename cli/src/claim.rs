//! `tenure claim` and `tenure release`: one call to the store each, for scripts.

use std::path::Path;

use serde::Serialize;
use tenure_core::{BlockingClaimer, Candidate, ClaimAnswer, Config, Instant, Nonce, Term};
use tenure_std::{BootClock, Clock};

use crate::args::{ClaimOptions, HolderOptions, ReleaseOptions};
use crate::failure::{Failure, complain};
use crate::output::{say, say_json};
use crate::session::{Key, Session};
use crate::store::LOOK_MAX;

/// The unit does not lead.
const DENIED: u8 = 1;

/// `tenure claim`.
pub(crate) fn claim(options: &ClaimOptions) -> Result<u8, Failure> {
    let holder = &options.holder;
    let mut candidate = candidate(holder)?;
    let url = holder.place.store()?;
    let config = &options.clocks.config(options.guarantee, &url)?;
    let store = url.open(config.claim_timeout())?;
    let name = url.canonical()?;
    let session = Session::open(&Key::of(&name, &candidate), holder.session.as_deref())?;
    candidate.nonce = session.nonce()?;

    let (claimed, lease) = (candidate.clone(), config.lease());
    let mut verdict = ask(config, &BootClock, || {
        store
            .within(config.claim_timeout(), move |store| store.claim(&claimed, lease))?
            .map_err(|error| Failure::store(&error))
    })?;
    if let Verdict::Denied { leader: None, held_off, .. } = &mut verdict {
        *held_off = store.held_off(&candidate.service);
    }
    if let Verdict::Denied { leader: Some(leader), retry_after_ms, .. } = &verdict
        && leader == candidate.unit.as_str()
    {
        complain(&explain_own_name(&candidate, session.path(), *retry_after_ms));
    }
    tell(holder, &candidate, &verdict)?;
    Ok(match verdict {
        Verdict::Leads { .. } => 0,
        Verdict::TooLate { .. } | Verdict::Denied { .. } => DENIED,
    })
}

/// `tenure release`.
pub(crate) fn release(options: &ReleaseOptions) -> Result<u8, Failure> {
    let holder = &options.holder;
    let mut candidate = candidate(holder)?;
    let url = holder.place.store()?;
    let store = url.open_existing()?;
    let name = url.canonical()?;
    let key = Key::of(&name, &candidate);
    let session = Session::open_existing(&key, holder.session.as_deref())?;
    let had_session = session.is_some();
    if let Some(mut session) = session {
        candidate.nonce = session.nonce()?;
        let released = candidate.clone();
        store
            .within(LOOK_MAX, move |store| store.release(&released))?
            .map_err(|error| Failure::store(&error))?;
        session.renew()?;
    }
    if holder.json {
        say_json(&Released { had_session })?;
    } else if !holder.quiet {
        let Candidate { service, unit, .. } = &candidate;
        say(&match had_session {
            true => format!("{unit} holds nothing of {service} any more"),
            false => format!("{unit} has no session for {service}: there is nothing to release"),
        })?;
    }
    Ok(0)
}

#[derive(Debug, Serialize)]
struct Released {
    had_session: bool,
}

/// The names, with a nonce that is yet to come from the session.
fn candidate(holder: &HolderOptions) -> Result<Candidate, Failure> {
    let unit = holder.unit.clone();
    let service = holder.place.service(Some(&unit))?;
    Ok(Candidate { service, unit, nonce: Nonce::from_bytes([0; 16]) })
}

/// Why a unit is denied what a holder of its own name has.
fn explain_own_name(candidate: &Candidate, session: &Path, retry_after_ms: Option<u64>) -> String {
    let Candidate { service, unit, .. } = candidate;
    let over = match retry_after_ms {
        Some(millis) => format!("its lease is over in {millis} ms, unless it claims again"),
        None => "wait until its lease is over".to_owned(),
    };
    format!(
        "{unit} leads {service}, but with another session than {session:?}: another process, user \
         or host claims under the same name, or the session file that it claimed with is gone; \
         {over}; to be the same holder name the same file with --session, to be another name \
         another --unit"
    )
}

/// What an answer is worth.
#[derive(Clone, Debug, Eq, PartialEq)]
enum Verdict {
    Leads {
        term: Term,
        remaining_ms: u64,
    },
    /// It was granted, and took so long that the guarantee cannot be given.
    TooLate {
        term: Term,
    },
    Denied {
        leader: Option<String>,
        retry_after_ms: Option<u64>,
        /// Why nobody may lead yet, if nobody does.
        held_off: Option<String>,
    },
}

/// Makes the call, and judges its answer by when it was made and when it came.
fn ask<E>(
    config: &Config,
    clock: &impl Clock,
    call: impl FnOnce() -> Result<ClaimAnswer, E>,
) -> Result<Verdict, E> {
    // Before the call leaves: the lease counts from here.
    let sent = clock.now();
    let answer = call()?;
    Ok(judge(config, sent, clock.now(), answer))
}

/// A yes at `now` needs the guarantee from `now` on, and the lease counts from `sent`.
fn judge(config: &Config, sent: Instant, now: Instant, answer: ClaimAnswer) -> Verdict {
    match answer {
        ClaimAnswer::Granted { term } => {
            let valid_until = sent.saturating_add(config.valid_for());
            if now.saturating_add(config.guarantee()) <= valid_until {
                let remaining_ms = millis(valid_until.saturating_duration_since(now));
                Verdict::Leads { term, remaining_ms }
            } else {
                Verdict::TooLate { term }
            }
        }
        ClaimAnswer::Denied { leader, retry_after } => Verdict::Denied {
            leader: leader.map(|leader| leader.to_string()),
            retry_after_ms: retry_after.map(millis),
            held_off: None,
        },
    }
}

fn millis(span: std::time::Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

#[derive(Debug, Serialize)]
struct Shown<'a> {
    service: &'a str,
    unit: &'a str,
    leads: bool,
    term: Option<u64>,
    remaining_ms: Option<u64>,
    leader: Option<&'a str>,
    retry_after_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    held_off: Option<&'a str>,
}

fn tell(holder: &HolderOptions, candidate: &Candidate, verdict: &Verdict) -> Result<(), Failure> {
    let (service, unit) = (candidate.service.as_str(), candidate.unit.as_str());
    let mut shown = Shown {
        service,
        unit,
        leads: false,
        term: None,
        remaining_ms: None,
        leader: None,
        retry_after_ms: None,
        held_off: None,
    };
    let sentence = match verdict {
        Verdict::Leads { term, remaining_ms } => {
            (shown.leads, shown.leader) = (true, Some(unit));
            (shown.term, shown.remaining_ms) = (Some(term.number()), Some(*remaining_ms));
            format!("{unit} leads {service} in term {term}, for {remaining_ms} ms")
        }
        Verdict::TooLate { term } => {
            shown.term = Some(term.number());
            format!("{unit} has {service} in term {term}, but was told too late to rely on it")
        }
        Verdict::Denied { leader, retry_after_ms, held_off } => {
            (shown.leader, shown.retry_after_ms) = (leader.as_deref(), *retry_after_ms);
            shown.held_off = held_off.as_deref();
            match held_off {
                Some(why) => format!("{unit} does not lead {service} yet: {why}"),
                None => format!("{} leads {service}", leader.as_deref().unwrap_or("another")),
            }
        }
    };
    match (holder.json, holder.quiet) {
        (true, _) => say_json(&shown),
        (false, true) => Ok(()),
        (false, false) => say(&sentence),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::time::Duration;

    #[test]
    fn a_grant_is_a_yes_only_if_the_guarantee_is_left_of_it() {
        let config = Config::new(Duration::from_secs(10)).unwrap();
        let sent = Instant::from_nanos(1_000);
        let granted = || ClaimAnswer::Granted { term: Term::new(7) };
        let latest = sent.saturating_add(config.valid_for() - config.guarantee());
        let yes = judge(&config, sent, latest, granted());
        assert_eq!(yes, Verdict::Leads { term: Term::new(7), remaining_ms: 10_000 });
        let late = judge(&config, sent, latest.saturating_add(Duration::from_nanos(1)), granted());
        assert_eq!(late, Verdict::TooLate { term: Term::new(7) });
    }

    /// A clock that goes when it is told to.
    #[derive(Debug, Default)]
    struct Hand(AtomicU64);

    impl Hand {
        fn pass(&self, span: Duration) {
            let nanos = u64::try_from(span.as_nanos()).unwrap();
            self.0.fetch_add(nanos, Ordering::Relaxed);
        }
    }

    impl Clock for Hand {
        fn now(&self) -> Instant {
            Instant::from_nanos(self.0.load(Ordering::Relaxed))
        }
    }

    #[test]
    fn the_guarantee_counts_from_the_call_and_not_from_its_answer() {
        let config = Config::new(Duration::from_secs(10)).unwrap();
        let clock = Hand::default();
        let after = |span| {
            let granted = ClaimAnswer::Granted { term: Term::new(7) };
            ask(&config, &clock, || {
                clock.pass(span);
                Ok::<_, Failure>(granted)
            })
            .unwrap()
        };
        let whole = u64::try_from(config.valid_for().as_millis()).unwrap();
        let Verdict::Leads { remaining_ms, .. } = after(Duration::ZERO) else { panic!() };
        assert_eq!(remaining_ms, whole);
        let Verdict::Leads { remaining_ms, .. } = after(Duration::from_secs(3)) else { panic!() };
        assert_eq!(remaining_ms, whole - 3_000);
        let late = after(config.valid_for() - config.guarantee() + Duration::from_nanos(1));
        assert_eq!(late, Verdict::TooLate { term: Term::new(7) });
    }
}

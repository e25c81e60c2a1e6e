use std::collections::BTreeMap;
use std::time::Duration;

use tenure_core::{
    AttemptId, ClaimOutcome, ClockRatio, Config, ConfigError, Event, Instant, TenureId, Term, Then,
    TicketKind, WatchId,
};

/// One line of input.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Command {
    Config(Result<Box<Config>, ConfigError>),
    New { at: Option<Instant> },
    Handle { event: Event, at: Option<Instant> },
    Standing { at: Option<Instant> },
}

/// Reads a line of input. Without `at=` it happens when the one before it did.
pub(super) fn command(line: &str) -> Result<Command, String> {
    let mut words = Words::new(line)?;
    let handle = |event, words: &mut Words<'_>| {
        Ok::<_, String>(Command::Handle { event, at: words.instant("at")? })
    };
    let finished = |outcome, words: &mut Words<'_>| {
        let attempt = AttemptId::new(words.number()?);
        handle(Event::ClaimFinished { attempt, outcome }, words)
    };
    let command = match words.verb {
        "config" => Command::Config(config(&mut words)?),
        "new" => Command::New { at: words.instant("at")? },
        "standing" => Command::Standing { at: words.instant("at")? },
        "denied" => {
            let retry_after = words.span("retry_after")?;
            finished(ClaimOutcome::Denied { retry_after }, &mut words)?
        }
        "fatal" => finished(ClaimOutcome::Fatal, &mut words)?,
        "granted" => {
            let term = words.value("term").ok_or("granted wants a term=")?;
            let term = Term::new(number(term)?);
            finished(ClaimOutcome::Granted { term }, &mut words)?
        }
        "unknown" => finished(ClaimOutcome::Unknown, &mut words)?,
        "drained" => {
            let tenure = TenureId::new(words.number()?);
            handle(Event::Drained { tenure }, &mut words)?
        }
        "release_finished" => {
            let tenure = TenureId::new(words.number()?);
            handle(Event::ReleaseFinished { tenure }, &mut words)?
        }
        "released" => {
            let watch = WatchId::new(words.number()?);
            handle(Event::ReleaseObserved { watch }, &mut words)?
        }
        "watch_failed" => {
            let watch = WatchId::new(words.number()?);
            handle(Event::WatchFailed { watch }, &mut words)?
        }
        "stop" => handle(Event::Resign { then: Then::Stop }, &mut words)?,
        "step_down" => {
            let cool_off = words.span("cool_off")?.ok_or("step_down wants a cool_off=")?;
            handle(Event::Resign { then: Then::StepDown { cool_off } }, &mut words)?
        }
        "ask" => {
            let kind = ticket(words.argument.take().ok_or("ask what?")?)?;
            handle(Event::TicketRequested { kind }, &mut words)?
        }
        "timer" => handle(Event::TimerFired, &mut words)?,
        unknown => return Err(format!("no such command: {unknown}")),
    };
    words.nothing_left()?;
    Ok(command)
}

fn config(words: &mut Words<'_>) -> Result<Result<Box<Config>, ConfigError>, String> {
    let guarantee = words.span("guarantee")?.ok_or("config wants a guarantee=")?;
    let mut builder = Config::builder(guarantee);
    if let Some(ratio) = words.value("ratio") {
        let millionths = millionths(ratio).ok_or_else(|| format!("not a ratio: {ratio}"))?;
        match ClockRatio::from_millionths(millionths) {
            Ok(ratio) => builder = builder.clock_ratio(ratio),
            Err(error) => return Ok(Err(error)),
        }
    }
    for key in SPANS {
        if let Some(span) = words.span(key)? {
            builder = match key {
                "claim_timeout" => builder.claim_timeout(span),
                "min_interval" => builder.min_interval(span),
                "recheck" => builder.recheck(span),
                "renew_lead" => builder.renew_lead(span),
                "retry" => builder.retry(span, span),
                "step_down_margin" => builder.step_down_margin(span),
                _ => builder.store_slack(span),
            };
        }
    }
    if let Some(min) = words.span("retry_min")? {
        let max = words.span("retry_max")?.ok_or("retry_min wants a retry_max=")?;
        builder = builder.retry(min, max);
    }
    if let Some(seed) = words.value("seed") {
        builder = builder.jitter_seed(number(seed)?);
    }
    Ok(builder.build().map(Box::new))
}

/// The settings that are one span each.
const SPANS: [&str; 7] = [
    "claim_timeout",
    "min_interval",
    "recheck",
    "renew_lead",
    "retry",
    "step_down_margin",
    "store_slack",
];

fn ticket(word: &str) -> Result<TicketKind, String> {
    match word {
        "claim_leader" => Ok(TicketKind::ClaimLeader),
        "wait_leader" => Ok(TicketKind::WaitLeader),
        "wait_minion" => Ok(TicketKind::WaitMinion),
        unknown => Err(format!("no such kind of ticket: {unknown}")),
    }
}

/// A line as a verb, one argument at most, and `key=value` pairs.
pub(crate) struct Words<'a> {
    pub(crate) verb: &'a str,
    pub(crate) argument: Option<&'a str>,
    pairs: BTreeMap<&'a str, &'a str>,
}

impl<'a> Words<'a> {
    pub(crate) fn new(line: &'a str) -> Result<Words<'a>, String> {
        let mut split = line.split_whitespace();
        let verb = split.next().ok_or("an empty line")?;
        let mut words = Words { verb, argument: None, pairs: BTreeMap::new() };
        for word in split {
            let twice = match word.split_once('=') {
                Some((key, value)) => words.pairs.insert(key, value).is_some(),
                None => words.argument.replace(word).is_some(),
            };
            if twice {
                return Err(format!("said twice: {word}"));
            }
        }
        Ok(words)
    }

    pub(crate) fn number(&mut self) -> Result<u64, String> {
        let verb = self.verb;
        number(self.argument.take().ok_or_else(|| format!("{verb} wants a number"))?)
    }

    pub(crate) fn value(&mut self, key: &str) -> Option<&'a str> {
        self.pairs.remove(key)
    }

    pub(crate) fn instant(&mut self, key: &str) -> Result<Option<Instant>, String> {
        match self.value(key) {
            None => Ok(None),
            Some("max") => Ok(Some(Instant::MAX)),
            Some(value) => nanoseconds(value).map(|nanos| Some(Instant::from_nanos(nanos))),
        }
    }

    pub(crate) fn span(&mut self, key: &str) -> Result<Option<Duration>, String> {
        match self.value(key) {
            None => Ok(None),
            Some("max") => Ok(Some(Duration::MAX)),
            Some(value) => nanoseconds(value).map(|nanos| Some(Duration::from_nanos(nanos))),
        }
    }

    pub(crate) fn nothing_left(&self) -> Result<(), String> {
        match self.argument.or(self.pairs.keys().next().copied()) {
            None => Ok(()),
            Some(word) => Err(format!("{} does not take {word}", self.verb)),
        }
    }
}

pub(crate) fn number(word: &str) -> Result<u64, String> {
    if word == "max" {
        return Ok(u64::MAX);
    }
    digits(word).ok_or_else(|| format!("not a number: {word}"))
}

/// A ratio in millionths: a number with up to six places.
pub(crate) fn millionths(word: &str) -> Option<u32> {
    // A million is to one as milliseconds are to nanoseconds.
    decimal(word)?.try_into().ok()
}

/// Milliseconds with up to six places, or nanoseconds that say so.
fn nanoseconds(word: &str) -> Result<u64, String> {
    let nanos = match word.strip_suffix("ns") {
        Some(nanos) => digits(nanos),
        None => decimal(word),
    };
    nanos.ok_or_else(|| format!("not a time in ms, nor in ns: {word}"))
}

/// A number with up to six places, times a million.
fn decimal(word: &str) -> Option<u64> {
    let (whole, places) = word.split_once('.').unwrap_or((word, "0"));
    if places.is_empty() || places.len() > 6 {
        return None;
    }
    let places = digits(&format!("{places:0<6}"))?;
    digits(whole)?.checked_mul(1_000_000)?.checked_add(places)
}

/// Digits and nothing else: no sign.
fn digits(word: &str) -> Option<u64> {
    if word.starts_with('+') { None } else { word.parse().ok() }
}

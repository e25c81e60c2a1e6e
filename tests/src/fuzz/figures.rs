//! Times, numbers and ratios: as traces write them, and as the config takes them.

use std::time::Duration;

use tenure_core::{ClockRatio, ConfigError, Instant};

use super::names::{ensure, says};
use crate::trace::{parse, print};

/// Reads `text` as each kind of figure. Gives how many it is.
pub(super) fn text(text: &str) -> Result<usize, String> {
    if text.contains(char::is_whitespace) {
        return Ok(0);
    }
    let line = format!("timer at={text}");
    let words = || parse::Words::new(&line).map_err(|error| format!("{text:?}: {error}"));
    let nanos = nanoseconds(text);
    let (instant, span) = match (text, nanos) {
        ("max", _) => (Some(Instant::MAX), Some(Duration::MAX)),
        (_, nanos) => (nanos.map(Instant::from_nanos), nanos.map(Duration::from_nanos)),
    };
    let rule = "a time is milliseconds with up to six places, nanoseconds, or max";
    ensure(words()?.instant("at").ok().flatten() == instant, rule, text)?;
    ensure(words()?.span("at").ok().flatten() == span, rule, text)?;
    let number = match text {
        "max" => Some(u64::MAX),
        _ => digits(text).and_then(|number| u64::try_from(number).ok()),
    };
    ensure(parse::number(text).ok() == number, "a number is digits, or max", text)?;
    // Milliseconds in nanoseconds are a million times as many: as a ratio in millionths.
    let ratio = nanos.filter(|_| !text.ends_with("ns")).and_then(|nanos| u32::try_from(nanos).ok());
    ensure(parse::millionths(text) == ratio, "a ratio has up to six places", text)?;
    let accepted = [instant.is_some(), number.is_some(), ratio.is_some()];
    Ok(accepted.into_iter().filter(|accepted| *accepted).count())
}

/// What any eight bytes are, as a number, is read as it is shown.
pub(super) fn numbers(bytes: &[u8]) -> Result<(), String> {
    let Some(bytes) = bytes.first_chunk::<8>() else { return Ok(()) };
    let number = u64::from_le_bytes(*bytes);
    let (instant, span) = (Instant::from_nanos(number), Duration::from_nanos(number));
    let line = format!("timer at={} for={}", print::instant(instant), print::span(span));
    let mut words = parse::Words::new(&line)?;
    let read = (words.instant("at")?, words.span("for")?);
    ensure(read == (Some(instant), Some(span)), "a time is read as it is shown", number)?;
    let (high, low) = ((number >> 32) as u32, number as u32);
    ratio(high)?;
    ratio(low)
}

fn ratio(millionths: u32) -> Result<(), String> {
    match ClockRatio::from_millionths(millionths) {
        Ok(ratio) => {
            ensure(millionths >= 1_000_000, "a ratio is at least 1", millionths)?;
            ensure(ratio.millionths() == millionths, "a ratio is its millionths", millionths)?;
            let shown = ratio.to_string();
            let full = format!("{}.{:06}", millionths / 1_000_000, millionths % 1_000_000);
            let short = full.trim_end_matches('0').trim_end_matches('.');
            ensure(shown == short, "a ratio is shown as short as it can be", millionths)?;
            let read = parse::millionths(&shown);
            ensure(read == Some(millionths), "a ratio is read as it is shown", millionths)
        }
        Err(error) => {
            ensure(millionths < 1_000_000, "1 or more is a ratio", millionths)?;
            let least = 1_000_000;
            let expected = ConfigError::ClockRatioBelowOne { millionths, least };
            ensure(error == expected, "the refusal is true", (millionths, &error))?;
            says(&error, &millionths.to_string())?;
            says(&error, &least.to_string())
        }
    }
}

/// What the documentation of traces says of times, but for `max`.
fn nanoseconds(text: &str) -> Option<u64> {
    let nanos = if let Some(number) = text.strip_suffix("ns") {
        digits(number)?
    } else {
        let mut parts = text.split('.');
        let whole = digits(parts.next()?)?.checked_mul(1_000_000)?;
        let places = match parts.next() {
            Some(places) if places.len() <= 6 => {
                digits(places)? * 10_u128.pow(6 - u32::try_from(places.len()).ok()?)
            }
            Some(_) => return None,
            None => 0,
        };
        if parts.next().is_some() {
            return None;
        }
        whole + places
    };
    u64::try_from(nanos).ok()
}

/// Digits and nothing else, one at least. More than can be said is as much as can be said.
fn digits(text: &str) -> Option<u128> {
    if text.is_empty() {
        return None;
    }
    text.bytes().try_fold(0_u128, |number, byte| {
        let digit = byte.is_ascii_digit().then(|| u128::from(byte - b'0'))?;
        // Far above all that fits, and far below where it would wrap.
        Some((number * 10 + digit).min(u128::from(u64::MAX) * 1_000))
    })
}

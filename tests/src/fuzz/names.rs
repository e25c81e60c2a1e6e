//! Names, nonces and figures: what is read, what is refused, and why.
//!
//! Each rule is written here a second time, from the documentation and by other means than the
//! parser's.

use std::fmt::{Debug, Display};
use std::hash::{BuildHasher, RandomState};
use std::str::FromStr;

use tenure_core::{NameError, Nonce, ServiceName, UnitName, UnitTag};

use super::figures;

/// Reads each line of `bytes` as everything that has a text form: the names of services and of
/// units, unit tags, nonces, and the figures of traces.
///
/// What is read is what the documentation says and nothing else; what is refused is refused for a
/// reason that is true; what was read is shown as it was written; and two names are the same if
/// their texts are.
///
/// # Panics
///
/// If that is not so, with the text and the rule.
pub fn names(bytes: &[u8]) {
    super::insist(check(bytes));
}

/// How many lines were read as something; or the rule that is broken, and by which text.
pub(super) fn check(bytes: &[u8]) -> Result<usize, String> {
    let text = String::from_utf8_lossy(bytes);
    let lines: Vec<&str> = text.split('\n').take(LINES_MAX).collect();
    let mut accepted = 0;
    for line in &lines {
        accepted += usize::from(service(line)?);
        accepted += usize::from(unit(line)?);
        accepted += usize::from(tag(line)?);
        accepted += usize::from(nonce(line)?);
        accepted += figures::text(line)?;
    }
    for pair in lines.windows(2) {
        compare::<ServiceName>(pair[0], pair[1])?;
        compare::<UnitName>(pair[0], pair[1])?;
    }
    bits(bytes)?;
    figures::numbers(bytes)?;
    Ok(accepted)
}

const LINES_MAX: usize = 8;

/// `rule` is about `text`, and has to hold.
pub(super) fn ensure(holds: bool, rule: &str, text: impl Debug) -> Result<(), String> {
    if holds { Ok(()) } else { Err(format!("{text:?} breaks: {rule}")) }
}

fn service(text: &str) -> Result<bool, String> {
    let is_one = (1..=128).contains(&text.len()) && text.bytes().all(is_allowed);
    match text.parse::<ServiceName>() {
        Ok(name) => {
            ensure(is_one, "a service name is 1 to 128 of the allowed characters", text)?;
            shown_as_written(&name, text)?;
        }
        Err(error) => {
            ensure(!is_one, "1 to 128 of the allowed characters are a service name", text)?;
            ensure(is_true(&error, "service", 128, text), "the refusal is true", (text, error))?;
        }
    }
    Ok(is_one)
}

fn unit(text: &str) -> Result<bool, String> {
    let slashes = text.matches('/').count();
    let is_one = (1..=255).contains(&text.len())
        && text.bytes().all(|byte| byte == b'/' || is_allowed(byte))
        && slashes <= 1
        && !text.starts_with('/')
        && !text.ends_with('/');
    match text.parse::<UnitName>() {
        Ok(name) => {
            ensure(is_one, "a unit name is 1 to 255 of them, with one slash inside at most", text)?;
            shown_as_written(&name, text)?;
            let service = name.service();
            let named = service.as_ref().map(ServiceName::as_str);
            ensure(named == service_of(text), "a unit names its service in Juju's grammar", text)?;
            let tag = UnitTag::try_from(name.clone());
            ensure(tag.is_ok() == named.is_some(), "whoever names its service has a tag", text)?;
            if let Ok(tag) = tag {
                let again = tag.to_string().parse();
                ensure(again == Ok(tag.clone()), "a tag is read as it is shown", text)?;
                ensure(*tag.unit() == name, "a tag is of its unit", text)?;
            }
        }
        Err(error) => {
            ensure(!is_one, "1 to 255 of them, with one slash at most, are a unit name", text)?;
            ensure(is_true(&error, "unit", 255, text), "the refusal is true", (text, error))?;
        }
    }
    Ok(is_one)
}

/// `unit-`, an application, `-`, a number: wherever that hyphen may be.
fn tag(text: &str) -> Result<bool, String> {
    let rest = text.strip_prefix("unit-").unwrap_or_default();
    let units = rest.match_indices('-').map(|(at, _)| [&rest[..at], "/", &rest[at + 1..]].concat());
    let units: Vec<String> =
        units.filter(|unit| unit.len() <= 255 && service_of(unit).is_some()).collect();
    ensure(units.len() <= 1, "a tag can be read in one way only", text)?;
    match text.parse::<UnitTag>() {
        Ok(tag) => {
            ensure(units == [tag.unit().as_str()], "a tag is its unit's", text)?;
            ensure(tag.to_string() == text, "a tag is shown as it was written", text)?;
            ensure(UnitTag::try_from(tag.unit().clone()) == Ok(tag), "a unit has one tag", text)?;
        }
        Err(error) => {
            ensure(units.is_empty(), "a unit's tag is read", text)?;
            let expected = NameError::NotAUnitTag { tag: text.to_owned() };
            ensure(error == expected, "the refusal is true", (text, &error))?;
            says(&error, &format!("{text:?}"))?;
        }
    }
    Ok(!units.is_empty())
}

fn nonce(text: &str) -> Result<bool, String> {
    let digits = text.bytes().filter(|byte| b"0123456789abcdefABCDEF".contains(byte)).count();
    let is_one = text.len() == 32 && digits == 32;
    let nonce = text.parse::<Nonce>();
    ensure(nonce.is_ok() == is_one, "a nonce is 32 hexadecimal digits", text)?;
    if let Ok(nonce) = nonce {
        let shown = nonce.to_string();
        ensure(shown == text.to_ascii_lowercase(), "a nonce is shown as it was written", text)?;
    }
    Ok(is_one)
}

/// Any bits are a nonce's.
fn bits(bytes: &[u8]) -> Result<(), String> {
    let Some(bits) = bytes.first_chunk::<16>() else { return Ok(()) };
    let nonce = Nonce::from_bytes(*bits);
    ensure(nonce.to_string().parse() == Ok(nonce), "a nonce is read as it is shown", bits)?;
    ensure(nonce.as_bytes() == bits, "a nonce is its bits", bits)
}

/// Names are the same, and in order, as their texts are.
fn compare<N>(one: &str, other: &str) -> Result<(), String>
where
    N: FromStr + Ord + std::hash::Hash,
{
    let (Ok(a), Ok(b)) = (one.parse::<N>(), other.parse::<N>()) else { return Ok(()) };
    let texts = (one, other);
    ensure((a == b) == (one == other), "names are equal as their texts are", texts)?;
    ensure(a.cmp(&b) == one.cmp(other), "names are in order as their texts are", texts)?;
    let hasher = RandomState::new();
    let same = hasher.hash_one(&a) == hasher.hash_one(&b);
    ensure(same || a != b, "names that are equal have one hash", texts)
}

fn shown_as_written<N>(name: &N, text: &str) -> Result<(), String>
where
    N: AsRef<str> + Debug + Display,
{
    ensure(name.as_ref() == text, "a name is its text", text)?;
    ensure(name.to_string() == text, "a name is shown as it was written", text)?;
    let debug = format!("{name:?}");
    ensure(debug.contains(&format!("{text:?}")), "a name can be told from its debug text", text)
}

fn is_allowed(byte: u8) -> bool {
    const ALLOWED: &[u8] = b"-.0123456789:@ABCDEFGHIJKLMNOPQRSTUVWXYZ_abcdefghijklmnopqrstuvwxyz";
    ALLOWED.contains(&byte)
}

/// Whether a refusal says what is so.
fn is_true(error: &NameError, expected: &str, most: usize, text: &str) -> bool {
    let wrong =
        |c: &char| !(c.is_ascii() && is_allowed(*c as u8) || expected == "unit" && *c == '/');
    let holds = match error {
        NameError::Empty { kind, name } => {
            let sides = if expected == "unit" { text.split('/').any(str::is_empty) } else { false };
            *kind == expected && name == text && (text.is_empty() || sides)
        }
        NameError::ForbiddenCharacter { kind, name, character } => {
            let first = text.chars().find(wrong);
            *kind == expected && name == text && first == Some(*character)
        }
        NameError::TooLong { kind, len, max } => {
            *kind == expected && *len == text.len() && *max == most && len > max
        }
        NameError::TooManySlashes { name } => {
            expected == "unit" && name == text && text.matches('/').count() > 1
        }
        _ => false,
    };
    let values = match error {
        NameError::Empty { .. } if text.is_empty() => vec!["empty".to_owned()],
        NameError::ForbiddenCharacter { character, .. } => {
            vec![format!("{text:?}"), format!("{character:?}")]
        }
        NameError::TooLong { len, max, .. } => vec![len.to_string(), max.to_string()],
        _ => vec![format!("{text:?}")],
    };
    holds && says(error, expected).is_ok() && values.iter().all(|value| says(error, value).is_ok())
}

/// The message has what it is about in it.
pub(super) fn says(error: &impl Display, value: &str) -> Result<(), String> {
    let message = error.to_string();
    ensure(message.contains(value), "a refusal says its values", (message, value))
}

/// The service of a unit in Juju's grammar, `application/number`, if it can be one.
fn service_of(unit: &str) -> Option<&str> {
    let (application, number) = unit.split_at_checked(unit.find('/')?)?;
    let is_number = match number.as_bytes() {
        [b'/', b'0'] => true,
        [b'/', b'1'..=b'9', rest @ ..] => rest.iter().all(u8::is_ascii_digit),
        _ => false,
    };
    (is_number && application.len() <= 128 && is_application(application)).then_some(application)
}

/// The grammar as an automaton: a part between hyphens is over once it has a letter.
fn is_application(text: &str) -> bool {
    enum State {
        Start,
        NoLetterYet,
        HasLetter,
    }
    let mut state = State::Start;
    for byte in text.bytes() {
        state = match (state, byte) {
            (_, b'a'..=b'z') | (State::HasLetter, b'0'..=b'9') => State::HasLetter,
            (State::NoLetterYet, b'0'..=b'9') | (State::HasLetter, b'-') => State::NoLetterYet,
            _ => return false,
        };
    }
    matches!(state, State::HasLetter)
}

use alloc::borrow::ToOwned;
use alloc::string::String;
use alloc::sync::Arc;
use core::fmt;
use core::str::FromStr;

/// What is led: one leader at most.
///
/// 1 to [`ServiceName::MAX_LEN`] bytes, of ASCII letters, digits and `-`, `_`, `.`, `:`, `@`. Every
/// Juju application name is one. The names are compared exactly: case counts, and a prefix is
/// another name. The set is narrow so that each store can put a name in a key as it is.
///
/// ```
/// use tenure_core::ServiceName;
///
/// let service: ServiceName = "mysql".parse()?;
/// assert_eq!(service.as_str(), "mysql");
/// assert!("mysql/0".parse::<ServiceName>().is_err());
/// # Ok::<(), tenure_core::NameError>(())
/// ```
#[derive(Clone, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct ServiceName(Arc<str>);

impl ServiceName {
    /// The greatest length of a service name, in bytes.
    pub const MAX_LEN: usize = 128;

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for ServiceName {
    type Err = NameError;

    /// Parses a service name.
    ///
    /// # Errors
    ///
    /// Says what is wrong with a name that is empty, too long, or has a character not allowed.
    fn from_str(name: &str) -> Result<ServiceName, NameError> {
        check_len("service", name, ServiceName::MAX_LEN)?;
        check_segment("service", name, name)?;
        Ok(ServiceName(name.into()))
    }
}

/// A candidate for leading a service.
///
/// Either free-form (`host-a.example`) or with one slash (`web/host-a`), 1 to
/// [`UnitName::MAX_LEN`] bytes, each part made as a [`ServiceName`] is. A name in Juju's grammar,
/// `application/number`, also says which service it is a unit of.
///
/// ```
/// use tenure_core::UnitName;
///
/// let unit: UnitName = "mysql/0".parse()?;
/// assert_eq!(unit.service().unwrap().as_str(), "mysql");
/// let unit: UnitName = "host-a.example".parse()?;
/// assert_eq!(unit.service(), None);
/// # Ok::<(), tenure_core::NameError>(())
/// ```
#[derive(Clone, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct UnitName(Arc<str>);

impl UnitName {
    /// The greatest length of a unit name, in bytes.
    pub const MAX_LEN: usize = 255;

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The service that a unit in Juju's grammar belongs to: what stands before the slash.
    ///
    /// `None` for every other unit name. The grammar is Juju's `application/number`: the
    /// application starts with a lower-case letter, goes on in lower-case letters and digits, and
    /// may have more such parts after hyphens, each with a letter in it; the number has no
    /// leading zero.
    pub fn service(&self) -> Option<ServiceName> {
        let (application, number) = self.0.split_once('/')?;
        if is_application(application) && is_number(number) {
            application.parse().ok()
        } else {
            None
        }
    }
}

impl FromStr for UnitName {
    type Err = NameError;

    /// Parses a unit name.
    ///
    /// # Errors
    ///
    /// Says what is wrong with a name that is empty, too long, has a character not allowed, or a
    /// slash too many.
    fn from_str(name: &str) -> Result<UnitName, NameError> {
        check_len("unit", name, UnitName::MAX_LEN)?;
        let mut segments = name.split('/');
        for segment in segments.by_ref().take(2) {
            check_segment("unit", name, segment)?;
        }
        if segments.next().is_some() {
            return Err(NameError::TooManySlashes { name: name.to_owned() });
        }
        Ok(UnitName(name.into()))
    }
}

/// A unit in Juju's other spelling, `unit-mysql-0` for `mysql/0`: what an agent calls itself.
///
/// ```
/// use tenure_core::{UnitName, UnitTag};
///
/// let tag: UnitTag = "unit-foo-bar-17".parse()?;
/// assert_eq!(tag.unit().as_str(), "foo-bar/17");
/// assert_eq!(UnitTag::try_from("foo-bar/17".parse::<UnitName>()?)?, tag);
/// assert!("machine-0".parse::<UnitTag>().is_err());
/// # Ok::<(), tenure_core::NameError>(())
/// ```
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct UnitTag(UnitName);

impl UnitTag {
    /// The unit's name: it is in Juju's grammar, so that it names its service.
    pub fn unit(&self) -> &UnitName {
        &self.0
    }
}

impl FromStr for UnitTag {
    type Err = NameError;

    /// Parses a unit tag: `unit-`, the application, `-`, the number.
    ///
    /// # Errors
    ///
    /// [`NameError::NotAUnitTag`] for everything else.
    fn from_str(tag: &str) -> Result<UnitTag, NameError> {
        let parts = tag.strip_prefix("unit-").and_then(|rest| rest.rsplit_once('-'));
        let unit = parts.and_then(|(application, number)| {
            let unit: UnitName = alloc::format!("{application}/{number}").parse().ok()?;
            unit.service().map(|_| unit)
        });
        unit.map(UnitTag).ok_or_else(|| NameError::NotAUnitTag { tag: tag.to_owned() })
    }
}

impl TryFrom<UnitName> for UnitTag {
    type Error = NameError;

    /// The tag of a unit whose name is in Juju's grammar.
    ///
    /// # Errors
    ///
    /// [`NameError::NotAUnitTag`] for a unit whose name is not.
    fn try_from(unit: UnitName) -> Result<UnitTag, NameError> {
        match unit.service() {
            Some(_) => Ok(UnitTag(unit)),
            None => Err(NameError::NotAUnitTag { tag: unit.as_str().to_owned() }),
        }
    }
}

impl fmt::Display for UnitTag {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(&alloc::format!("unit-{}", self.0.as_str().replace('/', "-")))
    }
}

macro_rules! text {
    ($name:ident) => {
        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.debug_tuple(stringify!($name)).field(&self.0).finish()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.pad(&self.0)
            }
        }
    };
}

text!(ServiceName);
text!(UnitName);

/// Why a text is not a name.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum NameError {
    /// A name, or one side of its slash, has nothing in it.
    Empty {
        /// What kind of name it should have been: `service` or `unit`.
        kind: &'static str,
        /// The text as it was given.
        name: String,
    },
    /// The name has a character that names cannot have.
    ForbiddenCharacter {
        /// What kind of name it should have been: `service` or `unit`.
        kind: &'static str,
        /// The text as it was given.
        name: String,
        /// The first character that is not allowed.
        character: char,
    },
    /// The text is not `unit-`, an application, `-` and a number.
    NotAUnitTag {
        /// The text as it was given.
        tag: String,
    },
    /// The name is longer than the stores are promised.
    TooLong {
        /// What kind of name it should have been: `service` or `unit`.
        kind: &'static str,
        /// Its length in bytes.
        len: usize,
        /// The greatest length in bytes.
        max: usize,
    },
    /// A unit name has more than one slash.
    TooManySlashes {
        /// The text as it was given.
        name: String,
    },
}

impl fmt::Display for NameError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NameError::Empty { kind, name } if name.is_empty() => {
                write!(formatter, "a {kind} name cannot be empty")
            }
            NameError::Empty { kind, name } => {
                write!(formatter, "{kind} name {name:?} has nothing on one side of its slash")
            }
            NameError::ForbiddenCharacter { kind, name, character } => write!(
                formatter,
                "{kind} name {name:?} has {character:?} in it: \
                 only ASCII letters, digits and - _ . : @ can be used"
            ),
            NameError::NotAUnitTag { tag } => {
                write!(formatter, "{tag:?} is not a unit tag: those are like unit-mysql-0")
            }
            NameError::TooLong { kind, len, max } => {
                write!(formatter, "a {kind} name of {len} bytes is too long: {max} is the most")
            }
            NameError::TooManySlashes { name } => {
                write!(formatter, "unit name {name:?} has a slash too many: one is the most")
            }
        }
    }
}

impl core::error::Error for NameError {}

fn check_len(kind: &'static str, name: &str, max: usize) -> Result<(), NameError> {
    let len = name.len();
    if len > max { Err(NameError::TooLong { kind, len, max }) } else { Ok(()) }
}

fn check_segment(kind: &'static str, name: &str, segment: &str) -> Result<(), NameError> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | ':' | '@');
    if segment.is_empty() {
        return Err(NameError::Empty { kind, name: name.to_owned() });
    }
    match segment.chars().find(|&c| !allowed(c)) {
        Some(character) => {
            Err(NameError::ForbiddenCharacter { kind, name: name.to_owned(), character })
        }
        None => Ok(()),
    }
}

/// Juju's `[a-z][a-z0-9]*(-[a-z0-9]*[a-z][a-z0-9]*)*`.
fn is_application(name: &str) -> bool {
    let lower_or_digit = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    name.starts_with(|c: char| c.is_ascii_lowercase())
        && name.split('-').all(|part| {
            part.chars().all(lower_or_digit) && part.contains(|c: char| c.is_ascii_lowercase())
        })
}

/// Juju's `0|[1-9][0-9]*`.
fn is_number(number: &str) -> bool {
    number == "0"
        || (!number.is_empty()
            && !number.starts_with('0')
            && number.chars().all(|c| c.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;
    use alloc::string::ToString;

    fn service_of(unit: &str) -> Option<String> {
        unit.parse::<UnitName>().unwrap().service().map(|service| service.to_string())
    }

    #[test]
    fn a_unit_in_jujus_grammar_names_its_service() {
        assert_eq!(service_of("mysql/0").as_deref(), Some("mysql"));
        assert_eq!(service_of("foo-bar2/17").as_deref(), Some("foo-bar2"));
        assert_eq!(service_of("foo-2bar/1").as_deref(), Some("foo-2bar"));
    }

    #[test]
    fn a_unit_outside_jujus_grammar_names_none() {
        for unit in
            ["mysql", "mysql/01", "Mysql/0", "2mysql/0", "foo-2/0", "foo-/0", "a/b", "mysql/-1"]
        {
            assert_eq!(service_of(unit), None, "{unit}");
        }
    }

    #[test]
    fn a_unit_tag_is_its_unit_in_another_spelling() {
        for (tag, unit) in [("unit-mysql-0", "mysql/0"), ("unit-foo-2bar-17", "foo-2bar/17")] {
            let parsed: UnitTag = tag.parse().unwrap();
            assert_eq!(parsed.unit().as_str(), unit);
            assert_eq!(parsed.to_string(), tag);
            let unit: UnitName = unit.parse().unwrap();
            assert_eq!(UnitTag::try_from(unit).unwrap(), parsed);
        }
        for tag in ["", "unit-", "unit-mysql", "unit-mysql-", "unit-mysql-01", "machine-0"] {
            let refused = tag.parse::<UnitTag>().unwrap_err().to_string();
            assert_eq!(refused, format!("{tag:?} is not a unit tag: those are like unit-mysql-0"));
        }
        let free_form: UnitName = "host-a".parse().unwrap();
        assert!(UnitTag::try_from(free_form).is_err());
    }

    /// Each part of a name has something in it, and there are two parts at most: wherever the slash
    /// too many stands.
    #[test]
    fn a_unit_name_has_one_slash_at_most_and_something_on_each_side() {
        for name in ["", "/", "//", "a/", "/a", "a//", "//a", "/a/", "a//0", "a/0/", "/a/0"] {
            let refused = name.parse::<UnitName>();
            assert!(
                matches!(refused, Err(NameError::Empty { .. } | NameError::TooManySlashes { .. })),
                "{name}: {refused:?}"
            );
        }
        for name in ["a/b/c", "a/b/", "a/b//"] {
            let refused = name.parse::<UnitName>();
            assert!(
                matches!(refused, Err(NameError::TooManySlashes { .. })),
                "{name}: {refused:?}"
            );
        }
        for name in ["a", "a/0", "a/b", "0/a"] {
            assert_eq!(name.parse::<UnitName>().unwrap().as_str(), name);
        }
    }

    #[test]
    fn every_refusal_says_what_is_wrong() {
        let unit = |name: &str| name.parse::<UnitName>().unwrap_err().to_string();
        let service = |name: &str| name.parse::<ServiceName>().unwrap_err().to_string();
        assert_eq!(service(""), "a service name cannot be empty");
        assert_eq!(unit("mysql/"), "unit name \"mysql/\" has nothing on one side of its slash");
        assert_eq!(unit("a/b/c"), "unit name \"a/b/c\" has a slash too many: one is the most");
        assert!(service("a/b").starts_with("service name \"a/b\" has '/' in it"));
        assert!(service("a b").starts_with("service name \"a b\" has ' ' in it"));
        assert_eq!(
            service(&"x".repeat(129)),
            "a service name of 129 bytes is too long: 128 is the most"
        );
        assert!("x".repeat(128).parse::<ServiceName>().is_ok());
        assert!("x".repeat(255).parse::<UnitName>().is_ok());
        assert_eq!(unit(&"x".repeat(256)), "a unit name of 256 bytes is too long: 255 is the most");
    }
}

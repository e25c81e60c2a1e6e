use alloc::string::String;
use alloc::sync::Arc;
use core::fmt;

/// What a manifold is called in its engine. Any text; names are compared exactly.
///
/// ```
/// use tenure_dependency::ManifoldName;
///
/// let name = ManifoldName::from("api-caller");
/// assert_eq!(name.as_str(), "api-caller");
/// assert_eq!(format!("{name:?}"), r#""api-caller""#);
/// ```
#[derive(Clone, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct ManifoldName(Arc<str>);

impl ManifoldName {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<&str> for ManifoldName {
    fn from(name: &str) -> ManifoldName {
        ManifoldName(name.into())
    }
}

impl From<String> for ManifoldName {
    fn from(name: String) -> ManifoldName {
        ManifoldName(name.into())
    }
}

impl From<&ManifoldName> for ManifoldName {
    fn from(name: &ManifoldName) -> ManifoldName {
        name.clone()
    }
}

impl fmt::Debug for ManifoldName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.0, formatter)
    }
}

impl fmt::Display for ManifoldName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(&self.0)
    }
}

/// Numbers the starts of an engine, over all its manifolds, from 1.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct RunId(u64);

impl RunId {
    /// The run with this number.
    pub const fn new(number: u64) -> RunId {
        RunId(number)
    }

    /// Its number.
    pub const fn number(self) -> u64 {
        self.0
    }

    pub(crate) const fn next(self) -> RunId {
        RunId(self.0.saturating_add(1))
    }
}

impl fmt::Display for RunId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

#[cfg(feature = "serde")]
impl serde::Serialize for ManifoldName {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

use redis::Value;

/// What became of a write that was to happen only while a term stands.
#[derive(Clone, Debug, PartialEq)]
pub enum Guarded {
    /// The term stood, and the script was run: this is what it returned.
    Done(Value),
    /// The term is over: the lease has expired, was released, or is somebody else's. Nothing was
    /// done.
    Refused,
}

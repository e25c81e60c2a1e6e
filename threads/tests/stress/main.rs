//! The real runtimes on real threads.
#![forbid(unsafe_code)]

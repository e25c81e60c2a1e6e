//! Benchmarks of Tenure.

fn main() {}

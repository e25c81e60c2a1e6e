//! Leader election for commands: run one process of many, know who leads, and for how long.

fn main() {}

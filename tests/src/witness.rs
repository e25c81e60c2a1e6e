//! What watches real candidates: what they say of each answer that they get, and a judge who hears
//! all of it.
//!
//! A candidate asks its tracker over and over whether it leads, and says a [`Report`] of each
//! answer, one line each. Whoever started the candidates hands the lines to one [`Oracle`], which
//! knows whether two ever led at once, and how long nobody did. All instants are on one clock that
//! the candidates share: the boot clock of one host.
//!
//! ```
//! use std::time::Duration;
//! use tenure_testkit::witness::{Oracle, Process, Report};
//!
//! let mut oracle = Oracle::new(Duration::from_nanos(100));
//! let mut hear = |pid, line: &str| {
//!     let report: Report = line.parse().expect("a candidate wrote it");
//!     oracle.hear(&Process { unit: format!("demo/{pid}"), pid }, &report);
//! };
//! hear(1, "yes 1000 1010 leader 7 1180");
//! hear(2, "yes 1150 1160 leader 8 1400");
//! let violations = oracle.violations();
//! assert_eq!(violations[0].to_string(), "term 8 began 20ns before term 7 was over");
//! ```

mod oracle;
mod report;
mod succession;

pub use oracle::{Holding, Oracle, Process, Violation};
pub use report::{Answer, NotAReport, Report, Yes};
pub use succession::Succession;

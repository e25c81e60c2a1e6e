use std::collections::BTreeSet;
use std::fmt;

/// One of the eight promises of the claimers' contract, as
/// [`Claimer`](tenure_core::Claimer) states them.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Clause {
    /// 1: a grant lasts at least its lease, by the store's clock.
    Lease = 1,
    /// 2: no other (unit, nonce) is granted meanwhile; the same one renews.
    Exclusion,
    /// 3: terms rise with each change of holder and never fall.
    Terms,
    /// 4: one claim is one atomic operation, and nothing is retried inside.
    Atomicity,
    /// 5: a lost answer is Unknown.
    LostAnswers,
    /// 6: a release frees only the caller's own.
    Release,
    /// 7: `released` returns on release and on expiry.
    Waiting,
    /// 8: cancelling leaks nothing.
    Leaks,
}

impl Clause {
    /// All of them, in order.
    pub const ALL: [Clause; 8] = [
        Clause::Lease,
        Clause::Exclusion,
        Clause::Terms,
        Clause::Atomicity,
        Clause::LostAnswers,
        Clause::Release,
        Clause::Waiting,
        Clause::Leaks,
    ];

    /// Its number in the contract, 1 to 8.
    pub const fn number(self) -> u8 {
        self as u8
    }
}

impl fmt::Display for Clause {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match self {
            Clause::Lease => "a grant lasts at least its lease, by the store's clock",
            Clause::Exclusion => "no other (unit, nonce) is granted meanwhile; the same one renews",
            Clause::Terms => "terms rise with each change of holder and never fall",
            Clause::Atomicity => "one claim is one atomic operation, and nothing is retried inside",
            Clause::LostAnswers => "an answer that was lost is Unknown",
            Clause::Release => "a release frees only the caller's own",
            Clause::Waiting => "`released` returns on release and on expiry",
            Clause::Leaks => "cancelling any call leaks nothing",
        };
        write!(formatter, "{}. {text}", self.number())
    }
}

/// What came out of one check.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Verdict {
    /// The claimer does as promised, as far as this check can see.
    Passed,
    /// It does not.
    Failed {
        /// What the contract promises here.
        expected: String,
        /// What the claimer did.
        came: String,
    },
    /// The check could not be made.
    LeftOut {
        /// Why not: mostly, which option of [`Conformance`](super::Conformance) it needs.
        reason: String,
    },
}

/// One check, and what came out of it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Finding {
    /// The clause that it checks.
    pub clause: Clause,
    /// The name of the check: what a right claimer does.
    pub check: &'static str,
    /// What came out.
    pub verdict: Verdict,
}

/// What the suite found out about a claimer. Its `Display` is for people.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Report {
    pub(super) kind: &'static str,
    pub(super) findings: Vec<Finding>,
}

impl Report {
    /// Every check, by clause.
    pub fn findings(&self) -> &[Finding] {
        &self.findings
    }

    /// Whether no check failed. Some may have been left out.
    pub fn passed(&self) -> bool {
        self.failed_clauses().is_empty()
    }

    /// The clauses of the checks that failed.
    pub fn failed_clauses(&self) -> BTreeSet<Clause> {
        let failed = |finding: &&Finding| matches!(finding.verdict, Verdict::Failed { .. });
        self.findings.iter().filter(failed).map(|finding| finding.clause).collect()
    }

    /// The names of the checks that were left out.
    pub fn left_out(&self) -> BTreeSet<&'static str> {
        let left_out = |finding: &&Finding| matches!(finding.verdict, Verdict::LeftOut { .. });
        self.findings.iter().filter(left_out).map(|finding| finding.check).collect()
    }

    fn count(&self, wanted: fn(&Verdict) -> bool) -> usize {
        self.findings.iter().filter(|finding| wanted(&finding.verdict)).count()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            formatter,
            "{} claimer: {} checks passed, {} failed, {} left out",
            self.kind,
            self.count(|verdict| matches!(verdict, Verdict::Passed)),
            self.count(|verdict| matches!(verdict, Verdict::Failed { .. })),
            self.count(|verdict| matches!(verdict, Verdict::LeftOut { .. })),
        )?;
        for clause in Clause::ALL {
            writeln!(formatter, "{clause}")?;
            for finding in self.findings.iter().filter(|finding| finding.clause == clause) {
                writeln!(formatter, "{finding}")?;
            }
        }
        Ok(())
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let check = self.check;
        match &self.verdict {
            Verdict::Passed => write!(formatter, "   passed    {check}"),
            Verdict::Failed { expected, came } => {
                writeln!(formatter, "   FAILED    {check}")?;
                writeln!(formatter, "             expected: {expected}")?;
                write!(formatter, "             came:     {came}")
            }
            Verdict::LeftOut { reason } => write!(formatter, "   left out  {check}: {reason}"),
        }
    }
}

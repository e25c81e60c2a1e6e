//! What a test of a store expects of an answer.

use std::time::Duration;

use tenure_core::{ClaimAnswer, ClaimerError, Term};

/// The term that a claim was granted in.
///
/// ```
/// use tenure_core::{ClaimAnswer, Term};
/// use tenure_testkit::expect;
///
/// let answer = Ok(ClaimAnswer::Granted { term: Term::new(7) });
/// assert_eq!(expect::granted(answer), Term::new(7));
/// ```
///
/// # Panics
///
/// If it was denied, or has failed.
#[track_caller]
pub fn granted(answer: Result<ClaimAnswer, ClaimerError>) -> Term {
    match answer {
        Ok(ClaimAnswer::Granted { term }) => term,
        other => panic!("not granted: {other:?}"),
    }
}

/// Who leads in the place of who claimed, and when the claim may be made again.
///
/// ```
/// use std::time::Duration;
/// use tenure_core::ClaimAnswer;
/// use tenure_testkit::expect;
///
/// let second = Duration::from_secs(1);
/// let leader = Some("mysql/0".parse()?);
/// let answer = Ok(ClaimAnswer::Denied { leader, retry_after: Some(second) });
/// assert_eq!(expect::denied(answer), ("mysql/0".to_owned(), second));
/// # Ok::<(), tenure_core::NameError>(())
/// ```
///
/// # Panics
///
/// If it was granted, has failed, or leaves one of the two out.
#[track_caller]
pub fn denied(answer: Result<ClaimAnswer, ClaimerError>) -> (String, Duration) {
    match answer {
        Ok(ClaimAnswer::Denied { leader: Some(leader), retry_after: Some(retry_after) }) => {
            (leader.to_string(), retry_after)
        }
        other => panic!("not denied: {other:?}"),
    }
}

use tenure_core::{AttemptFailure, ClaimerError, FinishReason, ServiceName, Transition, UnitName};

/// Tells `tracing` what happened. One level for each kind of event: `INFO` for what changes who
/// leads and for the end, `WARN` for a failed attempt, `DEBUG` for a renewal.
pub(crate) fn report(
    service: &ServiceName,
    unit: &UnitName,
    transition: &Transition,
    last_error: Option<&ClaimerError>,
) {
    let (service, unit) = (service.as_str(), unit.as_str());
    match *transition {
        Transition::AttemptFailed { attempt, failure } => {
            let attempt = attempt.number();
            let error = match failure {
                AttemptFailure::TimedOut => None,
                AttemptFailure::Unknown => last_error.and_then(std::error::Error::source),
            };
            tracing::warn!(service, unit, attempt, ?failure, error, "attempt failed");
        }
        Transition::Demoted { term, reason } => {
            tracing::info!(service, unit, term = term.number(), ?reason, "demoted");
        }
        Transition::Promoted { term, valid_until } => {
            let valid_until_ns = valid_until.as_nanos();
            tracing::info!(service, unit, term = term.number(), valid_until_ns, "promoted");
        }
        Transition::Renewed { term, valid_until } => {
            let valid_until_ns = valid_until.as_nanos();
            tracing::debug!(service, unit, term = term.number(), valid_until_ns, "renewed");
        }
        Transition::WatchFailed { watch, repeated } => {
            let watch = watch.number();
            let error = last_error.and_then(std::error::Error::source);
            if repeated {
                tracing::debug!(service, unit, watch, error, "watch failed again");
            } else {
                tracing::warn!(service, unit, watch, error, "watch failed, it is begun again");
            }
        }
    }
}

/// Tells `tracing` that a tracker has ended.
pub(crate) fn report_end(service: &ServiceName, unit: &UnitName, reason: FinishReason) {
    let (service, unit) = (service.as_str(), unit.as_str());
    tracing::info!(service, unit, ?reason, "ended");
}

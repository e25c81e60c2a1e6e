use tenure_core::ConfigError;

use super::{Budget, Counting, Flaw, Invariant, Model, Rate};

const NOTHING: Budget = Budget { asks: 0, crashes: 0, duplicates: 0, failures: 0, resignations: 0 };
const EVERYTHING: Budget =
    Budget { asks: 1, crashes: 1, duplicates: 1, failures: 1, resignations: 1 };

/// The worlds that `cargo xtask worlds` searches: those of so many units.
///
/// # Errors
///
/// Why there is no such config: never, as it stands.
pub fn gallery(units: usize) -> Result<Vec<Model>, ConfigError> {
    use Rate::{Even, Fast, Slow};
    let of = |name: &str, rates: &[Rate], horizon, budget| {
        Model::new(name, rates, 4, horizon).map(|model| model.with(budget))
    };
    let crash = Budget { crashes: 1, ..NOTHING };
    let resignation = Budget { resignations: 1, ..NOTHING };
    if units == 3 {
        return Ok(vec![
            of("3: slow, even, fast", &[Slow, Even, Fast], 3, NOTHING)?,
            of("3: all slow", &[Slow, Slow, Slow], 4, NOTHING)?,
            of("3: a crash", &[Slow, Slow, Slow], 4, crash)?,
            of("3: a resignation", &[Slow, Fast, Fast], 2, resignation)?,
        ]
        .into_iter()
        .map(|model| Model { liveness_every: 16, ..model })
        .collect());
    }
    let mut worlds = vec![
        of("2: a resignation", &[Slow, Fast], 4, resignation)?,
        of("2: two resignations", &[Slow, Fast], 2, Budget { resignations: 2, ..NOTHING })?,
        of("2: duplicates", &[Slow, Fast], 4, Budget { duplicates: 2, ..NOTHING })?,
        of("2: errors", &[Slow, Fast], 4, Budget { failures: 2, ..NOTHING })?,
        of("2: tickets", &[Slow, Fast], 4, Budget { asks: 2, ..NOTHING })?,
        Model {
            counting: Counting::Call,
            ..of("2: slow, counted from the call", &[Slow, Slow], 6, NOTHING)?
        },
        Model {
            says_retry_after: false,
            ..of("2: fast, no retry_after", &[Fast, Fast], 6, NOTHING)?
        },
        Model { flight_max: 3, ..of("2: everything", &[Slow, Fast], 1, EVERYTHING)? },
        of("2: slow and fast", &[Slow, Fast], 7, NOTHING)?,
        of("2: a crash", &[Slow, Fast], 6, crash)?,
    ];
    for model in worlds.iter_mut().rev().take(3) {
        model.liveness_every = 16;
    }
    Ok(worlds)
}

/// Worlds in which something is broken, with the invariant that this breaks.
///
/// # Errors
///
/// Why there is no such config: never, as it stands.
pub fn flawed() -> Result<Vec<(Model, Invariant)>, ConfigError> {
    use Rate::{Fast, Slow, TooSlow};
    let model = |name: &str| Model::new(name, &[Slow, Fast], 4, 4);
    let resigning = Budget { resignations: 1, ..NOTHING };
    let crashing = Budget { crashes: 1, ..NOTHING };
    let both = Budget { crashes: 1, resignations: 1, ..NOTHING };
    let only = |invariant, model| (Model { only: Some(invariant), ..model }, invariant);
    let shortening = Model { counting: Counting::Call, ..model("a renewal shortens the lease")? };
    let too_slow = Model::new("a clock beyond the ratio", &[TooSlow, Fast], 4, 4)?;
    let after_crash = model("a nonce kept after a crash")?.with(both);
    let mute = model("a store that gives nothing away twice")?.with(crashing);
    let deaf = model("a driver that takes a watch's word for an error")?.with(resigning);
    Ok(vec![
        only(Invariant::S1, model("an amnesiac store")?.with_flaw(Flaw::AmnesiacStore)),
        only(Invariant::S7, model("an amnesiac store")?.with_flaw(Flaw::AmnesiacStore)),
        only(
            Invariant::S2,
            model("an amnesiac store")?
                .with(Budget { asks: 1, ..NOTHING })
                .with_flaw(Flaw::AmnesiacStore),
        ),
        only(
            Invariant::S1,
            model("one nonce for all tenures")?.with(resigning).with_flaw(Flaw::ConstantNonce),
        ),
        only(Invariant::S4, after_crash.with_flaw(Flaw::ConstantNonce)),
        only(Invariant::S1, model("the clock read late")?.with_flaw(Flaw::LateClock)),
        only(Invariant::S3, model("the clock read late")?.with_flaw(Flaw::LateClock)),
        only(Invariant::S1, model("a grant read back")?.with_flaw(Flaw::ReadBack)),
        only(
            Invariant::S1,
            model("released by unit name")?.with(resigning).with_flaw(Flaw::ReleaseByName),
        ),
        only(Invariant::S1, shortening.with_flaw(Flaw::RenewalShortens)),
        only(Invariant::S1, model("a nonce for all units")?.with_flaw(Flaw::SharedNonce)),
        only(Invariant::S1, too_slow.clone()),
        only(Invariant::S4, too_slow),
        only(Invariant::L1, Model { liveness_every: 1, ..mute.with_flaw(Flaw::LeaseForEver) }),
        only(Invariant::L3, Model { liveness_every: 1, ..deaf.with_flaw(Flaw::DeafDriver) }),
    ])
}

//! Clause 7: `released` returns on a release and when a lease expires unrenewed, and wakes without
//! polling where the store can notify.

use std::thread;
use std::time::{Duration, Instant};

use tenure_core::{ClaimAnswer, ServiceName};

use super::Clause;
use super::client::Client;
use super::ground::{Ground, LONG, Premise, Stop, bid, broken, ensure, granted, left_out};
use super::watch::{EarlyReturns, Watch};

pub(super) fn returns_at_once_when_free(ground: &Ground) -> Result<(), Stop> {
    let (ours, theirs) = (ground.open(), ground.open());
    let never = ground.service();
    returns(ground, &Watch::begin(&theirs, &never), "at once, if nobody ever claimed")?;

    let released = ground.service();
    let holder = bid(&released, "unit/0");
    granted("a free service is granted", ours.claim(&holder, LONG))?;
    ground.release(&*ours, &holder)?;
    returns(ground, &Watch::begin(&theirs, &released), "at once, after a release")?;

    let lapsed = ground.service();
    granted("a free service is granted", ours.claim(&bid(&lapsed, "unit/0"), ground.short))?;
    ground.pass_lease();
    returns(ground, &Watch::begin(&theirs, &lapsed), "at once, after an expiry")
}

pub(super) fn returns_on_a_release(ground: &Ground) -> Result<(), Stop> {
    let (ours, theirs) = (ground.open(), ground.open());
    let service = ground.service();
    let holder = bid(&service, "unit/0");
    granted("a free service is granted", ours.claim(&holder, LONG))?;
    let watches = [&theirs, &theirs, &ours].map(|client| Watch::start(ground, client, &service));
    let mut early = EarlyReturns::new(ground);
    for watch in &watches {
        early.take(watch, "`released` waits while the service is held")?;
    }
    ground.release(&*ours, &holder)?;
    for watch in &watches {
        returns(ground, watch, "on a release, for each who waits")?;
    }
    Ok(())
}

pub(super) fn returns_on_an_expiry(ground: &Ground) -> Result<(), Stop> {
    let (ours, theirs) = (ground.open(), ground.open());
    let service = ground.service();
    let claimed = ground.now();
    granted("a free service is granted", ours.claim(&bid(&service, "unit/0"), ground.short))?;
    let watch = Watch::start(ground, &theirs, &service);
    let mut early = EarlyReturns::new(ground);
    if ground.is_exact() {
        ground.pass(ground.short / 4 * 3);
        ground.settle();
        let expected = "`released` waits while the lease lasts";
        early.take(&watch, expected).map_err(|stop| judge(&*ours, &service, stop))?;
        ground.pass_lease();
    }
    loop {
        let expected = "on an expiry, though nobody releases";
        returns(ground, &watch, expected)?;
        if ground.now() - claimed >= ground.at_least(ground.short) {
            return Ok(());
        }
        early
            .add("`released` waits while the lease lasts", Ok(()))
            .map_err(|stop| judge(&*ours, &service, stop))?;
        watch.again();
    }
}

/// A return before the lease's end is the lease's fault, if the service is free.
fn judge(client: &dyn Client, service: &ServiceName, stop: Stop) -> Stop {
    match client.claim(&bid(service, "unit/9"), LONG) {
        Ok(ClaimAnswer::Granted { .. }) => {
            Err::<(), Stop>(stop).premise(Clause::Lease).unwrap_err()
        }
        Ok(ClaimAnswer::Denied { .. }) | Err(_) => stop,
    }
}

pub(super) fn waits_while_it_is_renewed(ground: &Ground) -> Result<(), Stop> {
    let (ours, theirs) = (ground.open(), ground.open());
    let service = ground.service();
    let holder = bid(&service, "unit/0");
    let mut asked = ground.now();
    granted("a free service is granted", ours.claim(&holder, ground.short))?;
    let watch = Watch::start(ground, &theirs, &service);
    let mut early = EarlyReturns::new(ground);
    // Three leases long.
    for _ in 0..12 {
        ground.pass(ground.short / 4);
        let renewing = ground.now();
        let renewal = ours.claim(&holder, ground.short);
        // The renewal must have come before the lease that it renews was over.
        ground.in_time(asked, ground.short)?;
        granted("its holder renews", renewal).premise(Clause::Exclusion)?;
        asked = renewing;
        if ground.is_exact() {
            ground.settle();
        }
        early.take(&watch, "`released` waits while the lease is renewed")?;
    }
    ground.release(&*ours, &holder)?;
    returns(ground, &watch, "on a release, after renewals")
}

pub(super) fn waits_anew_for_the_next(ground: &Ground) -> Result<(), Stop> {
    let (ours, theirs) = (ground.open(), ground.open());
    let service = ground.service();
    for unit in ["unit/0", "unit/1", "unit/0"] {
        let holder = bid(&service, unit);
        granted("a released service is granted", ours.claim(&holder, LONG))
            .premise(Clause::Release)?;
        let watch = Watch::start(ground, &theirs, &service);
        ground.release(&*ours, &holder)?;
        returns(ground, &watch, "on each release")?;
    }
    Ok(())
}

pub(super) fn waits_without_asking(ground: &Ground) -> Result<(), Stop> {
    if let Some(reason) = &ground.must_poll {
        return left_out(reason);
    }
    let Some(requests) = &ground.requests else {
        return left_out("no count of the store's requests was given (`counting_requests`)");
    };
    let (ours, theirs) = (ground.open(), ground.open());
    let service = ground.service();
    let holder = bid(&service, "unit/0");
    granted("a free service is granted", ours.claim(&holder, LONG))?;
    let watch = Watch::start(ground, &theirs, &service);
    let before = requests();
    thread::sleep(ground.short);
    let asked = requests().saturating_sub(before);
    drop(watch);
    // One, for a wait that is still getting ready.
    ensure(asked <= 1, "waiting costs no requests", format!("{asked} in {:?}", ground.short))
}

/// The watch returns within the suite's patience.
fn returns(ground: &Ground, watch: &Watch, when: &str) -> Result<(), Stop> {
    let expected = format!("`released` returns {when}");
    let began = Instant::now();
    let patience = ground.patience + if ground.is_exact() { Duration::ZERO } else { ground.short };
    match watch.next(patience) {
        Some(Ok(())) => Ok(()),
        Some(error) => broken(&expected, error),
        None => broken(&expected, format!("nothing within {:?}", began.elapsed())),
    }
}

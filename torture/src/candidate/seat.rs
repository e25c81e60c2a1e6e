use std::error::Error;
use std::time::Duration;

use tenure_core::{BlockingClaimer, Claimer, Config, Outcome, Standing};

use crate::arguments::CandidateOptions;
use crate::bent::{Bend, Bent};

/// A tracker, whichever runtime it is on.
pub(super) trait Seat {
    fn ask(&self) -> Outcome;
    fn standing(&self) -> Standing;
    fn step_down(&self, cool_off: Duration);
    fn kill(&self);
    fn wait(&self) -> Result<(), Box<dyn Error>>;
}

pub(super) struct OnStd(tenure_std::Tracker);

impl OnStd {
    pub(super) fn start<C: BlockingClaimer>(
        store: C,
        options: &CandidateOptions,
        config: Config,
        bend: Bend,
    ) -> Result<OnStd, Box<dyn Error>> {
        let clock = bend.clock();
        let (service, unit) = (options.service.clone(), options.unit.clone());
        let store = Bent::new(store, bend);
        let (tracker, driver) =
            tenure_std::Tracker::with_clock(store, service, unit, config, clock);
        driver.spawn()?;
        Ok(OnStd(tracker))
    }
}

impl Seat for OnStd {
    fn ask(&self) -> Outcome {
        self.0.claim_leader().wait()
    }

    fn standing(&self) -> Standing {
        self.0.standing()
    }

    fn step_down(&self, cool_off: Duration) {
        self.0.step_down(cool_off);
    }

    fn kill(&self) {
        self.0.kill();
    }

    fn wait(&self) -> Result<(), Box<dyn Error>> {
        Ok(self.0.wait()?)
    }
}

pub(super) struct OnSmol(tenure_smol::Tracker);

impl OnSmol {
    pub(super) fn start<C: Claimer>(
        store: C,
        options: &CandidateOptions,
        config: Config,
        bend: Bend,
    ) -> OnSmol {
        let clock = bend.clock();
        let (service, unit) = (options.service.clone(), options.unit.clone());
        let store = Bent::new(store, bend);
        let (tracker, driver) =
            tenure_smol::Tracker::with_clock(store, service, unit, config, clock);
        smol::spawn(driver.run()).detach();
        OnSmol(tracker)
    }
}

impl Seat for OnSmol {
    fn ask(&self) -> Outcome {
        smol::block_on(self.0.claim_leader())
    }

    fn standing(&self) -> Standing {
        self.0.standing()
    }

    fn step_down(&self, cool_off: Duration) {
        self.0.step_down(cool_off);
    }

    fn kill(&self) {
        self.0.kill();
    }

    fn wait(&self) -> Result<(), Box<dyn Error>> {
        Ok(smol::block_on(self.0.wait())?)
    }
}

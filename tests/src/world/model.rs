use std::time::Duration;

use tenure_core::{Config, ConfigError, Instant};

use super::store::Holder;

/// What a world is made of, and what may go wrong in it.
///
/// One tick is [`Model::STORE_TICK`] of the store's time. All that happens in a world happens at a
/// tick; how much time that is for a unit, its [`Rate`] says.
#[derive(Clone, Debug)]
pub struct Model {
    /// What the table calls it.
    pub name: String,
    /// The clock of each unit. As many units as rates: up to [`Model::UNITS_MAX`].
    pub rates: Vec<Rate>,
    /// What all the trackers are made with.
    pub config: Config,
    /// The last tick.
    pub horizon: u8,
    /// How much may go wrong.
    pub budget: Budget,
    /// The most messages under way that still arrive, up to [`Model::FLIGHT_MAX`]. When there are
    /// more, one of them is lost: any one.
    pub flight_max: usize,
    /// From when the store counts a lease.
    pub counting: Counting,
    /// Whether the store says how long the lease of a denial may still last.
    pub says_retry_after: bool,
    /// What is broken, so that the search can show that it finds that.
    pub flaw: Option<Flaw>,
    /// The only invariant that counts, where it is to be shown that this one is broken.
    pub only: Option<Invariant>,
    /// Liveness is checked at one state of so many, chosen by fingerprint; 0 is none.
    pub liveness_every: u64,
}

impl Model {
    /// The most messages that can be under way.
    pub const FLIGHT_MAX: usize = 12;
    /// The most units there can be.
    pub const UNITS_MAX: usize = 3;
    /// How long a tick is by the store's clock.
    pub const STORE_TICK: Duration = Duration::from_nanos(Rate::Even.tick_nanos());

    /// A world of which nothing goes wrong but what messages do: they are late, lost, and out of
    /// order. A lease is `lease_ticks` long.
    ///
    /// # Errors
    ///
    /// Why there is no config with such a lease.
    pub fn new(
        name: &str,
        rates: &[Rate],
        lease_ticks: u8,
        horizon: u8,
    ) -> Result<Model, ConfigError> {
        let nanos = Duration::from_nanos;
        // By a slow unit's clock: belief ends with the lease, and it gives up a tick before that.
        let slow = Rate::Slow.tick_nanos();
        let guarantee = Model::STORE_TICK * u32::from(lease_ticks) / 2;
        let config = Config::builder(guarantee)
            .claim_timeout(nanos(slow * 3 / 2))
            .min_interval(nanos(slow / 2))
            .renew_lead(nanos(if lease_ticks < 6 { slow * 4 / 5 } else { slow }))
            .retry(nanos(slow / 2), nanos(slow))
            .step_down_margin(nanos(slow))
            .build()?;
        Ok(Model {
            name: name.to_owned(),
            rates: rates.to_vec(),
            config,
            horizon,
            budget: Budget::default(),
            flight_max: Model::FLIGHT_MAX,
            counting: Counting::Arrival,
            says_retry_after: true,
            flaw: None,
            only: None,
            liveness_every: 1,
        })
    }

    /// The same world with this budget.
    #[must_use]
    pub fn with(mut self, budget: Budget) -> Model {
        self.budget = budget;
        self
    }

    /// The same world with this flaw.
    #[must_use]
    pub fn with_flaw(mut self, flaw: Flaw) -> Model {
        self.flaw = Some(flaw);
        self.liveness_every = 0;
        self
    }

    /// The lease in ticks.
    pub(super) fn lease_ticks(&self) -> u8 {
        (self.config.lease().as_nanos() / Model::STORE_TICK.as_nanos()) as u8
    }

    /// How long a grant is believed, worked out here, not asked of the config.
    pub(super) fn valid_for(&self) -> u64 {
        let ratio = u128::from(self.config.clock_ratio().millionths());
        (self.config.lease().as_nanos() * 1_000_000 / ratio) as u64
    }

    /// What the clock of a unit shows at a tick.
    pub(super) fn local(&self, unit: usize, tick: u8) -> Instant {
        Instant::from_nanos(ORIGIN + u64::from(tick) * self.rates[unit].tick_nanos())
    }

    /// What is handed to the tracker of a unit at a tick.
    pub(super) fn handed(&self, unit: usize, tick: u8) -> Instant {
        self.local(unit, tick + u8::from(self.flaw == Some(Flaw::LateClock)))
    }

    /// Whether `local` by the clock of a unit is no later than `tick`, between ticks too.
    pub(super) fn is_by(&self, unit: usize, local: Instant, tick: u8) -> bool {
        local <= self.local(unit, tick)
    }

    /// The first tick at which the clock of a unit shows `local` or more.
    pub(super) fn tick_of(&self, unit: usize, local: Instant) -> u8 {
        let span = local.as_nanos().saturating_sub(ORIGIN);
        span.div_ceil(self.rates[unit].tick_nanos()).min(u64::from(u8::MAX)) as u8
    }

    /// How the store knows a holder.
    pub(super) fn holder(&self, unit: u8, nonce: u8) -> Holder {
        match self.flaw {
            Some(Flaw::SharedNonce) => Holder { unit: 0, nonce: 0 },
            Some(Flaw::ConstantNonce) => Holder { unit, nonce: 0 },
            _ => Holder { unit, nonce },
        }
    }

    /// Whether `invariant` counts.
    pub(super) fn judges(&self, invariant: Invariant) -> bool {
        self.only.is_none_or(|only| only == invariant)
    }

    /// The slowest of the units' ticks.
    pub(super) fn slowest_tick(&self) -> u64 {
        self.rates.iter().map(|rate| rate.tick_nanos()).min().unwrap_or(1)
    }
}

/// Where the units' clocks begin: not where the store's does.
const ORIGIN: u64 = 1_000_000;

/// How fast the clock of a unit runs beside the store's.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Rate {
    /// As fast.
    Even,
    /// As much faster as the ratio of 1.1 allows.
    Fast,
    /// As much slower as the ratio of 1.1 allows.
    Slow,
    /// Slower than the ratio allows.
    TooSlow,
}

impl Rate {
    /// How long a tick is by such a clock.
    pub const fn tick_nanos(self) -> u64 {
        match self {
            Rate::Even => 110,
            Rate::Fast => 121,
            Rate::Slow => 100,
            Rate::TooSlow => 80,
        }
    }
}

/// How often each thing may happen in one history.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub struct Budget {
    /// Tickets asked.
    pub asks: u8,
    /// Units that die. Each may start again, at any later time.
    pub crashes: u8,
    /// Messages that arrive twice.
    pub duplicates: u8,
    /// Claims and watches that end in an error, whatever became of the request.
    pub failures: u8,
    /// Resignations, to stop or to step down.
    pub resignations: u8,
}

/// From when the store counts a lease.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Counting {
    /// From when the claim reaches it.
    Arrival,
    /// From when the claim was made: the least that the contract asks for.
    Call,
}

/// What is broken in a world, so that the search can show that it finds it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Flaw {
    /// The store may forget all that it knows, once.
    AmnesiacStore,
    /// A unit has the same nonce in each tenure, and after a restart.
    ConstantNonce,
    /// The driver takes what a watch says for an error of the watch.
    DeafDriver,
    /// The driver reads the clock only after the request has left.
    LateClock,
    /// The store gives nobody a lease that was another's and has expired.
    LeaseForEver,
    /// A claim whose answer is not there yet is taken as granted when the store names its holder.
    ReadBack,
    /// The store frees a lease for whoever has the holder's unit name.
    ReleaseByName,
    /// A renewal sets the end of the lease, also to an earlier one. With [`Counting::Call`].
    RenewalShortens,
    /// All units have the same name and nonce.
    SharedNonce,
}

/// What must hold at every state.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Invariant {
    /// At most one unit believes.
    S1,
    /// A yes holds for the guarantee, and the store names its unit throughout.
    S2,
    /// A belief comes from a grant, and counts from when that was asked for.
    S3,
    /// Belief ends before the store's grant does, in real time.
    S4,
    /// After a release, a denial or a stop there is no belief without a later grant.
    S6,
    /// Terms grow from holder to holder, and stay with one.
    S7,
    /// Belief is not prolonged without a grant.
    S9,
    /// The release comes after the belief.
    S11,
    /// Once faults stop, somebody leads before long.
    L1,
    /// After a clean release somebody leads at once.
    L3,
    /// The books of one tracker: S2, S3, S5 to S11, T1 to T4, B1, B2, B4.
    Books,
}

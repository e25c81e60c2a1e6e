use std::time::Duration;

use tenure_core::{ClockRatio, Config};

use super::Broken;
use super::choices::Choices;
use super::clock::Tick;

/// What a world is like: drawn before it begins.
#[derive(Clone, Debug)]
pub(crate) struct Knobs {
    /// Of all units, but for the seed of the jitter.
    pub(crate) config: Config,
    pub(crate) hosts: usize,
    /// The first two hosts have the same unit name.
    pub(crate) same_name: bool,
    pub(crate) jitter_seed: u64,
    /// Nanoseconds a tick, of the store's clock.
    pub(crate) store_rate: u64,
    /// Of a unit's clock: from the slowest to the fastest that the ratio allows.
    pub(crate) rates: [u64; 2],
    pub(crate) clocks_differ: bool,
    /// How long the safety phase is.
    pub(crate) safety: Tick,
    /// How long a message takes at most, when nothing is wrong.
    pub(crate) delay: Tick,
    /// How often in 256 something is wrong with a call, and what can be.
    pub(crate) call_fault_rate: u8,
    pub(crate) call_faults: Vec<CallFault>,
    /// How long it is on the average from one disruption to the next, and what they are.
    pub(crate) chaos_gap: Tick,
    pub(crate) chaos: Vec<Chaos>,
    /// How long it is on the average from one act of a user to the next.
    pub(crate) user_gap: Tick,
    /// Whether a lease that its holder lets expire is a new one when the same holder comes back.
    pub(crate) expiry_raises_term: bool,
    /// Whether a denial says for how long.
    pub(crate) tells_retry: bool,
    /// How often in 256 a driver is late to look.
    pub(crate) lag_rate: u8,
    /// How often in 256 a reading of a clock is behind an earlier one.
    pub(crate) glitch_rate: u8,
}

/// What can happen to a world.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Chaos {
    Host(HostChaos),
    Process(ProcessChaos),
    Store(StoreChaos),
}

/// What can happen to a host, whether a process runs there or not.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum HostChaos {
    ClockBack,
    ClockForward,
    ClockTurn,
    Partition,
    Pause,
    Restart,
    Suspend,
    TimersNever,
    WatchAtOnce,
    WatchBroken,
}

/// What can happen to a process.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum ProcessChaos {
    Crash,
    LoseDriver,
    SpuriousTimer,
    StepDown,
    Stop,
    Storm,
}

/// What can happen to the store.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum StoreChaos {
    Amnesia,
    ClockBack,
    ClockForward,
    Down,
    FailOver,
    RaiseTerm,
    ReadOnly,
    Slow,
}

/// What can be wrong with one call.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum CallFault {
    CommitTimeout,
    Duplicate,
    DuplicateReply,
    ErrorAfter,
    ErrorBefore,
    Fatal,
    GrantTwice,
    Hang,
    Late,
    LoseReply,
    LoseRequest,
    Panic,
    SpuriousDenial,
    WatchAtOnce,
    WatchCancelled,
    WatchNever,
}

const CALL_FAULTS: [CallFault; 16] = [
    CallFault::LoseReply,
    CallFault::LoseRequest,
    CallFault::Late,
    CallFault::Duplicate,
    CallFault::DuplicateReply,
    CallFault::ErrorBefore,
    CallFault::ErrorAfter,
    CallFault::CommitTimeout,
    CallFault::SpuriousDenial,
    CallFault::Panic,
    CallFault::Hang,
    CallFault::GrantTwice,
    CallFault::WatchAtOnce,
    CallFault::WatchNever,
    CallFault::WatchCancelled,
    CallFault::Fatal,
];

const CHAOS: [Chaos; 24] = [
    Chaos::Host(HostChaos::Pause),
    Chaos::Host(HostChaos::Partition),
    Chaos::Process(ProcessChaos::Crash),
    Chaos::Host(HostChaos::Restart),
    Chaos::Process(ProcessChaos::StepDown),
    Chaos::Process(ProcessChaos::Stop),
    Chaos::Host(HostChaos::Suspend),
    Chaos::Store(StoreChaos::Down),
    Chaos::Store(StoreChaos::Slow),
    Chaos::Store(StoreChaos::ReadOnly),
    Chaos::Store(StoreChaos::ClockForward),
    Chaos::Store(StoreChaos::ClockBack),
    Chaos::Host(HostChaos::ClockForward),
    Chaos::Host(HostChaos::ClockBack),
    Chaos::Host(HostChaos::ClockTurn),
    Chaos::Process(ProcessChaos::SpuriousTimer),
    Chaos::Host(HostChaos::TimersNever),
    Chaos::Process(ProcessChaos::Storm),
    Chaos::Host(HostChaos::WatchAtOnce),
    Chaos::Store(StoreChaos::Amnesia),
    Chaos::Store(StoreChaos::FailOver),
    Chaos::Store(StoreChaos::RaiseTerm),
    Chaos::Process(ProcessChaos::LoseDriver),
    Chaos::Host(HostChaos::WatchBroken),
];

/// How many nanoseconds a tick of real time has on a clock that runs as slow as any.
pub(crate) const SLOWEST: u64 = 1_000;

/// How many ticks pass at the most while a clock within the ratio counts `span`.
pub(crate) fn ticks(span: Duration) -> Tick {
    let ticks = span.as_nanos().div_ceil(u128::from(SLOWEST));
    u64::try_from(ticks).unwrap_or(u64::MAX)
}

impl Knobs {
    pub(crate) fn draw(choices: &mut Choices, broken: Option<Broken>) -> Knobs {
        let ratio = choices.pick(&[1_100, 1_000, 1_001, 1_050, 1_200, 1_350, 1_500]);
        let config = config(choices, ratio);
        let lease = ticks(config.lease());
        let hosts = choices.pick(&[2, 3, 3, 2, 4, 5, 3, 7, 9]);
        let store_rate = SLOWEST * ratio / 1_000;
        let mut knobs = Knobs {
            hosts,
            same_name: choices.chance(40),
            jitter_seed: u64::from(choices.byte()) << 8,
            store_rate,
            rates: [SLOWEST, store_rate * ratio / 1_000],
            clocks_differ: choices.chance(192),
            safety: lease * choices.pick(&[3, 4, 4, 6, 6, 9, 14, 24]),
            delay: config_delay(choices, &config),
            call_fault_rate: choices.pick(&[0, 0, 8, 16, 32, 64, 128]),
            call_faults: some_of(choices, &CALL_FAULTS),
            chaos_gap: lease / choices.pick(&[1, 1, 2, 4]),
            chaos: some_of(choices, &CHAOS),
            user_gap: lease / choices.pick(&[2, 1, 3, 6]),
            expiry_raises_term: choices.chance(96),
            tells_retry: !choices.chance(96),
            lag_rate: choices.pick(&[0, 0, 0, 24]),
            glitch_rate: choices.pick(&[0, 0, 0, 48]),
            config,
        };
        match broken {
            None => {}
            Some(Broken::Amnesia) => {
                knobs.chaos =
                    vec![Chaos::Store(StoreChaos::Amnesia), Chaos::Store(StoreChaos::FailOver)]
            }
            Some(Broken::Clock) => {
                knobs.chaos = vec![Chaos::Host(HostChaos::Partition), Chaos::Host(HostChaos::Pause)]
            }
            Some(Broken::Suspend) => knobs.chaos = vec![Chaos::Host(HostChaos::Suspend)],
        }
        knobs
    }

    /// How long a message takes at most once the world has healed.
    pub(crate) fn healthy_delay(&self) -> Tick {
        let timeout = ticks(self.config.claim_timeout());
        (timeout / 64).min(ticks(self.config.guarantee()) / 200).max(1)
    }
}

/// None, a few, or all of them.
fn some_of<T: Copy + PartialEq>(choices: &mut Choices, all: &[T]) -> Vec<T> {
    let how_many = choices.pick(&[0, 1, 1, 2, 3, 5, 8, all.len()]);
    if how_many == all.len() {
        return all.to_vec();
    }
    (0..how_many).map(|_| choices.pick(all)).collect()
}

/// From very fast to as long as a claim may take.
fn config_delay(choices: &mut Choices, config: &Config) -> Tick {
    let timeout = ticks(config.claim_timeout());
    (timeout / choices.pick(&[100, 1_000, 20, 8, 4, 3, 2])).max(1)
}

/// Always one that the builder takes.
fn config(choices: &mut Choices, ratio: u64) -> Config {
    let guarantee_ms = choices.pick(&[10_000_u64, 1_000, 11_000, 30_000, 60_000]);
    let guarantee = guarantee_ms * 1_000_000;
    let lease = 2 * guarantee;
    let slack = match choices.below(4) {
        3 if ratio <= 1_200 => lease / 10,
        2 if ratio <= 1_350 => lease / 50,
        _ => 0,
    };
    let valid_for = (lease - slack) * 1_000 / ratio;
    let fresh_for = valid_for - guarantee;
    let renew_lead =
        choices.pick(&[(guarantee / 20).min(fresh_for / 2), fresh_for / 10, fresh_for / 2]);
    let margin = choices.pick(&[guarantee / 2, 0, guarantee / 4, guarantee]);
    let window = guarantee + renew_lead - margin;
    let most = fresh_for.min(window);
    let timeout = choices.pick(&[(guarantee / 4).min(most), most, most / 2]);
    let renew_after = fresh_for - renew_lead;
    let min_interval =
        choices.pick(&[guarantee / 100, guarantee / 1_000, renew_after.min(guarantee / 10)]);
    let retry = choices.pick(&[
        (guarantee / 50, guarantee / 4),
        (guarantee / 100, guarantee / 100),
        (guarantee / 1_000, guarantee),
    ]);
    let recheck = choices.pick(&[lease, guarantee, 2 * lease]);
    let nanos = Duration::from_nanos;
    let millionths = u32::try_from(ratio * 1_000).unwrap_or(u32::MAX);
    let ratio = ClockRatio::from_millionths(millionths).unwrap_or(ClockRatio::DEFAULT);
    let built = Config::builder(nanos(guarantee))
        .clock_ratio(ratio)
        .store_slack(nanos(slack))
        .renew_lead(nanos(renew_lead))
        .claim_timeout(nanos(timeout))
        .step_down_margin(nanos(margin))
        .retry(nanos(retry.0), nanos(retry.1))
        .min_interval(nanos(min_interval))
        .recheck(nanos(recheck))
        .build();
    built.unwrap_or_else(|refusal| unreachable!("a world's config is refused: {refusal}"))
}

use std::ops::AddAssign;

macro_rules! classes {
    ($($(#[$doc:meta])* $name:ident = $number:literal, $about:literal;)*) => {
        /// A class of faults that a world can have, by its number in the catalogue.
        #[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
        pub enum Class {
            $(#[doc = $about] $name = $number,)*
        }

        impl Class {
            /// All of them, by number.
            pub const ALL: &[Class] = &[$(Class::$name),*];

            /// What it is.
            pub fn about(self) -> &'static str {
                match self {
                    $(Class::$name => $about,)*
                }
            }
        }
    };
}

classes! {
    Lost = 1, "request or reply lost";
    Duplicated = 2, "request or reply duplicated";
    GrantedStale = 3, "grant of an attempt that is over";
    GrantedLate = 4, "grant later than its own end";
    DeniedStale = 5, "denial of an attempt that is over";
    Zombie = 6, "old claim reaches the store after the release";
    ReleaseLate = 7, "delayed release after a new claim";
    ReleaseLost = 8, "release lost";
    ClockRate = 9, "clock fast or slow within the ratio";
    ClockBeyond = 10, "clock beyond the ratio (premise broken)";
    StoreClockStep = 11, "store's clock stepped";
    ClockBack = 12, "local time backwards";
    Pause = 13, "process paused";
    Suspend = 15, "suspended (premise broken, if the clock stops)";
    Partition = 16, "partition, one way too";
    StoreRestart = 17, "store restarts with its data";
    Amnesia = 18, "store forgets (premise broken, if it does not hold off)";
    FailOver = 19, "fail-over with lost writes";
    CommitTimeout = 20, "time-out after the commit";
    Restart = 21, "crash and restart under the same name";
    SameName = 22, "two processes with the same name";
    Storm = 24, "many tickets at once";
    Dropped = 25, "tickets dropped in mid-flight";
    Panic = 26, "claimer panics";
    Hang = 27, "claimer hangs";
    GrantedTwice = 28, "claimer grants twice";
    Wrong = 29, "error for a success, spurious denial";
    WatchAtOnce = 30, "watch returns at once, always";
    WatchNever = 31, "watch never returns";
    WatchCancelled = 32, "watch cancelled while not stopping";
    Timer = 33, "timer late, spurious or never";
    Shutdown = 36, "stopped during a claim, with waiters, twice";
    Herd = 37, "many candidates on one release";
    Slow = 39, "store slow: half a lease to two";
    WatchBroken = 43, "the connection of a watch breaks, and nothing else";
}

impl Class {
    /// Its number in the catalogue.
    pub fn number(self) -> u8 {
        self as u8
    }
}

/// How often each class was injected, and how often its expected outcome was then seen.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Tally {
    injected: [u64; NUMBERS],
    checked: [u64; NUMBERS],
}

const NUMBERS: usize = 44;

impl Default for Tally {
    fn default() -> Tally {
        Tally { injected: [0; NUMBERS], checked: [0; NUMBERS] }
    }
}

impl Tally {
    /// How often it was injected.
    pub fn injected(&self, class: Class) -> u64 {
        self.injected[usize::from(class.number())]
    }

    /// How often its expected outcome was seen.
    pub fn checked(&self, class: Class) -> u64 {
        self.checked[usize::from(class.number())]
    }

    pub(crate) fn inject(&mut self, class: Class) {
        self.injected[usize::from(class.number())] += 1;
    }

    pub(crate) fn check(&mut self, class: Class) {
        self.checked[usize::from(class.number())] += 1;
    }
}

impl AddAssign<&Tally> for Tally {
    fn add_assign(&mut self, other: &Tally) {
        let sum = |mine: &mut [u64], others: &[u64]| {
            mine.iter_mut().zip(others).for_each(|(mine, other)| *mine += other);
        };
        sum(&mut self.injected, &other.injected);
        sum(&mut self.checked, &other.checked);
    }
}

use std::fmt;

macro_rules! sights {
    ($($(#[$doc:meta])* $name:ident => $words:literal,)*) => {
        /// Something that a search has to have seen, or it has looked at less than it says.
        #[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
        pub enum Sight {
            $(#[doc = $words] $(#[$doc])* $name,)*
        }

        impl Sight {
            /// All of them.
            pub const ALL: &[Sight] = &[$(Sight::$name,)*];
        }

        impl fmt::Display for Sight {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str(match self {
                    $(Sight::$name => $words,)*
                })
            }
        }
    };
}

sights! {
    AnsweredLeader => "tickets are answered Leader",
    AnsweredMinion => "tickets are answered Minion",
    AnsweredStopped => "tickets are answered Stopped",
    AttemptErred => "a claim ends in an error",
    AttemptTimedOut => "a claim times out",
    ClaimDenied => "a unit hears that it was denied",
    CrashedLeader => "a leader crashes",
    CrashedMinion => "a minion crashes",
    DemotedDenied => "a leader is denied",
    DemotedInterrupted => "a leader is granted another term",
    DemotedNotRenewed => "a leader could not renew in time",
    DemotedResigned => "a leader resigns and is drained",
    DemotedStoreFailed => "a tracker finds its store broken",
    Drained => "work has wound down",
    DuplicatedReply => "a reply arrives twice",
    DuplicatedRequest => "a request arrives twice",
    Finished => "a tracker stops",
    LateDenial => "a denial arrives when its attempt is over",
    LateGrant => "a grant arrives when its attempt is over",
    LateReleaseEnd => "the end of a release arrives when nobody waits for it",
    LateWatch => "a watch speaks when it is over",
    Lost => "a message is lost",
    PromotedFirst => "the first unit is promoted",
    PromotedSecond => "the second unit is promoted",
    PromotedThird => "the third unit is promoted",
    Renewed => "a leader is renewed",
    Restarted => "a unit starts again",
    SteppedDown => "a unit is told to step down",
    StoreDenied => "the store denies a claim",
    StoreDeniedOwnGhost => "the store denies a unit what it held before its crash or release",
    StoreGrantedFirst => "the store grants for the first time",
    StoreGrantedGhost => "the store grants to a holder that is no more",
    StoreIgnoredRelease => "the store is asked to release what is another's",
    StoreReleased => "the store releases",
    StoreRenewed => "the store renews",
    TakenOverAfterExpiry => "the lease is taken over after it expired",
    TakenOverAfterRelease => "the lease is taken over after a release",
    ToldToStop => "a unit is told to stop",
    WatchBegunAgain => "a watch that failed is begun again",
    WatchFailed => "a watch ends in an error",
    WatchSpoke => "a watch speaks",
}

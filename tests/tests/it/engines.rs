//! The dependency engines of both runtimes, and the trackers that live in them: one test body for
//! both, through their public doors.

/// Makes a test of each of these functions for each runtime.
macro_rules! on_both {
    ($($test:ident),* $(,)?) => {
        mod on_std {
            $(
                #[test]
                fn $test() {
                    super::$test::<super::super::rig_std::StdRig>();
                }
            )*
        }

        mod on_smol {
            $(
                #[test]
                fn $test() {
                    super::$test::<super::super::rig_smol::SmolRig>();
                }
            )*
        }
    };
}

mod daemon;
mod graphs;
mod holders;
mod play;
mod rig;
mod rig_smol;
mod rig_std;
mod smol_alone;
mod std_alone;
mod store;
mod trackers;
mod workers;

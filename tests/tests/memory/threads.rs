use std::fs;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use tenure_core::TicketKind;
use tenure_runtime::ManualClock;
use tenure_smol::Unblock;
use tenure_testkit::scripted::{Call, Reply, Scripted};

use crate::storms::until;
use crate::tracker::{self, Tracker};

/// The names of all threads of this process.
pub(crate) fn names() -> Vec<String> {
    let tasks = fs::read_dir("/proc/self/task").expect("procfs");
    // A thread may end while it is looked at.
    let name = |task: fs::DirEntry| fs::read_to_string(task.path().join("comm")).ok();
    tasks.filter_map(|task| task.ok().and_then(name)).map(|name| name.trim().to_owned()).collect()
}

pub(crate) fn count() -> usize {
    fs::read_dir("/proc/self/task").expect("procfs").count()
}

/// Brings it about that a claim, a watch and a release hang, and many more are wanted.
fn hang_everything(tracker: &Tracker, claimer: &Scripted, clock: &ManualClock) -> usize {
    let out = |call| until("a call", || claimer.out(call).len() == 1);
    claimer.ignore_cancel();
    out(Call::Claim);
    claimer.finish_one(Call::Claim, Reply::denied());
    out(Call::Released);
    clock.advance(Duration::from_secs(20));
    out(Call::Claim);
    claimer.finish_one(Call::Claim, Reply::granted(1));
    tracker.request(TicketKind::WaitLeader).wait();
    clock.advance(Duration::from_millis(9_500));
    out(Call::Claim);
    let step_down = |tracker: &Tracker| match tracker {
        Tracker::Smol(tracker) => tracker.step_down(Duration::from_secs(1)),
        Tracker::Std(tracker) => tracker.step_down(Duration::from_secs(1)),
    };
    step_down(tracker);
    out(Call::Release);
    let most = (0..60).map(|round| {
        clock.advance(Duration::from_millis(1_700));
        if round % 7 == 0 {
            step_down(tracker);
        }
        thread::sleep(Duration::from_millis(2));
        count()
    });
    let most = most.max().unwrap();
    for call in [Call::Claim, Call::Released, Call::Release] {
        assert_eq!(claimer.out(call).len(), 1, "{call:?}");
    }
    most
}

/// The threads of a leader on std that has had a claim and a watch out at once: the driver's, and
/// the one that stays for the next call.
pub(crate) fn of_an_idle_leader_on_std() {
    no_earlier_ones();
    let clock = Arc::new(ManualClock::new());
    let claimer = Scripted::new(clock.clone());
    let before = count();
    let (tracker, driver) = tracker::std(claimer.clone(), clock.clone());
    let driver = driver.spawn().unwrap();
    let out = |call| until("a call", || claimer.out(call).len() == 1);
    out(Call::Claim);
    claimer.finish_one(Call::Claim, Reply::denied());
    out(Call::Released);
    clock.advance(Duration::from_secs(20));
    out(Call::Claim);
    assert_eq!(count(), before + 3);
    claimer.finish_one(Call::Claim, Reply::granted(1));
    until("one of them stays", || count() == before + 2);
    println!("threads of an idle leader on std: 2");
    claimer.always(Call::Release, Reply::Done);
    tracker.stop().unwrap();
    driver.join().unwrap();
    until("none is left", || count() == before);
}

fn no_earlier_ones() {
    let ours = || names().into_iter().any(|name| name.starts_with("tenure"));
    until("the threads of earlier trackers are gone", || !ours());
}

/// At most the driver's and one for each kind of call, and none when the calls have ended.
pub(crate) fn on_std() {
    no_earlier_ones();
    let clock = Arc::new(ManualClock::new());
    let claimer = Scripted::new(clock.clone());
    let before = count();
    let (tracker, driver) = tracker::std(claimer.clone(), clock.clone());
    let driver = driver.spawn().unwrap();
    let tracker = Tracker::Std(tracker);
    let most = hang_everything(&tracker, &claimer, &clock) - before;
    println!("threads of a tracker on std whose store hangs: {most}");
    assert_eq!(most, 4, "the driver, and one for each kind of call");
    let Tracker::Std(std) = &tracker else { unreachable!("it is") };
    std.kill();
    clock.advance(Duration::from_secs(30));
    until("the tracker ends though they hang", || driver.is_finished());
    driver.join().unwrap();
    until("the driver's is gone", || count() == before + 3);
    claimer.close();
    until("they end with their calls", || count() == before);
}

/// At most one of the pool for each kind of call.
pub(crate) fn on_the_pool_of_smol() {
    let clock = Arc::new(ManualClock::new());
    let claimer = Scripted::new(clock.clone());
    let before = count();
    let (tracker, driver) = tracker::smol(Unblock::new(claimer.clone()), clock.clone());
    let driver = thread::spawn(move || smol::block_on(driver.run()));
    let tracker = Tracker::Smol(tracker);
    let most = hang_everything(&tracker, &claimer, &clock) - before;
    println!(
        "threads of a tracker on smol whose blocking store hangs: {most}, with its executor's"
    );
    assert!(most <= 4, "{most}: the executor's, and one for each kind of call");
    drop(tracker);
    clock.advance(Duration::from_secs(30));
    until("the tracker ends though they hang", || driver.is_finished());
    driver.join().unwrap();
    claimer.close();
    // The pool keeps its threads for the next who needs one.
    let calls = [Call::Claim, Call::Released, Call::Release];
    until("the calls end", || calls.iter().all(|call| claimer.out(*call).is_empty()));
    until("the pool is as it was", || count() <= before + 3);
}

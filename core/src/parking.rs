use alloc::collections::{BTreeMap, VecDeque};
use core::task::Waker;

/// A place where those who wait for the same answer are parked.
///
/// Each gets a [`Slot`]. An [`answer`](Place::answer) is for all that are parked at that moment,
/// and stays until each has taken it or has left; whoever parks later waits for the next one. The
/// memory is linear in those who have not gone, and back at nothing when all have.
///
/// A place has no lock of its own: it lives under that of the driver.
///
/// ```
/// use tenure_core::Place;
///
/// let mut place = Place::new();
/// let early = place.park();
/// place.answer("yes").wake();
/// let late = place.park();
/// assert_eq!(place.take(&early), Some("yes"));
/// assert_eq!(place.take(&late), None);
/// drop(place.leave(&late));
/// assert!(place.is_empty());
/// ```
#[derive(Debug)]
pub struct Place<A> {
    next: u64,
    waiting: BTreeMap<u64, Option<Waker>>,
    /// In the order of their slots, each with somebody who has not taken it yet.
    answers: VecDeque<Answer<A>>,
}

#[derive(Debug)]
struct Answer<A> {
    answer: A,
    /// It is for the slots before this one that are not an earlier answer's.
    before: u64,
    not_taken: usize,
}

/// Where one of those who wait is parked.
#[derive(Debug, Eq, Hash, PartialEq)]
pub struct Slot(u64);

impl<A> Default for Place<A> {
    fn default() -> Place<A> {
        Place::new()
    }
}

impl<A> Place<A> {
    /// An empty place. Allocates nothing.
    pub const fn new() -> Place<A> {
        Place { next: 0, waiting: BTreeMap::new(), answers: VecDeque::new() }
    }

    /// Parks one more.
    pub fn park(&mut self) -> Slot {
        let slot = self.next;
        self.next = slot.saturating_add(1);
        self.waiting.insert(slot, None);
        Slot(slot)
    }

    /// Answers all that are parked. The wakers of those that left one are to be woken, outside of
    /// any lock.
    pub fn answer(&mut self, answer: A) -> Wakers {
        let waiting = core::mem::take(&mut self.waiting);
        if !waiting.is_empty() {
            let (before, not_taken) = (self.next, waiting.len());
            self.answers.push_back(Answer { answer, before, not_taken });
        }
        Wakers(waiting)
    }

    /// Whether the one in `slot` has been answered, and has not taken it yet.
    pub fn is_answered(&self, slot: &Slot) -> bool {
        !self.waiting.contains_key(&slot.0)
    }

    /// Leaves a waker, to be woken with the answer; nothing, if that is there already. Gives back
    /// the earlier waker whose place it takes: to drop a waker can drop a task, and whatever
    /// that owns, so it has to be done outside of any lock.
    #[must_use = "wakers are to be dropped outside of the lock"]
    pub fn set_waker(&mut self, slot: &Slot, waker: &Waker) -> Option<Waker> {
        match self.waiting.get_mut(&slot.0) {
            Some(Some(known)) if known.will_wake(waker) => None,
            Some(known) => known.replace(waker.clone()),
            None => None,
        }
    }

    /// Lets the one in `slot` leave, whether it has been answered or not. It must not have taken
    /// its answer. Gives back its waker, as [`set_waker`](Place::set_waker) does.
    #[must_use = "wakers are to be dropped outside of the lock"]
    pub fn leave(&mut self, slot: &Slot) -> Option<Waker> {
        match self.waiting.remove(&slot.0) {
            Some(waker) => waker,
            None => {
                self.count_taken(slot);
                None
            }
        }
    }

    /// Whether nobody is parked, and nobody has an answer to take.
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty() && self.answers.is_empty()
    }

    /// One fewer has the answer that is for `slot` to take.
    fn count_taken(&mut self, slot: &Slot) {
        let index = self.answers.partition_point(|answer| answer.before <= slot.0);
        if let Some(answer) = self.answers.get_mut(index) {
            answer.not_taken = answer.not_taken.saturating_sub(1);
            if answer.not_taken == 0 {
                self.answers.remove(index);
            }
        }
        if self.answers.is_empty() {
            self.answers.shrink_to_fit();
        }
    }
}

impl<A: Copy> Place<A> {
    /// The answer for `slot`, if it is there, which stays to be taken.
    pub fn peek(&self, slot: &Slot) -> Option<A> {
        if !self.is_answered(slot) {
            return None;
        }
        let index = self.answers.partition_point(|answer| answer.before <= slot.0);
        self.answers.get(index).map(|answer| answer.answer)
    }

    /// The answer for `slot`, if it is there: the slot is done with then.
    pub fn take(&mut self, slot: &Slot) -> Option<A> {
        if !self.is_answered(slot) {
            return None;
        }
        let index = self.answers.partition_point(|answer| answer.before <= slot.0);
        let answer = self.answers.get(index).map(|answer| answer.answer);
        self.count_taken(slot);
        answer
    }
}

/// The wakers of those that have been answered.
#[derive(Debug, Default)]
#[must_use = "those who wait are to be woken"]
pub struct Wakers(BTreeMap<u64, Option<Waker>>);

impl Wakers {
    /// Adds those of another answer of the same place.
    pub fn append(&mut self, mut others: Wakers) {
        self.0.append(&mut others.0);
    }

    /// Wakes them all, in the order in which they were parked.
    pub fn wake(self) {
        self.into_iter().for_each(Waker::wake);
    }
}

/// The wakers, in the order in which their owners were parked.
impl IntoIterator for Wakers {
    type Item = Waker;
    type IntoIter =
        core::iter::Flatten<alloc::collections::btree_map::IntoValues<u64, Option<Waker>>>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_values().flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::sync::Arc;
    use alloc::task::Wake;
    use alloc::vec::Vec;
    use core::sync::atomic::{AtomicUsize, Ordering};

    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn each_takes_the_answer_that_was_given_while_it_was_parked() {
        let mut place = Place::new();
        let first = [place.park(), place.park()];
        place.answer(1).wake();
        let second = [place.park(), place.park()];
        place.answer(2).wake();
        let third = place.park();
        let [a, b] = second;
        assert_eq!(place.take(&a), Some(2));
        let [c, d] = first;
        assert_eq!((place.take(&c), place.take(&d)), (Some(1), Some(1)));
        assert_eq!(place.take(&third), None);
        assert_eq!(place.take(&b), Some(2));
        place.answer(3).wake();
        assert_eq!(place.take(&third), Some(3));
        assert!(place.is_empty());
    }

    #[test]
    fn one_that_leaves_disturbs_nobody() {
        let mut place = Place::new();
        let slots: Vec<Slot> = (0..4).map(|_| place.park()).collect();
        let [before, stays, after, late] = &slots[..] else { unreachable!() };
        assert!(place.leave(before).is_none());
        place.answer('x').wake();
        assert!(place.leave(after).is_none());
        assert_eq!(place.take(stays), Some('x'));
        assert!(!place.is_empty());
        assert!(place.leave(late).is_none());
        assert!(place.is_empty());
    }

    #[test]
    fn who_is_parked_is_answered_with_the_next_answer() {
        let mut place = Place::new();
        let slot = place.park();
        assert!(!place.is_answered(&slot));
        place.answer(()).wake();
        assert!(place.is_answered(&slot));
        assert_eq!(place.take(&slot), Some(()));
    }

    #[test]
    fn wakers_of_several_answers_are_woken_together() {
        let counter = Arc::new(Count::default());
        let mut place = Place::new();
        let mut answer = || {
            let slot = place.park();
            assert!(place.set_waker(&slot, &counter.clone().into()).is_none());
            place.answer(())
        };
        let mut wakers = answer();
        wakers.append(answer());
        wakers.wake();
        assert_eq!(counter.0.load(Ordering::Relaxed), 2);
    }

    #[test]
    fn a_waker_that_is_there_already_stays() {
        let counter = Arc::new(Count::default());
        let mut place: Place<()> = Place::new();
        let slot = place.park();
        let waker = Waker::from(counter);
        assert!(place.set_waker(&slot, &waker).is_none());
        assert!(place.set_waker(&slot, &waker).is_none(), "nothing to be dropped");
    }

    #[test]
    fn the_latest_waker_of_each_is_woken_once() {
        let count = |counter: &Arc<Count>| counter.0.load(Ordering::Relaxed);
        let (old, new, gone) = <(Arc<Count>, Arc<Count>, Arc<Count>)>::default();
        let mut place = Place::new();
        let (slot, leaver) = (place.park(), place.park());
        assert!(place.set_waker(&slot, &old.clone().into()).is_none());
        assert!(place.set_waker(&slot, &new.clone().into()).is_some());
        assert!(place.set_waker(&leaver, &gone.clone().into()).is_none());
        assert!(place.leave(&leaver).is_some());
        place.answer(()).wake();
        assert!(place.set_waker(&slot, &old.clone().into()).is_none());
        assert_eq!((count(&old), count(&new), count(&gone)), (0, 1, 0));
        assert_eq!(Arc::strong_count(&old), 1, "a waker that came too late is dropped");
        assert_eq!(place.take(&slot), Some(()));
    }
}

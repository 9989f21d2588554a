//! A place for one thing, in which the newest wins.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// A slot between a thread that gives and one that takes.
///
/// Frames that wait in a queue are old when they are looked at, and the queue only grows. Here a frame that was not
/// taken in time is replaced, and counted.
#[derive(Debug)]
pub(crate) struct Slot<T> {
    state: Mutex<State<T>>,
    changed: Condvar,
}

#[derive(Debug)]
struct State<T> {
    waiting: Option<T>,
    dropped: u64,
    is_closed: bool,
}

/// What [`Slot::take`] found.
#[derive(Debug, PartialEq)]
pub(crate) struct Taken<T> {
    pub(crate) newest: T,
    /// Things that were replaced before anybody took them, from the start.
    pub(crate) dropped: u64,
}

impl<T> Slot<T> {
    pub(crate) fn new() -> Self {
        let state = State { waiting: None, dropped: 0, is_closed: false };
        Self { state: Mutex::new(state), changed: Condvar::new() }
    }

    /// Replaces what waits. `false`: nobody takes any more.
    pub(crate) fn replace(&self, newest: T) -> bool {
        let mut state = self.lock();
        if state.is_closed {
            return false;
        }
        if state.waiting.replace(newest).is_some() {
            state.dropped += 1;
        }
        self.changed.notify_all();
        true
    }

    /// Waits until nothing waits, and puts `next` there. `false`: nobody takes any more.
    pub(crate) fn hand_over(&self, next: T) -> bool {
        let state = self.lock();
        let state = self.changed.wait_while(state, |state| state.waiting.is_some() && !state.is_closed);
        let mut state = state.unwrap_or_else(PoisonError::into_inner);
        if state.is_closed {
            return false;
        }
        state.waiting = Some(next);
        self.changed.notify_all();
        true
    }

    /// Waits for the newest thing; `None` once it is closed and empty.
    pub(crate) fn take(&self) -> Option<Taken<T>> {
        let state = self.lock();
        let state = self.changed.wait_while(state, |state| state.waiting.is_none() && !state.is_closed);
        let mut state = state.unwrap_or_else(PoisonError::into_inner);
        let newest = state.waiting.take()?;
        self.changed.notify_all();
        Some(Taken { newest, dropped: state.dropped })
    }

    /// Says that nothing more comes, or that nobody takes. What waits can still be taken.
    pub(crate) fn close(&self) {
        self.lock().is_closed = true;
        self.changed.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    #[test]
    fn the_newest_wins_and_the_others_are_counted() {
        let slot = Slot::new();
        assert!([1, 2, 3].into_iter().all(|number| slot.replace(number)));
        assert_eq!(slot.take(), Some(Taken { newest: 3, dropped: 2 }));
        assert!(slot.replace(4));
        slot.close();
        assert!(!slot.replace(5), "nothing is given after the end");
        assert_eq!(slot.take(), Some(Taken { newest: 4, dropped: 2 }));
        assert_eq!(slot.take(), None);
    }

    #[test]
    fn what_is_handed_over_is_never_dropped() {
        let slot = Slot::new();
        thread::scope(|scope| {
            scope.spawn(|| {
                assert!((0..100).all(|number| slot.hand_over(number)));
                slot.close();
            });
            let taken: Vec<i32> = std::iter::from_fn(|| slot.take()).map(|taken| taken.newest).collect();
            assert_eq!(taken, (0..100).collect::<Vec<_>>());
        });
    }

    #[test]
    fn one_who_waits_is_told_that_nobody_takes() {
        let slot = Slot::new();
        assert!(slot.hand_over(1));
        thread::scope(|scope| {
            let waits = scope.spawn(|| slot.hand_over(2));
            slot.close();
            assert!(!waits.join().unwrap());
        });
    }
}

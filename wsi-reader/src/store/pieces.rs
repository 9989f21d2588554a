//! Pieces of an object that were fetched, and those that are on their way.

use std::{
    collections::BTreeMap,
    ops::Range,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
};

/// Pieces of an object, of a limited number of bytes in all: those that were not used for longest make room. A piece that
/// is on its way is waited for, never fetched twice.
#[derive(Debug)]
pub(super) struct Pieces {
    most: u64,
    state: Mutex<State>,
    came: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// By their first byte; none overlaps another.
    held: BTreeMap<u64, Piece>,
    coming: Vec<Range<u64>>,
    bytes: u64,
    /// Number of uses so far.
    uses: u64,
}

#[derive(Debug)]
struct Piece {
    bytes: Arc<Vec<u8>>,
    used: u64,
}

impl Pieces {
    pub(super) fn new(most: u64) -> Self {
        Self { most, state: Mutex::default(), came: Condvar::new() }
    }

    /// Copies the bytes from `at` on, as far as one piece has them; returns their number.
    pub(super) fn copy(&self, at: u64, out: &mut [u8]) -> usize {
        let Some((start, bytes)) = self.lock().piece(at) else { return 0 };
        let from = &bytes[(at - start) as usize..];
        let count = from.len().min(out.len());
        out[..count].copy_from_slice(&from[..count]);
        count
    }

    /// Waits while the byte at `at` is on its way; `false` if it is not.
    pub(super) fn wait_for(&self, at: u64) -> bool {
        let mut state = self.lock();
        let is_coming = state.is_coming(at);
        while state.is_coming(at) {
            state = self.came.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        is_coming
    }

    /// Returns the parts of `wanted` that are neither here nor on their way; the caller must fetch each and hand it to
    /// [`Pieces::put`].
    pub(super) fn claim(&self, wanted: &[Range<u64>]) -> Vec<Range<u64>> {
        let mut state = self.lock();
        let missing: Vec<Range<u64>> = wanted.iter().flat_map(|range| state.missing(range)).collect();
        state.coming.extend(missing.iter().cloned());
        missing
    }

    /// Ends the way of a claimed range; `None`: it could not be fetched.
    pub(super) fn put(&self, range: &Range<u64>, bytes: Option<Vec<u8>>) {
        let mut state = self.lock();
        state.coming.retain(|coming| coming != range);
        if let Some(bytes) = bytes {
            state.insert(range.start, bytes);
            state.make_room(self.most, range.start);
        }
        drop(state);
        self.came.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        super::lock(&self.state)
    }
}

impl State {
    /// The piece that holds the byte at `at`, with its first byte's place.
    fn piece(&mut self, at: u64) -> Option<(u64, Arc<Vec<u8>>)> {
        let (&start, piece) = self.held.range_mut(..=at).next_back()?;
        if start + piece.bytes.len() as u64 <= at {
            return None;
        }
        self.uses += 1;
        piece.used = self.uses;
        Some((start, Arc::clone(&piece.bytes)))
    }

    fn is_coming(&self, at: u64) -> bool {
        self.coming.iter().any(|range| range.contains(&at))
    }

    /// The parts of a range that are neither here nor on their way, in order.
    fn missing(&self, range: &Range<u64>) -> Vec<Range<u64>> {
        let held = self.held.iter().map(|(&start, piece)| start..start + piece.bytes.len() as u64);
        let mut taken: Vec<Range<u64>> = held.chain(self.coming.iter().cloned()).collect();
        taken.sort_unstable_by_key(|taken| taken.start);
        let mut missing = Vec::new();
        let mut from = range.start;
        for taken in taken.iter().filter(|taken| taken.end > range.start && taken.start < range.end) {
            if from < taken.start {
                missing.push(from..taken.start);
            }
            from = from.max(taken.end);
        }
        if from < range.end {
            missing.push(from..range.end);
        }
        missing
    }

    fn insert(&mut self, start: u64, bytes: Vec<u8>) {
        self.uses += 1;
        self.bytes += bytes.len() as u64;
        self.held.insert(start, Piece { bytes: Arc::new(bytes), used: self.uses });
    }

    /// Drops pieces, those first that were not used for longest, but not the newest.
    fn make_room(&mut self, most: u64, newest: u64) {
        while self.bytes > most {
            let others = self.held.iter().filter(|(start, _)| **start != newest);
            let Some((&oldest, _)) = others.min_by_key(|(_, piece)| piece.used) else { return };
            if let Some(piece) = self.held.remove(&oldest) {
                self.bytes -= piece.bytes.len() as u64;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(pieces: &Pieces, range: Range<u64>) {
        for part in pieces.claim(std::slice::from_ref(&range)) {
            let bytes = part.clone().map(|place| place as u8).collect();
            pieces.put(&part, Some(bytes));
        }
    }

    #[test]
    fn only_what_is_missing_is_claimed_and_only_once() {
        let pieces = Pieces::new(1000);
        put(&pieces, 10..20);
        assert_eq!(pieces.claim(&[0..30]), [0..10, 20..30]);
        assert!(pieces.claim(&[0..30]).is_empty());
        pieces.put(&(0..10), None);
        pieces.put(&(20..30), None);
        assert_eq!(pieces.claim(&[5..25, 40..41]), [5..10, 20..25, 40..41]);
    }

    #[test]
    fn bytes_are_copied_from_the_piece_that_has_them() {
        let pieces = Pieces::new(1000);
        put(&pieces, 10..20);
        put(&pieces, 20..30);
        let mut out = [0; 15];
        assert_eq!(pieces.copy(12, &mut out), 8);
        assert_eq!(out[..8], [12, 13, 14, 15, 16, 17, 18, 19]);
        assert_eq!((pieces.copy(9, &mut out), pieces.copy(30, &mut out)), (0, 0));
    }

    #[test]
    fn what_was_not_used_for_longest_makes_room() {
        let pieces = Pieces::new(25);
        put(&pieces, 0..10);
        put(&pieces, 10..20);
        assert_eq!(pieces.copy(0, &mut [0]), 1);
        put(&pieces, 20..30);
        let held = [0, 10, 20].map(|at| pieces.copy(at, &mut [0]));
        assert_eq!(held, [1, 0, 1]);
        put(&pieces, 100..200);
        assert_eq!(pieces.copy(100, &mut [0]), 1, "the newest is never dropped, however long");
    }

    #[test]
    fn a_piece_on_its_way_is_waited_for() {
        let pieces = Pieces::new(1000);
        let claimed = pieces.claim(&[0..10, 10..20]);
        assert!(!pieces.wait_for(20));
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| (pieces.wait_for(15), pieces.copy(15, &mut [0])));
            pieces.put(&claimed[0], None);
            pieces.put(&claimed[1], Some(vec![7; 10]));
            // It may have come before it was waited for.
            assert_eq!(waiting.join().unwrap().1, 1);
        });
    }
}

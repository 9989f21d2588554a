//! The ranges that will be read, in their order, and how they are put together into requests.

use std::{collections::BTreeMap, ops::Range, sync::Mutex};

use super::lock;

/// Bytes between two ranges up to which one request fetches both.
const GAP: u64 = 64 << 10;
/// Largest part of a request that nobody asked for: one sixteenth.
const USEFUL_PER_GAP: u64 = 15;
/// Bytes of one request at most, where it is for several ranges.
const REQUEST: u64 = 2 << 20;
/// Bytes of the requests that are sent at once.
pub(super) const BATCH: u64 = 8 << 20;

/// Ranges in the order in which they will be read.
#[derive(Debug, Default)]
pub(super) struct Ahead {
    order: Vec<Range<u64>>,
    /// Where in the order the range is that begins at a byte; the first where several do.
    places: BTreeMap<u64, usize>,
    asked: Mutex<Asked>,
}

/// Places in the order that were asked for last.
#[derive(Debug, Default)]
struct Asked {
    /// Where the newest batch begins.
    newest: usize,
    /// Where the next one begins; 0 before the first.
    next: usize,
}

impl Ahead {
    pub(super) fn new(ranges: impl Iterator<Item = Range<u64>>) -> Self {
        let order: Vec<Range<u64>> = ranges.filter(|range| !range.is_empty()).collect();
        let mut places = BTreeMap::new();
        for (place, range) in order.iter().enumerate() {
            places.entry(range.start).or_insert(place);
        }
        Self { order, places, asked: Mutex::default() }
    }

    /// The requests that fetch the range with the byte at `at` and those after it, [`BATCH`] bytes in all; `None` if no
    /// range has that byte.
    pub(super) fn batch_at(&self, at: u64) -> Option<Vec<Range<u64>>> {
        let first = self.place_of(at)?;
        let batch = self.batch_from(first);
        let mut asked = lock(&self.asked);
        if first >= asked.newest {
            *asked = Asked { newest: first, next: asked.next.max(first + batch.len()) };
        }
        Some(joined(batch))
    }

    /// The requests of the batch after the newest one, once if that is begun with the byte at `at`: while one is read,
    /// the next comes. None before the first batch.
    pub(super) fn batch_after(&self, at: u64) -> Option<Vec<Range<u64>>> {
        let place = self.place_of(at)?;
        let mut asked = lock(&self.asked);
        if asked.next == 0 || asked.next >= self.order.len() || place < asked.newest {
            return None;
        }
        let batch = self.batch_from(asked.next);
        *asked = Asked { newest: asked.next, next: asked.next + batch.len() };
        Some(joined(batch))
    }

    /// `true` if a range has the byte at `at`.
    pub(super) fn has(&self, at: u64) -> bool {
        self.place_of(at).is_some()
    }

    /// Where in the order a range has the byte at `at`.
    fn place_of(&self, at: u64) -> Option<usize> {
        let (_, &place) = self.places.range(..=at).next_back()?;
        self.order[place].contains(&at).then_some(place)
    }

    /// All requests, batch by batch, if each range is fetched once.
    pub(super) fn requests(&self) -> Vec<Range<u64>> {
        let mut requests = Vec::new();
        let mut first = 0;
        while first < self.order.len() {
            let batch = self.batch_from(first);
            requests.extend(joined(batch));
            first += batch.len();
        }
        requests
    }

    /// The ranges from a place on that one batch has room for, at least one.
    fn batch_from(&self, first: usize) -> &[Range<u64>] {
        let mut bytes = 0;
        let rest = &self.order[first..];
        let fitting = rest.iter().take_while(|range| {
            bytes += range.end - range.start;
            bytes <= BATCH
        });
        &rest[..fitting.count().max(1)]
    }
}

/// Puts ranges together that lie near one another.
fn joined(ranges: &[Range<u64>]) -> Vec<Range<u64>> {
    let mut ranges = ranges.to_vec();
    ranges.sort_unstable_by_key(|range| (range.start, range.end));
    let mut requests: Vec<Request> = Vec::new();
    for range in ranges {
        match requests.last_mut() {
            Some(last) if last.takes(&range) => last.add(&range),
            _ => requests.push(Request { range, gaps: 0 }),
        }
    }
    requests.into_iter().map(|request| request.range).collect()
}

#[derive(Debug)]
struct Request {
    range: Range<u64>,
    /// Bytes of it that nobody asked for.
    gaps: u64,
}

impl Request {
    fn takes(&self, next: &Range<u64>) -> bool {
        let gap = next.start.saturating_sub(self.range.end);
        let bytes = self.range.end.max(next.end) - self.range.start;
        let gaps = self.gaps + gap;
        gap <= GAP && bytes <= REQUEST && gaps * USEFUL_PER_GAP <= bytes - gaps
    }

    fn add(&mut self, next: &Range<u64>) {
        self.gaps += next.start.saturating_sub(self.range.end);
        self.range.end = self.range.end.max(next.end);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_ranges_become_one_request_and_far_ones_do_not() {
        assert_eq!(joined(&[100..200, 0..100, 150..300]), [0..300]);
        assert_eq!(joined(&[0..150_000, 160_000..300_000]), [0..300_000]);
        assert_eq!(joined(&[0..100, 200..300]), [0..100, 200..300], "mostly gap");
        let far = 2 << 20;
        let beyond = far + GAP + 1;
        assert_eq!(joined(&[0..far, beyond..beyond + 9]), [0..far, beyond..beyond + 9]);
        assert_eq!(joined(&[0..REQUEST, REQUEST..REQUEST + 1]), [0..REQUEST, REQUEST..REQUEST + 1]);
    }

    #[test]
    fn at_most_a_sixteenth_of_a_request_is_gap() {
        let ranges: Vec<Range<u64>> = (0..400).map(|i| i * 11_000..i * 11_000 + 10_000).collect();
        let fetched: u64 = joined(&ranges).iter().map(|range| range.end - range.start).sum();
        assert!(fetched > 4_000_000 && fetched * 15 <= 4_000_000 * 16, "{fetched}");
    }

    #[test]
    fn the_next_batch_comes_once_the_newest_is_begun() {
        let mib = 1 << 20;
        let ahead = Ahead::new((0..20).map(|i| i * 2 * mib..(i * 2 + 1) * mib));
        assert!(ahead.batch_after(0).is_none(), "nothing was asked for");
        assert_eq!(ahead.batch_at(0).unwrap().len(), 8);
        let firsts = [0, 2, 14, 16, 16, 30, 32]
            .map(|at| ahead.batch_after(at * mib).map(|batch| batch[0].start / mib));
        assert_eq!(firsts, [Some(16), None, None, Some(32), None, None, None]);
        // What made room for others is asked for again, and changes nothing.
        assert_eq!(ahead.batch_at(2 * mib).unwrap()[0].start, 2 * mib);
        assert!(ahead.batch_after(4 * mib).is_none());
    }

    #[test]
    fn a_batch_begins_with_the_range_that_is_needed() {
        let mib = 1 << 20;
        let ahead = Ahead::new((0..20).map(|i| i * 2 * mib..(i * 2 + 1) * mib));
        let batch = ahead.batch_at(4 * mib + 5).unwrap();
        assert_eq!((batch.len(), batch[0].start), (8, 4 * mib));
        assert!(ahead.batch_at(mib).is_none() && ahead.batch_at(39 * mib).is_none());
        assert_eq!(ahead.batch_at(38 * mib).unwrap(), [38 * mib..39 * mib]);
        assert_eq!(ahead.requests().len(), 20);
        let large = Ahead::new([0..3 * BATCH, 3 * BATCH..3 * BATCH + 1].into_iter());
        assert_eq!(large.batch_at(BATCH).unwrap(), [0..3 * BATCH]);
    }
}

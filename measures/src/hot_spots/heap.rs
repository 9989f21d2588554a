//! Cells that lie at one place, counted together.

use wsi_types::Level0Point;

/// Cells at one place, with their number, which bounds on counts are summed from.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Heap {
    pub(super) at: Level0Point,
    pub(super) cells: u64,
}

/// Cells by place, each place once, from top to bottom.
pub(super) fn heaps(cells: &[Level0Point]) -> Vec<Heap> {
    let mut sorted = cells.to_vec();
    sorted.sort_by(|a, b| a.y.total_cmp(&b.y).then(a.x.total_cmp(&b.x)));
    let same = sorted.chunk_by(|a, b| a == b);
    same.map(|heap| Heap { at: heap[0], cells: heap.len() as u64 }).collect()
}

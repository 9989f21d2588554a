//! Detections on their way, and which of them are tied together.

use wsi_types::{ClassId, Level0Box, Score, WindowIndex};

use crate::place::RawCell;
use crate::sides::Sides;

/// Placed detections in components: a disjoint-set forest whose members are
/// also strung in one ring per component. Places are reused once a component
/// has been taken.
#[derive(Default)]
pub(crate) struct Arena {
    cells: Vec<RawCell>,
    links: Vec<Link>,
    free: Vec<u32>,
}

#[derive(Clone, Copy)]
struct Link {
    parent: u32,
    /// The next member of the component, round and round.
    next: u32,
    /// Of a root: members whose window is not closed.
    open: u32,
    /// Of a root: members.
    size: u32,
}

impl Arena {
    /// Detections it holds.
    pub(crate) fn len(&self) -> usize {
        self.cells.len() - self.free.len()
    }

    /// Adds a detection, tied to nothing yet.
    pub(crate) fn add(&mut self, cell: RawCell) -> u32 {
        let link = |at| Link { parent: at, next: at, open: 1, size: 1 };
        if let Some(at) = self.free.pop() {
            self.cells[at as usize] = cell;
            self.links[at as usize] = link(at);
            return at;
        }
        let at = self.cells.len() as u32;
        self.cells.push(cell);
        self.links.push(link(at));
        at
    }

    pub(crate) fn cell(&self, at: u32) -> &RawCell {
        &self.cells[at as usize]
    }

    fn root(&mut self, mut at: u32) -> u32 {
        while self.links[at as usize].parent != at {
            // Halve the path on the way up.
            let grand = self.links[self.links[at as usize].parent as usize].parent;
            self.links[at as usize].parent = grand;
            at = grand;
        }
        at
    }

    /// Whether `a` and `b` are in one component.
    pub(crate) fn are_united(&mut self, a: u32, b: u32) -> bool {
        self.root(a) == self.root(b)
    }

    /// Makes one component of those of `a` and `b`.
    pub(crate) fn unite(&mut self, a: u32, b: u32) {
        let (a, b) = (self.root(a), self.root(b));
        if a == b {
            return;
        }
        let larger = self.links[a as usize].size >= self.links[b as usize].size;
        let (into, from) = if larger { (a, b) } else { (b, a) };
        let moved = self.links[from as usize];
        let kept = self.links[into as usize];
        self.links[from as usize].parent = into;
        self.links[from as usize].next = kept.next;
        let root = &mut self.links[into as usize];
        root.next = moved.next;
        root.open += moved.open;
        root.size += moved.size;
    }

    /// Notes that no further window can be tied to `at`. Gives `at` back when
    /// this was the last open member of its component.
    pub(crate) fn close(&mut self, at: u32) -> Option<u32> {
        let root = self.root(at);
        let link = &mut self.links[root as usize];
        link.open -= 1;
        (link.open == 0).then_some(at)
    }

    /// Moves the component of `at`, in no particular order, to `out`.
    pub(crate) fn take_component(&mut self, at: u32, out: &mut Vec<RawCell>) {
        out.clear();
        let mut member = at;
        loop {
            out.push(std::mem::replace(&mut self.cells[member as usize], vacant()));
            self.free.push(member);
            member = self.links[member as usize].next;
            if member == at {
                return;
            }
        }
    }
}

/// What stands in a place that is free.
fn vacant() -> RawCell {
    RawCell {
        bbox: Level0Box::zero(),
        class: ClassId(0),
        score: Score::default(),
        outline: None,
        stains: None,
        window: WindowIndex(0),
        cut: Sides::NONE,
    }
}

//! Detections that are not cells yet, in components of those that are tied together.

use crate::place::RawCell;

/// Place of a detection: the slot of its window, and its place among those of that window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct At {
    pub(crate) slot: u32,
    pub(crate) place: u32,
}

/// Placed detections in components. Each member names its component's root, so that it is found in one step;
/// components are a handful of detections, and when two are joined the members of the smaller one get the
/// other's root. Members are linked in one ring.
///
/// Detections of one window lie together, in the order of its index: windows are compared from one end to the
/// other, so detections compared one after the other lie near each other in memory, however many are held. A
/// window's memory is freed with the last of its detections.
#[derive(Default)]
pub(crate) struct Arena {
    /// Detections by slot.
    shelves: Vec<Shelf>,
    held: usize,
}

#[derive(Default)]
struct Shelf {
    cells: Vec<RawCell>,
    links: Vec<Link>,
    /// Number of them that have not been taken.
    held: u32,
}

#[derive(Clone, Copy)]
struct Link {
    root: At,
    /// The next member of the component; after the last comes the first.
    next: At,
    /// For a root: number of members whose window is not closed.
    open: u32,
    /// For a root: number of members.
    size: u32,
}

impl Arena {
    /// An empty arena for the windows of `slots` slots.
    pub(crate) fn new(slots: usize) -> Self {
        Self { shelves: std::iter::repeat_with(Shelf::default).take(slots).collect(), held: 0 }
    }

    /// Detections it holds.
    pub(crate) fn len(&self) -> usize {
        self.held
    }

    /// Takes the detections of a window, tied to nothing yet; their places are
    /// their numbers in `cells`.
    pub(crate) fn add(&mut self, slot: u32, cells: Vec<RawCell>) {
        let count = cells.len() as u32;
        let alone = (0..count).map(|place| At { slot, place });
        let links = alone.map(|at| Link { root: at, next: at, open: 1, size: 1 }).collect();
        self.held += cells.len();
        self.shelves[slot as usize] = Shelf { cells, links, held: count };
    }

    fn cell(&self, at: At) -> &RawCell {
        &self.shelves[at.slot as usize].cells[at.place as usize]
    }

    fn link(&self, at: At) -> &Link {
        &self.shelves[at.slot as usize].links[at.place as usize]
    }

    fn link_mut(&mut self, at: At) -> &mut Link {
        &mut self.shelves[at.slot as usize].links[at.place as usize]
    }

    /// Makes one component of those of `a` and `b`, unless they are one or `are_tied` returns `false`.
    pub(crate) fn unite_if(&mut self, a: At, b: At, are_tied: impl FnOnce(&RawCell, &RawCell) -> bool) {
        let (root_a, root_b) = (self.link(a).root, self.link(b).root);
        if root_a != root_b && are_tied(self.cell(a), self.cell(b)) {
            self.unite(root_a, root_b);
        }
    }

    /// Makes one component of two, given by their roots.
    fn unite(&mut self, a: At, b: At) {
        let larger = self.link(a).size >= self.link(b).size;
        let (into, from) = if larger { (a, b) } else { (b, a) };
        let (kept, moved) = (*self.link(into), *self.link(from));
        let mut member = from;
        loop {
            let link = self.link_mut(member);
            link.root = into;
            member = link.next;
            if member == from {
                break;
            }
        }
        self.link_mut(from).next = kept.next;
        let root = self.link_mut(into);
        root.next = moved.next;
        root.open += moved.open;
        root.size += moved.size;
    }

    /// Notes that no further window can be tied to the detections of `slot`. Adds to `ready` one member of
    /// each component that has no open member left.
    pub(crate) fn close(&mut self, slot: u32, ready: &mut Vec<At>) {
        for place in 0..self.shelves[slot as usize].links.len() as u32 {
            let at = At { slot, place };
            let root = self.link(at).root;
            let link = self.link_mut(root);
            link.open -= 1;
            if link.open == 0 {
                ready.push(at);
            }
        }
    }

    /// Moves the component of `at`, in no particular order, to `out`.
    pub(crate) fn take_component(&mut self, at: At, out: &mut Vec<RawCell>) {
        out.clear();
        let mut member = at;
        loop {
            let shelf = &mut self.shelves[member.slot as usize];
            let place = member.place as usize;
            out.push(shelf.cells[place].lift());
            member = shelf.links[place].next;
            shelf.held -= 1;
            if shelf.held == 0 {
                *shelf = Shelf::default();
            }
            self.held -= 1;
            if member == at {
                return;
            }
        }
    }
}

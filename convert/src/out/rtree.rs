//! The tables of an SQLite R-tree, filled from the leaves up.
//!
//! Cells come along a Hilbert curve, so as many as a node holds make a good leaf, and as many leaves a good node above
//! them: no box is looked for twice, and memory holds one open node per level. SQLite, which places box after box, takes
//! ten times as long. The layout is that of the shadow tables in "The SQLite R*Tree Module" and in `rtree.c`:
//!
//! ```text
//! depth of the tree  u16 big-endian, in the root alone
//! number of entries  u16
//! each entry         id i64, then the sides in the order of the columns, f32
//! ```

use rusqlite::{Connection, Statement, params};

/// Most entries of a node; a page of 4096 bytes would hold more, and SQLite takes no more.
const CAPACITY: usize = 51;
const ENTRY_BYTES: usize = 8 + 4 * 4;
const NODE_BYTES: usize = 4 + CAPACITY * ENTRY_BYTES;
/// Number of the root, in every R-tree.
const ROOT: i64 = 1;

/// A virtual table `rtree(id, min_x, max_x, min_y, max_y)`, made and empty, that is being filled.
pub(super) struct RTree<'a> {
    base: &'a Connection,
    nodes: Statement<'a>,
    /// The leaf of each box.
    leaves: Statement<'a>,
    /// The node above each node.
    parents: Statement<'a>,
    /// The node of each level that is not full, leaves first.
    open: Vec<Node>,
    /// Number of the node that is made last.
    last: i64,
}

struct Node {
    number: i64,
    entries: Vec<Entry>,
}

struct Entry {
    id: i64,
    /// Left, right, top, bottom.
    sides: [f32; 4],
}

impl<'a> RTree<'a> {
    pub(super) fn new(base: &'a Connection) -> rusqlite::Result<Self> {
        Ok(Self {
            base,
            nodes: base.prepare("INSERT OR REPLACE INTO rtree_node VALUES (?1, ?2)")?,
            leaves: base.prepare("INSERT INTO rtree_rowid VALUES (?1, ?2)")?,
            parents: base.prepare("INSERT INTO rtree_parent VALUES (?1, ?2)")?,
            open: Vec::new(),
            last: ROOT,
        })
    }

    /// Adds a box: left, right, top, bottom. Best near the one before.
    pub(super) fn push(&mut self, id: i64, [left, right, top, bottom]: [f64; 4]) -> rusqlite::Result<()> {
        let sides = [rounded_down(left), rounded_up(right), rounded_down(top), rounded_up(bottom)];
        self.add(0, Entry { id, sides })
    }

    fn add(&mut self, level: usize, entry: Entry) -> rusqlite::Result<()> {
        if self.open.get(level).is_some_and(|node| node.entries.len() == CAPACITY) {
            self.close(level)?;
        }
        if level == self.open.len() {
            let node = self.new_node();
            self.open.push(node);
        }
        let node = &mut self.open[level];
        let holders = if level == 0 { &mut self.leaves } else { &mut self.parents };
        holders.execute(params![entry.id, node.number])?;
        node.entries.push(entry);
        Ok(())
    }

    fn new_node(&mut self) -> Node {
        self.last += 1;
        Node { number: self.last, entries: Vec::with_capacity(CAPACITY) }
    }

    /// Writes the open node of a level, adds it to the one above, and opens another.
    fn close(&mut self, level: usize) -> rusqlite::Result<()> {
        let next = self.new_node();
        let node = std::mem::replace(&mut self.open[level], next);
        self.nodes.execute(params![node.number, bytes_of(&node.entries, 0)])?;
        self.add(level + 1, Entry { id: node.number, sides: around(&node.entries) })
    }

    /// Writes what is open; the topmost node becomes the root.
    pub(super) fn finish(mut self) -> rusqlite::Result<()> {
        let mut level = 0;
        while level + 1 < self.open.len() {
            self.close(level)?;
            level += 1;
        }
        let Some(top) = self.open.pop() else { return Ok(()) };
        self.nodes.execute(params![ROOT, bytes_of(&top.entries, level as u16)])?;
        let below = if level == 0 {
            "UPDATE rtree_rowid SET nodeno = ?1 WHERE nodeno = ?2"
        } else {
            "UPDATE rtree_parent SET parentnode = ?1 WHERE parentnode = ?2"
        };
        self.base.execute(below, params![ROOT, top.number]).map(|_| ())
    }
}

fn bytes_of(entries: &[Entry], depth: u16) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(NODE_BYTES);
    bytes.extend(depth.to_be_bytes());
    bytes.extend((entries.len() as u16).to_be_bytes());
    for entry in entries {
        bytes.extend(entry.id.to_be_bytes());
        bytes.extend(entry.sides.iter().flat_map(|side| side.to_be_bytes()));
    }
    bytes.resize(NODE_BYTES, 0);
    bytes
}

/// The sides of the box around all.
fn around(entries: &[Entry]) -> [f32; 4] {
    let outside = [f32::INFINITY, f32::NEG_INFINITY, f32::INFINITY, f32::NEG_INFINITY];
    entries.iter().fold(outside, |[left, right, top, bottom], Entry { sides, .. }| {
        [left.min(sides[0]), right.max(sides[1]), top.min(sides[2]), bottom.max(sides[3])]
    })
}

fn rounded_down(side: f64) -> f32 {
    let near = side as f32;
    if f64::from(near) > side { near.next_down() } else { near }
}

fn rounded_up(side: f64) -> f32 {
    let near = side as f32;
    if f64::from(near) < side { near.next_up() } else { near }
}

#[cfg(test)]
mod tests {
    use rand::{RngExt as _, SeedableRng as _};

    use super::*;

    /// Boxes by chance, in no order: the tree is poor, and must be right all the same.
    fn boxes(count: usize) -> Vec<[f64; 4]> {
        let mut dice = rand_pcg::Pcg64Mcg::seed_from_u64(count as u64);
        let boxes = (0..count).map(|_| {
            let (x, y) = (dice.random_range(0.0..100_000.0), dice.random_range(0.0..100_000.0));
            [x, x + dice.random_range(0.0..40.0), y, y + dice.random_range(0.0..40.0)]
        });
        boxes.collect()
    }

    fn filled(boxes: &[[f64; 4]]) -> Connection {
        let base = Connection::open_in_memory().unwrap();
        base.execute_batch("CREATE VIRTUAL TABLE rtree USING rtree(id, min_x, max_x, min_y, max_y);")
            .unwrap();
        let mut tree = RTree::new(&base).unwrap();
        for (id, &sides) in (1..).zip(boxes) {
            tree.push(id, sides).unwrap();
        }
        tree.finish().unwrap();
        base
    }

    #[test]
    fn sqlite_finds_the_tree_whole_and_each_box_where_it_is() {
        for count in [0, 1, CAPACITY, CAPACITY + 1, CAPACITY * CAPACITY, CAPACITY * CAPACITY + 1, 10_000] {
            let boxes = boxes(count);
            let base = filled(&boxes);
            let said: String = base.query_row("SELECT rtreecheck('rtree')", [], |row| row.get(0)).unwrap();
            assert_eq!(said, "ok", "{count} boxes");
            let (x, y) = (30_000.0, 60_000.0);
            let within = "SELECT count(*) FROM rtree WHERE max_x >= ?1 AND min_x <= ?1 + 20000.0 AND max_y >= ?2 AND \
                          min_y <= ?2 + 20000.0";
            let found: i64 = base.query_row(within, params![x, y], |row| row.get(0)).unwrap();
            let expected = boxes.iter().filter(|[left, right, top, bottom]| {
                *right >= x && *left <= x + 20_000.0 && *bottom >= y && *top <= y + 20_000.0
            });
            assert_eq!(found as usize, expected.count(), "{count} boxes");
        }
    }

    #[test]
    fn sides_are_rounded_outwards() {
        let side = 16_777_217.3;
        assert!(f64::from(rounded_down(side)) <= side && f64::from(rounded_up(side)) >= side);
        assert_eq!((rounded_down(0.5), rounded_up(0.5)), (0.5, 0.5));
    }
}

//! As many pairs as possible, and among those the closest.

use std::{cmp::Ordering, collections::BinaryHeap};

use super::{Candidate, Outcome, Question, Scene};

/// Makes as many pairs as possible among the predictions that take part, and among all such pairings the one
/// of the largest total similarity: an assignment solved by shortest augmenting paths (Jonker and Volgenant,
/// Computing 38, 1987) over the candidate pairs only, cluster by cluster, so that its cost depends on the
/// crowding and not on the size of the slide.
///
/// Predictions left over that lie in a crowd or ignore area are
/// [`Outcome::Ignored`].
#[must_use]
pub fn optimal(scene: Scene<'_>, question: Question<'_>, threshold: f64) -> Vec<Outcome> {
    let pairs = Pairs { scene, question, threshold };
    scene.by_cluster(Outcome::Unasked, |cluster, decided| match *cluster {
        // Most cells have no rival.
        [p] if question.asked[p as usize] => {
            let nearest = pairs.counted(p).min_by_key(|c| (Edges::cost(c.similarity), c.truth));
            decided.push((p, pairs.outcome(p, nearest.map(|c| c.truth))));
        }
        [_] => {}
        _ => {
            let rows: Vec<u32> = cluster.iter().copied().filter(|&p| question.asked[p as usize]).collect();
            let (edges, columns) = Edges::from_rows(rows.iter().map(|&p| pairs.counted(p)));
            let assigned = assign(&edges, columns.len());
            for (p, column) in rows.into_iter().zip(assigned) {
                decided.push((p, pairs.outcome(p, column.map(|column| columns[column as usize]))));
            }
        }
    })
}

/// The pairs of a scene that a question allows.
#[derive(Clone, Copy)]
struct Pairs<'a> {
    scene: Scene<'a>,
    question: Question<'a>,
    threshold: f64,
}

impl<'a> Pairs<'a> {
    /// The truth objects that count and may be matched with prediction `p`.
    fn counted(self, p: u32) -> impl Iterator<Item = &'a Candidate> {
        let pairs = self.scene.candidates.of(p).iter();
        pairs.filter(move |c| !self.question.ignored[c.truth as usize] && self.allows(p, c))
    }

    /// The outcome of prediction `p`, matched with a truth object or with none.
    fn outcome(self, p: u32, matched: Option<u32>) -> Outcome {
        match matched {
            Some(t) => Outcome::Hit(t),
            None if self.excuses(p) => Outcome::Ignored,
            None => Outcome::False,
        }
    }

    fn excuses(self, p: u32) -> bool {
        let mut pairs = self.scene.candidates.of(p).iter();
        pairs.any(|c| self.question.ignored[c.truth as usize] && self.allows(p, c))
    }

    fn allows(self, p: u32, candidate: &Candidate) -> bool {
        self.scene.may_match(p, candidate, self.threshold, self.question.classes)
    }
}

/// A sparse cost matrix, row by row. Costs are whole numbers, so that sums of them are exact and the result
/// does not depend on rounding.
#[derive(Default)]
pub(super) struct Edges {
    ends: Vec<usize>,
    columns: Vec<(u32, i64)>,
}

impl Edges {
    /// Similarity in steps of about 1e-9.
    const STEPS: f64 = (1_u64 << 30) as f64;
    /// Cost of leaving a row alone: more than any path of pairs, so it is the last resort.
    const ALONE: i64 = 1 << 56;

    /// Rows of pairs, and the truth object behind each column, by rising place.
    fn from_rows<'a, Row: Iterator<Item = &'a Candidate>>(
        rows: impl Iterator<Item = Row> + Clone,
    ) -> (Self, Vec<u32>) {
        let mut columns: Vec<u32> = rows.clone().flatten().map(|c| c.truth).collect();
        columns.sort_unstable();
        columns.dedup();
        let mut edges = Self::default();
        for row in rows {
            edges.push_row(row.map(|c| {
                let place = columns.partition_point(|&column| column < c.truth) as u32;
                (place, c.similarity)
            }));
        }
        (edges, columns)
    }

    pub(super) fn push_row(&mut self, row: impl Iterator<Item = (u32, f64)>) {
        self.columns.extend(row.map(|(column, similarity)| (column, Self::cost(similarity))));
        self.ends.push(self.columns.len());
    }

    /// Lower is nearer; IoU 1 and distance 0 need not cost the same.
    pub(super) fn cost(similarity: f64) -> i64 {
        ((1.0 - similarity) * Self::STEPS).round() as i64
    }

    fn row(&self, row: usize) -> &[(u32, i64)] {
        let start = if row == 0 { 0 } else { self.ends[row - 1] };
        &self.columns[start..self.ends[row]]
    }
}

const NOBODY: u32 = u32::MAX;

/// The column of each row in a cheapest assignment.
pub(super) fn assign(edges: &Edges, columns: usize) -> Vec<Option<u32>> {
    let rows = edges.ends.len();
    let mut state = Assignment {
        column_of: vec![NOBODY; rows],
        row_of: vec![NOBODY; columns],
        price: vec![0; columns],
        reached: vec![i64::MAX; columns],
        from: vec![NOBODY; columns],
        settled: vec![false; columns],
    };
    for row in 0..rows as u32 {
        state.place(row, edges);
    }
    state.column_of.into_iter().map(|column| (column != NOBODY).then_some(column)).collect()
}

struct Assignment {
    column_of: Vec<u32>,
    row_of: Vec<u32>,
    /// Dual variable of each column, never positive.
    price: Vec<i64>,
    reached: Vec<i64>,
    from: Vec<u32>,
    settled: Vec<bool>,
}

/// End of a shortest path.
#[derive(Clone, Copy)]
enum End {
    /// At a free column.
    Column(u32),
    /// At a row that gives up its column and stays alone.
    Alone(u32),
}

impl Assignment {
    /// Finds a place for one more row, moving other rows where that is cheaper.
    fn place(&mut self, row: u32, edges: &Edges) {
        let mut touched = Vec::new();
        let (end, length) = self.shortest_path(row, edges, &mut touched);
        for &column in &touched {
            let place = column as usize;
            if self.settled[place] && self.reached[place] < length {
                self.price[place] += self.reached[place] - length;
            }
        }
        self.shift_along(row, end);
        for column in touched {
            self.reached[column as usize] = i64::MAX;
            self.settled[column as usize] = false;
        }
    }

    /// Dijkstra over reduced costs from `start` to the nearest end.
    fn shortest_path(&mut self, start: u32, edges: &Edges, touched: &mut Vec<u32>) -> (End, i64) {
        let mut queue: BinaryHeap<Step> = BinaryHeap::new();
        let mut best = (End::Alone(start), Edges::ALONE);
        let (mut row, mut base) = (start, 0_i64);
        loop {
            for &(column, cost) in edges.row(row as usize) {
                let place = column as usize;
                let length = base + cost - self.price[place];
                if self.settled[place] || length >= self.reached[place] || length >= best.1 {
                    continue;
                }
                if self.reached[place] == i64::MAX {
                    touched.push(column);
                }
                self.reached[place] = length;
                self.from[place] = row;
                queue.push(Step { length, column });
            }
            let Some(step) = self.next_step(&mut queue).filter(|step| step.length < best.1) else {
                return best;
            };
            let place = step.column as usize;
            self.settled[place] = true;
            row = self.row_of[place];
            if row == NOBODY {
                return (End::Column(step.column), step.length);
            }
            base = step.length - (self.own_cost(row, edges) - self.price[place]);
            if base + Edges::ALONE < best.1 {
                best = (End::Alone(row), base + Edges::ALONE);
            }
        }
    }

    fn next_step(&self, queue: &mut BinaryHeap<Step>) -> Option<Step> {
        std::iter::from_fn(|| queue.pop()).find(|step| !self.settled[step.column as usize])
    }

    fn own_cost(&self, row: u32, edges: &Edges) -> i64 {
        let column = self.column_of[row as usize];
        edges.row(row as usize).iter().find(|(c, _)| *c == column).map_or(0, |(_, cost)| *cost)
    }

    /// Gives every row on the path the column before it, ending with `start`.
    fn shift_along(&mut self, start: u32, end: End) {
        let mut column = match end {
            End::Column(column) => column,
            End::Alone(row) => {
                let freed = self.column_of[row as usize];
                self.column_of[row as usize] = NOBODY;
                if row == start {
                    return;
                }
                freed
            }
        };
        loop {
            let row = self.from[column as usize];
            self.row_of[column as usize] = row;
            let before = std::mem::replace(&mut self.column_of[row as usize], column);
            if row == start {
                return;
            }
            column = before;
        }
    }
}

/// A column in the queue, nearest first, then by place.
#[derive(PartialEq, Eq)]
struct Step {
    length: i64,
    column: u32,
}

impl Ord for Step {
    fn cmp(&self, other: &Self) -> Ordering {
        (other.length, other.column).cmp(&(self.length, self.column))
    }
}

impl PartialOrd for Step {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

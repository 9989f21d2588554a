//! Yes/no pictures and what can be done to their shapes.

/// `height` × `width` flags, row by row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Bits {
    pub(crate) width: usize,
    pub(crate) height: usize,
    pub(crate) flags: Vec<bool>,
}

impl Bits {
    pub(crate) fn new(width: usize, height: usize, flag: bool) -> Self {
        Self { width, height, flags: vec![flag; width * height] }
    }

    pub(crate) fn count(&self) -> usize {
        self.flags.iter().filter(|flag| **flag).count()
    }

    pub(crate) fn not(mut self) -> Self {
        self.flags.iter_mut().for_each(|flag| *flag = !*flag);
        self
    }

    /// Clears the flags that `other` has.
    pub(crate) fn without(mut self, other: &Self) -> Self {
        for (flag, &gone) in self.flags.iter_mut().zip(&other.flags) {
            *flag &= !gone;
        }
        self
    }

    /// Returns all places within `radius` px (Euclidean) of a flag.
    pub(crate) fn dilated(&self, radius: f64) -> Self {
        if radius < 1.0 || self.flags.is_empty() {
            return self.clone();
        }
        let distances: Vec<u16> = self.flags.chunks(self.width).flat_map(distances_along).collect();
        let reach = (radius.floor() as usize).min(self.height - 1);
        let mut out = Self::new(self.width, self.height, false);
        for (y, line) in out.flags.chunks_mut(self.width).enumerate() {
            for from in y.saturating_sub(reach)..=(y + reach).min(self.height - 1) {
                let dy = y.abs_diff(from) as f64;
                let half = (radius * radius - dy * dy).max(0.0).sqrt() as u16;
                for (flag, &distance) in line.iter_mut().zip(&distances[from * self.width..]) {
                    *flag |= distance <= half;
                }
            }
        }
        out
    }

    /// Returns all places further than `radius` px from any unset place. Places outside the picture count as
    /// set.
    pub(crate) fn eroded(&self, radius: f64) -> Self {
        self.clone().not().dilated(radius).not()
    }

    /// Closes gaps narrower than twice the radius.
    pub(crate) fn closed(&self, radius: f64) -> Self {
        self.dilated(radius).eroded(radius)
    }

    /// Removes parts thinner than twice the radius.
    pub(crate) fn opened(&self, radius: f64) -> Self {
        self.eroded(radius).dilated(radius)
    }

    /// Removes pieces (8-connected) of fewer than `area` px.
    pub(crate) fn without_specks(mut self, area: f64) -> Self {
        let pieces = self.pieces(true);
        for piece in pieces.into_iter().filter(|piece| (piece.places.len() as f64) < area) {
            piece.places.into_iter().for_each(|place| self.flags[place as usize] = false);
        }
        self
    }

    /// Fills holes (4-connected, not open to the border) of at most `area` px.
    pub(crate) fn with_holes_filled(mut self, area: f64) -> Self {
        let holes = self.pieces(false);
        for hole in holes.into_iter().filter(|hole| !hole.at_border && hole.places.len() as f64 <= area) {
            hole.places.into_iter().for_each(|place| self.flags[place as usize] = true);
        }
        self
    }

    /// Returns the connected pieces of set (8-connected) or unset (4-connected) places.
    fn pieces(&self, set: bool) -> Vec<Piece> {
        let mut seen = vec![false; self.flags.len()];
        let mut pieces = Vec::new();
        for start in 0..self.flags.len() {
            if self.flags[start] == set && !seen[start] {
                pieces.push(self.piece(start, set, &mut seen));
            }
        }
        pieces
    }

    fn piece(&self, start: usize, set: bool, seen: &mut [bool]) -> Piece {
        let mut piece = Piece { places: vec![start as u32], at_border: false };
        seen[start] = true;
        let mut next = 0;
        while let Some(&place) = piece.places.get(next) {
            next += 1;
            let (x, y) = (place as usize % self.width, place as usize / self.width);
            piece.at_border |= x == 0 || y == 0 || x + 1 == self.width || y + 1 == self.height;
            for ny in y.saturating_sub(1)..=(y + 1).min(self.height - 1) {
                for nx in x.saturating_sub(1)..=(x + 1).min(self.width - 1) {
                    let beside = set || nx == x || ny == y;
                    let neighbour = ny * self.width + nx;
                    if beside && self.flags[neighbour] == set && !seen[neighbour] {
                        seen[neighbour] = true;
                        piece.places.push(neighbour as u32);
                    }
                }
            }
        }
        piece
    }
}

struct Piece {
    /// Indices of places in the flags; masks are far smaller than 2^32 px.
    places: Vec<u32>,
    at_border: bool,
}

/// Returns the px to the nearest flag of the same row.
fn distances_along(line: &[bool]) -> Vec<u16> {
    let mut distances = vec![u16::MAX; line.len()];
    note_steps(distances.iter_mut().zip(line));
    note_steps(distances.iter_mut().zip(line).rev());
    distances
}

/// Lowers each distance to the number of steps since the last flag.
fn note_steps<'a>(line: impl Iterator<Item = (&'a mut u16, &'a bool)>) {
    let mut since = u16::MAX;
    for (distance, &flag) in line {
        since = if flag { 0 } else { since.saturating_add(1) };
        *distance = since.min(*distance);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    impl Bits {
        fn from_fn(width: usize, height: usize, mark: impl Fn(usize, usize) -> bool) -> Self {
            let places = (0..height).flat_map(|y| (0..width).map(move |x| (x, y)));
            Self { width, height, flags: places.map(|(x, y)| mark(x, y)).collect() }
        }
    }

    fn bits(picture: &[&str]) -> Bits {
        Bits::from_fn(picture[0].len(), picture.len(), |x, y| picture[y].as_bytes()[x] == b'#')
    }

    #[test]
    fn holes_are_filled_unless_open_or_large() {
        let ring = bits(&["######.", "#..#.#.", "#..###.", "####...", "#.#####"]);
        let filled = bits(&["######.", "#..###.", "#..###.", "####...", "#.#####"]);
        assert_eq!(ring.clone().with_holes_filled(3.0), filled);
        let all = bits(&["######.", "######.", "######.", "####...", "#.#####"]);
        assert_eq!(ring.with_holes_filled(4.0), all);
    }

    #[test]
    fn specks_go_and_diagonals_hold_together() {
        let specks = bits(&["#....", ".#..#", "..#..", "....."]);
        assert_eq!(specks.clone().without_specks(3.0), bits(&["#....", ".#...", "..#..", "....."]));
        assert_eq!(specks.without_specks(4.0).count(), 0);
    }

    #[test]
    fn closing_bridges_gaps_and_keeps_borders() {
        let gap = bits(&["###..###", "###..###", "###..###"]);
        assert_eq!(gap.closed(1.0).count(), 24);
        assert_eq!(gap.opened(2.0).count(), 18);
    }

    fn places(bits: &Bits) -> impl Iterator<Item = (usize, usize)> {
        let width = bits.width;
        (0..bits.height).flat_map(move |y| (0..width).map(move |x| (x, y)))
    }

    /// `true` for neighbours: over corners too where places are set.
    fn are_neighbours(a: (usize, usize), b: (usize, usize), set: bool) -> bool {
        let (dx, dy) = (a.0.abs_diff(b.0), a.1.abs_diff(b.1));
        if set { dx.max(dy) == 1 } else { dx + dy == 1 }
    }

    /// Labels of all places, each lowered to the least of its neighbours of the same kind.
    fn spread_once(bits: &Bits, set: bool, labels: &[usize]) -> Vec<usize> {
        let kind: Vec<_> =
            places(bits).zip(labels).zip(&bits.flags).filter(|(_, flag)| **flag == set).collect();
        places(bits)
            .zip(labels)
            .map(|(here, &own)| {
                let near = kind.iter().filter(|((there, _), _)| are_neighbours(here, *there, set));
                near.map(|((_, label), _)| **label).fold(own, usize::min)
            })
            .collect()
    }

    /// Pieces by labels that spread until none changes: their places, and `true` if one lies at the border.
    fn spread_labels(bits: &Bits, set: bool) -> Vec<(Vec<u32>, bool)> {
        let mut labels: Vec<usize> = (0..bits.flags.len()).collect();
        for _ in 0..bits.flags.len() {
            labels = spread_once(bits, set, &labels);
        }
        let mut pieces = vec![(Vec::new(), false); bits.flags.len()];
        for (place, (x, y)) in places(bits).enumerate().filter(|(place, _)| bits.flags[*place] == set) {
            let (members, at_border) = &mut pieces[labels[place]];
            members.push(place as u32);
            *at_border |= [0, bits.width - 1].contains(&x) || [0, bits.height - 1].contains(&y);
        }
        pieces.retain(|(members, _)| !members.is_empty());
        pieces
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn pieces_are_those_that_labels_spread_over(
            flags in proptest::collection::vec(prop::bool::weighted(0.55), 7 * 6), set: bool,
        ) {
            let bits = Bits { width: 7, height: 6, flags };
            let found = bits.pieces(set).into_iter().map(|mut piece| {
                piece.places.sort_unstable();
                (piece.places, piece.at_border)
            });
            prop_assert_eq!(found.collect::<Vec<_>>(), spread_labels(&bits, set));
        }
    }

    proptest! {
        #[test]
        fn dilation_is_the_union_of_discs(
            flags in proptest::collection::vec(prop::bool::weighted(0.1), 12 * 9), radius in 0.0..6.0f64,
        ) {
            let bits = Bits { width: 12, height: 9, flags };
            let slow = Bits::from_fn(12, 9, |x, y| (0..9usize).any(|fy| (0..12usize).any(|fx| {
                let (dx, dy) = (x.abs_diff(fx) as f64, y.abs_diff(fy) as f64);
                bits.flags[fy * 12 + fx] && (dx * dx + dy * dy).sqrt() <= radius
            })));
            prop_assert_eq!(bits.dilated(radius), slow);
        }
    }
}

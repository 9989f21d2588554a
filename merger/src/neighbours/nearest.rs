//! The nearest neighbours of one cell.

use super::{
    definitions::{COMPARED, NEAR_UM},
    grid::{Disc, Entry, Grid, Label},
    surroundings::Surroundings,
};

/// A neighbour as a number, which is smaller for the nearer one and, of two at one distance, for the one further up in the
/// list: the bits of the square of the distance, and its label.
type Near = u128;

fn near(square_um2: f64, label: Label) -> Near {
    // Floats that are not negative are in the order of their bits.
    u128::from(square_um2.to_bits()) << Label::BITS | u128::from(label.number())
}

fn distance_um(near: Near) -> f32 {
    f64::from_bits((near >> Label::BITS) as u64).sqrt() as f32
}

/// Most neighbours that are put in order by comparing all pairs of them.
const MOST_SORTED: usize = 32;

/// The nearest neighbours of a cell, nearest first; of one cell after the other in the same memory.
#[derive(Debug)]
pub(super) struct Nearest {
    found: Vec<Near>,
    sorted: [Near; MOST_SORTED],
    /// Number of those compared, by class.
    by_class: Vec<u8>,
    /// What a class adds to the entropy, by the number of its cells.
    parts: [f64; COMPARED + 1],
}

impl Nearest {
    pub(super) fn new(classes: usize) -> Self {
        let mut parts = [0.0; COMPARED + 1];
        for (part, count) in parts.iter_mut().zip(0_u8..).skip(1) {
            let share = f64::from(count) / COMPARED as f64;
            *part = -share * share.ln();
        }
        Self { found: Vec::new(), sorted: [0; MOST_SORTED], by_class: vec![0; classes], parts }
    }

    /// Finds those of `middle`, up to [`COMPARED`], which has `near` neighbours within [`NEAR_UM`] and from which
    /// `around` was looked at.
    pub(super) fn find(&mut self, middle: &Entry, grid: &Grid, around: &Surroundings<'_>, near: u32) {
        let likely_um = likely_reach_um(near);
        self.gather_near(around, middle.label, likely_um);
        let mut radius_um = likely_um;
        while self.found.len() < COMPARED && radius_um < NEAR_UM {
            radius_um = (1.3 * radius_um).min(NEAR_UM);
            self.gather_near(around, middle.label, radius_um);
        }
        let mut disc = Disc::new(middle.at, NEAR_UM);
        while self.found.len() < COMPARED && !grid.lies_within(&disc) {
            disc = disc.doubled();
            self.gather(&disc, middle, grid);
        }
        self.sort();
    }

    fn gather_near(&mut self, around: &Surroundings<'_>, middle: Label, radius_um: f64) {
        self.found.clear();
        around.for_each_within(radius_um, middle, |square_um2, label| self.add(square_um2, label));
    }

    fn add(&mut self, square_um2: f64, label: Label) {
        self.found.push(near(square_um2, label));
    }

    fn gather(&mut self, disc: &Disc, middle: &Entry, grid: &Grid) {
        self.found.clear();
        grid.for_each_within(disc, |label, square_um2| {
            if label != middle.label {
                self.add(square_um2, label);
            }
        });
    }

    /// Puts the first ones in order.
    fn sort(&mut self) {
        if self.found.len() > MOST_SORTED {
            self.found.select_nth_unstable(COMPARED - 1);
            self.found.truncate(COMPARED);
        }
        // For so few it is quicker to compare all pairs than to sort, where each branch may go either way.
        let mut places = [0_u8; MOST_SORTED];
        for (at, near) in (0_u8..).zip(&self.found) {
            let others = &self.found[..usize::from(at)];
            let mut nearer = 0_u8;
            for (other, place) in others.iter().zip(&mut places) {
                let is_nearer = u8::from(other < near);
                // Cannot run over: there are few.
                nearer = nearer.wrapping_add(is_nearer);
                *place = place.wrapping_sub(is_nearer);
            }
            // Of those before, and of those after as they come: all but the ones that are nearer than they are.
            places[usize::from(at)] = nearer.wrapping_add((self.found.len() as u8).wrapping_sub(at + 1));
        }
        for (&near, place) in self.found.iter().zip(places) {
            self.sorted[usize::from(place)] = near;
        }
        self.found.truncate(COMPARED);
    }

    /// Distance to the nearest, the second nearest and so on, from 1; µm.
    pub(super) fn distance_um(&self, number: usize) -> Option<f32> {
        (number <= self.found.len()).then(|| distance_um(self.sorted[number - 1]))
    }

    /// Entropy of their classes, nats.
    pub(super) fn class_entropy(&mut self) -> Option<f32> {
        if self.found.len() < COMPARED {
            return None;
        }
        self.by_class.fill(0);
        for &near in &self.sorted[..COMPARED] {
            self.by_class[usize::from(near as u16)] += 1;
        }
        let parts = self.by_class.iter().map(|&count| self.parts[usize::from(count)]);
        Some(parts.sum::<f64>().max(0.0) as f32)
    }
}

/// A radius in which [`COMPARED`] neighbours lie as a rule, and not many more, where `near` lie within [`NEAR_UM`], µm.
fn likely_reach_um(near: u32) -> f64 {
    // Where so many are expected, a few in a hundred places have too few.
    let expected = 1.7 * COMPARED as f64;
    NEAR_UM * (expected / f64::from(near).max(expected)).sqrt()
}

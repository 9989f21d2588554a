//! The nearest neighbours of one cell.

use wsi_types::ClassId;

use super::{
    definitions::{COMPARED, NEAR_UM},
    grid::{Entry, Grid},
};

/// A neighbour, ordered by distance, then by its place in the list.
#[derive(Debug, Clone, Copy)]
struct Near {
    square_um2: f64,
    rank: u32,
    class: ClassId,
}

impl Near {
    const NONE: Self = Self { square_um2: f64::INFINITY, rank: u32::MAX, class: ClassId(0) };

    fn is_before(&self, other: &Self) -> bool {
        self.square_um2 < other.square_um2 || self.square_um2 == other.square_um2 && self.rank < other.rank
    }
}

/// The nearest neighbours of a cell, up to [`COMPARED`], nearest first.
#[derive(Debug)]
pub(super) struct Nearest {
    found: [Near; COMPARED],
    count: usize,
}

impl Nearest {
    /// Finds those of `middle`, and adds its neighbours within [`NEAR_UM`] to `near`, by class.
    pub(super) fn of(middle: &Entry, grid: &Grid, near: &mut [u32]) -> Self {
        let mut nearest = Self { found: [Near::NONE; COMPARED], count: 0 };
        grid.for_each_within(middle, NEAR_UM, |entry, square_um2| {
            if entry.rank != middle.rank {
                near[usize::from(entry.class.0)] += 1;
                nearest.offer(Near { square_um2, rank: entry.rank, class: entry.class });
            }
        });
        let mut radius_um = NEAR_UM;
        while nearest.count < COMPARED && !grid.lies_within(middle, radius_um) {
            radius_um *= 2.0;
            nearest = Self { found: [Near::NONE; COMPARED], count: 0 };
            grid.for_each_within(middle, radius_um, |entry, square_um2| {
                if entry.rank != middle.rank {
                    nearest.offer(Near { square_um2, rank: entry.rank, class: entry.class });
                }
            });
        }
        nearest
    }

    fn offer(&mut self, near: Near) {
        if !near.is_before(&self.found[COMPARED - 1]) {
            return;
        }
        self.count = (self.count + 1).min(COMPARED);
        let mut at = self.count - 1;
        while at > 0 && near.is_before(&self.found[at - 1]) {
            self.found[at] = self.found[at - 1];
            at -= 1;
        }
        self.found[at] = near;
    }

    /// Distance to the nearest, the second nearest and so on, from 1; µm.
    pub(super) fn distance_um(&self, number: usize) -> Option<f32> {
        (number <= self.count).then(|| self.found[number - 1].square_um2.sqrt() as f32)
    }

    /// Entropy of their classes, nats.
    pub(super) fn class_entropy(&self) -> Option<f32> {
        if self.count < COMPARED {
            return None;
        }
        let mut classes = self.found.map(|near| near.class);
        classes.sort_unstable();
        let shares = classes.chunk_by(|a, b| a == b).map(|same| same.len() as f64 / COMPARED as f64);
        Some(shares.map(|share| -share * share.ln()).sum::<f64>().max(0.0) as f32)
    }
}

//! The nearest neighbours of one cell.

use super::{
    definitions::{COMPARED, NEAR_UM},
    grid::{Disc, Entry, Grid},
};

/// A neighbour as a number, which is smaller for the nearer one and, of two at one distance, for the one further up in the list:
/// the bits of the square of the distance, its place in the list, and its class.
type Near = u128;

const RANK_BITS: u32 = 32;
const CLASS_BITS: u32 = 16;

fn near(square_um2: f64, entry: &Entry) -> Near {
    // Floats that are not negative are in the order of their bits.
    let square = u128::from(square_um2.to_bits()) << (RANK_BITS + CLASS_BITS);
    square | u128::from(entry.rank) << CLASS_BITS | u128::from(entry.class.0)
}

fn distance_um(near: Near) -> f32 {
    f64::from_bits((near >> (RANK_BITS + CLASS_BITS)) as u64).sqrt() as f32
}

/// The nearest neighbours of a cell, nearest first; of one cell after the other in the same memory.
#[derive(Debug, Default)]
pub(super) struct Nearest {
    found: Vec<Near>,
}

impl Nearest {
    /// Finds those of `middle`, up to [`COMPARED`], which has `near` neighbours within [`NEAR_UM`].
    pub(super) fn find(&mut self, middle: &Entry, grid: &Grid, near: u32) {
        let mut radius_um = likely_reach_um(near);
        loop {
            let disc = Disc::new(middle.at, radius_um);
            self.gather(&disc, middle, grid);
            if self.found.len() >= COMPARED || grid.lies_within(&disc) {
                break;
            }
            radius_um *= 2.0;
        }
        if self.found.len() > COMPARED {
            self.found.select_nth_unstable(COMPARED - 1);
            self.found.truncate(COMPARED);
        }
        self.found.sort_unstable();
    }

    fn gather(&mut self, disc: &Disc, middle: &Entry, grid: &Grid) {
        self.found.clear();
        grid.for_each_within(disc, |entry, square_um2| {
            if entry.rank != middle.rank {
                self.found.push(near(square_um2, &entry));
            }
        });
    }

    /// Distance to the nearest, the second nearest and so on, from 1; µm.
    pub(super) fn distance_um(&self, number: usize) -> Option<f32> {
        self.found.get(number - 1).map(|&near| distance_um(near))
    }

    /// Entropy of their classes, nats.
    pub(super) fn class_entropy(&self) -> Option<f32> {
        if self.found.len() < COMPARED {
            return None;
        }
        let mut classes = [0_u16; COMPARED];
        for (class, &near) in classes.iter_mut().zip(&self.found) {
            *class = near as u16;
        }
        classes.sort_unstable();
        let shares = classes.chunk_by(|a, b| a == b).map(|same| same.len() as f64 / COMPARED as f64);
        Some(shares.map(|share| -share * share.ln()).sum::<f64>().max(0.0) as f32)
    }
}

/// A radius in which [`COMPARED`] neighbours lie as a rule, and not many more, where `near` lie within [`NEAR_UM`], µm.
fn likely_reach_um(near: u32) -> f64 {
    // Where so many are expected, a few in a hundred places have too few.
    let expected = 1.7 * COMPARED as f64;
    NEAR_UM * (expected / f64::from(near).max(expected)).sqrt()
}

//! Objects as numbers: a map in which the places of an object have its number, and 0 is none.

use std::collections::BTreeMap;

use wsi_types::WindowBox;

use crate::{parts::Run, yolo::segment::Mask};

/// An instance in a map of numbers, by the rectangle around it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Object {
    pub(crate) number: u32,
    left: usize,
    top: usize,
    /// Behind the last column and row.
    right: usize,
    bottom: usize,
    /// Places of a row of the map.
    stride: usize,
}

impl Object {
    /// All instances within `runs`, in the order of their first places.
    pub(crate) fn all(numbers: &[u32], runs: &[Run], stride: usize) -> Vec<Self> {
        let mut all: Vec<Self> = Vec::new();
        let mut known = BTreeMap::new();
        for found in runs.iter().flat_map(|run| Self::within(run, numbers, stride)) {
            let place = *known.entry(found.number).or_insert(all.len());
            match all.get_mut(place) {
                Some(object) => object.widen(&found),
                None => all.push(found),
            }
        }
        all
    }

    /// The parts of instances in a run.
    fn within(run: &Run, numbers: &[u32], stride: usize) -> impl Iterator<Item = Self> {
        let (top, mut right) = (run.start / stride, run.start % stride);
        let parts = numbers[run.places()].chunk_by(|a, b| a == b).map(move |part| {
            let left = right;
            right += part.len();
            Self { number: part[0], left, top, right, bottom: top + 1, stride }
        });
        parts.filter(|part| part.number != 0)
    }

    fn widen(&mut self, run: &Self) {
        self.left = self.left.min(run.left);
        self.right = self.right.max(run.right);
        self.bottom = run.bottom;
    }

    pub(crate) fn bbox(&self) -> WindowBox {
        let [left, top, right, bottom] = [self.left, self.top, self.right, self.bottom].map(|px| px as f32);
        WindowBox::new(euclid::point2(left, top), euclid::point2(right, bottom))
    }

    /// Places of its rectangle, row by row.
    fn frame(self) -> impl Iterator<Item = usize> {
        let rows = (self.top..self.bottom).map(move |row| row * self.stride);
        rows.flat_map(move |start| start + self.left..start + self.right)
    }

    pub(crate) fn places(self, numbers: &[u32]) -> impl Iterator<Item = usize> {
        self.frame().filter(move |&place| numbers[place] == self.number)
    }

    /// Its outline runs half-way between the centres of its places and of those around it.
    pub(crate) fn mask(self, numbers: &[u32]) -> Mask {
        let field =
            self.frame().map(|place| if numbers[place] == self.number { 1.0 } else { -1.0 }).collect();
        let (width, height) = (self.right - self.left, self.bottom - self.top);
        Mask { left: self.left, top: self.top, width, height, field }
    }
}

//! Label maps: objects made inside the graph, as the number of the object at each place (InstanSeg, and others that are
//! exported with what they do after the network).
//!
//! `[B, K, H, W]`, a map for each class, or `[B, H, W]` for one class. 0 is no object; the numbers of a map say which places
//! belong together and nothing else: gaps between them mean nothing, and maps of two classes may have the same ones. The
//! model gives no score, so that of each object is 1.
//!
//! An object is the largest part of its number, the first of equals: specks that lie apart are what is left of a cell under
//! another one, and an outline is one ring. Numbers that lie in several large parts again and again are no label map but,
//! say, one numbered piece by piece: each would be one cell where there are two or more, and the window is refused.

use std::collections::BTreeMap;

use wsi_types::Score;

use crate::{
    Manifest, WindowFault,
    objects::Object,
    parts::{Parts, Run},
    yolo::{Candidate, Instances, TensorView, nms},
};

/// Rule that makes instances of the label maps of a window.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct LabelRule {
    /// Index of the map of each class.
    channels: Vec<usize>,
}

impl LabelRule {
    /// The rule of a model with a head of labels; `None` for others.
    pub(crate) fn of(manifest: &Manifest) -> Option<Self> {
        manifest.labels.as_ref().map(|labels| Self { channels: labels.channels.clone() })
    }

    /// The instances of the window at `place`, of `size` (width, height) px, by their place from the top, each with its
    /// mask.
    ///
    /// # Errors
    ///
    /// [`WindowFault`] when the maps have another shape, or numbers that cannot be.
    pub(crate) fn instances(
        &self,
        output: &TensorView<'_>,
        place: usize,
        size: (usize, usize),
    ) -> Result<Instances, WindowFault> {
        let maps = self.maps(output, place, size)?;
        let mut each = Vec::new();
        for (class, &channel) in self.channels.iter().enumerate() {
            let map = &maps[channel * size.0 * size.1..][..size.0 * size.1];
            let (numbers, runs) = largest_parts(numbers(map)?, size.0)?;
            for object in Object::all(&numbers, &runs, size.0) {
                let (bbox, anchor) = (object.bbox(), object.number);
                let candidate = Candidate { bbox, score: Score::ONE, class: class as u16, anchor };
                each.push((candidate, Some(object.mask(&numbers))));
            }
        }
        // Stable: of two in one box, the one that begins first stays first.
        each.sort_by(|(a, _), (b, _)| nms::best_first(a, b));
        Ok(Instances { each, is_full: false })
    }

    /// The maps of the window at `place`, one after the other: one number per px each.
    fn maps<'a>(
        &self,
        output: &TensorView<'a>,
        place: usize,
        (width, height): (usize, usize),
    ) -> Result<&'a [f32], WindowFault> {
        let maps = self.channels.iter().max().map_or(0, |last| last + 1);
        match output.window(place) {
            Some((&[rows, columns], values)) if maps == 1 && (rows, columns) == (height, width) => Ok(values),
            Some((&[found, rows, columns], values))
                if found >= maps && (rows, columns) == (height, width) =>
            {
                Ok(values)
            }
            _ => Err(output
                .fault(format!("[batch, {maps}, {height}, {width}], a place for each px of the window"))),
        }
    }
}

/// Numbers of objects of a map.
fn numbers(map: &[f32]) -> Result<Vec<u32>, WindowFault> {
    map.iter().map(|&number| object_number(number)).collect()
}

fn object_number(number: f32) -> Result<u32, WindowFault> {
    // From here on not every whole number is an f32: two objects could have one number.
    const END: f32 = 16_777_216.0;
    if number.fract() == 0.0 && (0.0..END).contains(&number) {
        Ok(number as u32)
    } else {
        Err(WindowFault::ObjectNumber { number })
    }
}

/// Parts of a number.
#[derive(Debug, Clone, Copy)]
struct Largest {
    part: usize,
    /// Places of the largest part, and of the next.
    size: usize,
    next: usize,
}

impl Largest {
    fn take(&mut self, part: usize, size: usize) {
        if size > self.size {
            *self = Self { part, size, next: self.size };
        } else {
            self.next = self.next.max(size);
        }
    }

    /// `true` if the next is no speck beside the largest.
    fn is_repeated(&self) -> bool {
        2 * self.next >= self.size
    }
}

/// A map that has the largest part of each number alone, in rows of `width`, and its runs; numbers are those of parts.
///
/// # Errors
///
/// [`WindowFault::NumbersRepeat`] where numbers name several objects.
fn largest_parts(mut numbers: Vec<u32>, width: usize) -> Result<(Vec<u32>, Vec<Run>), WindowFault> {
    let parts = Parts::of_numbers(&numbers, width);
    let mut largest: BTreeMap<u32, Largest> = BTreeMap::new();
    for (part, size) in parts.sizes().into_iter().enumerate().filter(|&(_, size)| size > 0) {
        let number = numbers[parts.runs()[part].start];
        largest.entry(number).or_insert(Largest { part, size: 0, next: 0 }).take(part, size);
    }
    refuse_repeated(largest.values())?;
    let mut kept = Vec::with_capacity(parts.runs().len());
    for run in parts.runs() {
        let is_largest = largest[&numbers[run.start]].part == run.part;
        // Numbers of parts count from 0, which is no object.
        numbers[run.places()].fill(if is_largest { run.part as u32 + 1 } else { 0 });
        kept.extend(is_largest.then_some(*run));
    }
    Ok((numbers, kept))
}

/// Refuses a map in which several numbers, and more than a tenth of all, lie in several large parts.
fn refuse_repeated<'a>(all: impl ExactSizeIterator<Item = &'a Largest>) -> Result<(), WindowFault> {
    const FEW: usize = 2;
    let numbers = all.len();
    let repeated = all.filter(|largest| largest.is_repeated()).count();
    if repeated > FEW && 10 * repeated > numbers {
        return Err(WindowFault::NumbersRepeat { repeated, numbers });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use wsi_types::WindowBox;

    use super::*;
    use crate::yolo::outline::outline;

    fn rule(channels: &[usize]) -> LabelRule {
        LabelRule { channels: channels.to_vec() }
    }

    /// Corners and class of each object, and the px of its mask.
    fn found(
        rule: &LabelRule,
        shape: &[usize],
        data: &[f32],
    ) -> Result<Vec<([f32; 4], u16, usize)>, WindowFault> {
        let (width, height) = (shape[shape.len() - 1], shape[shape.len() - 2]);
        let found = rule.instances(&TensorView { name: "labels", shape, data }, 0, (width, height))?;
        assert!(!found.is_full && found.each.iter().all(|(candidate, _)| candidate.score == Score::ONE));
        let rows =
            found.each.iter().map(|(Candidate { bbox: WindowBox { min, max, .. }, class, .. }, mask)| {
                let px = mask.as_ref().unwrap().field.iter().filter(|&&value| value > 0.0).count();
                ([min.x, min.y, max.x, max.y], *class, px)
            });
        Ok(rows.collect())
    }

    fn digits(rows: &[&str]) -> Vec<f32> {
        rows.concat().bytes().map(|digit| f32::from(digit - b'0')).collect()
    }

    #[test]
    fn each_number_is_an_object_and_those_that_touch_stay_two() {
        let map = digits(&["0110770", "0110777", "0111000", "0000003"]);
        let expected = [([1., 0., 4., 3.], 0, 7), ([4., 0., 7., 2.], 0, 5), ([6., 3., 7., 4.], 0, 1)];
        assert_eq!(found(&rule(&[0]), &[1, 4, 7], &map).unwrap(), expected);
        assert_eq!(found(&rule(&[0]), &[1, 1, 4, 7], &map).unwrap(), expected);
        assert_eq!(found(&rule(&[0]), &[1, 4, 7], &[0.0; 28]).unwrap(), []);
    }

    #[test]
    fn each_class_has_a_map_and_numbers_of_its_own() {
        let maps = [digits(&["110", "110"]), digits(&["111", "002"])].concat();
        let nucleus = ([0., 0., 2., 2.], 0, 4);
        let cells = [([0., 0., 3., 1.], 1, 3), ([2., 1., 3., 2.], 1, 1)];
        let expected = [cells[0], nucleus, cells[1]];
        assert_eq!(found(&rule(&[0, 1]), &[1, 2, 2, 3], &maps).unwrap(), expected);
        let alone = found(&rule(&[0]), &[1, 2, 2, 3], &maps).unwrap();
        assert_eq!(alone, [nucleus]);
        assert!(matches!(found(&rule(&[2]), &[1, 2, 2, 3], &maps), Err(WindowFault::Shape { .. })));
    }

    #[test]
    fn specks_that_lie_apart_are_left_out() {
        let map = digits(&["1110001", "1110000", "0000000"]);
        assert_eq!(found(&rule(&[0]), &[1, 3, 7], &map).unwrap(), [([0., 0., 3., 2.], 0, 6)]);
        // A corner joins nothing; the first of equals stays.
        let map = digits(&["20", "02"]);
        assert_eq!(found(&rule(&[0]), &[1, 2, 2], &map).unwrap(), [([0., 0., 1., 1.], 0, 1)]);
    }

    /// Numbered piece by piece: every number names two cells.
    #[test]
    fn numbers_that_name_several_objects_are_a_fault() {
        let rows = ["1010220", "1010000", "3303304"];
        let fault = found(&rule(&[0]), &[1, 3, 7], &digits(&rows));
        assert!(fault.is_ok(), "two of four may be cells under others: {fault:?}");
        let map = digits(&["10102020", "10102020", "33033044", "00000000"]);
        let fault = found(&rule(&[0]), &[1, 4, 8], &map).unwrap_err();
        assert_eq!(fault, WindowFault::NumbersRepeat { repeated: 3, numbers: 4 });
        assert!(fault.breaks_contract());
    }

    #[test]
    fn what_is_no_number_of_an_object_is_a_fault() {
        for number in [0.5, -1.0, f32::INFINITY, 16_777_216.0] {
            let fault = found(&rule(&[0]), &[1, 1, 2], &[1.0, number]).unwrap_err();
            assert_eq!(fault, WindowFault::ObjectNumber { number });
        }
        assert!(found(&rule(&[0]), &[1, 1, 2], &[1.0, f32::NAN]).is_err());
        assert_eq!(found(&rule(&[0]), &[1, 1, 2], &[16_777_215.0, 0.0]).unwrap().len(), 1);
    }

    /// Places of the largest part of a number, by walking from each place to its neighbours.
    fn largest_slowly(map: &[u32], width: usize, number: u32) -> usize {
        let mut left: Vec<bool> = map.iter().map(|&other| other == number).collect();
        let mut largest = 0;
        for start in 0..map.len() {
            let (mut due, mut size) = (vec![start], 0);
            while let Some(place) = due.pop() {
                if !std::mem::take(&mut left[place]) {
                    continue;
                }
                size += 1;
                let column = place % width;
                due.extend((column > 0).then(|| place - 1));
                due.extend((column + 1 < width).then_some(place + 1));
                due.extend(place.checked_sub(width));
                due.extend(Some(place + width).filter(|&below| below < map.len()));
            }
            largest = largest.max(size);
        }
        largest
    }

    proptest! {
        /// Two numbers cannot repeat often enough to be refused.
        #[test]
        fn each_object_has_the_px_of_the_largest_part_and_a_ring_in_its_box(
            map in proptest::collection::vec(0u32..3, 9 * 7),
        ) {
            let values: Vec<f32> = map.iter().map(|&number| number as f32).collect();
            let view = TensorView { name: "labels", shape: &[1, 7, 9], data: &values };
            let found = rule(&[0]).instances(&view, 0, (9, 7)).unwrap().each;
            let mut sizes = Vec::new();
            for (candidate, mask) in &found {
                let mask = mask.as_ref().unwrap();
                sizes.push(mask.field.iter().filter(|&&value| value > 0.0).count());
                let ring = outline(mask, 0.0).unwrap();
                prop_assert!(ring.iter().all(|point| candidate.bbox.contains_inclusive(*point)));
            }
            sizes.sort_unstable();
            let mut expected: Vec<usize> =
                [1, 2].into_iter().map(|number| largest_slowly(&map, 9, number)).filter(|&size| size > 0).collect();
            expected.sort_unstable();
            prop_assert_eq!(sizes, expected);
        }
    }
}

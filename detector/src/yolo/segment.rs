//! The segment head: masks from prototypes, as in YOLACT (Bolya et al. 2019).
//!
//! A mask is a weighted sum of the M prototypes, weights being the answer's coefficients; a pixel belongs
//! to the object where the sum is positive. Prototypes are `H/4 × W/4`. The sums are enlarged bilinearly
//! (samples at pixel centres, borders repeated) and *then* cut to the box and compared with 0, at the
//! window's full resolution: what Ultralytics calls `retina_masks`. Cutting first, on the prototypes' grid,
//! costs nuclei of 20 px up to 4 px of their border.

use fearless_simd::{Level, Simd, SimdBase, SimdFrom, dispatch, f32x8};
use wsi_types::WindowBox;

use super::{TensorView, detect::all_finite};
use crate::WindowFault;

/// Cells that are added up at once.
const LANES: usize = 8;

/// The prototypes of one window: `[M, rows, columns]`.
#[derive(Debug, Clone)]
pub struct Prototypes<'a> {
    values: &'a [f32],
    rows: usize,
    columns: usize,
    /// Places of the window's pixels on them.
    across: Vec<Tap>,
    down: Vec<Tap>,
}

impl<'a> Prototypes<'a> {
    /// Prototypes of the window at `place` in the batch, of `width` × `height` px.
    ///
    /// # Errors
    ///
    /// [`WindowFault::Shape`] unless the tensor is `[batch, coefficients, rows, columns]`.
    pub fn new(
        tensor: &TensorView<'a>,
        place: usize,
        coefficients: usize,
        (width, height): (usize, usize),
    ) -> Result<Self, WindowFault> {
        match tensor.window(place) {
            Some((&[m, rows, columns], values)) if m == coefficients && rows > 0 && columns > 0 => {
                let (across, down) = (Tap::of_pixels(width, columns), Tap::of_pixels(height, rows));
                Ok(Self { values, rows, columns, across, down })
            }
            _ => Err(tensor.fault(format!("[batch, {coefficients}, rows, columns]"))),
        }
    }

    /// The mask of one object; `weights` are its coefficients.
    ///
    /// # Errors
    ///
    /// [`WindowFault::NotFinite`] when a number that counts is NaN or infinite.
    pub fn mask(&self, weights: &[f32], bbox: &WindowBox) -> Result<Mask, WindowFault> {
        let mut room = MaskRoom::default();
        self.draw(Level::new(), weights, bbox, &mut room)?;
        Ok(room.mask)
    }

    /// The same, in the room of the mask before, with vector instructions of some kind.
    ///
    /// # Errors
    ///
    /// As [`mask`](Self::mask).
    pub(crate) fn draw(
        &self,
        level: Level,
        weights: &[f32],
        bbox: &WindowBox,
        room: &mut MaskRoom,
    ) -> Result<(), WindowFault> {
        if !all_finite(weights) {
            return Err(WindowFault::NotFinite { part: "mask coefficients" });
        }
        let MaskRoom { sums, widened, mask } = room;
        let x = pixel_range(bbox.min.x, bbox.max.x, self.across.len());
        let y = pixel_range(bbox.min.y, bbox.max.y, self.down.len());
        (mask.left, mask.top, mask.width, mask.height) = (x.start, y.start, x.len(), y.len());
        mask.field.clear();
        let (across, down) = (&self.across[x], &self.down[y]);
        let (Some(columns), Some(rows)) = (Span::new(across), Span::new(down)) else { return Ok(()) };
        dispatch!(level, simd => {
            self.weighted_sum(simd, weights, columns, rows, sums);
            enlarge(sums, (across, columns), (down, rows), widened, &mut mask.field);
        });
        if all_finite(sums) { Ok(()) } else { Err(WindowFault::NotFinite { part: "prototypes" }) }
    }

    /// The weighted prototypes over the cells of some columns and rows, row by row.
    #[inline(always)]
    fn weighted_sum<S: Simd>(
        &self,
        simd: S,
        weights: &[f32],
        columns: Span,
        rows: Span,
        sums: &mut Vec<f32>,
    ) {
        sums.clear();
        let size = self.rows * self.columns;
        for row in rows.first..rows.first + rows.len {
            let start = row * self.columns + columns.first;
            let mut done = 0;
            // Eight take no longer than one: cells past the last are added up too, where there are some, and left out.
            while done < columns.len && start + done + LANES <= size {
                let mut sum = f32x8::splat(simd, 0.0);
                for (plane, &weight) in self.values.chunks_exact(size).zip(weights) {
                    let Some(&cells) = plane[start + done..].first_chunk::<LANES>() else { break };
                    sum += f32x8::simd_from(simd, cells) * weight;
                }
                let wanted = LANES.min(columns.len - done);
                sums.extend_from_slice(&sum.as_slice()[..wanted]);
                done += wanted;
            }
            for cell in start + done..start + columns.len {
                let planes = self.values.chunks_exact(size).zip(weights);
                sums.push(planes.fold(0.0, |sum, (plane, &weight)| sum + weight * plane[cell]));
            }
        }
    }
}

/// A mask, and the room in which it was made, for many in turn.
#[derive(Debug, Default)]
pub(crate) struct MaskRoom {
    pub(crate) mask: Mask,
    sums: Vec<f32>,
    widened: Vec<f32>,
}

/// Interpolates rows of cells at every pixel of some columns and rows.
#[inline(always)]
fn enlarge(
    cells: &[f32],
    (across, columns): (&[Tap], Span),
    (down, rows): (&[Tap], Span),
    widened: &mut Vec<f32>,
    field: &mut Vec<f32>,
) {
    // Along the rows first: each widened row serves every pixel row between two cells.
    widened.clear();
    for row in cells.chunks_exact(columns.len) {
        widened.extend(
            across
                .iter()
                .map(|tap| mix(row[tap.low - columns.first], row[tap.high - columns.first], tap.share)),
        );
    }
    for row in down {
        let [above, below] =
            [row.low, row.high].map(|i| &widened[(i - rows.first) * across.len()..][..across.len()]);
        field.extend(above.iter().zip(below).map(|(&upper, &lower)| mix(upper, lower, row.share)));
    }
}

#[inline(always)]
fn mix(a: f32, b: f32, share: f32) -> f32 {
    a + (b - a) * share
}

/// The pixels of one axis that a box covers: those whose near corner is in it, cut at the window.
fn pixel_range(min: f32, max: f32, size: usize) -> std::ops::Range<usize> {
    // `as` takes negative numbers to 0 and large ones to the end.
    let start = (min.ceil() as usize).min(size);
    start..(max.ceil() as usize).clamp(start, size)
}

/// Place of a pixel on one axis of the prototypes' grid: two neighbouring cells, and the share of the second.
#[derive(Debug, Clone, Copy)]
struct Tap {
    low: usize,
    high: usize,
    share: f32,
}

impl Tap {
    /// Those of all pixels of an axis.
    fn of_pixels(size: usize, cells: usize) -> Vec<Self> {
        let scale = cells as f32 / size as f32;
        let last = cells - 1;
        let each = (0..size).map(|pixel| {
            let at = ((pixel as f32 + 0.5) * scale - 0.5).clamp(0.0, last as f32);
            let low = at as usize;
            Self { low, high: (low + 1).min(last), share: at - low as f32 }
        });
        each.collect()
    }
}

/// Cells of one axis that some pixels touch.
#[derive(Debug, Clone, Copy)]
struct Span {
    first: usize,
    len: usize,
}

impl Span {
    /// `None` of no pixel.
    fn new(taps: &[Tap]) -> Option<Self> {
        let (first, last) = (taps.first()?.low, taps.last()?.high);
        Some(Self { first, len: last - first + 1 })
    }
}

/// Mask of one object in its box: a number for each pixel, larger where it more surely belongs to the object.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Mask {
    /// Column of the first pixel, window px.
    pub left: usize,
    /// Row of the first pixel, window px.
    pub top: usize,
    /// Pixels per row.
    pub width: usize,
    /// Rows.
    pub height: usize,
    /// `height × width`, row by row; positive inside the object.
    pub field: Vec<f32>,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::yolo::levels;

    /// Of the window, px.
    const SIZE: (usize, usize) = (8, 8);

    fn bbox(x0: f32, y0: f32, x1: f32, y1: f32) -> WindowBox {
        WindowBox::new(euclid::point2(x0, y0), euclid::point2(x1, y1))
    }

    fn tensor<'a>(shape: &'a [usize], data: &'a [f32]) -> TensorView<'a> {
        TensorView { name: "output1", shape, data }
    }

    #[test]
    fn a_ramp_is_enlarged_between_cell_centres() {
        // One prototype of 2 × 4 cells for 8 × 16 px: cell centres at 2, 6, 10, 14 px.
        let data = [0.0, 4.0, 8.0, 12.0, 0.0, 4.0, 8.0, 12.0];
        let prototypes = Prototypes::new(&tensor(&[1, 1, 2, 4], &data), 0, 1, (16, 8)).unwrap();
        let mask = prototypes.mask(&[1.0], &bbox(0.0, 3.0, 16.0, 4.0)).unwrap();
        assert_eq!((mask.left, mask.top, mask.width, mask.height), (0, 3, 16, 1));
        let expected = [0.0, 0.0, 0.5, 1.5, 2.5, 3.5, 4.5, 5.5, 6.5, 7.5, 8.5, 9.5, 10.5, 11.5, 12.0, 12.0];
        assert_eq!(mask.field, expected);
    }

    #[test]
    fn weights_add_up_and_the_box_cuts() {
        let data = [vec![1.0; 4], vec![10.0; 4]].concat();
        let prototypes = Prototypes::new(&tensor(&[1, 2, 2, 2], &data), 0, 2, SIZE).unwrap();
        let mask = prototypes.mask(&[2.0, -1.0], &bbox(-5.0, 2.5, 3.0, 99.0)).unwrap();
        assert_eq!((mask.left, mask.top, mask.width, mask.height), (0, 3, 3, 5));
        assert!(mask.field.iter().all(|&value| value == -8.0));
        let outside = prototypes.mask(&[1.0, 1.0], &bbox(20.0, 20.0, 30.0, 30.0)).unwrap();
        assert!(outside.field.is_empty());
    }

    #[test]
    fn wrong_shapes_and_numbers_are_faults() {
        let data = [1.0, f32::NAN, 1.0, 1.0];
        assert!(Prototypes::new(&tensor(&[1, 1, 2, 2], &data), 0, 2, SIZE).is_err());
        assert!(Prototypes::new(&tensor(&[1, 1, 2, 2], &data), 1, 1, SIZE).is_err());
        assert!(Prototypes::new(&tensor(&[1, 4], &data), 0, 1, SIZE).is_err());
        let prototypes = Prototypes::new(&tensor(&[1, 1, 2, 2], &data), 0, 1, SIZE).unwrap();
        let whole = bbox(0.0, 0.0, 8.0, 8.0);
        let fault = |part| Err(WindowFault::NotFinite { part });
        assert_eq!(prototypes.mask(&[1.0], &whole), fault("prototypes"));
        assert_eq!(prototypes.mask(&[f32::INFINITY], &whole), fault("mask coefficients"));
    }

    proptest! {
        /// Cells are added up eight by eight, and that must not show: neither at the borders nor in small maps.
        #[test]
        fn eight_cells_at_once_give_what_one_by_one_gives(
            (rows, columns) in (1_usize..6, 1_usize..30),
            corners in (0f32..1.0, 0f32..1.0, 0f32..1.0, 0f32..1.0),
            seed in any::<u32>(),
        ) {
            let number = |i: usize| (i as u32).wrapping_mul(2_654_435_761).wrapping_add(seed) as f32 / 4e9 - 0.5;
            let data: Vec<f32> = (0..3 * rows * columns).map(number).collect();
            let weights = [number(91), number(92), number(93)];
            let (width, height) = (columns * 4, rows * 4);
            let shape = [1, 3, rows, columns];
            let view = tensor(&shape, &data);
            let prototypes = Prototypes::new(&view, 0, 3, (width, height)).unwrap();
            let [x0, x1] = [corners.0.min(corners.1), corners.0.max(corners.1)].map(|x| x * width as f32);
            let [y0, y1] = [corners.2.min(corners.3), corners.2.max(corners.3)].map(|y| y * height as f32);
            let cell = |row: usize, column: usize| {
                let planes = data.chunks_exact(rows * columns).zip(&weights);
                planes.fold(0.0, |sum, (plane, weight)| sum + weight * plane[row * columns + column])
            };
            for level in levels::all() {
                let mut room = MaskRoom::default();
                prototypes.draw(level, &weights, &bbox(x0, y0, x1, y1), &mut room).unwrap();
                let mask = room.mask;
                for (place, value) in mask.field.iter().enumerate() {
                    let (x, y) = (mask.left + place % mask.width, mask.top + place / mask.width);
                    let (across, down) = (&prototypes.across[x], &prototypes.down[y]);
                    let [above, below] = [down.low, down.high]
                        .map(|row| mix(cell(row, across.low), cell(row, across.high), across.share));
                    prop_assert_eq!(value.to_bits(), mix(above, below, down.share).to_bits(), "{:?}", level);
                }
            }
        }
    }
}

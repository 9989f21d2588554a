//! The segment head: masks from prototypes, as in YOLACT (Bolya et al. 2019).
//!
//! A mask is a weighted sum of the M prototypes, weights being the answer's coefficients; a pixel belongs
//! to the object where the sum is positive. Prototypes are `H/4 × W/4`. The sums are enlarged bilinearly
//! (samples at pixel centres, borders repeated) and *then* cut to the box and compared with 0, at the
//! window's full resolution: what Ultralytics calls `retina_masks`. Cutting first, on the prototypes' grid,
//! costs nuclei of 20 px up to 4 px of their border.

use wsi_types::WindowBox;

use super::{TensorView, detect::all_finite};
use crate::WindowFault;

/// The prototypes of one window: `[M, rows, columns]`.
#[derive(Debug, Clone, Copy)]
pub struct Prototypes<'a> {
    values: &'a [f32],
    rows: usize,
    columns: usize,
}

impl<'a> Prototypes<'a> {
    /// Prototypes of the window at `place` in the batch.
    ///
    /// # Errors
    ///
    /// [`WindowFault::Shape`] unless the tensor is `[batch, coefficients, rows, columns]`.
    pub fn new(tensor: &TensorView<'a>, place: usize, coefficients: usize) -> Result<Self, WindowFault> {
        match tensor.window(place) {
            Some((&[m, rows, columns], values)) if m == coefficients && rows > 0 && columns > 0 => {
                Ok(Self { values, rows, columns })
            }
            _ => Err(tensor.fault(format!("[batch, {coefficients}, rows, columns]"))),
        }
    }

    /// The mask of one object in a window of `width` × `height` px; `weights` are its coefficients.
    ///
    /// # Errors
    ///
    /// [`WindowFault::NotFinite`] when a number that counts is NaN or infinite.
    pub fn mask(
        &self,
        weights: &[f32],
        bbox: &WindowBox,
        width: usize,
        height: usize,
    ) -> Result<Mask, WindowFault> {
        if !all_finite(weights) {
            return Err(WindowFault::NotFinite { part: "mask coefficients" });
        }
        let x = PixelRange::new(bbox.min.x, bbox.max.x, width);
        let y = PixelRange::new(bbox.min.y, bbox.max.y, height);
        let across = Samples::new(&x, width, self.columns);
        let down = Samples::new(&y, height, self.rows);
        let sums = self.weighted_sum(weights, &across, &down);
        if !all_finite(&sums) {
            return Err(WindowFault::NotFinite { part: "prototypes" });
        }
        // Along the rows first: each widened row serves every pixel row between two cells.
        let widened = across.widen(&sums);
        let mut field = Vec::with_capacity(x.len * y.len);
        for row in &down.taps {
            let [above, below] = [row.low, row.high].map(|i| &widened[i * x.len..][..x.len]);
            field.extend(above.iter().zip(below).map(|(&upper, &lower)| mix(upper, lower, row.share)));
        }
        Ok(Mask { left: x.start, top: y.start, width: x.len, height: y.len, field })
    }

    /// The weighted prototypes over the cells that the samples touch, row by row.
    fn weighted_sum(&self, weights: &[f32], across: &Samples, down: &Samples) -> Vec<f32> {
        let mut sums = vec![0.0; across.span * down.span];
        let planes = self.values.chunks_exact(self.rows * self.columns);
        for (plane, &weight) in planes.zip(weights) {
            for (row, sums) in sums.chunks_exact_mut(across.span.max(1)).enumerate() {
                let cells = &plane[(down.first + row) * self.columns + across.first..][..sums.len()];
                for (sum, &cell) in sums.iter_mut().zip(cells) {
                    *sum += weight * cell;
                }
            }
        }
        sums
    }
}

fn mix(a: f32, b: f32, share: f32) -> f32 {
    a + (b - a) * share
}

/// The pixels of one axis that a box covers: those whose near corner is in it, cut at the window.
struct PixelRange {
    start: usize,
    len: usize,
}

impl PixelRange {
    fn new(min: f32, max: f32, size: usize) -> Self {
        // `as` takes negative numbers to 0 and large ones to the end.
        let start = (min.ceil() as usize).min(size);
        let end = (max.ceil() as usize).clamp(start, size);
        Self { start, len: end - start }
    }
}

/// Places of the pixels of one axis on the prototypes' grid.
struct Samples {
    /// The first cell touched, and the number of cells from there on.
    first: usize,
    span: usize,
    /// Cells of each pixel.
    taps: Vec<Tap>,
}

/// Two neighbouring cells, counted from the first touched, and the share of the second.
struct Tap {
    low: usize,
    high: usize,
    share: f32,
}

impl Samples {
    fn new(pixels: &PixelRange, size: usize, cells: usize) -> Self {
        let scale = cells as f32 / size as f32;
        let last = cells - 1;
        let mut taps: Vec<Tap> = (pixels.start..pixels.start + pixels.len)
            .map(|pixel| {
                let at = ((pixel as f32 + 0.5) * scale - 0.5).clamp(0.0, last as f32);
                let low = at as usize;
                Tap { low, high: (low + 1).min(last), share: at - low as f32 }
            })
            .collect();
        let first = taps.first().map_or(0, |tap| tap.low);
        let span = taps.last().map_or(0, |tap| tap.high - first + 1);
        for tap in &mut taps {
            tap.low -= first;
            tap.high -= first;
        }
        Self { first, span, taps }
    }

    /// `rows` of `span` cells each, interpolated at every pixel.
    fn widen(&self, rows: &[f32]) -> Vec<f32> {
        let mut widened = Vec::with_capacity(rows.len() / self.span.max(1) * self.taps.len());
        for row in rows.chunks_exact(self.span.max(1)) {
            widened.extend(self.taps.iter().map(|tap| mix(row[tap.low], row[tap.high], tap.share)));
        }
        widened
    }
}

/// Mask of one object in its box: a number for each pixel, larger where it more surely belongs to the object.
#[derive(Debug, Clone, PartialEq)]
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
    use super::*;

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
        let prototypes = Prototypes::new(&tensor(&[1, 1, 2, 4], &data), 0, 1).unwrap();
        let mask = prototypes.mask(&[1.0], &bbox(0.0, 3.0, 16.0, 4.0), 16, 8).unwrap();
        assert_eq!((mask.left, mask.top, mask.width, mask.height), (0, 3, 16, 1));
        let expected = [0.0, 0.0, 0.5, 1.5, 2.5, 3.5, 4.5, 5.5, 6.5, 7.5, 8.5, 9.5, 10.5, 11.5, 12.0, 12.0];
        assert_eq!(mask.field, expected);
    }

    #[test]
    fn weights_add_up_and_the_box_cuts() {
        let data = [vec![1.0; 4], vec![10.0; 4]].concat();
        let prototypes = Prototypes::new(&tensor(&[1, 2, 2, 2], &data), 0, 2).unwrap();
        let mask = prototypes.mask(&[2.0, -1.0], &bbox(-5.0, 2.5, 3.0, 99.0), 8, 8).unwrap();
        assert_eq!((mask.left, mask.top, mask.width, mask.height), (0, 3, 3, 5));
        assert!(mask.field.iter().all(|&value| value == -8.0));
        let outside = prototypes.mask(&[1.0, 1.0], &bbox(20.0, 20.0, 30.0, 30.0), 8, 8).unwrap();
        assert!(outside.field.is_empty());
    }

    #[test]
    fn wrong_shapes_and_numbers_are_faults() {
        let data = [1.0, f32::NAN, 1.0, 1.0];
        assert!(Prototypes::new(&tensor(&[1, 1, 2, 2], &data), 0, 2).is_err());
        assert!(Prototypes::new(&tensor(&[1, 1, 2, 2], &data), 1, 1).is_err());
        assert!(Prototypes::new(&tensor(&[1, 4], &data), 0, 1).is_err());
        let prototypes = Prototypes::new(&tensor(&[1, 1, 2, 2], &data), 0, 1).unwrap();
        let whole = bbox(0.0, 0.0, 8.0, 8.0);
        let fault = |part| Err(WindowFault::NotFinite { part });
        assert_eq!(prototypes.mask(&[1.0], &whole, 8, 8), fault("prototypes"));
        assert_eq!(prototypes.mask(&[f32::INFINITY], &whole, 8, 8), fault("mask coefficients"));
    }
}

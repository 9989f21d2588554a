//! A small grey picture of a field, by which moves of the stage are told.

use wsi_types::RgbBuffer;

/// Longest side, px.
const LONGEST: u32 = 256;

/// Grey values of a field, averaged over squares.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Thumbnail {
    width: usize,
    height: usize,
    /// Field px per px, on both axes.
    step: usize,
    /// Row by row, 0 to 255.
    grey: Vec<f32>,
}

impl Thumbnail {
    /// Takes the upper left `size` px of `field`.
    pub(crate) fn new(field: &RgbBuffer, size: (u32, u32)) -> Self {
        let step = size.0.max(size.1).div_ceil(LONGEST).max(1) as usize;
        let [width, height] = [size.0, size.1].map(|side| side as usize / step);
        let mut grey = Vec::with_capacity(width * height);
        let mut sums = vec![0_u32; width];
        for row in 0..height {
            sums.fill(0);
            for y in row * step..(row + 1) * step {
                add_row(field.row(y), step, &mut sums);
            }
            let scale = 1.0 / (4 * step * step) as f32;
            grey.extend(sums.iter().map(|&sum| sum as f32 * scale));
        }
        Self { width, height, step, grey }
    }

    pub(crate) fn size(&self) -> (usize, usize) {
        (self.width, self.height)
    }

    /// Field px per px, on both axes.
    pub(crate) fn step(&self) -> f64 {
        self.step as f64
    }

    pub(crate) fn grey(&self) -> &[f32] {
        &self.grey
    }

    /// Correlation of this picture with `later`, whose content lies `dx`, `dy` px further, where both overlap: 1 for
    /// the same picture in any light, 0 for pictures that have nothing in common. `None`: less than `least` of the
    /// picture overlaps, or one of them has no content there.
    pub(crate) fn correlation(&self, later: &Self, dx: i64, dy: i64, least: f64) -> Option<f64> {
        let (width, height) = (self.width as i64 - dx.abs(), self.height as i64 - dy.abs());
        if width <= 0 || height <= 0 || ((width * height) as f64) < least * self.grey.len() as f64 {
            return None;
        }
        let width = width as usize;
        let (left, later_left) = ((-dx).max(0) as usize, dx.max(0) as usize);
        let (top, later_top) = ((-dy).max(0) as usize, dy.max(0) as usize);
        let mut sums = Sums::default();
        for row in 0..height as usize {
            let own = &self.grey[(top + row) * self.width + left..][..width];
            let other = &later.grey[(later_top + row) * self.width + later_left..][..width];
            sums.add(own, other);
        }
        sums.correlation()
    }
}

/// Adds four times the grey of one row of px to the squares it belongs to.
fn add_row(row: &[u8], step: usize, sums: &mut [u32]) {
    for (square, sum) in row.chunks_exact(3 * step).zip(sums) {
        let weighted =
            square.as_chunks::<3>().0.iter().map(|&[r, g, b]| u32::from(r) + 2 * u32::from(g) + u32::from(b));
        *sum += weighted.sum::<u32>();
    }
}

/// Sums over px of two pictures.
#[derive(Default)]
struct Sums {
    count: f64,
    one: f64,
    other: f64,
    one_square: f64,
    other_square: f64,
    product: f64,
}

impl Sums {
    fn add(&mut self, one: &[f32], other: &[f32]) {
        let [mut a, mut b, mut aa, mut bb, mut ab] = [0.0_f32; 5];
        for (&x, &y) in one.iter().zip(other) {
            // Around the middle grey, so that single precision does for a row.
            let (x, y) = (x - 128.0, y - 128.0);
            (a, b, aa, bb, ab) = (a + x, b + y, aa + x * x, bb + y * y, ab + x * y);
        }
        self.count += one.len() as f64;
        self.one += f64::from(a);
        self.other += f64::from(b);
        self.one_square += f64::from(aa);
        self.other_square += f64::from(bb);
        self.product += f64::from(ab);
    }

    fn correlation(&self) -> Option<f64> {
        let n = self.count;
        let one = self.one_square - self.one * self.one / n;
        let other = self.other_square - self.other * self.other / n;
        let both = self.product - self.one * self.other / n;
        // A hundredth of a grey value of noise is no content.
        let least = n * 1e-4;
        (one > least && other > least).then(|| both / (one * other).sqrt())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noise(width: usize, height: usize, seed: u64) -> RgbBuffer {
        let mut dice = crate::dice::Dice::new(seed);
        let mut pixels = RgbBuffer::filled(width, height, [0; 3]);
        pixels.bytes_mut().iter_mut().for_each(|byte| *byte = dice.range(0.0, 255.0) as u8);
        pixels
    }

    #[test]
    fn squares_are_averaged() {
        let mut field = RgbBuffer::filled(768, 64, [100, 100, 100]);
        field.row_mut(0)[..3].copy_from_slice(&[190, 100, 100]);
        let thumbnail = Thumbnail::new(&field, (768, 60));
        assert_eq!((thumbnail.size(), thumbnail.step()), ((256, 20), 3.0));
        assert_eq!((thumbnail.grey()[0], thumbnail.grey()[1]), (102.5, 100.0));
    }

    #[test]
    fn correlation_is_of_content_and_not_of_light() {
        let field = noise(64, 64, 1);
        let one = Thumbnail::new(&field, (64, 64));
        let mut darker = one.clone();
        darker.grey.iter_mut().for_each(|grey| *grey = *grey * 0.5 + 7.0);
        assert!(one.correlation(&darker, 0, 0, 0.2).unwrap() > 0.9999);
        assert!(one.correlation(&darker, 3, 0, 0.2).unwrap().abs() < 0.1);
        assert_eq!(one.correlation(&darker, 60, 0, 0.2), None, "too little overlaps");
        let blank = Thumbnail::new(&RgbBuffer::filled(64, 64, [9; 3]), (64, 64));
        assert_eq!(one.correlation(&blank, 0, 0, 0.2), None, "nothing is there");
    }

    #[test]
    fn content_that_lies_further_is_found_there() {
        let large = noise(128, 96, 2);
        let whole = Thumbnail::new(&large, (128, 96));
        // The second picture begins 5 px further left and 9 px lower: content lies 5 px right, 9 px up.
        let [one, later] = [(20, 8), (15, 17)].map(|(x, y)| {
            let rows = (y..y + 64).flat_map(|row| whole.grey[row * 128 + x..][..64].to_vec());
            Thumbnail { width: 64, height: 64, step: 1, grey: rows.collect() }
        });
        assert!(one.correlation(&later, 5, -9, 0.2).unwrap() > 0.9999);
        assert!(one.correlation(&later, -5, 9, 0.2).unwrap() < 0.2);
    }
}

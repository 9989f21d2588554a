//! Means of squares of pixels.

use wsi_types::RgbBuffer;

/// Writes means of squares of `side` px (1 to 4096), rounded half up. Squares that the right or the bottom
/// edge cuts are averaged over the px that they have.
pub fn average(whole: &RgbBuffer, side: usize, out: &mut RgbBuffer) {
    out.reset(whole.width().div_ceil(side), whole.height().div_ceil(side));
    let mut sums = vec![[0_u32; 3]; out.width()];
    for y in 0..out.height() {
        let rows = y * side..((y + 1) * side).min(whole.height());
        sums.fill([0; 3]);
        for row in rows.clone() {
            for (sum, square) in sums.iter_mut().zip(whole.row(row).chunks(side * 3)) {
                for pixel in square.as_chunks::<3>().0 {
                    (0..3).for_each(|c| sum[c] = sum[c].wrapping_add(u32::from(pixel[c])));
                }
            }
        }
        for (x, pixel) in out.row_mut(y).as_chunks_mut::<3>().0.iter_mut().enumerate() {
            let columns = side.min(whole.width() - x * side);
            let count = (columns * rows.len()) as u32;
            *pixel = sums[x].map(|sum| ((sum + count / 2) / count) as u8);
        }
    }
}

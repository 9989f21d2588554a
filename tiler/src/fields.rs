//! A few fields of level 0 that hold much tissue, for a close look.

use std::panic::{AssertUnwindSafe, catch_unwind};

use wsi_reader::{Slide, read_region};
use wsi_types::{LevelIndex, LevelRect, Rgb, RgbBuffer};

use crate::tissue_mask::is_ink;

/// Longer side of a field, level-0 px.
const SIDE: u32 = 768;
/// Largest number of fields of a slide.
const FIELDS: usize = 7;
/// Px of dye that one px of ink in the picture cancels in a field: ink is darker than nuclei, and its
/// edges are larger.
const INK: f64 = 5.0;
/// Least share of the densest field's dye that a field has.
const LEAST_SHARE: f64 = 0.4;

/// Reads up to seven fields of at most 768 px, spread over the part of the slide that holds most of a dye.
/// `picture` shows the whole slide, `amount` says how much of the dye a px of it holds.
///
/// Fields that cannot be read are left out: the others show the same tissue.
pub(crate) fn dense_fields(
    slide: &dyn Slide,
    picture: &RgbBuffer,
    amount: impl Fn(Rgb) -> f64,
) -> Vec<RgbBuffer> {
    let places = dense_places(slide, picture, amount);
    places.iter().filter_map(|place| read_field(slide, place)).collect()
}

/// Reads one field. A decoder that panics costs the field, as it would cost a window.
fn read_field(slide: &dyn Slide, place: &LevelRect) -> Option<RgbBuffer> {
    let mut pixels = RgbBuffer::default();
    let read = catch_unwind(AssertUnwindSafe(|| read_region(slide, LevelIndex(0), *place, &mut pixels)));
    matches!(read, Ok(Ok(()))).then_some(pixels)
}

/// Returns the places of the fields on level 0, densest first.
fn dense_places(slide: &dyn Slide, picture: &RgbBuffer, amount: impl Fn(Rgb) -> f64) -> Vec<LevelRect> {
    let base = slide.info().pyramid.base();
    if picture.width() == 0 || picture.height() == 0 {
        return Vec::new();
    }
    let sums = Sums::new(picture, amount);
    let columns = starts(base.width());
    let rows = starts(base.height());
    let size = euclid::size2(i64::from(base.width().min(SIDE)), i64::from(base.height().min(SIDE)));
    let scale = (
        picture.width() as f64 / f64::from(base.width()),
        picture.height() as f64 / f64::from(base.height()),
    );
    let mut places: Vec<(f64, LevelRect)> = Vec::new();
    for (&y, &x) in rows.iter().flat_map(|y| columns.iter().map(move |x| (y, x))) {
        let rect = LevelRect::new(euclid::point2(i64::from(x), i64::from(y)), size);
        places.push((sums.mean(&rect, scale), rect));
    }
    places.sort_by(|a, b| b.0.total_cmp(&a.0));
    let densest = places.first().map_or(0.0, |place| place.0);
    let least = if densest > 0.0 { densest * LEAST_SHARE } else { f64::NEG_INFINITY };
    let dense: Vec<LevelRect> = places.iter().filter(|place| place.0 >= least).map(|place| place.1).collect();
    spread(&dense)
}

/// Returns the starts of fields along one axis, half a field apart or less.
fn starts(side: u32) -> Vec<u32> {
    let last = side.saturating_sub(SIDE);
    let steps = last.div_ceil(SIDE / 2);
    (0..=steps).map(|step| (u64::from(last) * u64::from(step) / u64::from(steps.max(1))) as u32).collect()
}

/// Returns some of `dense` that lie at least half a field apart: the first, and others at even ranks of its
/// first third, then whatever comes next.
fn spread(dense: &[LevelRect]) -> Vec<LevelRect> {
    let third = dense.len().div_ceil(3);
    let ranks = (0..FIELDS).map(|field| field * third / FIELDS).chain(0..dense.len());
    let mut chosen: Vec<LevelRect> = Vec::new();
    for rect in ranks.filter_map(|rank| dense.get(rank)) {
        if chosen.len() < FIELDS && chosen.iter().all(|other| are_apart(other, rect)) {
            chosen.push(*rect);
        }
    }
    chosen
}

fn are_apart(one: &LevelRect, other: &LevelRect) -> bool {
    let half = i64::from(SIDE / 2);
    let apart = one.origin - other.origin;
    apart.x.abs() >= half || apart.y.abs() >= half
}

/// Sums of a dye minus ink, above and left of each corner of a picture's px.
struct Sums {
    across: usize,
    sums: Vec<f64>,
}

impl Sums {
    fn new(picture: &RgbBuffer, amount: impl Fn(Rgb) -> f64) -> Self {
        let across = picture.width() + 1;
        let mut sums = vec![0.0; across * (picture.height() + 1)];
        for y in 0..picture.height() {
            let mut sum = 0.0;
            for (x, &pixel) in picture.row(y).as_chunks::<3>().0.iter().enumerate() {
                sum += if is_ink(pixel) { -INK } else { amount(pixel) };
                sums[(y + 1) * across + x + 1] = sums[y * across + x + 1] + sum;
            }
        }
        Self { across, sums }
    }

    /// Returns the mean over a rectangle of level 0; `scale` is picture px per level-0 px.
    fn mean(&self, rect: &LevelRect, scale: (f64, f64)) -> f64 {
        let (right, bottom) = (self.across - 1, self.sums.len() / self.across - 1);
        let (x0, x1) = px_range(rect.min_x(), rect.max_x(), scale.0, right);
        let (y0, y1) = px_range(rect.min_y(), rect.max_y(), scale.1, bottom);
        let [low, high] = [y0, y1].map(|y| &self.sums[y * self.across..]);
        (high[x1] - high[x0] - low[x1] + low[x0]) / ((x1 - x0) * (y1 - y0)) as f64
    }
}

/// Returns the picture px that a range of level-0 px covers, at least one.
fn px_range(low: i64, high: i64, scale: f64, end: usize) -> (usize, usize) {
    let first = ((low as f64 * scale) as usize).min(end - 1);
    (first, ((high as f64 * scale).ceil() as usize).clamp(first + 1, end))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{stain::Densities, testing::Painted};

    fn hematoxylin(pixel: Rgb) -> f64 {
        Densities::new().hematoxylin(pixel).into()
    }

    #[test]
    fn fields_lie_where_the_hematoxylin_is_and_apart() {
        let slide = Painted::new(&[(9000, 7000)]);
        let mut picture = RgbBuffer::filled(900, 700, [240; 3]);
        for y in 100..500 {
            picture.row_mut(y)[300 * 3..800 * 3].as_chunks_mut::<3>().0.fill([120, 60, 150]);
            // A stroke of a pen.
            picture.row_mut(y)[..100 * 3].as_chunks_mut::<3>().0.fill([20, 50, 160]);
        }
        let places = dense_places(&slide, &picture, hematoxylin);
        assert_eq!(places.len(), FIELDS);
        let dense = LevelRect::new(euclid::point2(3000, 1000), euclid::size2(5000, 4000));
        for place in &places {
            let shared = place.intersection(&dense).map_or(0, |shared| shared.area());
            assert!(shared * 2 > place.area(), "{place:?}");
        }
        let pairs = places.iter().enumerate().flat_map(|(at, a)| places[..at].iter().map(move |b| (a, b)));
        assert!(pairs.into_iter().all(|(a, b)| are_apart(a, b)));
    }

    #[test]
    fn small_slides_are_one_field() {
        for size in [(700, 300), (768, 768), (7, 5)] {
            let slide = Painted::new(&[size]);
            let picture = RgbBuffer::filled(size.0 as usize, size.1 as usize, [120, 60, 150]);
            let fields = dense_fields(&slide, &picture, hematoxylin);
            assert_eq!(fields.len(), 1, "{size:?}");
            assert_eq!((fields[0].width(), fields[0].height()), (size.0 as usize, size.1 as usize));
        }
        let mut broken = Painted::new(&[(70, 50)]);
        broken.panicking.insert(wsi_types::TileId { level: LevelIndex(0), row: 0, column: 0 });
        let picture = RgbBuffer::filled(70, 50, [120, 60, 150]);
        assert!(dense_fields(&broken, &picture, hematoxylin).is_empty());
        let slide = Painted::new(&[(7, 5)]);
        assert!(dense_fields(&slide, &RgbBuffer::default(), hematoxylin).is_empty());
    }
}

//! Where on the stage a field is.
//!
//! In this crate level 0 is the *stage*: px at the model's µm per px, counted from the upper left corner of the first
//! field of a segment. A segment ends where the place is lost.

use euclid::Vector2D;
use wsi_types::Level0Px;

use crate::{
    motion::{Glimpse, Registrar},
    thumbnail::Thumbnail,
};

/// Correlation below which a move is not believed.
pub const LEAST_CONFIDENCE: f64 = 0.5;
/// Share of a side after which a picture takes the place of the one that moves are told against.
const NEW_KEY: f64 = 0.125;

/// Vector on the stage, px.
pub(crate) type StageVector = Vector2D<f64, Level0Px>;

/// A known place.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Place {
    /// Piece of the stage without a gap, from 0. Places of two segments cannot be compared.
    pub segment: u32,
    /// Upper left corner of the field on the stage, px.
    pub corner: Vector2D<f64, Level0Px>,
    /// Correlation with the picture that the move was told against, 0 to 1.
    pub confidence: f64,
}

/// Answer to where a field is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Located {
    /// On the stage.
    At(Place),
    /// Not known: neither the last good picture nor the last one shows enough of it.
    Lost {
        /// Best correlation found, 0 to 1.
        confidence: f64,
    },
}

/// Follows the stage from picture to picture.
pub(crate) struct Follower {
    registrar: Registrar,
    segment: u32,
    /// The last picture whose place is known, and that place.
    key: Option<(Glimpse, StageVector)>,
    /// The last picture since the place was lost.
    stray: Option<Glimpse>,
    side: StageVector,
}

impl Follower {
    /// Follows thumbnails of `size` px, each of `step` field px.
    pub(crate) fn new(size: (usize, usize), step: f64) -> Self {
        let side = euclid::vec2(size.0 as f64, size.1 as f64) * step;
        Self { registrar: Registrar::new(size), segment: 0, key: None, stray: None, side }
    }

    /// Tells the place of the next field.
    ///
    /// A lost place is found again when a later field shows what the last good one showed. If two fields fit each
    /// other but not that one, the stage was moved too far, and a new segment begins: a guess would count cells twice.
    pub(crate) fn locate(&mut self, thumbnail: Thumbnail) -> Located {
        let now = self.registrar.glimpse(thumbnail);
        let Some((key, corner)) = &self.key else {
            return self.begin(now, StageVector::zero(), 1.0);
        };
        let from_key = self.registrar.shift(key, &now);
        if let Some(shift) = from_key.filter(|shift| shift.confidence >= LEAST_CONFIDENCE) {
            let corner = *corner - shift.by;
            self.stray = None;
            let is_far = shift.by.x.abs() > NEW_KEY * self.side.x || shift.by.y.abs() > NEW_KEY * self.side.y;
            if is_far {
                self.key = Some((now, corner));
            }
            return Located::At(Place { segment: self.segment, corner, confidence: shift.confidence });
        }
        let from_stray = self.stray.as_ref().and_then(|stray| self.registrar.shift(stray, &now));
        if let Some(shift) = from_stray.filter(|shift| shift.confidence >= LEAST_CONFIDENCE) {
            self.segment += 1;
            return self.begin(now, -shift.by, shift.confidence);
        }
        self.stray = Some(now);
        let best =
            [from_key, from_stray].into_iter().flatten().map(|shift| shift.confidence).fold(0.0, f64::max);
        Located::Lost { confidence: best }
    }

    /// Moves the stage under the last good picture: cells that are known tell its place better than pictures do.
    pub(crate) fn correct(&mut self, by: StageVector) {
        if let Some((_, corner)) = &mut self.key {
            *corner += by;
        }
    }

    fn begin(&mut self, now: Glimpse, corner: StageVector, confidence: f64) -> Located {
        self.key = Some((now, corner));
        self.stray = None;
        Located::At(Place { segment: self.segment, corner, confidence })
    }
}

#[cfg(test)]
mod tests {
    use wsi_types::RgbBuffer;

    use super::*;
    use crate::dice::Dice;

    /// A part of an endless pattern of grey squares; `world` chooses the pattern.
    fn view(world: u64, x: usize, y: usize) -> Thumbnail {
        let mut field = RgbBuffer::filled(160, 120, [0; 3]);
        for row in 0..120 {
            for (column, pixel) in field.row_mut(row).as_chunks_mut::<3>().0.iter_mut().enumerate() {
                let square = ((x + column) / 6) as u64 * 7919 + ((y + row) / 6) as u64;
                *pixel = [Dice::new(square * 2 + world).range(60.0, 220.0) as u8; 3];
            }
        }
        Thumbnail::new(&field, (160, 120))
    }

    fn place(located: Located) -> (u32, [i64; 2]) {
        let Located::At(place) = located else { panic!("lost: {located:?}") };
        (place.segment, place.corner.to_array().map(|value| value.round() as i64))
    }

    #[test]
    fn a_stage_is_followed_and_comes_back() {
        let mut follower = Follower::new((160, 120), 1.0);
        for (x, y) in [(0, 0), (10, 4), (31, 8), (60, 30), (90, 12), (55, 4), (20, 0), (0, 0)] {
            assert_eq!(place(follower.locate(view(1, x, y))), (0, [x as i64, y as i64]));
        }
    }

    #[test]
    fn a_jump_is_lost_first_and_then_a_new_segment() {
        let mut follower = Follower::new((160, 120), 1.0);
        assert_eq!(place(follower.locate(view(1, 0, 0))), (0, [0, 0]));
        assert!(matches!(follower.locate(view(0, 5000, 0)), Located::Lost { .. }));
        assert_eq!(place(follower.locate(view(0, 5003, 2))), (1, [3, 2]));
    }

    #[test]
    fn a_place_that_is_seen_again_goes_on() {
        let mut follower = Follower::new((160, 120), 1.0);
        assert_eq!(place(follower.locate(view(1, 0, 0))), (0, [0, 0]));
        assert!(matches!(follower.locate(view(0, 5000, 0)), Located::Lost { .. }));
        assert_eq!(place(follower.locate(view(1, 9, 1))), (0, [9, 1]));
        follower.correct(euclid::vec2(100.0, 0.0));
        assert_eq!(place(follower.locate(view(1, 9, 1))), (0, [109, 1]));
    }
}

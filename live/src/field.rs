//! The field: a frame at the model's µm per px, padded to sizes that the model takes.

use tiler::resample::{Patch, Resampler};
use wsi_types::{GridRect, Mpp, Pyramid, Rgb, RgbBuffer, TileGrid};

use crate::{Frame, LiveError};

/// Largest factor by which frames are enlarged: the rule for slides.
const MAX_ENLARGE: f64 = 1.1;
/// Colour of what lies past a frame's right and bottom end, where the model takes multiples of its stride only.
const OUTSIDE: Rgb = [255; 3];

/// Makes fields of the frames of one camera.
#[derive(Debug, Clone)]
pub struct Lens {
    frame: TileGrid,
    resampler: Resampler,
    /// Size of a field, px of the model.
    size: (u32, u32),
    /// The same, as a multiple of the model's stride.
    padded: (u32, u32),
}

impl Lens {
    /// Makes a lens for frames of `frame` px (width, height) at `camera` µm per px, and a model at `model` µm per px
    /// that takes multiples of `stride` px.
    ///
    /// # Errors
    ///
    /// [`LiveError::Scale`] when frames are too coarse, [`LiveError::Settings`] when they have no pixels.
    pub fn new(frame: (usize, usize), camera: Mpp, model: Mpp, stride: u32) -> Result<Self, LiveError> {
        let [width, height] = [frame.0, frame.1].map(|side| side.min(u32::MAX as usize) as u32);
        let frame = TileGrid { width, height, tile_width: width, tile_height: height };
        let pyramid = Pyramid::new([frame]).map_err(|_| {
            LiveError::Settings(format!("frames are {width} × {height} px, expected some pixels"))
        })?;
        let sampling = pyramid.sampling(camera, model, MAX_ENLARGE).map_err(LiveError::Scale)?;
        let size = (sampling.width, sampling.height);
        let padded = (size.0.next_multiple_of(stride.max(1)), size.1.next_multiple_of(stride.max(1)));
        Ok(Self { frame, resampler: Resampler::new(&sampling, frame, OUTSIDE), size, padded })
    }

    /// Width and height of a field, px of the model.
    #[must_use]
    pub fn size(&self) -> (u32, u32) {
        self.size
    }

    /// Width and height of the buffer that holds a field in its upper left corner.
    #[must_use]
    pub fn padded(&self) -> (u32, u32) {
        self.padded
    }

    /// Writes the field of a frame to `out`.
    ///
    /// # Errors
    ///
    /// [`LiveError::FrameSize`] when the frame has another size than this lens is for.
    pub fn field(&self, frame: &Frame, out: &mut RgbBuffer) -> Result<(), LiveError> {
        let tiles = [&frame.pixels];
        let patch = Patch::new(&self.frame, 0..1, 0..1, &tiles).ok_or_else(|| LiveError::FrameSize {
            number: frame.number,
            found: (frame.pixels.width(), frame.pixels.height()),
            expected: (self.frame.width as usize, self.frame.height as usize),
        })?;
        let (width, height) = self.padded;
        let whole = GridRect::new(euclid::point2(0, 0), euclid::size2(width.into(), height.into()));
        out.reset(width as usize, height as usize);
        self.resampler.fill(&whole, &patch, out.bytes_mut());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    fn mpp(value: f64) -> Mpp {
        Mpp::new(value).unwrap()
    }

    #[test]
    fn a_field_has_the_models_scale_and_sizes_it_takes() {
        let lens = Lens::new((100, 60), mpp(0.25), mpp(0.5), 32).unwrap();
        assert_eq!((lens.size(), lens.padded()), ((50, 30), (64, 32)));
        let mut pixels = RgbBuffer::filled(100, 60, [10, 20, 30]);
        pixels.row_mut(0)[..3].copy_from_slice(&[50, 20, 30]);
        let frame = Frame { number: 0, captured: Instant::now(), pixels };
        let mut field = RgbBuffer::default();
        lens.field(&frame, &mut field).unwrap();
        assert_eq!((field.pixel(0, 0), field.pixel(49, 29)), ([20, 20, 30], [10, 20, 30]));
        assert_eq!((field.pixel(50, 0), field.pixel(0, 30)), (OUTSIDE, OUTSIDE));
    }

    #[test]
    fn what_cannot_be_shown_to_the_model_is_refused() {
        let coarse = Lens::new((100, 60), mpp(1.0), mpp(0.5), 32).unwrap_err().to_string();
        assert!(coarse.contains("too coarse"), "{coarse}");
        assert!(Lens::new((0, 60), mpp(0.5), mpp(0.5), 32).is_err());
        let lens = Lens::new((100, 60), mpp(0.5), mpp(0.5), 32).unwrap();
        let frame = Frame { number: 7, captured: Instant::now(), pixels: RgbBuffer::filled(99, 60, [0; 3]) };
        let error = lens.field(&frame, &mut RgbBuffer::default()).unwrap_err().to_string();
        assert!(error.starts_with("frame 7 is (99, 60) px, expected (100, 60)"), "{error}");
    }
}

//! A stage that moves over a slide: every place, and so every cell, is known.

use std::{sync::Arc, time::Instant};

use wsi_reader::{GivenScale, Overview, OverviewSettings, Slide, resolve_scale};
use wsi_types::{Level0Box, Level0Point, Mpp, Sampling};

use crate::{Disturbance, Frame, LiveError, StagePath, dice::Dice, source::Source};

/// Frames of a slide along a path.
pub struct VirtualStage {
    slide: Arc<dyn Slide>,
    /// Size of a frame, camera px.
    size: (u32, u32),
    /// The part of level 0 that a frame shows.
    extent: euclid::Size2D<f64, wsi_types::Level0Px>,
    path: StagePath,
    disturbance: Disturbance,
    dice: Dice,
    next: usize,
}

impl VirtualStage {
    /// Makes a stage over `slide`, seen by a camera of `size` px at `camera` µm per px, disturbed by chance from `seed`.
    ///
    /// # Errors
    ///
    /// [`LiveError::Settings`] when the slide does not say its scale or is coarser than the camera; [`LiveError::Path`]
    /// when a centre of `path` lies off the slide.
    pub fn new(
        slide: Arc<dyn Slide>,
        given: GivenScale,
        size: (u32, u32),
        camera: Mpp,
        path: StagePath,
        (disturbance, seed): (Disturbance, u64),
    ) -> Result<Self, LiveError> {
        let scale =
            resolve_scale(slide.info(), given).map_err(|problem| LiveError::Settings(problem.to_string()))?;
        let level0_per_px = camera.get() / scale.mpp.get();
        if level0_per_px < 1.0 - Sampling::NATIVE_TOLERANCE {
            let (slide, camera) = (scale.mpp, camera);
            return Err(LiveError::Settings(format!(
                "the slide has {slide}, and a camera of {camera} would see more than is there; give --mpp of at least that"
            )));
        }
        if size.0 == 0 || size.1 == 0 {
            return Err(LiveError::Settings(format!(
                "frames are {} × {} px, expected some pixels",
                size.0, size.1
            )));
        }
        refuse_off_slide(&path, slide.as_ref())?;
        // As slides are read: px that nearly fit are not averaged, which would only blur them.
        let is_native = (level0_per_px - 1.0).abs() <= Sampling::NATIVE_TOLERANCE;
        let scale = if is_native { 1.0 } else { level0_per_px };
        let extent = euclid::size2(f64::from(size.0), f64::from(size.1)) * scale;
        Ok(Self { slide, size, extent, path, disturbance, dice: Dice::new(seed), next: 0 })
    }

    /// The part of level 0 that a frame at `centre` shows: it begins at a whole px, as between two of them their average
    /// would be blurred as no camera does.
    #[must_use]
    pub fn area(&self, centre: Level0Point) -> Level0Box {
        let corner = (centre - self.extent.to_vector() * 0.5).round();
        Level0Box::new(corner, corner + self.extent.to_vector())
    }

    /// Centres of its frames, level-0 px.
    #[must_use]
    pub fn path(&self) -> &StagePath {
        &self.path
    }
}

/// There is nothing to see beside the slide, and frames of it would count no cells.
fn refuse_off_slide(path: &StagePath, slide: &dyn Slide) -> Result<(), LiveError> {
    let base = slide.info().pyramid.base();
    let (width, height) = (f64::from(base.width()), f64::from(base.height()));
    let off =
        path.0.iter().find(|place| !(0.0..=width).contains(&place.x) || !(0.0..=height).contains(&place.y));
    match off {
        Some(place) => Err(LiveError::Path(format!(
            "it goes to {:.0},{:.0}, which is not on the slide of {width} × {height} px of level 0",
            place.x, place.y
        ))),
        None => Ok(()),
    }
}

impl Source for VirtualStage {
    fn next(&mut self) -> Result<Option<Frame>, LiveError> {
        let Some(&centre) = self.path.0.get(self.next) else { return Ok(None) };
        let number = self.next as u64;
        self.next += 1;
        let background = self.slide.info().background;
        let settings =
            OverviewSettings { area: self.area(centre), size: self.size, unreadable: background, threads: 1 };
        let Overview { mut pixels, faults, .. } = Overview::read(self.slide.as_ref(), &settings);
        if let Some(fault) = faults.first() {
            return Err(LiveError::Unread { number, reason: fault.error.to_string() });
        }
        self.disturbance.apply(&mut pixels, &mut self.dice);
        Ok(Some(Frame { number, captured: Instant::now(), pixels }))
    }
}

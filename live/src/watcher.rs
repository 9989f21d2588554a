//! The core: frames in, one after the other, cells and counts out. No threads, no clock.

use std::collections::BTreeMap;

use detector::{Detector, Manifest};
use wsi_types::{ClassId, Level0Box, ModelClass, Mpp, Outline, RgbBuffer, WindowBox};

use crate::{
    Frame, LiveError,
    coverage::{Coverage, Duty},
    field::Lens,
    look::{LookSettings, Looker},
    place::{Follower, Located, Place, StageVector},
    quality::Thresholds,
    thumbnail::Thumbnail,
    tracks::{Track, TrackId, Tracks},
};

/// Settings of the watching.
#[derive(Debug, Clone, PartialEq)]
pub struct WatchSettings {
    /// µm per px of the frames. There is no default: a wrong scale counts wrong without any error.
    pub camera: Mpp,
    /// µm per px that the model works at.
    pub model: Mpp,
    /// Scores at which cells appear and disappear.
    pub thresholds: Thresholds,
    /// Looks that each place gets when it comes into view, and again when it is away from the border.
    pub looks: u32,
    /// Frames after which a place is looked at again while it is in view and nothing moves in.
    pub refresh: u64,
}

impl WatchSettings {
    /// Looks of each place.
    pub const LOOKS: u32 = 2;
    /// Once a second at 15 frames per second.
    pub const REFRESH: u64 = 15;

    /// Makes settings for a camera and a model; `None` when the model does not say at which µm per px it works.
    #[must_use]
    pub fn new(camera: Mpp, manifest: &Manifest) -> Option<Self> {
        let conf = (0..manifest.classes.len()).map(|class| manifest.conf_of(ModelClass(class as u16)));
        let lowest = conf.fold(f32::INFINITY, f32::min);
        let threshold = if lowest.is_finite() { lowest } else { manifest.conf };
        Some(Self {
            camera,
            model: manifest.mpp?,
            thresholds: Thresholds::around(threshold),
            looks: Self::LOOKS,
            refresh: Self::REFRESH,
        })
    }
}

/// A cell in the field.
#[derive(Debug, Clone, PartialEq)]
pub struct Shown {
    /// The same as long as the segment lasts, in and out of the field.
    pub track: TrackId,
    /// Class that most of its looks gave it.
    pub class: ClassId,
    /// Mean score over its looks, 0 to 1.
    pub score: f64,
    /// Its box, field px.
    pub bbox: WindowBox,
    /// Its outline, field px, where the model draws one.
    pub outline: Option<Outline>,
}

/// Cells that came and went since the frame before.
///
/// A steady picture has few that are `born` and `died`: the number of cells can hold still while each frame swaps a tenth
/// of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Changes {
    /// Came into the field with the stage's move.
    pub entered: u64,
    /// Left the field with the stage's move.
    pub left: u64,
    /// Appeared where the frame before showed the place whole, without that cell.
    pub born: u64,
    /// Disappeared where this frame shows the place whole.
    pub died: u64,
}

/// Result of one frame.
#[derive(Debug, Clone, PartialEq)]
pub struct Seen {
    /// Number of the frame.
    pub frame: u64,
    /// Where it is.
    pub located: Located,
    /// Cells in the field, in order of their numbers; none while the place is lost.
    pub shown: Vec<Shown>,
    /// Changes since the frame before.
    pub changes: Changes,
    /// Cells of the segment so far, in and out of the field, each once; by class. Of those that the border of the seen stage
    /// cuts, the ones whose upper left corner was in view.
    pub mosaic: BTreeMap<ClassId, u64>,
    /// Part of the field that the model looked at in this frame, 0 to 1.
    pub looked: f64,
    /// The model gave as many answers as it can: cells may be missing.
    pub is_full: bool,
}

/// Parts that depend on the size of the frames.
struct Optics {
    lens: Lens,
    looker: Looker,
    follower: Follower,
    duty: Duty,
}

/// State of the last frame whose place was known.
#[derive(Default)]
struct Before {
    field: Option<Level0Box>,
    shown: BTreeMap<TrackId, Level0Box>,
}

/// Watches a field.
pub struct Watcher {
    settings: WatchSettings,
    /// Taken when the first frame tells the size.
    detector: Option<Box<dyn Detector>>,
    optics: Option<Optics>,
    field: RgbBuffer,
    segment: u32,
    tracks: Tracks,
    coverage: Coverage,
    before: Before,
    frames: u64,
}

impl Watcher {
    /// Makes a watcher that shows fields to `detector`, which has to give answers down to the
    /// [floor](Thresholds::floor) of the thresholds.
    #[must_use]
    pub fn new(detector: Box<dyn Detector>, settings: WatchSettings) -> Self {
        Self {
            settings,
            detector: Some(detector),
            optics: None,
            field: RgbBuffer::default(),
            segment: 0,
            tracks: Tracks::default(),
            coverage: Coverage::default(),
            before: Before::default(),
            frames: 0,
        }
    }

    /// The settings it was made with.
    #[must_use]
    pub fn settings(&self) -> &WatchSettings {
        &self.settings
    }

    /// The field of the last frame, at the model's µm per px: what was shown to the model.
    #[must_use]
    pub fn field(&self) -> &RgbBuffer {
        &self.field
    }

    /// Width and height of a field, px of the model; `None` before the first frame.
    #[must_use]
    pub fn size(&self) -> Option<(u32, u32)> {
        self.optics.as_ref().map(|optics| optics.lens.size())
    }

    /// Boxes of the cells that the mosaic of the segment counts, stage px, in order of their numbers.
    pub fn mosaic(&self) -> impl Iterator<Item = (TrackId, Level0Box)> {
        self.tracks.counted(self.settings.thresholds.counted()).map(|(id, track)| (id, track.bbox))
    }

    /// Takes the next frame.
    ///
    /// # Errors
    ///
    /// When frames are too coarse or of two sizes, or the model cannot be run.
    pub fn see(&mut self, frame: &Frame) -> Result<Seen, LiveError> {
        let mut optics = match self.optics.take() {
            Some(optics) => optics,
            None => self.optics(frame)?,
        };
        let seen = self.see_through(&mut optics, frame);
        self.optics = Some(optics);
        seen
    }

    fn see_through(&mut self, optics: &mut Optics, frame: &Frame) -> Result<Seen, LiveError> {
        optics.lens.field(frame, &mut self.field)?;
        let located = optics.follower.locate(Thumbnail::new(&self.field, optics.lens.size()));
        self.frames += 1;
        let Located::At(place) = located else { return Ok(self.lost(frame.number, located)) };
        if place.segment != self.segment {
            self.begin(place.segment);
        }
        let (place, looked, is_full) = self.look(optics, place)?;
        let field = area(place.corner, optics.lens.size());
        let in_view = self.tracks.shown_in(&field);
        let shown = in_view.iter().map(|&(id, track)| shown(id, track, place.corner)).collect();
        let boxes = in_view.into_iter().map(|(id, track)| (id, track.bbox)).collect();
        let changes = changes(&self.before, &field, &boxes);
        self.before = Before { field: Some(field), shown: boxes };
        let mosaic = self.counts();
        Ok(Seen { frame: frame.number, located: Located::At(place), shown, changes, mosaic, looked, is_full })
    }

    fn optics(&mut self, frame: &Frame) -> Result<Optics, LiveError> {
        let detector = self.detector.take().ok_or(LiveError::Thread("model"))?;
        let WatchSettings { camera, model, thresholds, looks, refresh } = self.settings.clone();
        let manifest = detector.manifest();
        let size = (frame.pixels.width(), frame.pixels.height());
        let stride = if manifest.fixed_input().is_some() { 1 } else { manifest.stride };
        let lens = Lens::new(size, camera, model, stride)?;
        let first = Thumbnail::new(
            &RgbBuffer::filled(lens.padded().0 as usize, lens.padded().1 as usize, [0; 3]),
            lens.size(),
        );
        let (width, height) = first.size();
        if width < Self::LEAST_SIDE || height < Self::LEAST_SIDE {
            let (width, height) = lens.size();
            return Err(LiveError::Settings(format!(
                "a field has {width} × {height} px at the model's scale, too few to tell how the stage moves; expected at \
                 least {least} × {least}",
                least = Self::LEAST_SIDE
            )));
        }
        let look = LookSettings::new(manifest, model, &thresholds);
        let looker = Looker::new(detector, look, lens.size(), lens.padded())?;
        let duty = Duty { looks, refresh, rim: looker.rim() };
        Ok(Optics { follower: Follower::new(first.size(), first.step()), lens, looker, duty })
    }

    /// Shortest side of a field, px.
    const LEAST_SIDE: usize = 64;

    fn begin(&mut self, segment: u32) {
        self.segment = segment;
        self.tracks = Tracks::after(&self.tracks);
        self.coverage = Coverage::default();
        self.before = Before::default();
    }

    /// Shows the model what is owed. Returns the place as the cells correct it, and the part of the field that was looked
    /// at.
    fn look(&mut self, optics: &mut Optics, mut place: Place) -> Result<(Place, f64, bool), LiveError> {
        let (width, height) = optics.lens.size();
        let field = area(place.corner, (width, height));
        let Some(owed) = self.coverage.owed(&field, &optics.duty, self.frames) else {
            return Ok((place, 0.0, false));
        };
        let mut look = optics.looker.look(&self.field, place.corner, &owed)?;
        let off = self.tracks.take(&mut look, &self.settings.thresholds);
        for id in self.tracks.absorbed() {
            self.before.shown.remove(id);
        }
        optics.follower.correct(-off);
        place.corner -= off;
        look.areas.iter().for_each(|area| self.coverage.note(area, &optics.duty, self.frames));
        let looked: f64 = look.areas.iter().map(|area| area.area()).sum();
        Ok((place, looked / (f64::from(width) * f64::from(height)), look.is_full))
    }

    fn lost(&self, frame: u64, located: Located) -> Seen {
        let (shown, changes) = (Vec::new(), Changes::default());
        Seen { frame, located, shown, changes, mosaic: self.counts(), looked: 0.0, is_full: false }
    }

    fn counts(&self) -> BTreeMap<ClassId, u64> {
        let mut counts = BTreeMap::new();
        for (_, track) in self.tracks.counted(self.settings.thresholds.counted()) {
            *counts.entry(track.class()).or_default() += 1;
        }
        counts
    }
}

fn area(corner: StageVector, (width, height): (u32, u32)) -> Level0Box {
    Level0Box::from_size(euclid::size2(f64::from(width), f64::from(height))).translate(corner)
}

fn shown(id: TrackId, track: &Track, corner: StageVector) -> Shown {
    let outline = track.outline.as_deref();
    Shown {
        track: id,
        class: track.class(),
        score: track.score,
        bbox: track.bbox.translate(-corner).cast().cast_unit(),
        outline: outline.map(|ring| ring.iter().map(|&point| (point - corner).cast().cast_unit()).collect()),
    }
}

/// Compares two frames. What one of them shows only in part tells nothing of birth and death.
fn changes(before: &Before, field: &Level0Box, now: &BTreeMap<TrackId, Level0Box>) -> Changes {
    let mut changes = Changes::default();
    for (_, bbox) in now.iter().filter(|(id, _)| !before.shown.contains_key(id)) {
        let was_in_view = before.field.is_some_and(|field| field.contains_box(bbox));
        *(if was_in_view { &mut changes.born } else { &mut changes.entered }) += 1;
    }
    for (_, bbox) in before.shown.iter().filter(|(id, _)| !now.contains_key(id)) {
        *(if field.contains_box(bbox) { &mut changes.died } else { &mut changes.left }) += 1;
    }
    changes
}

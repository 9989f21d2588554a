//! The whole slide, small: what a mask is made from.

use wsi_reader::Slide;
use wsi_types::{GridRect, LevelIndex, Pyramid, RgbBuffer, Sampling};

use crate::{
    StreamSettings, WindowFault,
    plan::{Lattice, PlanError},
    reading::Reading,
    resample::Resampler,
    schedule::Schedule,
};

/// Side of the blocks an overview is read in, in overview px: small, so that a
/// tile that cannot be read costs little around itself.
const BLOCK: u32 = 64;

/// The whole slide, averaged down.
pub(crate) struct Overview {
    /// The pixels; background where a block could not be read.
    pub(crate) pixels: RgbBuffer,
    /// Level-0 px per overview px, per axis.
    pub(crate) downsample: (f64, f64),
    /// Blocks that could not be read, in overview px, and why.
    pub(crate) faults: Vec<(GridRect, WindowFault)>,
}

impl Overview {
    /// Reads a slide at `downsample` level-0 px per px, at least 1.
    ///
    /// # Errors
    ///
    /// [`PlanError::TooManyWindows`] when that is absurdly many px.
    pub(crate) fn read(slide: &dyn Slide, downsample: f64, threads: usize) -> Result<Self, PlanError> {
        let info = slide.info();
        let sampling = sampling_at(&info.pyramid, downsample);
        let tiles = info.pyramid.levels()[usize::from(sampling.level.0)].tiles;
        let lattice = Lattice::new(sampling, tiles, BLOCK, BLOCK)?.keep(|_| true);
        let resampler = Resampler::new(&sampling, tiles, info.background);
        let schedule = Schedule::new(&lattice, lattice.windows.clone(), resampler);
        let settings = StreamSettings { threads, ahead_windows: 256, memory_bytes: None };
        let reading = Reading::new(schedule, settings);
        let mut overview = Self {
            pixels: RgbBuffer::filled(sampling.width as usize, sampling.height as usize, info.background),
            downsample: sampling.level0_per_grid,
            faults: Vec::new(),
        };
        std::thread::scope(|scope| {
            for number in 1..threads {
                let thread = std::thread::Builder::new().name(format!("overview-reader-{number}"));
                // One thread less is only slower: this one reads too.
                let _ = thread.spawn_scoped(scope, || reading.work(slide));
            }
            overview.collect(slide, &reading, &lattice);
            reading.stop();
        });
        Ok(overview)
    }

    fn collect(&mut self, slide: &dyn Slide, reading: &Reading, lattice: &Lattice) {
        let mut block = vec![0; (BLOCK * BLOCK * 3) as usize];
        for window in &lattice.windows {
            match reading.next_into(Some(slide), &mut block) {
                Some((_, Ok(()))) => self.paste(&window.rect, &block),
                Some((_, Err(fault))) => self.faults.push((window.rect, fault)),
                None => return,
            }
        }
    }

    /// Copies what of a block lies inside.
    fn paste(&mut self, rect: &GridRect, block: &[u8]) {
        let width = (self.pixels.width() as i64 - rect.min_x()).min(rect.width()) as usize * 3;
        let height = (self.pixels.height() as i64 - rect.min_y()).min(rect.height()) as usize;
        let left = rect.min_x() as usize * 3;
        for (row, line) in block.chunks_exact((BLOCK * 3) as usize).take(height).enumerate() {
            self.pixels.row_mut(rect.min_y() as usize + row)[left..left + width]
                .copy_from_slice(&line[..width]);
        }
    }
}

/// The coarsest level that is at least as sharp as wanted, averaged down to it.
fn sampling_at(pyramid: &Pyramid, downsample: f64) -> Sampling {
    let sharp_enough = |level: &wsi_types::Level| level.mean_downsample() <= downsample * 1.0001;
    let index = pyramid.levels().iter().rposition(sharp_enough).unwrap_or(0);
    let level = &pyramid.levels()[index];
    let scale = |own: f64| (downsample / own).max(1.0);
    let (sx, sy) = (scale(level.downsample.0), scale(level.downsample.1));
    let cells = |size: u32, scale: f64| ((f64::from(size) / scale - 1e-6).ceil() as u32).max(1);
    Sampling {
        level: LevelIndex(index as u16),
        level_per_grid: (sx, sy),
        level0_per_grid: (sx * level.downsample.0, sy * level.downsample.1),
        width: cells(level.width(), sx),
        height: cells(level.height(), sy),
    }
}

//! Windows read ahead in order, every stored tile decoded once.
//!
//! Worker threads take *cells* (see the `cells` module) in order of first use and make each from stored
//! tiles; tiles and cells are shared, counted down, and dropped at their last use, which the schedule knows.
//! The number of windows by which workers may run ahead of the consumer is limited, and so is memory
//! (`docs/decisions/0005-reading-ahead-with-known-future-use.md`).

use std::{sync::Arc, thread::JoinHandle};

use serde::Serialize;
use wsi_reader::Slide;
use wsi_types::{LevelIndex, TileId, WindowIndex};

use crate::{plan::Plan, reading::Reading, schedule::Schedule};

/// Settings of a stream. None of them changes a single byte of the pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StreamSettings {
    /// Threads that read. With 0 the caller's own thread does the work.
    pub threads: usize,
    /// Windows that may be begun beyond the next one.
    pub ahead_windows: usize,
    /// Bytes above which no cell is begun beyond the next window. Cells of the next window are always read;
    /// see [`reading_order`](crate::reading_order) for an order in which it needs less.
    pub memory_bytes: Option<u64>,
}

impl Default for StreamSettings {
    /// Returns one thread, four windows ahead.
    fn default() -> Self {
        Self { threads: 1, ahead_windows: 4, memory_bytes: None }
    }
}

/// Counts of a reading so far.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize)]
pub struct ReadCounters {
    /// Different tiles that the wanted windows need.
    pub tiles_needed: u64,
    /// Tiles decoded. At the end of a reading in plan order, the decoded, the
    /// failed and the absent add up to `tiles_needed`; where the order goes back
    /// some are read again.
    pub tiles_decoded: u64,
    /// Tiles that could not be decoded.
    pub tiles_failed: u64,
    /// Tiles the file holds nothing for: background, without decoding.
    pub tiles_absent: u64,
    /// Cells that the wanted windows are made of.
    pub cells_needed: u64,
    /// Cells made, of all that are needed.
    pub cells_done: u64,
    /// The most bytes of tiles and cells held at once, spare buffers included.
    pub peak_bytes: u64,
    /// Seconds spent decoding tiles, added up over threads.
    pub read_secs: f64,
    /// Seconds spent resampling, added up over threads.
    pub resample_secs: f64,
    /// Seconds the consumer waited for a window.
    pub wait_secs: f64,
}

/// Reason why a window has no pixels: at least one tile it needs could not be decoded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "cannot read window {} on level {}: {failed} of its tiles failed, the first in column {} row {}: {reason}",
    window.0, level.0, tile.column, tile.row
)]
pub struct WindowFault {
    /// The window.
    pub window: WindowIndex,
    /// The level it was to be read from.
    pub level: LevelIndex,
    /// The first tile that failed, row by row.
    pub tile: TileId,
    /// Tiles of this window that failed.
    pub failed: usize,
    /// The reason why the first one failed.
    pub reason: String,
    /// `true` if a disk or file server is to blame: a later try may read the window.
    pub of_device: bool,
    /// `true` if a server or the network is to blame, and nothing else.
    pub out_of_reach: bool,
}

/// A stream of windows in the order wanted, while threads read ahead.
///
/// Dropping it stops each thread after the tile it is reading.
pub struct WindowStream {
    reading: Arc<Reading>,
    slide: Arc<dyn Slide>,
    workers: Vec<JoinHandle<()>>,
}

impl WindowStream {
    /// Starts to read the windows `wanted` of `plan`, in that order. Indices
    /// that are not in the plan are left out.
    ///
    /// Ascending order decodes every tile once. Where the order goes back (as in
    /// [`reading_order`](crate::reading_order)), tiles and cells from before are not kept.
    #[must_use]
    pub fn start(
        slide: Arc<dyn Slide>,
        plan: Arc<Plan>,
        wanted: Vec<WindowIndex>,
        settings: StreamSettings,
    ) -> Self {
        let schedule = Schedule::from_wanted(plan.lattice(), &wanted, slide.info().background);
        slide.will_read(&mut schedule.tiles_in_order());
        let reading = Arc::new(Reading::new(schedule, settings));
        let workers = (0..settings.threads).filter_map(|number| {
            let (reading, slide) = (Arc::clone(&reading), Arc::clone(&slide));
            let thread = std::thread::Builder::new().name(format!("tile-reader-{number}"));
            // If the system refuses a thread, there is one less; with none, `next_into` reads by itself.
            thread.spawn(move || reading.work(&*slide)).ok()
        });
        let workers = workers.collect();
        Self { reading, slide, workers }
    }

    /// Returns width and height of every window, in px.
    #[must_use]
    pub fn window_size(&self) -> (usize, usize) {
        self.reading.window_size()
    }

    /// Returns the number of windows not handed out yet.
    #[must_use]
    pub fn remaining(&self) -> usize {
        self.reading.remaining()
    }

    /// Writes the next window to `out` (height × width × 3 bytes, red first), or returns the reason why it
    /// could not be read; then `out` holds nothing of use. `None` after the last.
    ///
    /// # Panics
    ///
    /// When `out` has another size, or after a bug in a reading thread. Never because of a slide's content: a
    /// panic of a backend is a fault of its tile.
    pub fn next_into(&mut self, out: &mut [u8]) -> Option<(WindowIndex, Result<(), WindowFault>)> {
        let helper: Option<&dyn Slide> = if self.workers.is_empty() { Some(&*self.slide) } else { None };
        self.reading.next_into(helper, out)
    }

    /// Returns the counts so far.
    #[must_use]
    pub fn counters(&self) -> ReadCounters {
        self.reading.counters()
    }
}

impl Drop for WindowStream {
    fn drop(&mut self) {
        self.reading.stop();
        for worker in self.workers.drain(..) {
            // A worker that panicked has reported it already.
            let _ = worker.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use wsi_types::RgbBuffer;

    use super::*;
    use crate::{
        Batch, Batcher, PlanSettings, TissueMask, estimate_peak_bytes, reading_order,
        resample::{Patch, Resampler},
        testing::{Painted, mpp},
    };

    const SIDE: u32 = 96;

    fn plan(slide: &Painted, overlap: &str, slide_mpp: f64) -> Arc<Plan> {
        let settings = PlanSettings {
            window: SIDE,
            overlap: overlap.parse().unwrap(),
            multiple_of: 1,
            ..PlanSettings::new(mpp(0.5))
        };
        let mask = TissueMask::full(&slide.info);
        Arc::new(Plan::new(&slide.info.pyramid, mpp(slide_mpp), &mask, &settings).unwrap())
    }

    fn all(plan: &Plan) -> Vec<WindowIndex> {
        plan.windows().iter().map(|window| window.index).collect()
    }

    fn settings(threads: usize, ahead_windows: usize) -> StreamSettings {
        StreamSettings { threads, ahead_windows, memory_bytes: None }
    }

    type Read = Vec<(WindowIndex, Result<Vec<u8>, WindowFault>)>;

    fn read(
        slide: &Arc<Painted>,
        plan: &Arc<Plan>,
        wanted: Vec<WindowIndex>,
        settings: StreamSettings,
    ) -> (Read, ReadCounters) {
        let slide: Arc<dyn Slide> = Arc::clone(slide) as Arc<dyn Slide>;
        let mut stream = WindowStream::start(slide, Arc::clone(plan), wanted, settings);
        let mut out = vec![0; (SIDE * SIDE * 3) as usize];
        let mut windows = Vec::new();
        while let Some((index, outcome)) = stream.next_into(&mut out) {
            windows.push((index, outcome.map(|()| out.clone())));
        }
        assert_eq!(stream.remaining(), 0);
        (windows, stream.counters())
    }

    /// Reads every window separately, straight from the tiles.
    fn directly(slide: &Painted, plan: &Plan) -> Vec<Vec<u8>> {
        let lattice = plan.lattice();
        let resampler = Resampler::new(&lattice.sampling, lattice.tiles, slide.info.background);
        let level = lattice.sampling.level;
        let mut windows = Vec::new();
        for window in plan.windows() {
            let ids: Vec<(u32, u32)> = lattice.tiles.tiles_in(&resampler.footprint(&window.rect)).collect();
            let mut tiles = vec![RgbBuffer::default(); ids.len()];
            for (&(column, row), tile) in ids.iter().zip(&mut tiles) {
                slide.read_tile(TileId { level, row, column }, tile).unwrap();
            }
            let (first, last) = (ids[0], ids[ids.len() - 1]);
            let tiles: Vec<&RgbBuffer> = tiles.iter().collect();
            let patch = Patch::new(&lattice.tiles, first.0..last.0 + 1, first.1..last.1 + 1, &tiles).unwrap();
            let mut out = vec![0; (SIDE * SIDE * 3) as usize];
            resampler.fill(&window.rect, &patch, &mut out);
            windows.push(out);
        }
        windows
    }

    #[test]
    fn a_shrunken_window_holds_what_the_whole_one_does() {
        for slide_mpp in [0.5, 0.27] {
            let slide = Arc::new(Painted::new(&[(130, 60)]));
            let whole = plan(&slide, "50%", slide_mpp);
            let settings = PlanSettings { shrink_margin: Some(8), ..whole.settings().clone() };
            let mask = TissueMask::full(&slide.info);
            let shrunken = Plan::new(&slide.info.pyramid, mpp(slide_mpp), &mask, &settings).unwrap();
            assert_eq!(shrunken.windows().len(), whole.windows().len());
            let (full, _) = read(&slide, &whole, all(&whole), self::settings(0, 0));
            let (width, height) = shrunken.windows()[0].size();
            assert!(height < SIDE as usize, "{height}");
            let opened: Arc<dyn Slide> = Arc::clone(&slide) as Arc<dyn Slide>;
            let wanted = all(&shrunken);
            let mut stream = WindowStream::start(opened, Arc::new(shrunken), wanted, self::settings(0, 0));
            let mut pixels = vec![0; width * height * 3];
            for (index, expected) in full {
                assert_eq!(stream.next_into(&mut pixels), Some((index, Ok(()))));
                let rows = expected.as_ref().unwrap().chunks_exact(SIDE as usize * 3);
                assert!(
                    pixels.chunks_exact(width * 3).zip(rows).all(|(row, whole)| *row == whole[..width * 3])
                );
            }
        }
    }

    #[test]
    fn every_tile_is_decoded_once_whatever_the_threads() {
        for (overlap, slide_mpp) in [("50%", 0.5), ("50%", 0.25), ("17px", 0.27), ("75%", 0.5), ("0%", 0.52)]
        {
            let slide = Painted::new(&[(700, 500)]);
            let plan = plan(&slide, overlap, slide_mpp);
            let expected = directly(&slide, &plan);
            for (threads, ahead) in [(0, 0), (0, 5), (1, 0), (1, 4), (2, 1), (4, 100)] {
                let slide = Arc::new(Painted::new(&[(700, 500)]));
                let (windows, counters) = read(&slide, &plan, all(&plan), settings(threads, ahead));
                assert!(windows.iter().map(|(index, _)| *index).eq(all(&plan)));
                assert!(windows.iter().zip(&expected).all(|((_, read), direct)| read.as_ref() == Ok(direct)));
                assert!(slide.decodes().values().all(|&count| count == 1));
                assert_eq!(slide.decodes().len() as u64, counters.tiles_needed);
                assert_eq!(counters.tiles_decoded, counters.tiles_needed);
                assert_eq!(plan.cost().tiles_needed, counters.tiles_needed);
                assert_eq!((counters.tiles_failed, counters.cells_done), (0, counters.cells_needed));
                let bound = estimate_peak_bytes(&plan, &all(&plan), &settings(threads, ahead));
                assert!(counters.peak_bytes <= bound, "{} of {bound}", counters.peak_bytes);
            }
        }
    }

    fn tile(column: u32, row: u32) -> TileId {
        TileId { level: LevelIndex(0), row, column }
    }

    #[test]
    fn a_failed_tile_costs_its_windows_and_nothing_else() {
        let mut slide = Painted::new(&[(700, 500)]);
        slide.failing.extend([tile(5, 3), tile(6, 3)]);
        slide.panicking.insert(tile(1, 8));
        let (failing, panicking) = (slide.failing.clone(), slide.panicking.clone());
        let plan = plan(&slide, "50%", 0.5);
        let expected = directly(&Painted::new(&[(700, 500)]), &plan);
        for threads in [0, 1, 3] {
            let slide = Arc::new(Painted {
                failing: failing.clone(),
                panicking: panicking.clone(),
                ..Painted::new(&[(700, 500)])
            });
            let (windows, counters) = read(&slide, &plan, all(&plan), settings(threads, 4));
            assert_eq!((counters.tiles_failed, counters.tiles_decoded), (3, counters.tiles_needed - 3));
            assert!(slide.decodes().values().all(|&count| count == 1));
            for ((index, outcome), direct) in windows.iter().zip(&expected) {
                let rect = plan.windows()[index.0 as usize].rect.cast_unit();
                let bad: BTreeSet<TileId> = (failing.union(&panicking).copied())
                    .filter(|tile| {
                        slide.info.pyramid.base().tiles.tile_rect(tile.column, tile.row).intersects(&rect)
                    })
                    .collect();
                match outcome {
                    Ok(pixels) => assert!(bad.is_empty() && pixels == direct),
                    Err(fault) => {
                        assert_eq!((fault.failed, Some(&fault.tile)), (bad.len(), bad.first()));
                        let reason =
                            if failing.contains(&fault.tile) { "painted to fail" } else { "painted panic" };
                        assert!(fault.to_string().contains(reason), "{fault}");
                    }
                }
            }
            assert!(
                windows.iter().any(|(_, outcome)| outcome.as_ref().is_err_and(|fault| fault.failed == 2))
            );
        }
    }

    #[test]
    fn a_tile_of_the_wrong_size_is_a_fault() {
        struct Cut(Painted);
        impl Slide for Cut {
            fn info(&self) -> &wsi_reader::SlideInfo {
                self.0.info()
            }
            fn read_tile(&self, tile: TileId, out: &mut RgbBuffer) -> Result<(), wsi_reader::ReadError> {
                self.0.read_tile(tile, out)?;
                out.reset(10, 10);
                Ok(())
            }
            fn read_associated(&self, name: &str, out: &mut RgbBuffer) -> Result<(), wsi_reader::ReadError> {
                self.0.read_associated(name, out)
            }
            fn icc_profile(&self) -> Result<Option<Vec<u8>>, wsi_reader::ReadError> {
                self.0.icc_profile()
            }
        }
        let painted = Painted::new(&[(64, 48)]);
        let plan = plan(&painted, "50%", 0.5);
        let mut stream =
            WindowStream::start(Arc::new(Cut(painted)), plan, vec![WindowIndex(0)], settings(1, 1));
        let (_, outcome) = stream.next_into(&mut vec![0; (SIDE * SIDE * 3) as usize]).unwrap();
        assert_eq!(outcome.unwrap_err().reason, "the reader gave 10x10 px, expected 64x48");
    }

    #[test]
    fn absent_tiles_are_background_and_never_decoded() {
        let absent: BTreeSet<TileId> =
            (0..6).flat_map(|column| (0..11).map(move |row| tile(column, row))).collect();
        let slide = Arc::new(Painted { absent: absent.clone(), ..Painted::new(&[(700, 500)]) });
        let plan = plan(&slide, "50%", 0.25);
        let expected = directly(&slide, &plan);
        slide.decoded.lock().unwrap().clear();
        let (windows, counters) = read(&slide, &plan, all(&plan), settings(2, 4));
        assert!(windows.iter().zip(&expected).all(|((_, read), direct)| read.as_ref() == Ok(direct)));
        assert!(slide.decodes().keys().all(|tile| !absent.contains(tile)));
        assert_eq!(counters.tiles_absent, absent.len() as u64);
        assert_eq!(counters.tiles_decoded + counters.tiles_absent, counters.tiles_needed);
        assert!(windows[0].1.as_ref().unwrap().iter().all(|&byte| byte == 255));
    }

    #[test]
    fn dropping_midway_ends_all_threads() {
        for taken in [0, 1, 7] {
            let slide: Arc<dyn Slide> = Arc::new(Painted::new(&[(2000, 1500)]));
            let plan = plan(&Painted::new(&[(2000, 1500)]), "50%", 0.5);
            let mut stream =
                WindowStream::start(Arc::clone(&slide), Arc::clone(&plan), all(&plan), settings(4, 8));
            let mut out = vec![0; (SIDE * SIDE * 3) as usize];
            (0..taken).for_each(|_| assert!(stream.next_into(&mut out).is_some()));
            drop(stream);
            // Threads hold a reference each; none is left.
            assert_eq!(Arc::strong_count(&slide), 1);
        }
    }

    #[test]
    fn memory_does_not_grow_with_height() {
        let [(_, bound), (tall, tall_bound)] = [600, 4800].map(|height| {
            let slide = Arc::new(Painted::new(&[(800, height)]));
            let plan = plan(&slide, "50%", 0.5);
            let (_, counters) = read(&slide, &plan, all(&plan), settings(2, 2));
            (counters.peak_bytes, estimate_peak_bytes(&plan, &all(&plan), &settings(2, 2)))
        });
        assert_eq!(tall_bound, bound);
        assert!(tall <= bound, "{tall} of {bound}");
        // Two window rows of the slide's width, and some tiles.
        assert!(bound < 800 * 2 * u64::from(SIDE) * 3 * 2, "{bound}");
    }

    #[test]
    fn a_budget_changes_the_order_and_never_the_pixels() {
        let slide = Arc::new(Painted::new(&[(3000, 900)]));
        let plan = plan(&slide, "50%", 0.5);
        let (in_order, _) = read(&slide, &plan, all(&plan), settings(1, 1));
        let whole = estimate_peak_bytes(&plan, &all(&plan), &settings(1, 1));
        let free = StreamSettings { threads: 2, ahead_windows: 1, memory_bytes: None };
        let enough = StreamSettings { memory_bytes: Some(whole), ..free };
        assert_eq!(reading_order(&plan, &all(&plan), &enough), all(&plan));
        assert_eq!(reading_order(&plan, &all(&plan), &free), all(&plan));
        let budget = whole / 3;
        let settings = StreamSettings { memory_bytes: Some(budget), ..free };
        let order = reading_order(&plan, &all(&plan), &settings);
        assert_ne!(order, all(&plan));
        let (mut banded, counters) = read(&slide, &plan, order, settings);
        assert!(counters.peak_bytes <= budget, "{} of {budget}", counters.peak_bytes);
        assert!(counters.tiles_decoded > counters.tiles_needed);
        assert_eq!(counters.tiles_needed, plan.cost().tiles_needed);
        banded.sort_by_key(|(index, _)| *index);
        assert!(banded == in_order);
    }

    #[test]
    fn a_budget_too_small_is_slow_and_right() {
        let slide = Arc::new(Painted::new(&[(500, 300)]));
        let plan = plan(&slide, "50%", 0.5);
        let tight = StreamSettings { threads: 3, ahead_windows: 50, memory_bytes: Some(1) };
        let (windows, counters) = read(&slide, &plan, all(&plan), tight);
        assert_eq!(counters.tiles_decoded, counters.tiles_needed);
        assert!(windows == read(&slide, &plan, all(&plan), settings(1, 1)).0);
    }

    #[test]
    fn batches_are_full_but_the_last_and_leave_out_faults() {
        let mut slide = Painted::new(&[(700, 300)]);
        let last = TileId { level: LevelIndex(0), row: 6, column: 10 };
        slide.failing.insert(last);
        let plan = plan(&slide, "0%", 0.5);
        let mut stream = WindowStream::start(Arc::new(slide), Arc::clone(&plan), all(&plan), settings(2, 4));
        let (mut batch, mut faults, mut sizes) = (Batch::default(), Vec::new(), Vec::new());
        let mut seen = Vec::new();
        while Batcher::new(3).fill(&mut stream, &mut batch, &mut faults) {
            sizes.push(batch.windows.len());
            assert_eq!(batch.pixels.len(), batch.windows.len() * batch.width * batch.height * 3);
            seen.extend(batch.windows.iter().copied());
        }
        let missing: Vec<WindowIndex> = faults.iter().map(|fault| fault.window).collect();
        assert_eq!(sizes.iter().sum::<usize>() + missing.len(), plan.windows().len());
        assert!(sizes.split_last().unwrap().1.iter().all(|&size| size == 3));
        assert!(!missing.is_empty() && missing.iter().all(|window| !seen.contains(window)));
        assert!(batch.windows.is_empty() && batch.pixels.is_empty());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]
        #[test]
        fn any_part_of_a_plan_reads_the_same(
            width in 30u32..900, height in 30u32..700, overlap in 0.0..80.0f64, slide_mpp in 0.2..0.54f64,
            threads in 0usize..4, ahead in 0usize..20, memory in proptest::option::of(1u64..2_000_000),
            keep in proptest::collection::vec(any::<bool>(), 1..40),
        ) {
            let slide = Arc::new(Painted::new(&[(width, height), (width.div_ceil(2), height.div_ceil(2))]));
            let plan = plan(&slide, &format!("{overlap}%"), slide_mpp);
            prop_assume!(plan.windows().len() < 400);
            let wanted: Vec<WindowIndex> = all(&plan).into_iter().zip(keep.iter().cycle())
                .filter(|(_, keep)| **keep).map(|(index, _)| index).collect();
            let expected = directly(&slide, &plan);
            slide.decoded.lock().unwrap().clear();
            let settings = StreamSettings { threads, ahead_windows: ahead, memory_bytes: memory };
            let bound = estimate_peak_bytes(&plan, &wanted, &settings);
            let (windows, counters) = read(&slide, &plan, wanted.clone(), settings);
            prop_assert!(windows.iter().map(|(index, _)| index).eq(&wanted));
            for (index, pixels) in &windows {
                prop_assert!(pixels.as_ref() == Ok(&expected[index.0 as usize]));
            }
            prop_assert!(slide.decodes().values().all(|&count| count == 1));
            prop_assert_eq!(slide.decodes().len() as u64, counters.tiles_needed);
            prop_assert!(counters.peak_bytes <= bound);
        }
    }
}

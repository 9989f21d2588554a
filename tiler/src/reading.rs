//! One reading of some windows, shared by the threads that read and the one
//! that takes windows.
//!
//! Workers take cells in order of first use. A cell may be begun when the window it is first needed for is
//! near enough; cells that the *next* window needs may always be begun, so nobody waits for ever.

use std::{
    collections::BTreeMap,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use wsi_reader::Slide;
use wsi_types::{GridRect, RgbBuffer, TileId, WindowIndex};

use crate::{
    ReadCounters, StreamSettings, WindowFault,
    cells::CellId,
    resample::Patch,
    schedule::{Job, Schedule},
    strip::{self, Piece},
    tile_cache::{Memory, Tile, TileCache, TileFault},
};

pub(crate) struct Reading {
    schedule: Schedule,
    settings: StreamSettings,
    tiles_needed: u64,
    tiles: TileCache,
    memory: Memory,
    state: Mutex<State>,
    /// Signals that a worker may have a job to begin.
    room: Condvar,
    /// Signals that a cell is made.
    made: Condvar,
}

#[derive(Default)]
struct State {
    /// The next place in the order to hand out.
    next_window: usize,
    /// The next job to begin.
    next_job: usize,
    cells: BTreeMap<u32, Slot>,
    spare: Vec<Vec<u8>>,
    cells_done: u64,
    resample_secs: f64,
    wait_secs: f64,
    stopped: bool,
    broken: bool,
}

/// A cell from the moment a worker takes it until its last window.
struct Slot {
    uses: u32,
    cell: Option<Cell>,
}

#[derive(Clone)]
enum Cell {
    Ready(Arc<Vec<u8>>),
    /// Grid px are stored px: windows take them from the tiles, row by row; the tiles are handed back with
    /// the cell. This saves writing and reading every px once.
    Stored(Arc<[Tile]>),
    /// Its tiles that failed, row by row, each with the reason.
    Failed(Arc<[(TileId, TileFault)]>),
}

impl Reading {
    pub(crate) fn new(schedule: Schedule, settings: StreamSettings) -> Self {
        let resampler = schedule.cells().resampler();
        Self {
            tiles_needed: schedule.tiles_needed(),
            tiles: TileCache::new(*resampler.tiles(), resampler.tile_bytes()),
            schedule,
            settings,
            memory: Memory::default(),
            state: Mutex::default(),
            room: Condvar::new(),
            made: Condvar::new(),
        }
    }

    /// Makes cells until none is left or the reading is stopped.
    pub(crate) fn work(&self, slide: &dyn Slide) {
        let _alarm = Alarm(self);
        while let Some(job) = self.take_job() {
            self.run_job(slide, job);
        }
    }

    /// Returns the next cell to make, as soon as it may be begun.
    fn take_job(&self) -> Option<u32> {
        let mut state = self.lock();
        loop {
            let job = self.schedule.jobs().get(state.next_job).filter(|_| !state.stopped)?;
            if self.may_begin(job, &state) {
                let index = state.next_job as u32;
                state.cells.insert(index, Slot { uses: job.uses, cell: None });
                state.next_job += 1;
                return Some(index);
            }
            state = wait(&self.room, state);
        }
    }

    fn may_begin(&self, job: &Job, state: &State) -> bool {
        let near = job.first <= state.next_window.saturating_add(self.settings.ahead_windows);
        let fits = self.settings.memory_bytes.is_none_or(|bytes| self.memory.live() < bytes);
        job.first <= state.next_window || (near && fits)
    }

    fn run_job(&self, slide: &dyn Slide, index: u32) {
        let job = self.schedule.jobs()[index as usize];
        let ids: Vec<TileId> = self.schedule.cells().tiles(job.cell).collect();
        let tiles = self.tiles.obtain(slide, job.run, &ids, &self.memory, |id| {
            self.schedule.jobs_of_tile(job.run, id).count() as u32
        });
        let Some(tiles) = tiles else { return };
        let cell = self.make(job.cell, &ids, tiles);
        if !matches!(cell, Cell::Stored(_)) {
            self.tiles.release(job.run, &ids, &self.memory);
        }
        self.publish(index, cell);
    }

    fn make(&self, cell: CellId, ids: &[TileId], tiles: Vec<Tile>) -> Cell {
        let failed = ids.iter().zip(&tiles).filter_map(|(&id, tile)| match tile {
            Tile::Failed(fault) => Some((id, fault.clone())),
            Tile::Pixels(_) | Tile::Absent => None,
        });
        let failed: Vec<_> = failed.collect();
        if !failed.is_empty() {
            return Cell::Failed(failed.into());
        }
        if self.schedule.cells().resampler().keeps_pixels() {
            return Cell::Stored(tiles.into());
        }
        let mut pixels = self.buffer();
        let started = Instant::now();
        self.resample(cell, ids, &tiles, &mut pixels);
        self.lock().resample_secs += started.elapsed().as_secs_f64();
        Cell::Ready(Arc::new(pixels))
    }

    /// Returns a buffer for a cell, of any length.
    fn buffer(&self) -> Vec<u8> {
        let spare = self.lock().spare.pop();
        let bytes = self.schedule.cells().largest_bytes();
        self.memory.take(bytes, spare.is_none());
        spare.unwrap_or_else(|| Vec::with_capacity(bytes as usize))
    }

    fn resample(&self, cell: CellId, ids: &[TileId], tiles: &[Tile], out: &mut Vec<u8>) {
        let cells = self.schedule.cells();
        let (rect, resampler) = (cells.rect(cell), cells.resampler());
        out.resize((rect.width() * rect.height() * 3) as usize, 0);
        if tiles.iter().all(|tile| matches!(tile, Tile::Absent)) {
            return out.as_chunks_mut::<3>().0.fill(resampler.background());
        }
        let absent: BTreeMap<TileId, RgbBuffer> = (ids.iter().zip(tiles))
            .filter(|(_, tile)| matches!(tile, Tile::Absent))
            .map(|(id, _)| {
                let size = resampler.tiles().tile_rect(id.column, id.row).size.to_usize();
                (*id, RgbBuffer::filled(size.width, size.height, resampler.background()))
            })
            .collect();
        let pixels: Vec<&RgbBuffer> = (ids.iter().zip(tiles))
            .filter_map(
                |(id, tile)| if let Tile::Pixels(pixels) = tile { Some(&**pixels) } else { absent.get(id) },
            )
            .collect();
        let (columns, rows) = cells.tile_span(cell);
        let patch = Patch::new(resampler.tiles(), columns, rows, &pixels).expect("the cache checks sizes");
        resampler.fill(&rect, &patch, out);
    }

    fn publish(&self, index: u32, cell: Cell) {
        let mut state = self.lock();
        state.cells_done += 1;
        if let Some(slot) = state.cells.get_mut(&index) {
            slot.cell = Some(cell);
        }
        drop(state);
        self.made.notify_all();
        // Tiles were freed: there may be room again.
        self.room.notify_all();
    }

    /// Returns width and height of the windows; 0 without windows.
    pub(crate) fn window_size(&self) -> (usize, usize) {
        self.schedule.order().first().map_or((0, 0), wsi_types::Window::size)
    }

    pub(crate) fn remaining(&self) -> usize {
        self.schedule.order().len() - self.lock().next_window
    }

    /// Implements [`WindowStream::next_into`](crate::WindowStream::next_into). With a `helper` the caller's
    /// thread makes cells too, until its window is complete. For one caller at a time.
    pub(crate) fn next_into(
        &self,
        helper: Option<&dyn Slide>,
        out: &mut [u8],
    ) -> Option<(WindowIndex, Result<(), WindowFault>)> {
        let at = self.lock().next_window;
        let window = self.schedule.order().get(at)?;
        let (width, height) = window.size();
        assert_eq!(out.len(), width * height * 3, "a buffer of one window");
        let jobs: Vec<(u32, CellId)> = self.schedule.jobs_of(at).collect();
        let mut failed: BTreeMap<TileId, TileFault> = BTreeMap::new();
        for strip in jobs.chunk_by(|(_, a), (_, b)| a.row == b.row) {
            let cells: Vec<(CellId, Cell)> =
                strip.iter().map(|&(job, id)| (id, self.cell(helper, job))).collect();
            self.paste(&cells, &window.rect, out);
            for (_, cell) in cells {
                if let Cell::Failed(tiles) = cell {
                    failed.extend(tiles.iter().cloned());
                }
            }
            strip.iter().for_each(|&(job, _)| self.release(job));
        }
        self.lock().next_window += 1;
        self.room.notify_all();
        Some((window.index, fault(window.index, &failed).map_or(Ok(()), Err)))
    }

    /// Returns the cell of a job, made by a `helper` if there is one.
    fn cell(&self, helper: Option<&dyn Slide>, job: u32) -> Cell {
        if let Some(slide) = helper {
            self.help(slide, job);
        }
        self.wait_for(job)
    }

    /// Copies a row of cells to its place in a window; failed cells are skipped.
    fn paste(&self, strip: &[(CellId, Cell)], window: &GridRect, out: &mut [u8]) {
        let cells = self.schedule.cells();
        let resampler = cells.resampler();
        let Some(ys) = strip.first().map(|(id, _)| cells.rect(*id).y_range()) else { return };
        if !resampler.keeps_pixels() {
            let pieces: Vec<Piece<'_>> = (strip.iter())
                .filter_map(|(id, cell)| match cell {
                    Cell::Ready(pixels) => Some((cells.rect(*id), pixels)),
                    Cell::Stored(_) | Cell::Failed(_) => None,
                })
                .map(|(rect, pixels)| Piece::new(&rect, &rect, pixels, window))
                .collect();
            return strip::write(&pieces, ys, resampler.background(), window, out);
        }
        for band in resampler.bands(ys) {
            let pieces: Vec<Piece<'_>> = (strip.iter())
                .flat_map(|(id, cell)| self.stored(*id, cell))
                .filter_map(|(rect, tile, pixels)| {
                    let rows = GridRect::new(
                        euclid::point2(rect.min_x(), band.start),
                        euclid::size2(rect.width(), band.end - band.start),
                    );
                    let part = tile.intersection(&rows)?;
                    Some(Piece::new(&part, &tile, pixels.bytes(), window))
                })
                .collect();
            strip::write(&pieces, band, resampler.background(), window, out);
        }
    }

    /// Returns the tiles of a cell that hold pixels: the cell's rect, the tile's, and the pixels.
    fn stored<'a>(
        &'a self,
        id: CellId,
        cell: &'a Cell,
    ) -> impl Iterator<Item = (GridRect, GridRect, &'a RgbBuffer)> {
        let cells = self.schedule.cells();
        let (rect, grid) = (cells.rect(id), cells.resampler().tiles());
        let tiles: &[Tile] = if let Cell::Stored(tiles) = cell { tiles } else { &[] };
        cells.tiles(id).zip(tiles).filter_map(move |(id, tile)| match tile {
            Tile::Pixels(pixels) => Some((rect, grid.tile_rect(id.column, id.row).cast_unit(), &**pixels)),
            Tile::Absent | Tile::Failed(_) => None,
        })
    }

    /// Makes cells until this one is taken.
    fn help(&self, slide: &dyn Slide, job: u32) {
        while self.lock().next_job <= job as usize {
            let Some(next) = self.take_job() else { return };
            self.run_job(slide, next);
        }
    }

    fn wait_for(&self, job: u32) -> Cell {
        let started = Instant::now();
        let mut state = self.lock();
        loop {
            assert!(!state.broken, "a reading thread panicked");
            if let Some(cell) = state.cells.get(&job).and_then(|slot| slot.cell.clone()) {
                state.wait_secs += started.elapsed().as_secs_f64();
                return cell;
            }
            state = wait(&self.made, state);
        }
    }

    /// Hands a cell back; the last window to do so frees it. Cells go back with their strip, not with their
    /// window: the next tiles are then decoded into buffers that are still in the processor's cache.
    fn release(&self, job: u32) {
        match self.take_finished(job) {
            Some(Cell::Ready(pixels)) => {
                self.memory.give_back(self.schedule.cells().largest_bytes());
                self.lock().spare.extend(Arc::into_inner(pixels));
            }
            Some(Cell::Stored(tiles)) => {
                drop(tiles);
                let job = self.schedule.jobs()[job as usize];
                let ids: Vec<TileId> = self.schedule.cells().tiles(job.cell).collect();
                self.tiles.release(job.run, &ids, &self.memory);
            }
            Some(Cell::Failed(_)) | None => {}
        }
    }

    /// Counts one use of a cell down; returns it after its last.
    fn take_finished(&self, job: u32) -> Option<Cell> {
        let mut state = self.lock();
        let slot = state.cells.get_mut(&job)?;
        slot.uses -= 1;
        if slot.uses > 0 { None } else { state.cells.remove(&job).and_then(|slot| slot.cell) }
    }

    pub(crate) fn counters(&self) -> ReadCounters {
        let decoded = self.tiles.decoded();
        let state = self.lock();
        ReadCounters {
            tiles_needed: self.tiles_needed,
            tiles_decoded: decoded.tiles,
            tiles_failed: decoded.failed,
            tiles_absent: decoded.absent,
            cells_needed: self.schedule.jobs().len() as u64,
            cells_done: state.cells_done,
            peak_bytes: self.memory.held(),
            read_secs: decoded.secs,
            resample_secs: state.resample_secs,
            wait_secs: state.wait_secs,
        }
    }

    /// Ends the reading: workers leave after the tile they are at.
    pub(crate) fn stop(&self) {
        self.lock().stopped = true;
        self.tiles.stop();
        self.room.notify_all();
        self.made.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Stops the reading when a worker unwinds: that is our own bug, and nobody must wait for a cell that will
/// never be made.
struct Alarm<'a>(&'a Reading);

impl Drop for Alarm<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.lock().broken = true;
            self.0.stop();
        }
    }
}

fn wait<'a>(condition: &Condvar, state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
    condition.wait(state).unwrap_or_else(PoisonError::into_inner)
}

/// Returns the fault that keeps a window from being whole, if there is one.
fn fault(window: WindowIndex, failed: &BTreeMap<TileId, TileFault>) -> Option<WindowFault> {
    let (&tile, first) = failed.first_key_value()?;
    Some(WindowFault {
        window,
        level: tile.level,
        tile,
        failed: failed.len(),
        reason: first.reason.to_string(),
        of_device: failed.values().any(|fault| fault.of_device),
        out_of_reach: failed.values().all(|fault| fault.out_of_reach),
    })
}

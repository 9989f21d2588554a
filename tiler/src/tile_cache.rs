//! Stored tiles, each decoded once for all cells that need it.
//!
//! The number of cells that need a tile is known when it is first requested; the last one to hand it back
//! frees it. A tile that is being decoded is waited for, never decoded twice (single flight). Nothing here
//! knows about windows, so readings of one slide at two magnifications could share one cache.

use std::{
    any::Any,
    collections::BTreeMap,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Instant,
};

use wsi_reader::{ReadError, Slide};
use wsi_types::{RgbBuffer, TileGrid, TileId};

/// A tile, or the reason why there is none.
#[derive(Debug, Clone)]
pub(crate) enum Tile {
    Pixels(Arc<RgbBuffer>),
    /// The file holds nothing: background.
    Absent,
    Failed(TileFault),
}

/// Reason why a tile could not be decoded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TileFault {
    /// The reason, in words.
    pub(crate) reason: Arc<str>,
    /// `true` if a disk or file server is to blame, and not the file.
    pub(crate) of_device: bool,
    /// `true` if that is a server or the network.
    pub(crate) out_of_reach: bool,
}

impl From<String> for TileFault {
    fn from(reason: String) -> Self {
        Self { reason: reason.into(), of_device: false, out_of_reach: false }
    }
}

impl From<ReadError> for TileFault {
    fn from(error: ReadError) -> Self {
        Self {
            reason: error.to_string().into(),
            of_device: matches!(error, ReadError::Device { .. }),
            out_of_reach: matches!(error, ReadError::Device { out_of_reach: true, .. }),
        }
    }
}

/// Bytes of pixels that a reading holds.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    live: AtomicU64,
    held: AtomicU64,
}

impl Memory {
    /// Takes a buffer of `bytes` into use.
    pub(crate) fn take(&self, bytes: u64, is_new: bool) {
        self.live.fetch_add(bytes, Ordering::Relaxed);
        if is_new {
            self.held.fetch_add(bytes, Ordering::Relaxed);
        }
    }

    /// Takes a buffer out of use; it is kept for reuse.
    pub(crate) fn give_back(&self, bytes: u64) {
        self.live.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// Returns the bytes in use.
    pub(crate) fn live(&self) -> u64 {
        self.live.load(Ordering::Relaxed)
    }

    /// Returns the bytes of all buffers ever made: all are kept, so this is the peak.
    pub(crate) fn held(&self) -> u64 {
        self.held.load(Ordering::Relaxed)
    }
}

/// Counts of decoded tiles.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Decoded {
    pub(crate) tiles: u64,
    pub(crate) failed: u64,
    pub(crate) absent: u64,
    pub(crate) secs: f64,
}

/// A tile, and its run of the order.
type Key = (u32, TileId);

pub(crate) struct TileCache {
    tiles: TileGrid,
    tile_bytes: u64,
    state: Mutex<State>,
    done: Condvar,
}

#[derive(Default)]
struct State {
    slots: BTreeMap<Key, Slot>,
    spare: Vec<RgbBuffer>,
    decoded: Decoded,
    stopped: bool,
}

/// A tile from the moment it is claimed until its last use.
struct Slot {
    uses: u32,
    tile: Option<Tile>,
}

impl TileCache {
    /// Makes a cache for one level, cut into `tiles`, of at most `tile_bytes` each.
    pub(crate) fn new(tiles: TileGrid, tile_bytes: u64) -> Self {
        Self { tiles, tile_bytes, state: Mutex::default(), done: Condvar::new() }
    }

    /// Returns the tiles `ids`; `uses` gives for each the number of callers that will ask for it in this run.
    /// Decodes those that nobody has begun, then waits for the others; nobody waits before all tiles that are
    /// theirs to decode are done, so waiting ends. `None` when the cache is stopped.
    pub(crate) fn obtain(
        &self,
        slide: &dyn Slide,
        run: u32,
        ids: &[TileId],
        memory: &Memory,
        uses: impl Fn(TileId) -> u32,
    ) -> Option<Vec<Tile>> {
        for &id in ids {
            if self.claim((run, id), || uses(id)) {
                self.publish((run, id), self.read(slide, id, memory));
            }
        }
        self.wait_for(run, ids)
    }

    /// `true` if the caller is the first to ask, and so the one to read it.
    fn claim(&self, key: Key, uses: impl FnOnce() -> u32) -> bool {
        let mut state = self.lock();
        let free = !state.stopped && !state.slots.contains_key(&key);
        if free {
            state.slots.insert(key, Slot { uses: uses(), tile: None });
        }
        free
    }

    fn read(&self, slide: &dyn Slide, id: TileId, memory: &Memory) -> Tile {
        if slide.is_absent(id) {
            self.lock().decoded.absent += 1;
            return Tile::Absent;
        }
        let spare = self.lock().spare.pop();
        memory.take(self.tile_bytes, spare.is_none());
        let started = Instant::now();
        let mut buffer = spare.unwrap_or_default();
        let outcome = self.decode(slide, id, &mut buffer);
        let mut state = self.lock();
        state.decoded.secs += started.elapsed().as_secs_f64();
        match outcome {
            Ok(()) => {
                state.decoded.tiles += 1;
                Tile::Pixels(Arc::new(buffer))
            }
            Err(fault) => {
                state.decoded.failed += 1;
                state.spare.push(buffer);
                memory.give_back(self.tile_bytes);
                Tile::Failed(fault)
            }
        }
    }

    fn decode(&self, slide: &dyn Slide, id: TileId, buffer: &mut RgbBuffer) -> Result<(), TileFault> {
        match catch_unwind(AssertUnwindSafe(|| slide.read_tile(id, buffer))) {
            Ok(read) => read?,
            Err(panic) => return Err(format!("the reader panicked: {}", panic_text(&*panic)).into()),
        }
        let (width, height) = (buffer.width(), buffer.height());
        let expected = self.tiles.tile_rect(id.column, id.row).size.to_usize();
        if (width, height) == (expected.width, expected.height) {
            return Ok(());
        }
        let (wanted_width, wanted_height) = (expected.width, expected.height);
        Err(format!("the reader gave {width}x{height} px, expected {wanted_width}x{wanted_height}").into())
    }

    fn publish(&self, key: Key, tile: Tile) {
        if let Some(slot) = self.lock().slots.get_mut(&key) {
            slot.tile = Some(tile);
        }
        self.done.notify_all();
    }

    fn wait_for(&self, run: u32, ids: &[TileId]) -> Option<Vec<Tile>> {
        let mut state = self.lock();
        loop {
            if state.stopped {
                return None;
            }
            let tiles = ids.iter().map(|id| state.slots.get(&(run, *id))?.tile.clone());
            if let Some(tiles) = tiles.collect() {
                return Some(tiles);
            }
            state = self.done.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Hands tiles back; the last to do so frees them. No copy of the tiles that [`TileCache::obtain`]
    /// returned may be left.
    pub(crate) fn release(&self, run: u32, ids: &[TileId], memory: &Memory) {
        let mut state = self.lock();
        for &id in ids {
            let Some(slot) = state.slots.get_mut(&(run, id)) else { continue };
            slot.uses -= 1;
            if slot.uses > 0 {
                continue;
            }
            if let Some(Tile::Pixels(pixels)) = state.slots.remove(&(run, id)).and_then(|slot| slot.tile) {
                memory.give_back(self.tile_bytes);
                state.spare.extend(Arc::into_inner(pixels));
            }
        }
    }

    pub(crate) fn decoded(&self) -> Decoded {
        self.lock().decoded
    }

    /// Ends all waiting.
    pub(crate) fn stop(&self) {
        self.lock().stopped = true;
        self.done.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn panic_text(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message")
}

//! Reading against its floors and peers: a level through `wsi-reader`, the bare
//! JPEG decode of the same bytes, and OpenSlide's `read_region`.
//!
//! ```sh
//! cargo bench --bench read [-- [--windows | --one-round] [--rows=ROWS] SLIDE]
//! ```
//!
//! SLIDE is an Aperio or generic TIFF of JPEG tiles; by default the shared `big_virtual_16384x12288.svs`. Its
//! whole level 0 is read, or its first ROWS: whole windows of them, and for the arms without windows the rows
//! of tiles these lie in. A few rows give a lower rate than a whole slide: half of their tiles are decoded to
//! memory that is touched for the first time. All arms run in one process, in turn, and the best of each
//! counts; OpenSlide reads once. On a shared machine the processor time (Linux) says more than the clock;
//! both are given.
//!
//! With `--windows` only the windows at stride 1024 are read, once, and the process's peak memory is given.
//! With `--one-round` the arms that `read_peers.py` compares with other readers are read once, in turn: a
//! line each, Mpx per second of processor time.

use std::{
    fs::File,
    hint::black_box,
    io::BufReader,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::Instant,
};

use anyhow::{Context, ensure};
use openslide_rs::{Address, OpenSlide, Region, Size};
use tiff::{decoder::Decoder, tags::Tag};
use tiler::{Overlap, Plan, PlanSettings, ReadCounters, StreamSettings, TissueMask, WindowStream};
use wsi_reader::Slide;
use wsi_types::{LevelIndex, RgbBuffer, TileId};
use zune_core::{bytestream::ZCursor, colorspace::ColorSpace, options::DecoderOptions};
use zune_jpeg::JpegDecoder;

const ROUNDS: usize = 3;
const WINDOW: u32 = 2048;

fn main() -> anyhow::Result<()> {
    // `cargo bench` adds a flag of its own.
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let is_given = |option: &str| arguments.iter().any(|argument| argument == option);
    let named = arguments.iter().find(|argument| !argument.starts_with("--")).map(PathBuf::from);
    let shared =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/slides/gt/big_virtual_16384x12288.svs");
    let path = named.unwrap_or(shared);
    if !path.is_file() {
        eprintln!("skipped: {} is absent", path.display());
        return Ok(());
    }
    let slide = wsi_reader::open(&path)?;
    if is_given("--windows") {
        return report_memory(&slide);
    }
    let grid = slide.info().pyramid.base().tiles;
    let given = arguments.iter().find_map(|argument| argument.strip_prefix("--rows="));
    let height = given.map_or(Ok(grid.height), str::parse)?.min(grid.height);
    let rows = height.div_ceil(grid.tile_height);
    let area = |height: u32| f64::from(grid.width) * f64::from(height);
    let px = area((rows * grid.tile_height).min(grid.height));
    if is_given("--one-round") {
        let tell = |what: &str, px: f64, time: Time| println!("{what}: {:.1}", px / time.processor / 1e6);
        tell("slidemill, whole tiles", px, once(|| read_tiles(&*slide, rows, 1)));
        let has_openslide = openslide_sys::load().is_ok();
        for stride in [WINDOW, WINDOW / 2] {
            let ours = once(|| read_windows(&slide, stride, 0, height));
            tell(&format!("slidemill, stride {stride}"), area(height), ours);
            if has_openslide {
                let handle = OpenSlide::new(&path)?;
                let theirs = once(|| read_region(&handle, grid.width, height, stride));
                tell(&format!("OpenSlide from Rust, stride {stride}"), area(height), theirs);
            }
        }
        return Ok(());
    }
    println!(
        "{} of {} rows: {} px wide, {} tiles, best of {ROUNDS}",
        height,
        grid.height,
        grid.width,
        grid.columns() * rows
    );

    let stored = Stored::read(&path)?;
    let tiles = (grid.columns() * rows) as usize;
    let floor = best(|| stored.decode(tiles));
    show("bare zune-jpeg, 1 thread", px, floor, floor);
    for threads in [1, 2] {
        let time = best(|| read_tiles(&*slide, rows, threads));
        show(&format!("wsi-reader, {threads} thread(s)"), px, time, floor);
    }
    for shift in 1..=slide.reduces(LevelIndex(0)) {
        let time = best(|| read_reduced(&*slide, rows, shift));
        show(&format!("wsi-reader at 1/{}, 1 thread", 1 << shift), px, time, floor);
        let time = best(|| read_and_average(&*slide, rows, shift));
        show(&format!("  whole, averaged to 1/{}", 1 << shift), px, time, floor);
    }
    // Windows are `height` high together; the floor is of all the tiles they lie in.
    let share = area(height) / px;
    let floor = Time { clock: floor.clock * share, processor: floor.processor * share };
    let px = area(height);
    let mut ours = Vec::new();
    for (stride, helpers) in [(WINDOW, 0), (WINDOW, 2), (WINDOW / 2, 0), (WINDOW / 2, 2)] {
        let mut counters = None;
        let time = best(|| counters = read_windows(&slide, stride, helpers, height).ok());
        show(&format!("windows at stride {stride}, {helpers} helper(s)"), px, time, floor);
        if let Some(c) = counters {
            println!("    {} tiles decoded of {} needed", c.tiles_decoded, c.tiles_needed);
        }
        ours.push((stride, helpers, time));
    }
    let opened = best(|| wsi_reader::open(&path).map(|slide| slide.info().pyramid.levels().len()));
    println!("open: {:.2} ms", opened.clock * 1e3);
    if let Err(error) = openslide_sys::load() {
        println!("OpenSlide is not compared: {error}");
        return Ok(());
    }
    for stride in [WINDOW, WINDOW / 2] {
        let handle = OpenSlide::new(&path)?;
        let theirs = once(|| read_region(&handle, grid.width, height, stride));
        show(&format!("OpenSlide read_region, stride {stride}"), px, theirs, floor);
        for (_, helpers, time) in ours.iter().filter(|(own, _, _)| *own == stride) {
            println!(
                "    ours with {helpers} helper(s): {:.1} times by the clock, {:.1} by processor time",
                theirs.clock / time.clock,
                theirs.processor / time.processor
            );
        }
    }
    Ok(())
}

fn report_memory(slide: &Arc<dyn Slide>) -> anyhow::Result<()> {
    let base = *slide.info().pyramid.base();
    let counters = read_windows(slide, WINDOW / 2, 2, base.height())?;
    println!(
        "{} x {} px at stride {}: {} tiles decoded of {} needed, {:.0} MB of tiles and cells, {:.0} MB in all",
        base.width(),
        base.height(),
        WINDOW / 2,
        counters.tiles_decoded,
        counters.tiles_needed,
        counters.peak_bytes as f64 / 1e6,
        peak_memory_mb(),
    );
    Ok(())
}

/// `VmHWM` of this process; where there is none, NaN.
fn peak_memory_mb() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<f64>().ok());
    kib.map_or(f64::NAN, |kib| kib * 1024.0 / 1e6)
}

/// Seconds.
#[derive(Clone, Copy)]
struct Time {
    clock: f64,
    /// Processor time of all threads of the process.
    processor: f64,
}

fn show(name: &str, px: f64, time: Time, floor: Time) {
    println!(
        "{name:36}{:7.1} Mpx/s by the clock, {:7.1} by processor time; floor/this {:.2} and {:.2}",
        px / time.clock / 1e6,
        px / time.processor / 1e6,
        floor.clock / time.clock,
        floor.processor / time.processor,
    );
}

fn once<T>(work: impl FnOnce() -> T) -> Time {
    let (clock, processor) = (Instant::now(), processor_secs());
    black_box(work());
    Time { clock: clock.elapsed().as_secs_f64(), processor: processor_secs() - processor }
}

fn best<T>(mut work: impl FnMut() -> T) -> Time {
    let mut least = once(&mut work);
    for _ in 1..ROUNDS {
        let next = once(&mut work);
        least.clock = least.clock.min(next.clock);
        least.processor = least.processor.min(next.processor);
    }
    least
}

/// Processor time of the process so far: user and system ticks of
/// `/proc/self/stat`; where there is none, NaN.
fn processor_secs() -> f64 {
    const TICKS_PER_SEC: f64 = 100.0;
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let (_, fields) = stat.rsplit_once(')').unwrap_or_default();
    let fields: Vec<&str> = fields.split_whitespace().collect();
    let [user, system] = [11, 12].map(|index| fields.get(index).and_then(|ticks| ticks.parse::<f64>().ok()));
    user.zip(system).map_or(f64::NAN, |(user, system)| (user + system) / TICKS_PER_SEC)
}

/// Level 0's compressed tiles, in memory.
struct Stored {
    file: Vec<u8>,
    places: Vec<(usize, usize)>,
    tables: Option<Vec<u8>>,
    colours: ColorSpace,
    tile_bytes: usize,
}

impl Stored {
    fn read(path: &Path) -> anyhow::Result<Self> {
        let mut tiff = Decoder::new(BufReader::new(File::open(path)?))?;
        ensure!(tiff.get_tag_u32(Tag::Compression)? == 7, "the bench wants JPEG tiles");
        let offsets = tiff.get_tag_u64_vec(Tag::TileOffsets)?;
        let counts = tiff.get_tag_u64_vec(Tag::TileByteCounts)?;
        let tables = tiff.find_tag(Tag::Unknown(347))?.map(|value| value.into_u8_vec()).transpose()?;
        let rgb = tiff.get_tag_u32(Tag::PhotometricInterpretation)? == 2;
        let tile_bytes = tiff_side(&mut tiff, Tag::TileWidth)? * tiff_side(&mut tiff, Tag::TileLength)? * 3;
        Ok(Self {
            file: std::fs::read(path)?,
            places: offsets.into_iter().zip(counts).map(|(o, c)| (o as usize, c as usize)).collect(),
            tables,
            // Components as they are where the file says RGB.
            colours: if rgb { ColorSpace::YCbCr } else { ColorSpace::RGB },
            tile_bytes,
        })
    }

    fn decode(&self, tiles: usize) -> anyhow::Result<()> {
        let mut out = vec![0; self.tile_bytes];
        let mut stream = Vec::new();
        for &(offset, count) in &self.places[..tiles] {
            let tile = self.file.get(offset..offset + count).context("a tile past the end of the file")?;
            stream.clear();
            match &self.tables {
                Some(tables) => {
                    stream.extend_from_slice(&tables[..tables.len() - 2]);
                    stream.extend_from_slice(&tile[2..]);
                }
                None => stream.extend_from_slice(tile),
            }
            let options = DecoderOptions::new_fast().jpeg_set_out_colorspace(self.colours);
            JpegDecoder::new_with_options(ZCursor::new(&stream[..]), options)
                .decode_into(&mut out)
                .map_err(|error| anyhow::anyhow!("{error:?}"))?;
            black_box(&out);
        }
        Ok(())
    }
}

fn tiff_side(tiff: &mut Decoder<BufReader<File>>, tag: Tag) -> anyhow::Result<usize> {
    Ok(tiff.get_tag_u32(tag)? as usize)
}

fn read_tiles(slide: &dyn Slide, rows: u32, threads: usize) {
    let columns = slide.info().pyramid.base().tiles.columns();
    let next = AtomicUsize::new(0);
    let work = || {
        let mut out = RgbBuffer::default();
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed) as u32;
            if index >= rows * columns {
                break;
            }
            let tile = TileId { level: LevelIndex(0), row: index / columns, column: index % columns };
            black_box(slide.read_tile(tile, &mut out)).ok();
        }
    };
    thread::scope(|scope| {
        (1..threads).for_each(|_| _ = scope.spawn(work));
        work();
    });
}

fn each_tile(slide: &dyn Slide, rows: u32, mut read: impl FnMut(TileId, &mut RgbBuffer)) {
    let columns = slide.info().pyramid.base().tiles.columns();
    let mut out = RgbBuffer::default();
    for index in 0..rows * columns {
        read(TileId { level: LevelIndex(0), row: index / columns, column: index % columns }, &mut out);
        black_box(&out);
    }
}

fn read_reduced(slide: &dyn Slide, rows: u32, shift: u32) {
    each_tile(slide, rows, |tile, out| _ = black_box(slide.read_tile_reduced(tile, shift, out)));
}

fn read_and_average(slide: &dyn Slide, rows: u32, shift: u32) {
    let mut whole = RgbBuffer::default();
    each_tile(slide, rows, |tile, out| {
        black_box(slide.read_tile(tile, &mut whole)).ok();
        wsi_reader::reduced::average(&whole, 1 << shift, out);
    });
}

/// The windows of the first `height` rows of level 0, as a run reads them. Of these
/// rows alone, where they are not all: tissue costs more to decode than glass, and the
/// other arms read no more.
fn read_windows(
    slide: &Arc<dyn Slide>,
    stride: u32,
    threads: usize,
    height: u32,
) -> anyhow::Result<ReadCounters> {
    let mpp = wsi_reader::resolve_scale(slide.info(), wsi_reader::GivenScale::default())?.mpp;
    let mask = TissueMask::full(slide.info());
    let settings = PlanSettings { overlap: Overlap::Px(WINDOW - stride), ..PlanSettings::new(mpp) };
    let plan = Arc::new(Plan::new(&slide.info().pyramid, mpp, &mask, &settings)?);
    let last = i64::from(height.max(WINDOW));
    let whole = height >= slide.info().pyramid.base().height();
    let windows = plan.windows().iter().filter(|window| whole || window.rect.max_y() <= last);
    let wanted = windows.map(|window| window.index).collect();
    let settings = StreamSettings { threads, ..StreamSettings::default() };
    let mut stream = WindowStream::start(Arc::clone(slide), plan, wanted, settings);
    let (width, height) = stream.window_size();
    let mut window = vec![0; width * height * 3];
    while let Some((_, outcome)) = stream.next_into(&mut window) {
        outcome?;
        black_box(&window);
    }
    Ok(stream.counters())
}

fn read_region(handle: &OpenSlide, width: u32, height: u32, stride: u32) -> anyhow::Result<()> {
    let [columns, rows] =
        [width, height].map(|size| (0..size.saturating_sub(WINDOW - stride).max(1)).step_by(stride as usize));
    for y in rows {
        for x in columns.clone() {
            let region = Region { address: Address { x, y }, level: 0, size: Size { w: WINDOW, h: WINDOW } };
            black_box(handle.read_region(&region)?);
        }
    }
    Ok(())
}

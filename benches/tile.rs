//! Tiling against its floor: windows assembled from tiles that cost a copy each,
//! and a plain copy of as many bytes.
//!
//! ```sh
//! cargo bench --bench tile [-- SLIDE]
//! ```
//!
//! With SLIDE, its windows are read too, and the share of time that decoding
//! takes is given. All arms run in one process, in turn; the best of each
//! counts: these machines are noisy.

use std::{collections::BTreeMap, hint::black_box, path::PathBuf, sync::Arc, time::Instant};

use tiler::{Plan, PlanSettings, ReadCounters, StreamSettings, TissueMask, WindowStream};
use wsi_reader::{MppSource, ReadError, Scale, Slide, SlideInfo};
use wsi_types::{Mpp, Pyramid, Rgb, RgbBuffer, TileGrid, TileId};

const ROUNDS: usize = 3;
/// Side of the slide, px.
const SIDE: u32 = 8192;
const COPIES: usize = 16;

fn main() -> anyhow::Result<()> {
    let slide: Arc<dyn Slide> = Arc::new(Copied::new(SIDE)?);
    let window = PlanSettings::new(Mpp::new(0.5)?).window as usize;
    let floor = best(|| copy(window * window * 3)) / COPIES as f64;
    println!("copy of a window      {:6.0} Mpx/s", (window * window) as f64 / floor / 1e6);
    for (name, mpp) in [("as stored", 0.5), ("factor 2", 0.25), ("factor 4", 0.125), ("factor 1.98", 0.2527)]
    {
        report(name, &slide, Mpp::new(mpp)?, 1)?;
    }
    report("factor 1.98, 2 threads", &slide, Mpp::new(0.2527)?, 2)?;
    for path in std::env::args().skip(1).filter(|argument| !argument.starts_with("--")).map(PathBuf::from) {
        let slide = wsi_reader::open(&path)?;
        let mpp = wsi_reader::resolve_scale(slide.info(), wsi_reader::GivenScale::default())?.mpp;
        report("slide", &slide, mpp, 1)?;
        report("slide, 2 threads", &slide, mpp, 2)?;
    }
    Ok(())
}

fn report(name: &str, slide: &Arc<dyn Slide>, mpp: Mpp, threads: usize) -> anyhow::Result<()> {
    let mask = TissueMask::full(slide.info());
    let settings = PlanSettings { max_enlarge: 2.0, ..PlanSettings::new(Mpp::new(0.5)?) };
    let plan = Arc::new(Plan::new(&slide.info().pyramid, mpp, &mask, &settings)?);
    let mut counters = ReadCounters::default();
    let secs = best(|| counters = read(slide, &plan, threads));
    let level = slide.info().pyramid.levels()[usize::from(plan.sampling().level.0)];
    let level_px = f64::from(level.width()) * f64::from(level.height());
    println!(
        "{name:22}{:6.0} Mpx/s of windows, {:6.0} Mpx/s of the level, decoding {:.2} s and resampling {:.2} s \
         of {secs:.2} s, {} tiles decoded of {}, peak {:.0} MB",
        plan.cost().inferred_px as f64 / secs / 1e6,
        level_px / secs / 1e6,
        counters.read_secs,
        counters.resample_secs,
        counters.tiles_decoded,
        counters.tiles_needed,
        counters.peak_bytes as f64 / 1e6,
    );
    Ok(())
}

fn read(slide: &Arc<dyn Slide>, plan: &Arc<Plan>, threads: usize) -> ReadCounters {
    let wanted = plan.windows().iter().map(|window| window.index).collect();
    let settings = StreamSettings { threads, ..StreamSettings::default() };
    let mut stream = WindowStream::start(Arc::clone(slide), Arc::clone(plan), wanted, settings);
    let (width, height) = stream.window_size();
    let mut out = vec![0; width * height * 3];
    while let Some(window) = stream.next_into(&mut out) {
        black_box(window.1.is_ok());
    }
    stream.counters()
}

fn copy(bytes: usize) {
    let (from, mut to) = (vec![1u8; bytes], vec![0u8; bytes]);
    for _ in 0..COPIES {
        to.copy_from_slice(black_box(&from));
        black_box(&to);
    }
}

/// Seconds of the best round.
fn best(mut work: impl FnMut()) -> f64 {
    let rounds = (0..ROUNDS).map(|_| {
        let started = Instant::now();
        work();
        started.elapsed().as_secs_f64()
    });
    rounds.fold(f64::INFINITY, f64::min)
}

/// A slide whose every tile is a copy of one.
struct Copied {
    info: SlideInfo,
    tile: RgbBuffer,
}

impl Copied {
    fn new(side: u32) -> anyhow::Result<Self> {
        let grid = TileGrid { width: side, height: side, tile_width: 256, tile_height: 256 };
        let mut tile = RgbBuffer::filled(256, 256, [200, 120, 170]);
        for (i, byte) in tile.bytes_mut().iter_mut().enumerate() {
            *byte ^= (i.wrapping_mul(0x9e37_79b9) >> 16) as u8 & 31;
        }
        let background: Rgb = [255; 3];
        let info = SlideInfo {
            backend: "memory",
            format: "memory".into(),
            pyramid: Pyramid::new([grid])?,
            scale: Ok(Scale { mpp: Mpp::new(0.25)?, source: MppSource::Painted }),
            objective: None,
            bounds: None,
            background,
            compression: vec!["none".into()],
            associated: Vec::new(),
            mapping: None,
            icc_profile_bytes: None,
            remarks: Vec::new(),
            properties: BTreeMap::new(),
        };
        Ok(Self { info, tile })
    }
}

impl Slide for Copied {
    fn info(&self) -> &SlideInfo {
        &self.info
    }

    fn read_tile(&self, _: TileId, out: &mut RgbBuffer) -> Result<(), ReadError> {
        out.reset(self.tile.width(), self.tile.height());
        out.bytes_mut().copy_from_slice(self.tile.bytes());
        Ok(())
    }

    fn read_associated(&self, name: &str, _: &mut RgbBuffer) -> Result<(), ReadError> {
        Err(ReadError::NoSuchImage { name: name.to_owned() })
    }

    fn icc_profile(&self) -> Result<Option<Vec<u8>>, ReadError> {
        Ok(None)
    }
}

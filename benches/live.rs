//! The live view over a virtual stage: steadiness, the mosaic against a run of the slide, robustness and latency.
//!
//! ```sh
//! cargo bench --bench live [-- SLIDE]
//! ```
//!
//! Without SLIDE a painted one is used. Frames are made before the clock starts: a camera takes no time of ours.

use std::{
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use detector::{DetectSettings, Detector as _, Device, OnnxDetector, SessionSettings};
use engine::{Engine, RunOptions, Settings};
use live::{
    Disturbance, Frame, LiveError, Located, Pace, Seen, Session, Source, StagePath, Thresholds, VirtualStage,
    WatchSettings, Watcher, smooth_pan,
};
use painted::{PaintSettings, paint_slide};
use wsi_reader::GivenScale;
use wsi_types::{Level0Box, Level0Point, Mpp};

const MODEL: &str = "nuclei-he-int8";
const FIELD: (u32, u32) = (640, 480);
const FRAMES: u64 = 90;
/// Pans over which the mosaic is counted; the first is the one of the other tables.
const PANS: [u64; 5] = [3, 11, 12, 13, 14];
/// Half a minute.
const TIMED_FRAMES: u64 = 450;
/// Noise of 4/255 and light that changes by 3 %.
const USUAL: Disturbance = Disturbance { noise: 4.0, light: 0.03, blur: 0.0, blood: 0.0 };
const UM_PER_FRAME: f64 = 10.0;

fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1).filter(|argument| !argument.starts_with("--"));
    let folder = tempfile::tempdir()?;
    let slide = match arguments.next() {
        Some(path) => PathBuf::from(path),
        None => painted(folder.path())?,
    };
    let bench = Bench::open(&slide)?;
    bench.steadiness()?;
    bench.mosaic()?;
    bench.robustness()?;
    bench.latency()
}

fn painted(folder: &Path) -> anyhow::Result<PathBuf> {
    let path = folder.join("painted.tif");
    paint_slide(&path, &PaintSettings { width_um: 1536.0, height_um: 1152.0, ..PaintSettings::default() })?;
    Ok(path)
}

struct Bench {
    slide: PathBuf,
    settings: WatchSettings,
    /// µm per px of level 0.
    mpp: Mpp,
    /// Centres at which a field lies within the slide.
    centres: Level0Box,
}

impl Bench {
    fn open(slide: &Path) -> anyhow::Result<Self> {
        let manifest = engine::describe(Some(Path::new(MODEL)))?.manifest;
        let mpp = manifest.mpp.expect("a bundled model says its scale");
        let settings = WatchSettings::new(mpp, &manifest).expect("the same");
        let opened = wsi_reader::open(slide)?;
        let own = wsi_reader::resolve_scale(opened.info(), GivenScale::default())?.mpp;
        let base = opened.info().pyramid.base();
        let size = euclid::vec2(f64::from(base.width()), f64::from(base.height()));
        let half = euclid::vec2(f64::from(FIELD.0), f64::from(FIELD.1)) * (0.5 * mpp.get() / own.get());
        let centres = Level0Box::new(half.to_point(), (size - half).to_point());
        Ok(Self { slide: slide.to_owned(), settings, mpp: own, centres })
    }

    fn watcher(&self, settings: WatchSettings) -> anyhow::Result<Watcher> {
        let manifest = engine::describe(Some(Path::new(MODEL)))?.manifest;
        let detect = DetectSettings {
            score_floor: settings.thresholds.floor().next_down(),
            nms_iou: manifest.nms_iou,
            ..DetectSettings::default()
        };
        let session = SessionSettings { batch: 1, window: (640, 640), ..SessionSettings::default() };
        let detector: OnnxDetector =
            engine::open_model(Some(Path::new(MODEL)), &Device::Cpu, &detect, &session)?;
        debug_assert_eq!(detector.manifest().name, MODEL);
        Ok(Watcher::new(Box::new(detector), settings))
    }

    fn stage(&self, path: StagePath, disturbance: Disturbance) -> anyhow::Result<VirtualStage> {
        let slide = wsi_reader::open(&self.slide)?;
        Ok(VirtualStage::new(
            slide,
            GivenScale::default(),
            FIELD,
            self.settings.model,
            path,
            (disturbance, 7),
        )?)
    }

    fn pan(&self, um_per_frame: f64) -> StagePath {
        self.pan_of(PANS[0], um_per_frame, FRAMES)
    }

    fn pan_of(&self, seed: u64, um_per_frame: f64, frames: u64) -> StagePath {
        smooth_pan(seed, &self.centres, um_per_frame / self.mpp.get(), frames)
    }

    fn watch(&self, settings: WatchSettings, stage: &mut VirtualStage) -> anyhow::Result<Watched> {
        let mut watcher = self.watcher(settings)?;
        let mut seen = Vec::new();
        while let Some(frame) = stage.next()? {
            seen.push(watcher.see(&frame)?);
        }
        Ok(Watched { watcher, seen })
    }

    fn steadiness(&self) -> anyhow::Result<()> {
        let still = StagePath::still(self.centres.center(), FRAMES);
        println!(
            "still field of {} × {} px, noise 4/255, light 3 %: born + died per frame",
            FIELD.0, FIELD.1
        );
        for refresh in [1, WatchSettings::REFRESH] {
            let settings = WatchSettings { refresh, ..self.settings.clone() };
            let watched = self.watch(settings, &mut self.stage(still.clone(), USUAL)?)?;
            println!("  model looks every {refresh:>2} frames   {watched}");
        }
        let conf = self.settings.thresholds.counted();
        println!("  bare model, every frame     {:.2} %", 100.0 * self.bare(&still, conf)?);
        let watched = self.watch(self.settings.clone(), &mut self.stage(self.pan(UM_PER_FRAME), USUAL)?)?;
        println!("pan at {UM_PER_FRAME} µm per frame           {watched}");
        Ok(())
    }

    /// Share of cells that come or go from frame to frame if each frame is judged by itself.
    fn bare(&self, path: &StagePath, conf: f64) -> anyhow::Result<f64> {
        let mut stage = self.stage(StagePath(path.0[..30].to_vec()), USUAL)?;
        let mut before: Option<Vec<Level0Point>> = None;
        let (mut changed, mut all) = (0, 0);
        while let Some(frame) = stage.next()? {
            let thresholds = Thresholds { born: conf, lives: conf };
            let mut watcher = self.watcher(WatchSettings { thresholds, ..self.settings.clone() })?;
            watcher.see(&frame)?;
            let now: Vec<Level0Point> = watcher.mosaic().map(|(_, bbox)| bbox.center()).collect();
            if let Some(before) = &before {
                changed += unmatched(before, &now) + unmatched(&now, before);
                all += now.len();
            }
            before = Some(now);
        }
        Ok(changed as f64 / all as f64)
    }

    fn mosaic(&self) -> anyhow::Result<()> {
        let options =
            RunOptions { model: Some(MODEL.into()), no_tissue_mask: Some(true), ..RunOptions::default() };
        let answer = Engine::open(&Settings::new(options)?)?.analyse(self.slide.as_path(), &mut ())?;
        let disturbances = [("undisturbed", Disturbance::default()), ("noise 4, light 3 %", USUAL)];
        for (seed, (name, disturbance)) in
            PANS.into_iter().flat_map(|seed| disturbances.map(|with| (seed, with)))
        {
            let path = self.pan_of(seed, UM_PER_FRAME, FRAMES);
            let mut stage = self.stage(path.clone(), disturbance)?;
            let areas: Vec<Level0Box> = path.0.iter().map(|&centre| stage.area(centre)).collect();
            let Watched { watcher, seen } = self.watch(self.settings.clone(), &mut stage)?;
            let counted = watcher.mosaic().count();
            // By the upper left corner, as the mosaic counts: the border of the area does not move it.
            let truth = answer.cells.iter().filter(|cell| is_within(&cell.bbox.min, &areas)).count();
            let lost = seen.iter().filter(|seen| matches!(seen.located, Located::Lost { .. })).count();
            let off = 100.0 * (counted as f64 / truth as f64 - 1.0);
            println!(
                "mosaic of pan {seed}, {name}: {counted} cells, run of the slide {truth} ({off:+.2} %), {lost} frames lost"
            );
        }
        Ok(())
    }

    fn robustness(&self) -> anyhow::Result<()> {
        let none = Disturbance::default();
        println!("robustness, a pan of {FRAMES} frames");
        let disturbed =
            [2.0, 8.0, 16.0].map(|noise| (format!("noise {noise}/255"), Disturbance { noise, ..none }));
        let light = [0.1, 0.2].map(|light| (format!("light {light}"), Disturbance { light, ..none }));
        let blur = [0.7, 1.5].map(|blur| (format!("blur {blur} px"), Disturbance { blur, ..none }));
        let blood = [0.1, 0.3].map(|blood| (format!("blood {blood}"), Disturbance { blood, ..none }));
        for (name, disturbance) in disturbed.into_iter().chain(light).chain(blur).chain(blood) {
            let watched =
                self.watch(self.settings.clone(), &mut self.stage(self.pan(UM_PER_FRAME), disturbance)?)?;
            println!("  {name:<16} {watched}");
        }
        for speed in [0.0, 30.0, 60.0, 100.0] {
            let watched = self.watch(self.settings.clone(), &mut self.stage(self.pan(speed), none)?)?;
            println!("  {speed:>3} µm per frame {watched}");
        }
        Ok(())
    }

    fn latency(&self) -> anyhow::Result<()> {
        let path = self.pan_of(PANS[0], UM_PER_FRAME, TIMED_FRAMES);
        let mut stage = self.stage(path, USUAL)?;
        let frames: Vec<Frame> = std::iter::from_fn(|| stage.next().transpose()).collect::<Result<_, _>>()?;
        let mut watcher = self.watcher(self.settings.clone())?;
        let session = Session::start(
            Box::new(Made(frames.into_iter())),
            Pace::Every(Duration::from_secs_f64(1.0 / 15.0)),
        )?;
        let mut latencies = Vec::new();
        let (ended, result) = session.run(&mut watcher, |observed| {
            latencies.extend(observed.latency);
            Ok(())
        });
        result?;
        latencies.sort_unstable();
        let [middle, high] =
            [50, 99].map(|percent| latencies[(latencies.len() * percent / 100).min(latencies.len() - 1)]);
        println!(
            "latency of {TIMED_FRAMES} frames, 15 per second: p50 {middle:.1?}, p99 {high:.1?}, {} dropped",
            ended.dropped
        );
        Ok(())
    }
}

struct Watched {
    watcher: Watcher,
    seen: Vec<Seen>,
}

impl std::fmt::Display for Watched {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let shown: usize = self.seen.iter().skip(1).map(|seen| seen.shown.len()).sum();
        let changed: u64 = self.seen.iter().skip(1).map(|seen| seen.changes.born + seen.changes.died).sum();
        let lost = self.seen.iter().filter(|seen| matches!(seen.located, Located::Lost { .. })).count();
        let last = self.seen.last().map_or(0, |seen| seen.mosaic.values().sum());
        let looked = self.seen.iter().map(|seen| seen.looked).sum::<f64>() / self.seen.len() as f64;
        write!(
            f,
            "{:.2} % of {:.0} cells in view, {last} so far, {lost} lost, model looks at {:.0} % of a field",
            100.0 * changed as f64 / shown.max(1) as f64,
            shown as f64 / self.seen.len() as f64,
            100.0 * looked
        )
    }
}

fn is_within(place: &Level0Point, areas: &[Level0Box]) -> bool {
    areas.iter().any(|area| area.contains(*place))
}

/// Places of `these` that have none of `those` within 5 px.
fn unmatched(these: &[Level0Point], those: &[Level0Point]) -> usize {
    let is_near = |place: &&Level0Point| those.iter().any(|other| (*other - **place).length() < 5.0);
    these.len() - these.iter().filter(is_near).count()
}

/// Frames that are in memory.
struct Made(std::vec::IntoIter<Frame>);

impl Source for Made {
    fn next(&mut self) -> Result<Option<Frame>, LiveError> {
        Ok(self.0.next().map(|frame| Frame { captured: Instant::now(), ..frame }))
    }
}

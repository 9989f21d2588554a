//! `slidemill live`: the field under a microscope.

use std::{io, path::Path, sync::mpsc, thread, time::Duration};

use anyhow::Context as _;
use detector::{DetectSettings, Detector as _, Manifest, OnnxDetector, SessionSettings};
use live::{
    ChildFrames, Disturbance, Ended, Folder, LiveError, Pace, Page, Record, Session, Source, StagePath,
    Stopper, Thresholds, VirtualStage, WatchSettings, Watcher, smooth_pan, waypoints,
};
use signal_hook::{
    consts::{SIGINT, SIGTERM},
    iterator::Signals,
};
use viewer::{Keyed, http::Loopback};
use whole_file::Inputs;
use wsi_reader::{GivenScale, Slide, resolve_scale};
use wsi_types::{
    Level0Box, Mpp,
    wording::{counted, with_causes},
};

use crate::{
    args::{self, FrameSize},
    command::{open, spare},
    exit::{Exit, Failure, exit_of},
};

/// Watches until the source ends or it is interrupted.
///
/// # Errors
///
/// A usage failure for settings that do not go together, an input failure when frames cannot be read, an output failure
/// when results cannot be written.
pub fn live(args: &args::Live) -> anyhow::Result<Exit> {
    let camera = Mpp::new(args.mpp).map_err(|error| Failure::usage(format!("--mpp: {error}")))?;
    if args.slide.is_none() && args.frames.is_none() && args.command.is_empty() {
        return Err(Failure::usage(
            "there is nothing to watch: give --slide SLIDE, --frames FOLDER, or after -- a command that writes frames",
        ));
    }
    let pace = pace(args)?;
    if let Some(record) = &args.record {
        let read = args.slide.iter().chain(&args.stage.path).chain([&args.model]);
        spare(&Inputs::new(read), record)?;
    }
    let settings = settings(args, camera)?;
    let detector = open_model(args, &settings)?;
    let manifest = detector.manifest().clone();
    let source = source(args, camera)?;
    let page = args.page.then(|| show_page(&manifest, args.port)).transpose()?;
    let session = Session::start(source, pace)?;
    let interrupted = stop_on_signals(session.stopper())?;
    let mut watching =
        Watching { session, watcher: Watcher::new(Box::new(detector), settings), manifest, page };
    let exit = match &args.record {
        Some(record) => watching.record(record)?,
        None => watching.print()?,
    };
    if watching.page.is_some() && interrupted.try_recv().is_err() {
        errln!("The frames have ended; the page stays until Ctrl-C.");
        let _ = interrupted.recv();
    }
    Ok(exit)
}

/// A session and what takes its results.
struct Watching {
    session: Session,
    watcher: Watcher,
    manifest: Manifest,
    page: Option<Page>,
}

impl Watching {
    /// Writes the lines to a file that appears whole.
    fn record(&mut self, path: &Path) -> anyhow::Result<Exit> {
        let written = whole_file::write(path, |out| self.write(out));
        let written = written.and_then(|written| match written {
            Err(LiveError::Write(error)) => Err(error),
            other => Ok(other),
        });
        written
            .map_err(|error| {
                Failure::output(format!("cannot write the record: {error}: {}", path.display()))
            })?
            .map_err(Into::into)
    }

    /// Writes the lines to standard output. A reader that closes early is no failure.
    fn print(&mut self) -> anyhow::Result<Exit> {
        match self.write(&mut io::stdout().lock()) {
            Err(LiveError::Write(error)) if error.kind() == io::ErrorKind::BrokenPipe => Ok(Exit::Done),
            other => Ok(other?),
        }
    }

    /// Writes all lines. What was seen until a fault is written too, and the fault is said.
    fn write(&mut self, out: &mut impl io::Write) -> Result<Exit, LiveError> {
        let settings = self.watcher.settings();
        let Thresholds { born, lives } = settings.thresholds;
        let mut record = Record::begin(out, &self.manifest, settings.model, (born, lives))?;
        let page = self.page.as_ref();
        let (ended, result) = self.session.run(&mut self.watcher, |observed| {
            page.into_iter().for_each(|page| page.show(observed));
            record.frame(observed)
        });
        page.into_iter().for_each(Page::end);
        let exit = match result {
            Ok(()) if ended.frames == 0 => {
                errln!("slidemill: no frame came");
                Exit::Incomplete
            }
            Ok(()) => Exit::Done,
            Err(error @ LiveError::Write(_)) => return Err(error),
            Err(error) => {
                let error = anyhow::Error::from(error);
                errln!("slidemill: {}", with_causes(error.as_ref()));
                exit_of(&error)
            }
        };
        record.end(&ended, exit == Exit::Done)?;
        tell(&ended);
        Ok(exit)
    }
}

fn tell(ended: &Ended) {
    let Ended { frames, dropped, lost, segments } = ended;
    let cells: Vec<String> = segments.iter().map(|&cells| counted(cells as usize, "cell")).collect();
    let cells = if cells.is_empty() {
        "nothing was counted".to_owned()
    } else {
        format!("by segment: {}", cells.join(", "))
    };
    let frames = counted(*frames as usize, "frame");
    errln!("{frames}, {dropped} dropped, {lost} lost; {cells}");
}

fn pace(args: &args::Live) -> anyhow::Result<Pace> {
    match args.fps {
        _ if !args.command.is_empty() => Ok(Pace::Camera),
        None if args.watch => Ok(Pace::Camera),
        None => Ok(Pace::EachFrame),
        Some(fps) if (0.01..=1000.0).contains(&fps) => Ok(Pace::Every(Duration::from_secs_f64(1.0 / fps))),
        Some(fps) => Err(Failure::usage(format!("--fps is {fps}, expected frames per second such as 15"))),
    }
}

fn settings(args: &args::Live, camera: Mpp) -> anyhow::Result<WatchSettings> {
    let manifest = engine::describe(Some(&args.model))?.manifest;
    if manifest.head.is_semantic() {
        return Err(Failure::usage(
            "the model answers areas, and what is watched are cells; take a model of cells",
        ));
    }
    if manifest.head.dimensions().is_some() {
        return Err(Failure::usage(
            "the model gives vectors, and what is watched are cells; take a model of cells",
        ));
    }
    if manifest.normalisation.percentiles.is_some() {
        return Err(Failure::usage(
            "the model wants percentiles of a whole slide, and what is watched is seen field by field; say in a copy of its \
             manifest, below [input], mean = low / 255 and std = (high - low) / 255 of each channel instead",
        ));
    }
    let settings = WatchSettings::new(camera, &manifest).ok_or_else(|| {
        Failure::usage("the model does not say at which µm/px it works; add `mpp = 0.25` (or what it was trained at) to a TOML manifest beside it")
    })?;
    Ok(WatchSettings { refresh: args.refresh, ..settings })
}

fn open_model(args: &args::Live, settings: &WatchSettings) -> anyhow::Result<OnnxDetector> {
    /// Side of the fields that a session is made ready for; others are taken too.
    const USUAL_SIDE: u32 = 640;
    let manifest = engine::describe(Some(&args.model))?.manifest;
    let side = USUAL_SIDE.next_multiple_of(manifest.stride.max(1));
    let (width, height) = manifest.fixed_input().unwrap_or((side, side));
    let threads = args.threads.unwrap_or_else(|| SessionSettings::default().threads).max(1);
    let session = SessionSettings {
        threads,
        batch: 1,
        window: (width as usize, height as usize),
        ..SessionSettings::default()
    };
    let detect = DetectSettings {
        score_floor: settings.thresholds.floor().next_down(),
        nms_iou: manifest.nms_iou,
        mpp: Some(settings.model),
        ..DetectSettings::default()
    };
    let model = engine::open_model(Some(&args.model), &args.device, &detect, &session)?;
    for note in model.notes() {
        errln!("slidemill: {note}");
    }
    Ok(model)
}

fn source(args: &args::Live, camera: Mpp) -> anyhow::Result<Box<dyn Source>> {
    if let Some(folder) = &args.frames {
        return Ok(Box::new(Folder::open(folder, args.watch)?));
    }
    let FrameSize(width, height) = args.size;
    match &args.slide {
        Some(path) => Ok(Box::new(virtual_stage(args, camera, path, (width, height))?)),
        None => Ok(Box::new(ChildFrames::start(&args.command, (width, height), args.pixels)?)),
    }
}

fn virtual_stage(
    args: &args::Live,
    camera: Mpp,
    path: &Path,
    size: (u32, u32),
) -> anyhow::Result<VirtualStage> {
    let stage = &args.stage;
    let slide = open(path, None)?;
    let given = GivenScale::default();
    let scale = resolve_scale(slide.info(), given)
        .map_err(|problem| Failure::input(format!("{problem}: {}", path.display())))?;
    let step = positive("--speed", stage.speed)? / scale.mpp.get();
    let way = match &stage.path {
        Some(file) => listed(file, step)?,
        None => smooth_pan(stage.seed, &centres(slide.as_ref(), size, camera, scale.mpp), step, stage.count),
    };
    let disturbance = Disturbance {
        noise: not_negative("--noise", stage.noise, 255.0)?,
        light: not_negative("--light", stage.light, 100.0)? / 100.0,
        blur: not_negative("--blur", stage.blur, 50.0)?,
        blood: not_negative("--blood", stage.blood, 100.0)? / 100.0,
    };
    Ok(VirtualStage::new(slide, given, size, camera, way, (disturbance, stage.seed))?)
}

fn listed(file: &Path, step: f64) -> anyhow::Result<StagePath> {
    let text = std::fs::read_to_string(file)
        .map_err(|error| Failure::input(format!("cannot read the path: {error}: {}", file.display())))?;
    waypoints(&text, step).map_err(|error| Failure::usage(format!("{error}: {}", file.display())))
}

/// Centres at which a field lies within the slide; its middle where the field is larger.
fn centres(slide: &dyn Slide, size: (u32, u32), camera: Mpp, mpp: Mpp) -> Level0Box {
    let base = slide.info().pyramid.base();
    let scale = camera.get() / mpp.get();
    let [x, y] = [(base.width(), size.0), (base.height(), size.1)].map(|(whole, field)| {
        let middle = f64::from(whole) / 2.0;
        let half = (middle - f64::from(field) * scale / 2.0).max(0.0);
        (middle - half, middle + half)
    });
    Level0Box::new(euclid::point2(x.0, y.0), euclid::point2(x.1, y.1))
}

fn positive(name: &str, value: f64) -> anyhow::Result<f64> {
    if value.is_finite() && value > 0.0 {
        return Ok(value);
    }
    Err(Failure::usage(format!("{name} is {value}, expected a positive number")))
}

fn not_negative(name: &str, value: f64, most: f64) -> anyhow::Result<f64> {
    if (0.0..=most).contains(&value) {
        return Ok(value);
    }
    Err(Failure::usage(format!("{name} is {value}, expected 0 to {most}")))
}

/// Serves the page on a thread of its own, and prints its address.
fn show_page(manifest: &Manifest, port: u16) -> anyhow::Result<Page> {
    let page = Page::new(manifest);
    let site = Keyed::new(page.clone())?;
    let loopback = Loopback::listen(port)?;
    errln!(
        "page      http://{}/{}/\n          for this machine alone; stop with Ctrl-C",
        loopback.address(),
        site.key()
    );
    let serving = thread::Builder::new().name("page".into()).spawn(move || loopback.serve(&site));
    serving.context("cannot start a thread")?;
    Ok(page)
}

/// The first Ctrl-C or SIGTERM ends the session in order, so that its record is whole; the second ends all. Returns what is
/// told of the first.
fn stop_on_signals(stopper: Stopper) -> anyhow::Result<mpsc::Receiver<()>> {
    let (asked, interrupted) = mpsc::channel();
    let mut signals = Signals::new([SIGINT, SIGTERM]).context("cannot listen to signals")?;
    let thread = thread::Builder::new().name("signals".into()).spawn(move || {
        let mut signals = signals.forever();
        let _ = signals.next();
        stopper.stop();
        let _ = asked.send(());
        if signals.next().is_some() {
            std::process::exit(i32::from(Exit::Again.code()));
        }
    });
    thread.context("cannot start a thread")?;
    Ok(interrupted)
}

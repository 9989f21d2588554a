//! The whole way of frames over a painted slide, whose every cell is known.

use std::{
    collections::BTreeSet,
    sync::{Arc, mpsc},
    time::Instant,
};

use detector::{BlobDetector, Detector, Manifest};
use live::{
    Disturbance, Frame, LiveError, Located, Pace, Record, Seen, Session, Source, StagePath, VirtualStage,
    WatchSettings, Watcher, smooth_pan, waypoints,
};
use rand::{Rng as _, SeedableRng as _};
use rand_pcg::Pcg64Mcg;
use wsi_reader::{GivenScale, MemorySlide};
use wsi_types::{Level0Box, Level0Point, Mpp, RgbBuffer, WindowBox};

const SIDE: (u32, u32) = (1600, 1200);
const FIELD: (u32, u32) = (320, 240);
/// Px within which a square of the stage may not yet have been looked at.
const UNSEEN_PX: f64 = 16.0;
/// Px from the border of a field up to which a square counts as cut.
const CUT_PX: f64 = 3.5;

fn mpp() -> Mpp {
    Mpp::new(0.5).expect("a plausible scale")
}

/// Dark squares on a light slide, none closer to another than 8 px, and the slide.
fn painted() -> (Vec<Level0Box>, Arc<MemorySlide>) {
    let mut random = Pcg64Mcg::seed_from_u64(11);
    let mut below = move |limit: u32| f64::from(random.next_u32() % limit);
    let mut squares: Vec<Level0Box> = Vec::new();
    while squares.len() < 1500 {
        let side = 10.0 + below(6);
        let corner = Level0Point::new(10.0 + below(SIDE.0 - 40), 10.0 + below(SIDE.1 - 40));
        let square = Level0Box::new(corner, corner + euclid::vec2(side, side));
        if !squares.iter().any(|other| other.inflate(8.0, 8.0).intersects(&square)) {
            squares.push(square);
        }
    }
    let mut pixels = RgbBuffer::filled(SIDE.0 as usize, SIDE.1 as usize, [225, 205, 215]);
    for square in &squares {
        let euclid::Box2D { min, max } = square.cast::<usize>();
        (min.y..max.y).for_each(|y| pixels.row_mut(y)[min.x * 3..max.x * 3].fill(60));
    }
    let slide = MemorySlide::painted(&[SIDE], (256, 256), Some(mpp()), move |_, x, y| {
        pixels.pixel(x as usize, y as usize)
    });
    (squares, Arc::new(slide.expect("a pyramid of one level")))
}

fn stage(slide: &Arc<MemorySlide>, path: StagePath, disturbance: Disturbance) -> VirtualStage {
    let slide: Arc<MemorySlide> = Arc::clone(slide);
    VirtualStage::new(slide, GivenScale::default(), FIELD, mpp(), path, (disturbance, 5)).expect("a stage")
}

fn watcher(refresh: u64) -> Watcher {
    let manifest = Manifest::without_model("blobs", &["blob"], Some(mpp()));
    let detector = BlobDetector::with_manifest(manifest, 400);
    let settings = WatchSettings::new(mpp(), detector.manifest()).expect("the model says its scale");
    Watcher::new(Box::new(detector), WatchSettings { refresh, ..settings })
}

fn watch(watcher: &mut Watcher, source: &mut dyn Source) -> Vec<Seen> {
    let frames = std::iter::from_fn(|| source.next().expect("a frame"));
    frames.map(|frame| watcher.see(&frame).expect("it is seen")).collect()
}

const ROUGH: Disturbance = Disturbance { noise: 4.0, light: 0.03, blur: 0.0, blood: 0.0 };

/// Squares for which there is a box on the stage whose corner lay at `origin` of the slide; each box has to be of one square
/// and of no other.
fn counted(squares: &[Level0Box], watcher: &Watcher, origin: Level0Point) -> BTreeSet<usize> {
    let mut counted = BTreeSet::new();
    for (_, bbox) in watcher.mosaic() {
        let bbox = bbox.translate(origin.to_vector());
        let near: Vec<usize> = (0..squares.len()).filter(|&at| squares[at].intersects(&bbox)).collect();
        assert_eq!(near.len(), 1, "{bbox:?} is one square");
        assert!(counted.insert(near[0]), "{bbox:?} is counted for the second time");
    }
    counted
}

fn still_at(x: f64, y: f64, frames: u64) -> StagePath {
    StagePath::still(Level0Point::new(x, y), frames)
}

#[test]
fn a_still_field_holds_still() {
    let (squares, slide) = painted();
    let mut source = stage(&slide, still_at(800.0, 600.0, 40), ROUGH);
    let area = source.area(Level0Point::new(800.0, 600.0));
    // The model looks at every frame.
    let mut watcher = watcher(1);
    let seen = watch(&mut watcher, &mut source);
    let in_view = squares.iter().filter(|square| square.intersects(&area)).count();
    assert!(in_view > 40, "{in_view}");
    for frame in &seen {
        assert_eq!((frame.shown.len(), frame.looked > 0.9), (in_view, true), "frame {}", frame.frame);
        let expected = if frame.frame == 0 { in_view as u64 } else { 0 };
        assert_eq!((frame.changes.entered, frame.changes.born, frame.changes.died), (expected, 0, 0));
    }
    let tracks = |frame: &Seen| frame.shown.iter().map(|cell| cell.track).collect::<Vec<_>>();
    assert_eq!(tracks(&seen[0]), tracks(&seen[39]));
}

#[test]
fn the_model_looks_only_where_it_has_to() {
    let (_, slide) = painted();
    let path = waypoints("800,600,30\n860,600", 3.0).expect("a path");
    let looked: Vec<f64> =
        watch(&mut watcher(10), &mut stage(&slide, path, ROUGH)).iter().map(|seen| seen.looked).collect();
    let at: Vec<usize> = (0..30).filter(|&at| looked[at] > 0.0).collect();
    assert_eq!(at, [0, 1, 11, 21], "twice, and then at each refresh");
    let moving = &looked[31..];
    let mean = moving.iter().sum::<f64>() / moving.len() as f64;
    assert!(moving.len() == 19 && mean > 0.1 && mean < 0.8, "{moving:?}");
}

#[test]
fn each_cell_is_counted_once_while_a_hand_pans() {
    let (squares, slide) = painted();
    let centres = Level0Box::new(euclid::point2(200.0, 150.0), euclid::point2(1400.0, 1050.0));
    let path = smooth_pan(2, &centres, 9.0, 300);
    let mut source = stage(&slide, path.clone(), ROUGH);
    let areas: Vec<Level0Box> = path.0.iter().map(|&centre| source.area(centre)).collect();
    let mut watcher = watcher(WatchSettings::REFRESH);
    let seen = watch(&mut watcher, &mut source);
    for (frame, area) in seen.iter().zip(&areas) {
        let Located::At(place) = frame.located else { panic!("lost at {}", frame.frame) };
        let off = place.corner - (area.min - areas[0].min);
        assert!(place.segment == 0 && off.length() < 2.0, "frame {}: {off:?}", frame.frame);
        assert_eq!((frame.changes.born, frame.changes.died), (0, 0), "frame {}", frame.frame);
    }
    let counted = counted(&squares, &watcher, areas[0].min);
    let whole = |square: &Level0Box| {
        areas.iter().any(|area| area.inflate(-UNSEEN_PX, -UNSEEN_PX).contains_box(square))
    };
    let expected: Vec<usize> = (0..squares.len()).filter(|&at| whole(&squares[at])).collect();
    assert!(expected.len() > 300, "{}", expected.len());
    let missing: Vec<&usize> = expected.iter().filter(|at| !counted.contains(at)).collect();
    assert!(missing.is_empty(), "{missing:?} of {}", expected.len());
    let touched = |square: &Level0Box| areas.iter().any(|area| area.intersects(square));
    assert!(counted.iter().all(|&at| touched(&squares[at])));
}

#[test]
fn a_cell_that_comes_back_is_the_same() {
    let (squares, slide) = painted();
    let path = waypoints("400,300,3\n1100,340\n400,300,20", 12.0).expect("a path");
    let mut source = stage(&slide, path, ROUGH);
    let origin = source.area(Level0Point::new(400.0, 300.0)).min;
    let mut watcher = watcher(WatchSettings::REFRESH);
    let seen = watch(&mut watcher, &mut source);
    let inner = WindowBox::from_size(euclid::size2(FIELD.0 as f32, FIELD.1 as f32)).inflate(-4.0, -4.0);
    let [first, last] = [&seen[2], &seen[seen.len() - 1]].map(|frame| {
        let whole = frame.shown.iter().filter(|cell| inner.contains_box(&cell.bbox));
        whole.map(|cell| cell.track).collect::<BTreeSet<_>>()
    });
    assert!(first.len() > 40);
    assert_eq!(first, last);
    assert_eq!(
        counted(&squares, &watcher, origin).len() as u64,
        seen[seen.len() - 1].mosaic.values().sum::<u64>()
    );
}

#[test]
fn a_jump_is_said_and_begins_a_new_count() {
    let (squares, slide) = painted();
    let mut path = still_at(400.0, 300.0, 5);
    path.0.extend(still_at(1200.0, 900.0, 5).0);
    let mut source = stage(&slide, path, ROUGH);
    let seen = watch(&mut watcher(15), &mut source);
    let segments: Vec<Option<u32>> = seen
        .iter()
        .map(|frame| match frame.located {
            Located::At(place) => Some(place.segment),
            Located::Lost { .. } => None,
        })
        .collect();
    let (before, after) = (Some(0), Some(1));
    assert_eq!(segments, [before, before, before, before, before, None, after, after, after, after]);
    assert!(seen[5].shown.is_empty(), "nothing is shown where nothing is known");
    assert_eq!(seen[5].mosaic, seen[4].mosaic);
    // Each field by itself: all cells are shown, and those whose upper left corner it shows are counted.
    for (frame, x, y) in [(&seen[4], 400.0, 300.0), (&seen[9], 1200.0, 900.0)] {
        let field = source.area(Level0Point::new(x, y));
        let shown = squares.iter().filter(|square| square.intersects(&field)).count();
        let seen_corners = Level0Box::new(field.min + euclid::vec2(CUT_PX, CUT_PX), field.max);
        let counted = squares.iter().filter(|square| seen_corners.contains(square.min)).count();
        assert!(counted < shown, "{counted} of {shown}");
        assert_eq!((frame.shown.len(), frame.mosaic.values().sum::<u64>()), (shown, counted as u64));
    }
}

#[test]
fn blank_glass_is_lost_and_no_guess() {
    let blank =
        MemorySlide::painted(&[SIDE], (256, 256), Some(mpp()), |_, _, _| [240; 3]).expect("a pyramid");
    let seen = watch(&mut watcher(15), &mut stage(&Arc::new(blank), still_at(800.0, 600.0, 4), ROUGH));
    assert!(seen[1..].iter().all(|frame| matches!(frame.located, Located::Lost { .. })), "{seen:?}");
}

/// The lines of a session in which each frame is looked at.
fn lines(slide: &Arc<MemorySlide>) -> Vec<u8> {
    let path = waypoints("400,300,3\n500,340", 9.0).expect("a path");
    let session = Session::start(Box::new(stage(slide, path, ROUGH)), Pace::EachFrame).expect("a thread");
    let mut watcher = watcher(4);
    let manifest = Manifest::without_model("blobs", &["blob"], Some(mpp()));
    let mut out = Vec::new();
    let mut record = Record::begin(&mut out, &manifest, mpp(), (0.3, 0.2)).expect("a line");
    let (ended, result) = session.run(&mut watcher, |observed| record.frame(observed));
    result.expect("all frames are seen");
    record.end(&ended, true).expect("a line");
    out
}

#[test]
fn the_same_frames_give_the_same_lines() {
    let (_, slide) = painted();
    let first = lines(&slide);
    assert_eq!(first, lines(&slide));
    let text = String::from_utf8(first).expect("text");
    let lines: Vec<serde_json::Value> =
        text.lines().map(|line| serde_json::from_str(line).expect("a JSON line")).collect();
    let (head, end) = (&lines[0], &lines[lines.len() - 1]);
    assert_eq!((head["format"].as_str(), head["mpp"].as_f64()), (Some("slidemill-live 1"), Some(0.5)));
    assert_eq!((end["end"].as_bool(), end["complete"].as_bool()), (Some(true), Some(true)));
    let frames = &lines[1..lines.len() - 1];
    assert_eq!((end["frames"].as_u64(), end["dropped"].as_u64()), (Some(frames.len() as u64), Some(0)));
    let last = &frames[frames.len() - 1];
    assert_eq!(last["mosaic"]["blob"], end["segments"][0]);
    assert_eq!(last["in_view"]["blob"].as_u64(), last["objects"].as_array().map(|cells| cells.len() as u64));
    assert!(last.get("latency_ms").is_none(), "frames without a clock have no latency");
}

/// Frames of which the first waits for nobody, and an end that is told.
struct Burst {
    left: u64,
    ended: mpsc::Sender<()>,
}

impl Source for Burst {
    fn next(&mut self) -> Result<Option<Frame>, LiveError> {
        if self.left == 0 {
            let _ = self.ended.send(());
            return Ok(None);
        }
        self.left -= 1;
        let pixels = RgbBuffer::filled(320, 240, [9; 3]);
        Ok(Some(Frame { number: 9 - self.left, captured: Instant::now(), pixels }))
    }
}

#[test]
fn frames_that_nobody_took_are_dropped_and_counted() {
    let (told, ended) = mpsc::channel();
    let session = Session::start(Box::new(Burst { left: 10, ended: told }), Pace::Camera).expect("a thread");
    let mut numbers = Vec::new();
    let mut dropped = 0;
    let (figures, result) = session.run(&mut watcher(15), |observed| {
        if numbers.is_empty() {
            ended.recv().expect("the camera goes on while a frame is looked at");
        }
        numbers.push(observed.seen.frame);
        dropped = observed.dropped;
        assert!(observed.latency.is_some());
        Ok(())
    });
    result.expect("all is well");
    assert_eq!((figures.frames + figures.dropped, figures.dropped), (10, dropped));
    assert_eq!(numbers.last(), Some(&9), "the newest is looked at");
    assert!(numbers.len() <= 2, "{numbers:?}");
}

#[test]
fn a_session_can_be_stopped_and_says_what_it_saw() {
    struct Endless(u64);
    impl Source for Endless {
        fn next(&mut self) -> Result<Option<Frame>, LiveError> {
            self.0 += 1;
            let pixels = RgbBuffer::filled(320, 240, [9; 3]);
            Ok(Some(Frame { number: self.0 - 1, captured: Instant::now(), pixels }))
        }
    }
    let session = Session::start(Box::new(Endless(0)), Pace::EachFrame).expect("a thread");
    let stopper = session.stopper();
    let (ended, result) = session.run(&mut watcher(15), |observed| {
        if observed.seen.frame == 4 {
            stopper.stop();
        }
        Ok(())
    });
    result.expect("to be stopped is no fault");
    assert!((5..=6).contains(&ended.frames), "a frame that waits may be taken: {ended:?}");
}

#[test]
fn a_slide_without_a_scale_or_too_coarse_is_refused() {
    let unknown = MemorySlide::painted(&[SIDE], (256, 256), None, |_, _, _| [240; 3]).expect("a pyramid");
    let path = still_at(100.0, 100.0, 1);
    let refused = |slide: MemorySlide, camera: f64| {
        let camera = Mpp::new(camera).expect("plausible");
        let stage = VirtualStage::new(
            Arc::new(slide),
            GivenScale::default(),
            FIELD,
            camera,
            path.clone(),
            (Disturbance::default(), 1),
        );
        stage.err().expect("it is refused").to_string()
    };
    assert!(!refused(unknown, 0.5).is_empty());
    let coarse =
        MemorySlide::painted(&[SIDE], (256, 256), Some(mpp()), |_, _, _| [240; 3]).expect("a pyramid");
    assert!(refused(coarse, 0.25).contains("would see more than is there"));
}

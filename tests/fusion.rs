//! Several detectors over one slide.

#![allow(clippy::unwrap_used)]

mod support;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
};

use dataset::{CellRow, Dataset, read_cells};
use detector::{BatchView, Detector, DetectorError, Manifest, WindowResult};
use engine::{Engine, Job, Model, ModelSet, RunOptions, SetModel, Settings, Stop, plan_settings};
use painted::{PaintedCell, Truth};
use support::{accounts, read_png, run, slidemill, small_slide, stderr, tables};
use tiler::{Plan, Survey};
use wsi_types::{ClassId, Detection, ModelClass, Mpp, Score, WindowBox, WindowIndex, class_colour};

/// A detector that finds painted cells as far as its scale allows: the sharp one cells up to [`SMALL_UM`],
/// the coarse one larger ones, and both those in between.
struct ByScale {
    manifest: Manifest,
    is_sharp: bool,
    cells: Arc<Vec<PaintedCell>>,
    /// The plan of its windows.
    plan: Arc<Plan>,
}

/// Longest radius of a cell that only the sharp detector sees, µm…
const SMALL_UM: f64 = 3.3;
/// …and the shortest of one that only the coarse detector sees.
const LARGE_UM: f64 = 4.0;

impl ByScale {
    fn sees(&self, cell: &PaintedCell) -> bool {
        if self.is_sharp { cell.radii_um.0 < LARGE_UM } else { cell.radii_um.0 > SMALL_UM }
    }

    fn found(&self, window: WindowIndex, side: f64) -> Vec<Detection> {
        let placement = self.plan.windows()[window.0 as usize].placement;
        let extent = WindowBox::new(euclid::point2(0.0, 0.0), euclid::point2(side as f32, side as f32));
        let boxed = |cell: &PaintedCell| {
            let bounds = placement.inverse()?.transform_box(&cell.level0_box()).cast::<f32>();
            let bbox = bounds.intersection(&extent)?;
            let score = Score::new(if self.is_sharp { 0.8 } else { 0.6 })?;
            Some(Detection { bbox, class: ModelClass(0), score, outline: None })
        };
        self.cells.iter().filter(|cell| self.sees(cell)).filter_map(boxed).collect()
    }
}

impl Detector for ByScale {
    fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    fn detect(&mut self, batch: BatchView<'_>) -> Result<Vec<WindowResult>, DetectorError> {
        batch.check()?;
        let side = batch.width as f64;
        let result = |&window| WindowResult::new(window, Ok(self.found(window, side)));
        Ok(batch.windows.iter().map(result).collect())
    }

    fn split(self: Box<Self>) -> Vec<Box<dyn Detector>> {
        vec![self]
    }
}

/// The settings of a run with these detectors and this rule.
fn settings(detectors: &[&str], fuse: &[&str]) -> Settings {
    let options = RunOptions {
        window: Some(512),
        threads: Some(2),
        detector: Some(detectors.iter().map(|spec| spec.parse().unwrap()).collect()),
        fuse: fuse.first().map(|&rule| rule.to_owned()),
        ..RunOptions::default()
    };
    Settings::new(options).unwrap()
}

/// Returns the scripted model of each detector of the settings.
fn scripted(slide: &Path, truth: &Truth, settings: &Settings) -> Vec<Model> {
    let manifest = Manifest::without_model("scripted", &["nucleus"], Mpp::new(0.5).ok());
    let terms = vec![manifest.merge_terms(); settings.detectors.len()];
    let models = ModelSet::new(&settings.detectors, terms).unwrap();
    let wanted = plan_settings(settings, &models, wsi_reader::GivenScale::default());
    let survey = Survey::new(wsi_reader::open(slide).unwrap(), &wanted).unwrap();
    let model = |(model, plan): (&SetModel, &Arc<Plan>)| {
        let (cells, plan) = (Arc::new(truth.cells.clone()), Arc::clone(plan));
        let is_sharp = model.mpp.get() < 0.4;
        Model::Detector(Box::new(ByScale { manifest: manifest.clone(), is_sharp, cells, plan }))
    };
    models.each.iter().zip(&survey.plans).map(model).collect()
}

/// Runs the scripted detectors; gives the table of cells.
fn run_scripted(slide: &Path, truth: &Truth, out: &Path, detectors: &[&str], fuse: &[&str]) -> PathBuf {
    let settings = settings(detectors, fuse);
    let engine = Engine::with_models(&settings, scripted(slide, truth, &settings)).unwrap();
    let job = Job::new(&engine, Dataset::at(out));
    let ended = job.run(&[slide.into()], &mut (), &Stop::new()).unwrap();
    assert!(ended.is_complete);
    Dataset::at(out).cells(&accounts(out)[0].slide)
}

fn f1(truth: &Truth, table: &Path) -> f64 {
    let found: Vec<_> = read_cells(table).unwrap().iter().map(|cell| cell.centroid).collect();
    let all = painted::score(truth, &found).unwrap().all;
    2.0 * all.precision() * all.recall() / (all.precision() + all.recall())
}

#[test]
fn what_each_scale_sees_alone_is_in_the_fused_table_once() {
    let folder = tempfile::tempdir().unwrap();
    let slide = folder.path().join("slide.tif");
    let truth = small_slide(&slide, 31);
    let at = |name: &str, detectors: &[&str], fuse: &[&str]| {
        run_scripted(&slide, &truth, &folder.path().join(name), detectors, fuse)
    };
    let sharp = f1(&truth, &at("sharp", &["mpp=0.25"], &[]));
    let coarse = f1(&truth, &at("coarse", &["mpp=0.5"], &[]));
    for rule in ["wbf", "noisy-or", "max"] {
        let table = at(rule, &["mpp=0.25", "mpp=0.5"], &[rule]);
        let both = f1(&truth, &table);
        assert!(both > sharp && both > coarse && both > 0.98, "{rule}: {both}, alone {sharp} and {coarse}");
    }
    assert!(sharp < 0.95 && coarse < 0.95, "{sharp} {coarse}");
    let account = &accounts(&folder.path().join("wbf"))[0];
    let analysis = account.analysis.as_ref().unwrap();
    let alone: Vec<u64> = analysis.detectors.iter().map(|detector| detector.cells).collect();
    let twice = analysis.dropped["the same cell of another detector"];
    assert_eq!(alone.iter().sum::<u64>() - twice, account.cells());
    assert_eq!(analysis.tiles.needed, analysis.tiles.decoded);
}

#[test]
fn one_model_at_two_scales_runs_resumes_and_merges_again() {
    let folder = tempfile::tempdir().unwrap();
    let slide = folder.path().join("slide.tif");
    small_slide(&slide, 32);
    let [out, again, fresh] = ["out", "again", "fresh"].map(|name| folder.path().join(name));
    let two = ["--window", "512", "--threads", "2", "--detector", "mpp=0.25", "--detector", "mpp=0.5"];
    let output = run(&[&slide], &out, &[&two[..], &["--keep-raw"]].concat());
    assert!(output.status.success(), "{}", stderr(&output));
    let (max, into) = (["--fuse", "max", "--fuse-score", "0.3"], again.to_str().unwrap());
    let merged = slidemill().arg("merge").arg(&out).args(["--into", into]).args(max).output().unwrap();
    assert!(merged.status.success(), "{}", stderr(&merged));
    let output = run(&[&slide], &fresh, &[&two[..], &max[..]].concat());
    assert!(output.status.success(), "{}", stderr(&output));
    assert_eq!(tables(&again), tables(&fresh));
    let picture = folder.path().join("scales.png");
    let mut command = slidemill();
    command.arg("draw").arg(&fresh).arg(&slide).arg("-o").arg(&picture).args(["--show", "scales"]);
    let drawn = command.output().unwrap();
    assert!(drawn.status.success(), "{}", stderr(&drawn));
    let told = String::from_utf8_lossy(&drawn.stdout).into_owned();
    assert!(told.contains("0.25 µm/px and 0.5 µm/px: "), "{told}");
    let counts = told.lines().filter_map(|line| line.split_once("µm/px")?.1.rsplit_once(": "));
    let counts =
        counts.map(|(_, count)| count.replace(|c: char| !c.is_ascii_digit(), "").parse::<u64>().unwrap());
    assert_eq!(counts.sum::<u64>(), accounts(&fresh)[0].cells(), "{told}");
    assert!(read_png(&picture).0.contains(&class_colour(ClassId(0))), "what both saw");
    let verified = slidemill().arg("verify").arg(&again).output().unwrap();
    assert!(verified.status.success(), "{}", String::from_utf8_lossy(&verified.stdout));
}

/// The bundled model under a name of its own, its class an area.
fn gland_model(folder: &Path) -> PathBuf {
    let bundled = Path::new(env!("CARGO_MANIFEST_DIR")).join("models/nuclei-he/nuclei-he.onnx");
    let model = folder.join("glands.onnx");
    std::fs::copy(bundled, &model).unwrap();
    let about = "name = \"glands\"\nmpp = 1.0\n\n[[classes]]\nname = \"gland\"\n";
    std::fs::write(model.with_extension("toml"), about).unwrap();
    model
}

#[test]
fn regions_of_a_coarse_detector_weigh_and_veto_cells() {
    let folder = tempfile::tempdir().unwrap();
    let slide = folder.path().join("slide.tif");
    small_slide(&slide, 34);
    let coarse = format!("mpp=1.0,model={}", gland_model(folder.path()).display());
    let both = ["--window", "512", "--threads", "2", "--detector", "mpp=0.5", "--detector", &coarse];
    let context = ["--fuse", "context", "--region-class", "gland", "--region-min-um2", "0"];
    let small_parts = ["--region-opening-um", "0", "--region-simplify-um", "0"];
    let at = |name: &str, more: &[&str]| {
        let out = folder.path().join(name);
        let output = run(&[&slide], &out, more);
        assert!(output.status.success(), "{}", stderr(&output));
        let account = accounts(&out).remove(0);
        let cells = read_cells(&Dataset::at(&out).cells(&account.slide)).unwrap();
        (account, cells)
    };
    let (_, alone) = at("alone", &["--window", "512", "--threads", "2", "--detector", "mpp=0.5"]);
    let scores: BTreeMap<u64, f32> = alone.iter().map(|cell| (cell.cell_id, cell.score)).collect();

    let (account, fused) = at("veto", &[&both[..], &context, &small_parts].concat());
    let analysis = account.analysis.as_ref().unwrap();
    let vetoed = analysis.dropped["vetoed by its context"];
    assert!(vetoed > 0 && !fused.is_empty(), "{vetoed} vetoed, {} left", fused.len());
    assert_eq!(fused.len() as u64 + vetoed, alone.len() as u64);
    let glands = analysis.regions.iter().find(|kind| kind.kind == "gland").expect("is there");
    assert_eq!(glands.cells.values().sum::<u64>(), fused.len() as u64, "each cell left lies in a region");
    // Half of the weight by default: no score is above the root of its own.
    assert!(fused.iter().all(|cell| cell.score <= scores[&cell.cell_id].sqrt() + 1e-6));
    assert!(fused.iter().any(|cell| cell.score != scores[&cell.cell_id]));

    let (_, kept) =
        at("weightless", &[&both[..], &context, &small_parts, &["--context-weight", "0"]].concat());
    let same = |cell: &CellRow| cell.score == scores[&cell.cell_id];
    assert!(kept.len() == alone.len() && kept.iter().all(same), "no weight changes nothing");
}

#[test]
fn wrong_detectors_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let slide = folder.path().join("slide.tif");
    small_slide(&slide, 33);
    let config = folder.path().join("slidemill.toml");
    std::fs::write(&config, "[[detector]]\nmppp = 0.25\n").unwrap();
    for (more, expected) in [
        (&["--detector", "mp=0.25"][..], "did you mean \"mpp\"?"),
        (&["--detector", "mpp=0"], "--detector"),
        (&["--fuse", "max"], "expected two or more --detector"),
        (&["--detector", "mpp=0.25", "--detector", "mpp=0.5", "--fuse-weights", "1"], "`weights` is [1.0]"),
        (&["--detector", "mpp=0.25", "--detector", "mpp=0.5", "--fuse", "context"], "--region-class"),
        (
            &["--config", config.to_str().unwrap()],
            "unknown setting \"mppp\" of a detector, did you mean \"mpp\"?",
        ),
    ] {
        let output = run(&[&slide], &folder.path().join("out"), more);
        assert_eq!(output.status.code(), Some(64), "{more:?}: {}", stderr(&output));
        assert!(stderr(&output).contains(expected), "{more:?}: {}", stderr(&output));
    }
}

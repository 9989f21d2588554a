//! Stains of cells: hematoxylin with DAB, from painted nuclei to measures.

#![allow(clippy::unwrap_used)]

#[path = "staining/ki67.rs"]
mod ki67;
#[path = "staining/patients.rs"]
mod patients;
mod support;

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use dataset::{CellRow, Dataset, read_cells};
use merger::ColourDeconvolution;
use painted::{MPP, PaintSettings, PaintedCell, PaintedStain, Truth, paint_slide};
use serde::Deserialize;
use support::{accounts, any_file, python, run, run_until, slidemill, small_slide, stderr, tables};
use tiler::estimate_stain_vectors;
use wsi_reader::MemorySlide;
use wsi_types::StainVectors;

/// Thresholds between the densities that are painted.
const MEASURES: &str = r#"
[[index]]
name = "positive"
of = { where = { dab_od = { min = 0.12 } } }
share-of = { where = { dab_od = {} } }

[[h-score]]
name = "nuclei"
cells = {}
column = "dab_od"
from = [0.12, 0.37, 0.7]

[[hot-spot]]
name = "hottest"
cells = { where = { dab_od = { min = 0.12 } } }
area-mm2 = 0.01

[[h-score]]
name = "hot nuclei"
cells = {}
column = "dab_od"
from = [0.12, 0.37, 0.7]
hot-spot = "hottest"
"#;

const THRESHOLDS: [f64; 3] = [0.12, 0.37, 0.7];

fn h_dab_slide(folder: &Path, seed: u64) -> (PathBuf, Truth) {
    let path = folder.join("ihc.tif");
    let settings = PaintSettings {
        seed,
        width_um: 512.0,
        height_um: 384.0,
        window_step_um: 128.0,
        stain: PaintedStain::HDab,
    };
    let truth = paint_slide(&path, &settings).expect("the slide is painted");
    (path, truth)
}

fn run_at_512(slide: &Path, out: &Path, more: &[&str]) {
    let output = run(&[slide], out, &[&["--window", "512"], more].concat());
    assert!(output.status.success(), "{}", stderr(&output));
}

fn cells_of(out: &Path) -> Vec<CellRow> {
    read_cells(&Dataset::at(out).cells(&accounts(out)[0].slide)).expect("the table is read")
}

/// Painted and found cells whose centres lie at most 2 µm apart, each in one pair at most.
fn pairs<'a>(truth: &'a Truth, found: &'a [CellRow]) -> Vec<(&'a PaintedCell, &'a CellRow)> {
    const NEAR_PX: f64 = 2.0 / MPP;
    let nearest = truth.cells.iter().filter_map(|painted| {
        let cell = found.iter().min_by(|a, b| apart_px(painted, a).total_cmp(&apart_px(painted, b)))?;
        (apart_px(painted, cell) < NEAR_PX).then_some((painted, cell))
    });
    let mut pairs: Vec<_> = nearest.collect();
    pairs.sort_by_key(|(_, cell)| cell.cell_id);
    pairs.dedup_by_key(|(_, cell)| cell.cell_id);
    pairs
}

fn apart_px(painted: &PaintedCell, found: &CellRow) -> f64 {
    (found.centroid - painted.centre).length()
}

fn is_round(painted: &PaintedCell) -> bool {
    painted.radii_um.1 > 0.8 * painted.radii_um.0
}

fn dab_of(cell: &CellRow) -> f64 {
    cell.dab_od.expect("DAB was measured").into()
}

/// 0 to 3 by the thresholds.
fn strength(od: f64) -> usize {
    THRESHOLDS.iter().filter(|&&from| od >= from).count()
}

/// The H-score of strengths.
fn h_score(strengths: impl ExactSizeIterator<Item = usize>) -> f64 {
    let count = strengths.len() as f64;
    100.0 * strengths.sum::<usize>() as f64 / count
}

/// Values of the measures of one slide, by measure and place.
struct Measured(BTreeMap<(String, String), f64>);

impl Measured {
    fn read(out: &Path) -> Self {
        let mut reader = csv::Reader::from_path(out.join("measures.csv")).expect("the measures are there");
        let rows: Vec<BTreeMap<String, String>> = reader.deserialize().map(|row| row.unwrap()).collect();
        let values = rows.iter().map(|row| {
            let value = row["value"].parse().unwrap_or_else(|_| panic!("{row:?}"));
            ((row["measure"].clone(), row["place"].clone()), value)
        });
        Self(values.collect())
    }

    fn on_slide(&self, name: &str) -> f64 {
        self.0[&(name.to_owned(), "slide".to_owned())]
    }
}

/// The value that a share of all does not exceed.
fn quantile(sorted: &[f64], share: f64) -> f64 {
    sorted[(share * (sorted.len() - 1) as f64) as usize]
}

#[test]
fn what_was_painted_is_measured_and_counted() {
    let folder = tempfile::tempdir().unwrap();
    let (slide, truth) = h_dab_slide(folder.path(), 57);
    let (out, wanted) = (folder.path().join("out"), folder.path().join("measures.toml"));
    fs::write(&wanted, MEASURES).unwrap();
    // Its boxes are the most exact: here the measuring is tried, not the model.
    let model = ["--model", "nuclei-he-large"];
    run_at_512(
        &slide,
        &out,
        &[&model[..], &["--stains", "h-dab", "--measure", wanted.to_str().unwrap()]].concat(),
    );
    let found = cells_of(&out);
    let pairs = pairs(&truth, &found);
    assert!(pairs.len() * 10 > truth.cells.len() * 7, "{} of {} found", pairs.len(), truth.cells.len());

    // The ellipse in the box of a round nucleus is the nucleus; that of a turned spindle holds much beside it.
    let round: Vec<_> = pairs.iter().filter(|(painted, _)| is_round(painted)).collect();
    let mut off: Vec<f64> = round.iter().map(|(painted, cell)| dab_of(cell) - painted.dab_od).collect();
    off.sort_by(f64::total_cmp);
    let [low, median, high] = [0.05, 0.5, 0.95].map(|share| quantile(&off, share));
    eprintln!("dab_od minus painted: {low:.3} {median:.3} {high:.3}");
    let same =
        round.iter().filter(|(painted, cell)| strength(painted.dab_od) == strength(dab_of(cell))).count();
    eprintln!("{same} of {} in the strength they were painted in", round.len());
    assert!(round.len() > 40 && median.abs() < 0.05, "{median} of {}", round.len());
    assert!(same * 100 >= round.len() * 95, "{same} of {}", round.len());

    let measured = Measured::read(&out);
    let [score, share] = ["nuclei", "positive"].map(|name| measured.on_slide(name));
    let of_table = h_score(found.iter().map(|cell| strength(dab_of(cell))));
    assert!((score - of_table).abs() < 1e-5, "{score} against {of_table}");
    let of_truth = h_score(truth.cells.iter().map(|cell| strength(cell.dab_od)));
    let positive =
        truth.cells.iter().filter(|cell| cell.dab_od > 0.0).count() as f64 / truth.cells.len() as f64;
    eprintln!("H-score {score:.1}, painted {of_truth:.1}; positive {share:.3}, painted {positive:.3}");
    assert!((score - of_truth).abs() < 15.0 && (share - positive).abs() < 0.1);
    let shares = ["nuclei 0", "nuclei 1+", "nuclei 2+", "nuclei 3+"].map(|name| measured.on_slide(name));
    assert!((shares.iter().sum::<f64>() - 1.0).abs() < 1e-5, "{shares:?}");
    assert!((shares[0] + share - 1.0).abs() < 1e-5);
    assert!(measured.0.contains_key(&("hot nuclei".to_owned(), "hottest 1".to_owned())), "{:?}", measured.0);

    let account = &accounts(&out)[0];
    assert_eq!(account.doubts, [] as [String; 0]);
    assert_eq!(account.settings["stains"], "h-dab");
    assert!(found.iter().all(|cell| cell.eosin_od.is_none() && cell.hematoxylin_od.is_some()));
    assert_rings_are_as_painted(&truth, &pairs);
}

/// Rings that hold no other nucleus and no other cell's membrane.
fn assert_rings_are_as_painted(truth: &Truth, pairs: &[(&PaintedCell, &CellRow)]) {
    const ALONE_PX: f64 = 14.0 / MPP;
    let alone = pairs.iter().filter(|(painted, _)| {
        let near = truth.cells.iter().filter(|other| (other.centre - painted.centre).length() < ALONE_PX);
        near.count() == 1
    });
    let (with, without): (Vec<_>, Vec<_>) = alone.partition(|(painted, _)| painted.dab_ring_od > 0.0);
    eprintln!("{} and {} lie alone", with.len(), without.len());
    assert!(with.len() >= 8 && without.len() >= 8);
    let [with, without] = [with, without].map(|cells| {
        let rings: Vec<f64> = cells.iter().map(|(_, cell)| cell.dab_ring_od.unwrap().into()).collect();
        rings.iter().sum::<f64>() / rings.len() as f64
    });
    eprintln!("rings: {with:.3} stained, {without:.3} not");
    assert!((with - PaintedCell::DAB_RING_OD).abs() < 0.12, "{with}");
    assert!(without.abs() < 0.06, "{without}");
}

#[test]
fn estimated_vectors_and_merging_again_change_no_byte() {
    let folder = tempfile::tempdir().unwrap();
    let (slide, _) = h_dab_slide(folder.path(), 58);
    let [kept, other, cut, merged, fresh] =
        ["kept", "other", "cut", "merged", "fresh"].map(|name| folder.path().join(name));
    let estimate = ["--stains", "h-dab", "--stain-vectors", "estimate"];
    run_at_512(&slide, &kept, &[&estimate[..], &["--keep-raw", "--threads", "1"]].concat());
    let account = &accounts(&kept)[0];
    let vectors = &account.settings["stain_vectors_estimated"];
    let estimated: StainVectors = vectors.parse().unwrap();
    for (own, published) in estimated.units().iter().zip(StainVectors::RUIFROK.units()) {
        let cosine: f64 = own.iter().zip(published).map(|(a, b)| a * b).sum();
        assert!(cosine.min(1.0).acos().to_degrees() < 8.0, "{estimated}");
    }
    assert!(account.warnings.iter().any(|warning| warning.ends_with(vectors.as_str())), "{account:?}");

    run_at_512(&slide, &other, &[&estimate[..], &["--threads", "3", "--batch", "2"]].concat());
    assert_eq!(tables(&kept), tables(&other), "threads and batch");

    let at_512 = [&["--window", "512"][..], &estimate].concat();
    run_until(&[&slide], &cut, &at_512, || any_file(&cut, "windows.bin"));
    run_at_512(&slide, &cut, &estimate);
    assert_eq!(tables(&cut), tables(&other), "a kill");

    let dark = ["--filter", "dab_od=0.2..,dab_ring_od=..0.6"];
    let output = slidemill().arg("merge").arg(&kept).arg("--into").arg(&merged).args(dark).output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    run_at_512(&slide, &fresh, &[&estimate[..], &dark].concat());
    assert_eq!(tables(&merged), tables(&fresh), "merging again");
    let left = cells_of(&merged);
    assert!(!left.is_empty() && left.len() < cells_of(&kept).len());
    assert!(left.iter().all(|cell| dab_of(cell) >= 0.2));
}

/// What `doctor` doubts of a slide.
fn doubts(slide: &Path, stains: &str) -> String {
    let output = slidemill().arg("doctor").arg(slide).args(["--stains", stains, "--json"]).output().unwrap();
    let findings: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    findings[0]["doubts"].to_string()
}

#[test]
fn a_slide_with_another_stain_is_doubted_or_refused() {
    let folder = tempfile::tempdir().unwrap();
    let he = folder.path().join("he.tif");
    small_slide(&he, 59);
    let (ihc, _) = h_dab_slide(folder.path(), 59);
    assert!(doubts(&ihc, "he").contains("brown as DAB is"));
    assert_eq!(doubts(&ihc, "h-dab"), "[]");
    assert_eq!(doubts(&he, "he"), "[]");
    assert!(doubts(&he, "h-dab").contains("as with eosin"), "{}", doubts(&he, "h-dab"));

    let out = folder.path().join("out");
    let output = run(&[&he], &out, &["--window", "512", "--stains", "h-dab"]);
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(accounts(&out)[0].doubts[0].contains("as with eosin"));
}

#[test]
fn an_h_and_e_run_has_no_column_of_dab_and_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let slide = folder.path().join("he.tif");
    small_slide(&slide, 60);
    let (out, wanted) = (folder.path().join("out"), folder.path().join("measures.toml"));
    fs::write(&wanted, MEASURES).unwrap();
    run_at_512(&slide, &out, &["--stains", "--measure", wanted.to_str().unwrap()]);
    let text = fs::read_to_string(out.join("measures.csv")).unwrap();
    let said = "no cell has a value of dab_od: measured with --stains h-dab";
    assert!(text.lines().skip(1).filter(|line| line.contains(said)).count() >= 7, "{text}");
    let cells = fs::read(Dataset::at(&out).cells(&accounts(&out)[0].slide)).unwrap();
    assert!(!cells.windows(6).any(|bytes| bytes == b"dab_od"), "tables of H&E stay as they were");
    assert_eq!(accounts(&out)[0].settings["stains"], "true");
    assert!(!accounts(&out)[0].settings.contains_key("stain_vectors"));
}

#[test]
fn wrong_words_are_refused_before_anything_is_done() {
    let folder = tempfile::tempdir().unwrap();
    let slide = folder.path().join("he.tif");
    small_slide(&slide, 61);
    for (more, expected) in [
        (&["--stains", "hdab"][..], "did you mean \"h-dab\"?"),
        (&["--stain-vectors", "estimate"], "--stain-vectors is given without --stains h-dab"),
        (&["--stains", "he", "--dab-ring-um", "3"], "--dab-ring-um is given without --stains h-dab"),
        (&["--stains", "h-dab", "--dab-ring-um", "0"], "--dab-ring-um is 0, expected 0.5 to 20"),
        (&["--stains", "h-dab", "--stain-vectors", "guess"], "such as 0.65,0.7,0.29/0.27,0.57,0.78"),
        (&["--stains", "h-dab", "--stain-vectors", "0,0,0/0.27,0.57,0.78"], "hematoxylin is zero"),
        (&["--stains", "h-dab", "--stain-vectors", "0.65,0.7,0.29/0.6,0.7,0.3"], "cannot be told apart"),
        (&["--filter", "dab_od=0.2.."], "which --stains h-dab measures"),
    ] {
        let output = run(&[&slide], &folder.path().join("out"), more);
        assert_eq!(output.status.code(), Some(64), "{more:?}: {}", stderr(&output));
        assert!(stderr(&output).contains(expected), "{more:?}: {}", stderr(&output));
    }
    let blank = folder.path().join("blank.tif");
    painted::paint_squares(&blank, (16, 16), |_, _| [240; 3]).unwrap();
    let more = ["--window", "512", "--no-tissue-mask", "--stains", "h-dab", "--stain-vectors", "estimate"];
    let output = run(&[&blank], &folder.path().join("out"), &more);
    assert_eq!(output.status.code(), Some(65), "{}", stderr(&output));
    let said = stderr(&output);
    assert!(said.contains("its stain vectors cannot be estimated: 0 of its px are stained"), "{said}");
}

/// A case of `stains_reference.py`.
#[derive(Deserialize)]
struct Case {
    side: u32,
    pixels: Vec<[u8; 3]>,
    vectors: [[f64; 3]; 2],
    amounts: Vec<[f64; 2]>,
    estimated: [[f64; 3]; 2],
}

fn cases(python: &Path) -> Vec<Case> {
    let folder = tempfile::tempdir().unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/python/stains_reference.py");
    let ran = Command::new(python).arg(script).arg("--out").arg(folder.path()).output().unwrap();
    assert!(ran.status.success(), "{}", stderr(&ran));
    serde_json::from_slice(&fs::read(folder.path().join("stains.json")).unwrap()).unwrap()
}

#[test]
fn stains_are_those_of_scikit_image_and_of_the_paper() {
    let Some(python) = python() else { return };
    for case in cases(&python) {
        let vectors = StainVectors::new(case.vectors[0], case.vectors[1]).unwrap();
        let unmix = ColourDeconvolution::hematoxylin_dab(&vectors, 3.0);
        for (&pixel, [hematoxylin, dab]) in case.pixels.iter().zip(case.amounts) {
            let own = unmix.stains(pixel);
            let off = [own.hematoxylin.max(0.0) - hematoxylin, own.second.max(0.0) - dab];
            assert!(off.iter().all(|off| off.abs() < 1e-9), "{pixel:?}: {off:?}");
        }
        let Case { side, pixels, estimated, .. } = case;
        let slide = MemorySlide::painted(&[(side, side)], (64, 64), None, move |_, x, y| {
            pixels[(y * side + x) as usize]
        });
        let own = estimate_stain_vectors(&slide.unwrap()).unwrap();
        for (own, theirs) in own.units().into_iter().zip(estimated) {
            let off = own.iter().zip(theirs).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
            assert!(off < 1.5e-4, "{own:?}, {theirs:?}: rounded to 0.0001");
        }
    }
}

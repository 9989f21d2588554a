//! From raw detections to tables: settings, merging again, regions.

mod support;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use slidemill::{
    account::Analysis,
    cells::{f32_column, read_cells, u64_column},
    dataset::Dataset,
    regions::TISSUE,
};
use support::{accounts, run, slidemill, small_slide, stderr, tables};

/// Other rules than the defaults, in every part.
const STRICT: [&str; 8] =
    ["--min-score", "0.4", "--merge", "wbf", "--filter", "area_um2=12..400", "--dense-per-mm2", "900"];

fn slide_in(folder: &Path, seed: u64) -> PathBuf {
    let slide = folder.join("slide.tif");
    small_slide(&slide, seed);
    slide
}

fn run_at_512(slide: &Path, out: &Path, more: &[&str]) {
    let output = run(&[slide], out, &[&["--window", "512", "--threads", "2"], more].concat());
    assert!(output.status.success(), "{}", stderr(&output));
}

fn merge(out: &Path, more: &[&str]) -> std::process::Output {
    slidemill().arg("merge").arg(out).args(more).output().expect("the command starts")
}

fn merge_into(out: &Path, into: &Path, more: &[&str]) {
    let output = merge(out, &[&["--into", into.to_str().expect("UTF-8")], more].concat());
    assert!(output.status.success(), "{}", stderr(&output));
}

fn analysis(out: &Path) -> Analysis {
    accounts(out)[0].analysis.clone().expect("the slide was analysed")
}

fn is_verified(out: &Path) {
    let verified = slidemill().arg("verify").arg(out).output().expect("the command starts");
    assert!(verified.status.success(), "{}", String::from_utf8_lossy(&verified.stdout));
}

#[test]
fn merging_again_gives_the_bytes_of_a_fresh_run() {
    let folder = tempfile::tempdir().unwrap();
    let slide = slide_in(folder.path(), 21);
    let [kept, again, fresh, lower] =
        ["kept", "again", "fresh", "lower"].map(|name| folder.path().join(name));
    run_at_512(&slide, &kept, &["--keep-raw"]);
    let before = tables(&kept);

    merge_into(&kept, &again, &STRICT);
    run_at_512(&slide, &fresh, &STRICT);
    assert_eq!(tables(&again), tables(&fresh));
    assert_ne!(tables(&again), before);
    assert_eq!(tables(&kept), before, "--into leaves the dataset as it is");
    is_verified(&again);

    run_at_512(&slide, &lower, &["--min-score", "0.1"]);
    let output = merge(&kept, &["--min-score", "0.1"]);
    assert!(output.status.success(), "{}", stderr(&output));
    assert_eq!(tables(&kept), tables(&lower), "thresholds below the run's own, in place");
    assert!(merge(&kept, &["--min-score", "0.25"]).status.success());
    assert!(merge(&kept, &["--min-score", "0.1"]).status.success());
    assert_eq!(tables(&kept), tables(&lower), "what was merged can be merged again");
    is_verified(&kept);
}

#[test]
fn counts_against_threshold_are_those_that_merging_gives() {
    let folder = tempfile::tempdir().unwrap();
    let slide = slide_in(folder.path(), 22);
    let (kept, at) = (folder.path().join("kept"), folder.path().join("at"));
    run_at_512(&slide, &kept, &["--keep-raw", "--min-score", "0.25"]);
    let counts: BTreeMap<String, u64> = analysis(&kept)
        .by_threshold
        .iter()
        .map(|count| (count.min_score.to_string(), count.cells.values().sum()))
        .collect();
    assert_eq!(counts.len(), 19, "0.05 to 0.95");
    merge_into(&kept, &at, &["--min-score", "0.15"]);
    assert_eq!(counts["0.15"], accounts(&at)[0].cells());
    assert_eq!(counts["0.25"], accounts(&kept)[0].cells(), "the run's own threshold");
    assert!(counts["0.15"] > counts["0.25"] && counts["0.25"] > counts["0.7"], "{counts:?}");
}

#[test]
fn tissue_and_dense_places_are_regions_that_cells_name() {
    let folder = tempfile::tempdir().unwrap();
    let slide = slide_in(folder.path(), 23);
    let out = folder.path().join("out");
    run_at_512(&slide, &out, &["--dense-per-mm2", "900", "--dense-radius-um", "60"]);
    let (analysis, dataset) = (analysis(&out), Dataset::at(&out));
    let id = accounts(&out)[0].slide.clone();
    let kind = |name: &str| analysis.regions.iter().find(|kind| kind.kind == name).expect("is there").clone();

    let tissue = kind(TISSUE);
    let off = tissue.analysed_mm2 / analysis.coverage.analysed_mm2 - 1.0;
    assert!(off.abs() < 0.02, "{off}");
    let cells = read_cells(&dataset.cells(&id)).unwrap().len() as u64;
    let (in_tissue, in_dense) =
        (tissue.cells.values().sum::<u64>(), kind("dense").cells.values().sum::<u64>());
    assert!(in_tissue > cells * 9 / 10 && in_dense < in_tissue, "{cells} {in_tissue} {in_dense}");
    let per_mm2 = |kind: &str| self::kind_density(&analysis, kind);
    assert!(per_mm2("dense") > per_mm2(TISSUE));

    let regions: BTreeSet<u64> =
        u64_column(&dataset.regions(&id), "region_id").unwrap().into_iter().flatten().collect();
    let named = u64_column(&dataset.cells(&id), "region_id").unwrap();
    let in_any = named.iter().flatten().count() as u64;
    assert!((in_tissue..=cells).contains(&in_any), "{in_any}");
    assert!(named.iter().flatten().all(|id| regions.contains(id)));
    is_verified(&out);
    let summary = fs::read_to_string(out.join("summary.csv")).unwrap();
    assert!(summary.lines().any(|line| line.contains(",dense,")), "{summary}");
}

fn kind_density(analysis: &Analysis, kind: &str) -> f64 {
    let kind = analysis.regions.iter().find(|found| found.kind == kind).expect("is there");
    kind.cells.values().sum::<u64>() as f64 / kind.analysed_mm2
}

#[test]
fn stains_are_measured_kept_and_filtered_by() {
    let folder = tempfile::tempdir().unwrap();
    let slide = slide_in(folder.path(), 26);
    let [kept, dark, fresh] = ["kept", "dark", "fresh"].map(|name| folder.path().join(name));
    run_at_512(&slide, &kept, &["--keep-raw", "--stains"]);
    let densities =
        f32_column(&Dataset::at(&kept).cells(&accounts(&kept)[0].slide), "hematoxylin_od").unwrap();
    assert_eq!(densities.len() as u64, accounts(&kept)[0].cells());
    let mean = densities.iter().map(|od| od.expect("is measured")).sum::<f32>() / densities.len() as f32;
    assert!((0.2..1.5).contains(&mean), "nuclei are blue: {mean}");
    let median = ["--filter", &format!("hematoxylin_od={mean}..")];
    merge_into(&kept, &dark, &median);
    let left = accounts(&dark)[0].cells() as f64 / densities.len() as f64;
    assert!((0.2..0.8).contains(&left), "{left}");
    run_at_512(&slide, &fresh, &[&["--stains"][..], &median].concat());
    assert_eq!(tables(&dark), tables(&fresh));
}

#[test]
fn filters_are_counted_by_reason() {
    let folder = tempfile::tempdir().unwrap();
    let slide = slide_in(folder.path(), 24);
    let [kept, all, large] = ["kept", "all", "large"].map(|name| folder.path().join(name));
    run_at_512(&slide, &kept, &["--keep-raw"]);
    merge_into(&kept, &all, &[]);
    merge_into(&kept, &large, &["--filter", "area_um2=60.."]);
    let gone = analysis(&large).dropped["cell filtered by area_um2"];
    assert!(gone > 0);
    assert_eq!(accounts(&large)[0].cells() + gone, accounts(&all)[0].cells());
}

#[test]
fn wrong_rules_are_refused_before_anything_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let slide = slide_in(folder.path(), 25);
    let out = folder.path().join("out");
    let config = folder.path().join("slidemill.toml");
    fs::write(&config, "merge = \"nms\"\ndense-per-mmm2 = 4\n").unwrap();
    let config = config.to_str().unwrap();
    for (more, expected) in [
        (&["--merge", "nsm"][..], "expected nms, nmm, wbf"),
        (&["--filter", "areaa_um2=3.."], "did you mean \"area_um2\"?"),
        (&["--class-score", "nucleus"], "expected CLASS=NUMBER"),
        (&["--class-score", "no such class=0.4"], "the model has no class \"no such class\", did you mean"),
        (&["--merge-iou", "0.95"], "give --window-iou 0.95 too"),
        (&["--filter", "eosin_od=0.1.."], "--stains measures"),
        (&["--raw-floor", "0.1"], "--raw-floor is given without --keep-raw"),
        (&["--dense-class", "x"], "without --dense-per-mm2"),
        (&["--config", config], "unknown setting \"dense-per-mmm2\", did you mean \"dense-per-mm2\"?"),
    ] {
        let output = run(&[&slide], &out, more);
        assert_eq!(output.status.code(), Some(64), "{more:?}: {}", stderr(&output));
        assert!(stderr(&output).contains(expected), "{more:?}: {}", stderr(&output));
    }
    run_at_512(&slide, &out, &[]);
    let output = merge(&out, &[]);
    assert_eq!(output.status.code(), Some(65), "{}", stderr(&output));
    assert!(stderr(&output).contains("--keep-raw"), "{}", stderr(&output));

    run_at_512(&slide, &out, &["--keep-raw", "--raw-floor", "0.2", "--redo"]);
    let before = tables(&out);
    let output = merge(&out, &["--min-score", "0.1"]);
    assert_eq!(output.status.code(), Some(64), "{}", stderr(&output));
    assert!(stderr(&output).contains("kept from score 0.2 on"), "{}", stderr(&output));
    fs::rename(&slide, folder.path().join("moved.tif")).unwrap();
    let output = merge(&out, &["--min-score", "0.4"]);
    assert_eq!(output.status.code(), Some(65), "{}", stderr(&output));
    assert!(stderr(&output).contains("not where it was"), "{}", stderr(&output));
    assert_eq!(tables(&out), before, "results are not touched");
}

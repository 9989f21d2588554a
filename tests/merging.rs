//! From raw detections to tables: settings, merging again, regions.

mod support;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use dataset::{Analysis, Dataset, Findings, TISSUE, read_cells, read_regions, wording::grouped};
use support::{accounts, read_png, run, slidemill, small_slide, stderr, tables};
use wsi_types::{ClassId, class_colour};

/// Other rules than the defaults, for every part.
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
    let found = read_cells(&dataset.cells(&id)).unwrap();
    let cells = found.len() as u64;
    let (in_tissue, in_dense) =
        (tissue.cells.values().sum::<u64>(), kind("dense").cells.values().sum::<u64>());
    assert!(in_tissue > cells * 9 / 10 && in_dense < in_tissue, "{cells} {in_tissue} {in_dense}");
    let per_mm2 = |kind: &str| self::kind_density(&analysis, kind);
    assert!(per_mm2("dense") > per_mm2(TISSUE));

    let regions: BTreeSet<u64> =
        read_regions(&dataset.regions(&id)).unwrap().iter().map(|region| region.region_id).collect();
    let in_any = found.iter().filter(|cell| cell.region_id.is_some()).count() as u64;
    assert!((in_tissue..=cells).contains(&in_any), "{in_any}");
    assert!(found.iter().filter_map(|cell| cell.region_id).all(|id| regions.contains(&id)));
    is_verified(&out);
    let summary = fs::read_to_string(out.join("summary.csv")).unwrap();
    assert!(summary.lines().any(|line| line.contains(",dense,")), "{summary}");
}

fn kind_density(analysis: &Analysis, kind: &str) -> f64 {
    let kind = analysis.regions.iter().find(|found| found.kind == kind).expect("is there");
    kind.cells.values().sum::<u64>() as f64 / kind.analysed_mm2
}

#[test]
fn a_class_that_is_an_area_becomes_regions_and_no_cells() {
    let folder = tempfile::tempdir().unwrap();
    let slide = slide_in(folder.path(), 27);
    let [cells, areas] = ["cells", "areas"].map(|name| folder.path().join(name));
    run_at_512(&slide, &cells, &[]);
    let as_they_are = ["--region-closing-um", "0", "--region-opening-um", "0", "--region-min-um2", "0"];
    run_at_512(&slide, &areas, &[&["--region-class", "nucleus"][..], &as_they_are].concat());
    is_verified(&areas);

    let account = &accounts(&areas)[0];
    assert_eq!(account.cells(), 0);
    let analysis = analysis(&areas);
    assert!(analysis.dropped["part of a region"] >= accounts(&cells)[0].cells());
    let nuclei = analysis.regions.iter().find(|kind| kind.kind == "nucleus").expect("is there");
    let found = read_cells(&Dataset::at(&cells).cells(&accounts(&cells)[0].slide)).unwrap();
    // Boxes on squares of 4 µm: neighbours grow together.
    let (few, many) = (found.len() as u64 / 4, found.len() as u64);
    assert!((few..=many).contains(&nuclei.regions), "{} of {many} nuclei", nuclei.regions);
    let um2_per_px2 = analysis.mpp * analysis.mpp;
    let boxes_mm2 = found.iter().map(|cell| cell.bbox.area() * um2_per_px2 * 1e-6).sum::<f64>();
    let ratio = nuclei.area_mm2 / boxes_mm2;
    assert!((0.8..1.25).contains(&ratio), "{ratio}");

    let table = Dataset::at(&areas).regions(&account.slide);
    let regions = read_regions(&table).unwrap();
    assert!(regions.iter().all(|region| region.kind == TISSUE || region.kind == "nucleus"));
    assert!(regions.iter().all(|region| region.area_um2 > 0.0 && region.rings[0].len() >= 3));
}

#[test]
fn cells_and_regions_are_drawn() {
    let folder = tempfile::tempdir().unwrap();
    let slide = slide_in(folder.path(), 28);
    let (out, picture) = (folder.path().join("out"), folder.path().join("picture.png"));
    run_at_512(&slide, &out, &["--dense-per-mm2", "900", "--dense-radius-um", "60"]);
    let draw = |more: &[&str]| {
        let mut command = slidemill();
        command.arg("draw").arg(&out).arg(&slide).arg("-o").arg(&picture).args(more);
        command.output().expect("the command starts")
    };
    let of_colour = |colour: [u8; 3]| read_png(&picture).0.iter().filter(|&&pixel| pixel == colour).count();

    let drawn = draw(&["--size", "400"]);
    assert!(drawn.status.success(), "{}", stderr(&drawn));
    let told = String::from_utf8_lossy(&drawn.stdout).into_owned();
    assert!(told.contains(&format!("nucleus {}", grouped(accounts(&out)[0].cells()))), "{told}");
    let (_, width, height) = read_png(&picture);
    assert_eq!((width.max(height), width > height), (400, true));
    assert!(of_colour(class_colour(ClassId(0))) > 200, "cells and their line in the legend");

    // A part is counted by itself.
    let part = draw(&["--area", "0,0,800,600"]);
    assert!(part.status.success(), "{}", stderr(&part));
    let shown = read_cells(&Dataset::at(&out).cells(&accounts(&out)[0].slide)).unwrap();
    let shown = shown.iter().filter(|cell| cell.centroid.x < 800.0 && cell.centroid.y < 600.0).count() as u64;
    assert!(shown > 0 && shown < accounts(&out)[0].cells(), "{shown}");
    let told = String::from_utf8_lossy(&part.stdout).into_owned();
    assert!(told.contains(&format!("nucleus {}\n", grouped(shown))), "{told}");

    let drawn = draw(&["--show", "regions", "--area", "0,0,800,600", "--size", "200"]);
    assert!(drawn.status.success(), "{}", stderr(&drawn));
    let told = String::from_utf8_lossy(&drawn.stdout).into_owned();
    assert!(told.contains("dense: ") && told.contains("tissue: "), "{told}");
    let tissue_mm2: f64 =
        told.lines().find_map(|line| line.split_once("tissue: ")?.1.split(' ').nth(1)?.parse().ok()).unwrap();
    assert!(tissue_mm2 <= 800.0 * 600.0 * 0.0625e-6 + 0.005, "{told}");
    assert_eq!((read_png(&picture).1, read_png(&picture).2), (200, 150));

    let mut command = slidemill();
    command.arg("draw").arg(&out).arg(&slide).args(["-o", "picture.tif"]);
    let refused = command.output().unwrap();
    assert_eq!(refused.status.code(), Some(64));
    assert!(
        stderr(&refused).contains("expected a name that ends in .png, .jpg or .jpeg"),
        "{}",
        stderr(&refused)
    );

    let elsewhere = folder.path().join("other.tif");
    small_slide(&elsewhere, 29);
    for (more, code, expected) in [
        (&["--show", "scales"][..], 65, "a run with several --detector"),
        (&["--area", "9000,9000,10,10"], 64, "outside of the slide, which has"),
        (&["--area", "1,2,3"], 64, "expected X,Y,WIDTH,HEIGHT"),
        (&["--show", "cell"], 64, "possible values: cells, regions, scales"),
        (
            &["--id", "nobody"],
            64,
            "no slide \"nobody\" is here, expected an id, or the path or name of its file",
        ),
    ] {
        let output = draw(more);
        assert_eq!(output.status.code(), Some(code), "{more:?}: {}", stderr(&output));
        assert!(stderr(&output).contains(expected), "{more:?}: {}", stderr(&output));
    }
}

#[test]
fn raw_detections_of_another_run_say_what_differs() {
    let folder = tempfile::tempdir().unwrap();
    let slide = slide_in(folder.path(), 30);
    let out = folder.path().join("out");
    run_at_512(&slide, &out, &["--keep-raw"]);
    let before = tables(&out);
    // As an older slidemill left them.
    let head = Dataset::at(&out).ledger(&accounts(&out)[0].slide).join("head.json");
    let text = fs::read_to_string(&head).unwrap();
    let mut json: serde_json::Value = serde_json::from_str(&text).unwrap();
    json["settings"]["slidemill"] = "0.0.1".into();
    json["fingerprint"] = "another".into();
    json.as_object_mut().unwrap().remove("seal");
    fs::write(&head, dataset::sealed(&json).unwrap()).unwrap();
    let output = merge(&out, &["--min-score", "0.4"]);
    assert_eq!(output.status.code(), Some(65), "{}", stderr(&output));
    let expected = format!("of another run (slidemill was 0.0.1, now {})", env!("CARGO_PKG_VERSION"));
    assert!(stderr(&output).contains(&expected), "{}", stderr(&output));
    assert_eq!(tables(&out), before, "results are not touched");
}

/// Once they were passed over, and the dataset had tables of two thresholds and reported success.
#[test]
fn slides_that_cannot_be_merged_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    for (seed, more) in [(31, &["--keep-raw"][..]), (32, &["--keep-raw"]), (33, &[])] {
        let slide = folder.path().join(format!("{seed}.tif"));
        small_slide(&slide, seed);
        run_at_512(&slide, &out, more);
    }
    let dataset = Dataset::at(&out);
    let mut kept = accounts(&out);
    kept.retain(|account| dataset.ledger(&account.slide).exists());
    let damaged = kept.pop().unwrap().slide;
    let head = dataset.ledger(&damaged).join("head.json");
    let mut bytes = fs::read(&head).unwrap();
    bytes[40] ^= 1;
    fs::write(&head, bytes).unwrap();

    let strict = folder.path().join("strict");
    let into = strict.to_str().unwrap();
    for (more, becomes) in [
        (&["--into", into, "--min-score", "0.6"][..], "it is not in the new dataset"),
        (&["--min-score", "0.6"], "its tables stay as they were made"),
    ] {
        let output = merge(&out, more);
        let said = stderr(&output);
        assert_eq!(output.status.code(), Some(65), "{said}");
        for why in ["no raw detections were kept", "the head of its raw detections is damaged"] {
            assert!(said.contains(&format!("not merged: {why}; {becomes}")), "{said}");
        }
    }
    assert_eq!((accounts(&strict).len(), accounts(&out).len()), (1, 3));
    let findings = Findings::collect(&dataset).unwrap();
    assert!(findings.lacking.iter().any(|line| line.contains("min_score")), "{findings:?}");
}

#[test]
fn stains_are_measured_kept_and_filtered_by() {
    let folder = tempfile::tempdir().unwrap();
    let slide = slide_in(folder.path(), 26);
    let [kept, dark, fresh] = ["kept", "dark", "fresh"].map(|name| folder.path().join(name));
    run_at_512(&slide, &kept, &["--keep-raw", "--stains"]);
    let cells = read_cells(&Dataset::at(&kept).cells(&accounts(&kept)[0].slide)).unwrap();
    let densities: Vec<_> = cells.iter().map(|cell| cell.hematoxylin_od).collect();
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
fn neighbours_are_measured_again_without_the_model() {
    let folder = tempfile::tempdir().unwrap();
    let slide = slide_in(folder.path(), 28);
    let [plain, kept, around, fresh, unnamed, named] =
        ["plain", "kept", "around", "fresh", "unnamed", "named"].map(|name| folder.path().join(name));
    run_at_512(&slide, &plain, &[]);
    run_at_512(&slide, &kept, &["--keep-raw"]);
    assert_eq!(tables(&plain), tables(&kept));

    let wanted = ["--features", "neighbours", "--min-score", "0.3"];
    merge_into(&kept, &around, &wanted);
    run_at_512(&slide, &fresh, &[&["--keep-raw"][..], &wanted].concat());
    assert_eq!(tables(&around), tables(&fresh));
    is_verified(&around);

    let cells = read_cells(&Dataset::at(&fresh).cells(&accounts(&fresh)[0].slide)).unwrap();
    assert!(cells.len() > 100, "{}", cells.len());
    for cell in &cells {
        let near = cells.iter().filter(|other| {
            let (dx, dy) =
                (other.centroid_um.0 - cell.centroid_um.0, other.centroid_um.1 - cell.centroid_um.1);
            other.cell_id != cell.cell_id && dx * dx + dy * dy <= 2500.0
        });
        assert_eq!(cell.n_50um, Some(near.count() as u32));
        assert_eq!(cell.n_by_class_50um.iter().sum::<u32>(), cell.n_50um.unwrap());
        assert!(cell.nn1_um <= cell.nn5_um && cell.local_density_mm2 > Some(0.0), "{cell:?}");
    }
    let joined: u32 = cells.iter().filter_map(|cell| cell.delaunay_degree).sum();
    assert_eq!(joined % 2, 0, "each side has two ends");

    merge_into(&fresh, &unnamed, &["--min-score", "0.4"]);
    merge_into(&kept, &named, &["--min-score", "0.4", "--features", "neighbours"]);
    assert_eq!(tables(&unnamed), tables(&named), "features that are not named stay as the run had them");
}

#[test]
fn texture_is_kept_with_the_raw_detections() {
    let folder = tempfile::tempdir().unwrap();
    let slide = slide_in(folder.path(), 30);
    let [kept, again, fresh, boxes] =
        ["kept", "again", "fresh", "boxes"].map(|name| folder.path().join(name));
    let outlines = ["--model", "nuclei-he-seg"];
    let all = ["--features", "neighbours,shape,texture,stain"];
    run_at_512(&slide, &kept, &[&outlines[..], &["--keep-raw"], &all].concat());
    merge_into(&kept, &again, &["--min-score", "0.4"]);
    run_at_512(&slide, &fresh, &[&outlines[..], &["--min-score", "0.4"], &all].concat());
    assert_eq!(tables(&again), tables(&fresh));
    let cells = read_cells(&Dataset::at(&fresh).cells(&accounts(&fresh)[0].slide)).unwrap();
    assert!(cells.len() > 50, "{}", cells.len());
    // A faint one may be of one grey.
    let uneven = cells.iter().filter(|cell| cell.glcm_contrast > Some(0.0)).count();
    assert!(uneven * 20 > cells.len() * 19, "{uneven} of {}", cells.len());
    for cell in &cells {
        let [contrast, homogeneity] = [cell.glcm_contrast, cell.glcm_homogeneity].map(Option::unwrap);
        assert!(contrast >= 0.0 && (0.0..=1.0).contains(&homogeneity), "{cell:?}");
        assert!(
            cell.hematoxylin_od_p10 < cell.hematoxylin_od_p90 && cell.eosin_od_sd > Some(0.0),
            "{cell:?}"
        );
        assert!(cell.elongation >= Some(1.0) && cell.nucleus_orientation_deg < Some(180.0), "{cell:?}");
    }
    run_at_512(&slide, &boxes, &["--features", "shape"]);
    let cells = read_cells(&Dataset::at(&boxes).cells(&accounts(&boxes)[0].slide)).unwrap();
    let has_shape =
        cells.iter().any(|cell| cell.elongation.is_some() || cell.nucleus_orientation_deg.is_some());
    assert!(!has_shape, "boxes say nothing of shape");
}

#[test]
fn features_that_cannot_be_had_are_refused_with_the_words_there_are() {
    let folder = tempfile::tempdir().unwrap();
    let slide = slide_in(folder.path(), 29);
    let out = folder.path().join("out");
    let refused = run(&[&slide], &out, &["--features", "neighbors"]);
    assert_eq!(refused.status.code(), Some(64), "{}", stderr(&refused));
    assert!(
        stderr(&refused).contains("\"neighbors\", expected neighbours, shape, stain, texture"),
        "{}",
        stderr(&refused)
    );
    run_at_512(&slide, &out, &["--keep-raw"]);
    let before = tables(&out);
    let refused = merge(&out, &["--features", "stain,neighbours"]);
    assert_eq!(refused.status.code(), Some(64), "{}", stderr(&refused));
    assert!(stderr(&refused).contains("--features stain --redo"), "{}", stderr(&refused));
    assert_eq!(tables(&out), before);
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
        (
            &["--class-score", "no such class=0.4"],
            "the model has no class \"no such class\", expected one of",
        ),
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

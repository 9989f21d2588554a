//! `run --within` and `merge --within` as a user runs them: regions of interest in, counts in them out.

#![allow(clippy::unwrap_used)]

#[path = "interest/margin.rs"]
mod margin;
mod support;

use std::{
    collections::BTreeMap,
    fs,
    io::BufRead as _,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use dataset::{Dataset, RegionRow, RunAccount, read_cells};
use serde_json::Value;
use support::{
    SMALL_WINDOWS, accounts, annotation, python, run, slidemill, small_slide, stderr, tiny_slides,
    write_features,
};

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().expect("a temporary folder")
}

/// Of 128 µm: a small slide has many, and a region of interest needs some.
const SMALLER_WINDOWS: [&str; 4] = ["--window", "256", "--threads", "2"];

/// A slanted piece of tumour, a piece of stroma that overlaps it, and necrosis over both, on 2560 × 2048 px.
fn draw(path: &Path) {
    let tumour = [[300.0, 220.0], [1521.0, 160.25], [1420.0, 1700.0], [900.0, 1260.0], [200.0, 1900.0]];
    let stroma = [[1300.0, 1000.0], [1680.0, 1000.0], [1680.0, 1900.0], [1300.0, 1900.0]];
    let necrosis = [[700.0, 800.0], [1400.0, 800.0], [1400.0, 1150.0], [700.0, 1150.0]];
    write_features(
        path,
        &[
            annotation("Tumor", "front", &tumour),
            annotation("Stroma", "", &stroma),
            annotation("Necrosis", "dead", &necrosis),
        ],
    );
}

fn only(out: &Path) -> RunAccount {
    let mut all = accounts(out);
    assert_eq!(all.len(), 1);
    all.remove(0)
}

fn tables(out: &Path) -> (PathBuf, PathBuf) {
    let (dataset, id) = (Dataset::at(out), only(out).slide);
    (dataset.cells(&id), dataset.regions(&id))
}

fn regions(out: &Path) -> Vec<RegionRow> {
    let reader = merger::RegionReader::open(&tables(out).1, merger::ReadSettings::default()).unwrap();
    reader.collect::<Result<Vec<_>, _>>().unwrap().concat()
}

fn rois(out: &Path) -> Vec<RegionRow> {
    regions(out).into_iter().filter(|region| region.kind == "roi").collect()
}

fn centroids(out: &Path) -> Vec<(f64, f64)> {
    let mut all: Vec<_> =
        read_cells(&tables(out).0).unwrap().iter().map(|cell| (cell.centroid.x, cell.centroid.y)).collect();
    all.sort_by(|a, b| a.partial_cmp(b).unwrap());
    all
}

fn succeed(output: &Output) {
    assert!(output.status.success(), "{}", stderr(output));
}

fn merge(out: &Path, more: &[&str]) -> Output {
    slidemill().arg("merge").arg(out).args(more).output().expect("the command starts")
}

fn text(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}

/// Returns shapely's counts in the same regions, and the tissue in them of those that a dataset has.
fn reference(out: &Path, drawn: &Path) -> Option<Value> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/python/count_regions.py");
    let (cells, found) = tables(out);
    let mut command = Command::new(python()?);
    let output = command.arg(script).args([&cells, &found, drawn]).arg("Necrosis").output().unwrap();
    succeed(&output);
    Some(serde_json::from_slice(&output.stdout).unwrap())
}

#[test]
fn cells_are_counted_where_somebody_drew_as_shapely_counts_them() {
    let folder = folder();
    let at = |name: &str| folder.path().join(name);
    let (slide, drawn, out, whole) = (at("case-7.tif"), at("case-7.geojson"), at("out"), at("whole"));
    small_slide(&slide, 70);
    draw(&drawn);
    let within = ["--within", text(&drawn), "--exclude", "necrosis", "--keep-raw"];
    succeed(&run(&[&slide], &out, &[&SMALLER_WINDOWS[..], &within].concat()));
    succeed(&run(&[&slide], &whole, &[&SMALLER_WINDOWS[..], &["--keep-raw"]].concat()));

    let (account, all) = (only(&out), only(&whole));
    let counts = |account: &RunAccount| account.analysis.clone().unwrap();
    assert!(counts(&account).windows.planned < counts(&all).windows.planned, "windows only where needed");
    assert!(counts(&account).coverage.tissue_mm2 < 0.6 * counts(&all).coverage.tissue_mm2);
    assert_eq!(account.settings["counted_within"].split(' ').next(), Some("2"));
    assert!(counts(&account).dropped["outside of the regions of interest"] > 0);
    let words: Vec<String> = counts(&account).regions.iter().map(dataset::RegionCount::label).collect();
    assert_eq!(words, ["roi: Stroma", "roi: Tumor", "tissue"]);

    let found = rois(&out);
    let names: Vec<_> =
        found.iter().map(|region| (region.name.as_deref(), region.class_name.as_deref())).collect();
    assert_eq!(names, [(Some("front"), Some("Tumor")), (None, Some("Stroma"))]);
    assert!(found.iter().all(|region| region.n_cells > 10 && region.coverage > 0.5), "{found:?}");

    // Merging what was found all over the slide gives the same cells.
    let merged = at("merged");
    succeed(&merge(&whole, &["--into", text(&merged), "--within", text(&drawn), "--exclude", "Necrosis"]));
    assert_eq!(centroids(&merged), centroids(&out));
    let in_both = [rois(&merged), rois(&out)].map(|rows| {
        let facts = |region: &RegionRow| {
            (region.region_id, region.n_cells, region.area_um2, region.analysed_tissue_um2)
        };
        rows.iter().map(facts).collect::<Vec<_>>()
    });
    assert_eq!(in_both[0], in_both[1]);

    // No file name in what is handed on.
    let report = fs::read_to_string(out.join("report.html")).unwrap();
    assert!(report.contains("roi: Tumor") && !report.contains("case-7"));
    assert!(!fs::read_to_string(Dataset::at(&out).account(&account.slide)).unwrap().contains("case-7"));

    // The same cells in all tables: shapely looks at the whole slide's, and finds ours.
    let Some(expected) = reference(&whole, &drawn) else { return };
    let own = reference(&out, &drawn).unwrap();
    assert_eq!(own["outside"], 0);
    for (region, reference) in found.iter().zip(expected["regions"].as_array().unwrap()) {
        let off = region.n_cells.abs_diff(reference["cells"].as_u64().unwrap());
        assert!(off <= reference["near_border"].as_u64().unwrap(), "{off}: {reference}");
        let area = reference["area_px2"].as_f64().unwrap() * 0.0625;
        assert!((region.area_um2 / area - 1.0).abs() < 1e-4, "{} {area}", region.area_um2);
        let tissue = reference["tissue_px2"].as_f64().unwrap() * 0.0625;
        let found = region.analysed_tissue_um2.unwrap();
        assert!((found / tissue - 1.0).abs() < 0.03, "{found} {tissue} of {area}");
    }
    assert!(expected["outside"].as_u64().unwrap() > 0);
}

#[test]
fn what_a_run_did_not_look_at_is_said_when_it_is_counted_later() {
    let folder = folder();
    let at = |name: &str| folder.path().join(name);
    let (slide, left, right, out) = (at("slide.tif"), at("left.geojson"), at("right.geojson"), at("out"));
    small_slide(&slide, 71);
    let square = |x: f64| [[x, 900.0], [x + 400.0, 900.0], [x + 400.0, 1300.0], [x, 1300.0]];
    write_features(&left, &[annotation("Tumor", "", &square(600.0))]);
    write_features(
        &right,
        &[annotation("Tumor", "", &square(620.0)), annotation("Tumor", "far", &square(1700.0))],
    );
    let narrow = [&SMALLER_WINDOWS[..], &["--overlap", "64px", "--keep-raw"]].concat();
    succeed(&run(&[&slide], &out, &[&narrow[..], &["--within", text(&left)]].concat()));
    assert!(!only(&out).warnings.join("; ").contains("of interest"), "{:?}", only(&out).warnings);

    let again = at("again");
    succeed(&merge(&out, &["--into", text(&again), "--min-score", "0.3"]));
    let (kept, before) = (only(&again), only(&out));
    assert_eq!(
        kept.settings["counted_within"], before.settings["counted_within"],
        "regions stay as they were"
    );

    let later = at("later");
    succeed(&merge(&out, &["--into", text(&later), "--within", text(&right)]));
    let account = only(&later);
    let said = account.warnings.join("; ");
    assert!(said.contains("in 1 of 2 regions of interest no window looked"), "{said}");
    assert!(said.contains("its windows were planned for others"), "{said}");
    let far = rois(&later).into_iter().find(|region| region.name.as_deref() == Some("far")).unwrap();
    assert_eq!((far.coverage, far.n_cells), (0.0, 0));
    let coverage = account.analysis.unwrap().coverage;
    assert!((0.3..0.7).contains(&coverage.fraction), "{coverage:?}");

    let other = run(&[&slide], &out, &[&narrow[..], &["--within", text(&right)]].concat());
    assert_eq!(other.status.code(), Some(65));
    assert!(stderr(&other).contains("looked_within was 1 region"), "{}", stderr(&other));
    let none = run(&[&slide], &out, &narrow);
    assert!(stderr(&none).contains("looked_within was 1 region"), "{}", stderr(&none));
    assert!(stderr(&none).contains("now not set"), "{}", stderr(&none));
}

#[test]
fn each_slide_gets_the_file_that_is_called_as_it_and_none_is_guessed() {
    let folder = folder();
    let slides = tiny_slides(folder.path(), 2, 80);
    let rois = folder.path().join("rois");
    fs::create_dir(&rois).unwrap();
    let out = folder.path().join("out");
    let slides: Vec<&Path> = slides.iter().map(PathBuf::as_path).collect();
    let square = [[300.0, 200.0], [700.0, 200.0], [700.0, 600.0], [300.0, 600.0]];
    let refused = |more: &[&str], expected: &str| {
        let output = run(&slides, &out, &[&SMALL_WINDOWS[..], more].concat());
        assert_eq!(output.status.code(), Some(64), "{}", stderr(&output));
        assert!(stderr(&output).contains(expected), "{expected}: {}", stderr(&output));
    };
    let one = folder.path().join("one.geojson");
    write_features(&one, &[annotation("Tumor", "", &square)]);
    refused(&["--within", text(&one)], "--within is one file for 2 slides: give a folder");
    write_features(&rois.join("tiny-80.geojson"), &[annotation("Tumor", "", &square)]);
    write_features(&rois.join("other.geojson"), &[annotation("Tumor", "", &square)]);
    let within = ["--within", text(&rois)];
    refused(&within, "1 slide without a file in --within (first: tiny-81.tif)");
    refused(
        &[&within[..], &["--exclude", "tumr", "--without-roi", "whole"]].concat(),
        "--exclude names \"tumr\"",
    );

    let whole = [&SMALL_WINDOWS[..], &within, &["--without-roi", "whole"]].concat();
    let output = run(&slides, &out, &whole);
    succeed(&output);
    assert!(stderr(&output).contains("1 slide without a file in --within (first: tiny-81.tif): not limited"));
    assert!(stderr(&output).contains("1 file of --within not used"), "{}", stderr(&output));
    let (limited, others): (Vec<_>, Vec<_>) =
        accounts(&out).into_iter().partition(|account| account.settings.contains_key("counted_within"));
    let outside = |account: &RunAccount| {
        account.analysis.clone().unwrap().dropped.contains_key("outside of the regions of interest")
    };
    assert!(limited.len() == 1 && limited[0].cells() > 0 && outside(&limited[0]));
    assert!(others.len() == 1 && others[0].cells() > 0 && !outside(&others[0]));

    let skipped = folder.path().join("skipped");
    succeed(&run(&slides, &skipped, &[&SMALL_WINDOWS[..], &within, &["--without-roi", "skip"]].concat()));
    assert_eq!(accounts(&skipped).len(), 1);

    // A plan keeps what was drawn.
    let planned = folder.path().join("planned");
    let mut plan = slidemill();
    plan.arg("plan").args(&slides).arg("-o").arg(&planned).args(&whole);
    succeed(&plan.output().unwrap());
    fs::remove_dir_all(&rois).unwrap();
    succeed(&slidemill().args(["run", "-o"]).arg(&planned).output().unwrap());
    let cells = |out: &Path| accounts(out).iter().map(RunAccount::cells).collect::<Vec<_>>();
    assert_eq!(cells(&planned), cells(&out));
}

/// Writes labels as a gray PNG of 8 bits.
fn write_labels(path: &Path, (width, height): (u32, u32), label: impl Fn(u32, u32) -> u8) {
    let file = fs::File::create(path).unwrap();
    let mut encoder = png::Encoder::new(file, width, height);
    encoder.set_color(png::ColorType::Grayscale);
    encoder.set_depth(png::BitDepth::Eight);
    let pixels: Vec<u8> =
        (0..height).flat_map(|y| (0..width).map(move |x| (x, y))).map(|(x, y)| label(x, y)).collect();
    encoder.write_header().unwrap().write_image_data(&pixels).unwrap();
}

#[test]
fn a_picture_of_labels_counts_at_the_scale_that_is_stated() {
    let folder = folder();
    let at = |name: &str| folder.path().join(name);
    let (slide, labels, drawn) = (at("slide.tif"), at("labels.png"), at("drawn.geojson"));
    small_slide(&slide, 72);
    // 2560 × 2048 px of 0.25 µm, in px of 8 µm.
    write_labels(&labels, (80, 64), |x, y| match (x, y) {
        (20..25, 20..25) => 9,
        (10..30, 10..40) => 1,
        (40..50, 10..20) => 2,
        _ => 0,
    });
    let unstated = run(&[&slide], &at("out"), &["--within", text(&labels)]);
    assert!(stderr(&unstated).contains("give its µm per px with --within-mpp"), "{}", stderr(&unstated));
    let wrong = run(&[&slide], &at("wrong"), &["--within", text(&labels), "--within-mpp", "4"]);
    assert!(
        stderr(&wrong).contains("has 80 × 64 px, but at 4 µm/px the slide has 160 × 128"),
        "{}",
        stderr(&wrong)
    );

    let corner = |x: f64, y: f64| [x * 32.0, y * 32.0];
    let square = [corner(10.0, 10.0), corner(30.0, 10.0), corner(30.0, 40.0), corner(10.0, 40.0)];
    write_features(&drawn, &[annotation("1", "", &square)]);
    let out = at("out");
    let more = ["--within", text(&labels), "--within-mpp", "8", "--exclude", "2"];
    succeed(&run(&[&slide], &out, &[&SMALL_WINDOWS[..], &more].concat()));
    let by_hand = at("by-hand");
    succeed(&run(&[&slide], &by_hand, &[&SMALL_WINDOWS[..], &["--within", text(&drawn)]].concat()));
    assert_eq!(centroids(&out), centroids(&by_hand), "label 9 lies in label 1");
    let mut labels: Vec<_> = rois(&out).into_iter().map(|region| region.class_name.unwrap()).collect();
    labels.sort();
    assert_eq!(labels, ["1", "9"]);
}

/// Cells by size stand for two classes, since the bundled model has one.
const MEASURES: &str = r#"
[[hot-spot]]
name = "dense"
cells = { where = { score = { min = 0.3 } } }
area-mm2 = 0.01
most = 2
within = "Tumor"

[[index]]
name = "large"
of = { where = { area_um2 = { min = 40 } } }
share-of = { }

[[index]]
name = "in tumour"
of = { class = ["nucleus"] }
per-mm2 = 1
regions = "tumor"

[[index]]
name = "mitoses"
of = { class = ["mitosis"] }
per-mm2 = 2

[[grade]]
name = "sizes"
index = "large"
source = "nobody, 2026"
bands = [{ grade = "few", below = 0.5 }, { grade = "many", from = 0.5 }]
"#;

/// Lines of measures.csv by measure: place, cells, value, grade and problem.
fn measures(out: &Path) -> BTreeMap<String, Vec<BTreeMap<String, String>>> {
    let mut reader = csv::Reader::from_path(out.join("measures.csv")).unwrap();
    let mut all: BTreeMap<String, Vec<BTreeMap<String, String>>> = BTreeMap::new();
    for line in reader.deserialize::<BTreeMap<String, String>>() {
        let line = line.unwrap();
        all.entry(line["measure"].clone()).or_default().push(line);
    }
    all
}

#[test]
fn measures_are_made_of_what_was_counted_and_again_without_the_model() {
    let folder = folder();
    let at = |name: &str| folder.path().join(name);
    let (slide, drawn, wanted, out) = (at("case-9.tif"), at("case-9.geojson"), at("m.toml"), at("out"));
    small_slide(&slide, 73);
    draw(&drawn);
    fs::write(&wanted, MEASURES.replace("per-mm2 = 2", "per-mm3 = 2")).unwrap();
    let more = ["--within", text(&drawn), "--exclude", "necrosis", "--measure", text(&wanted)];
    let refused = run(&[&slide], &out, &[&SMALL_WINDOWS[..], &more].concat());
    assert_eq!(refused.status.code(), Some(64));
    assert!(stderr(&refused).contains("line 23: unknown field `per-mm3`"), "{}", stderr(&refused));

    fs::write(&wanted, MEASURES).unwrap();
    let output = run(&[&slide], &out, &[&SMALL_WINDOWS[..], &more].concat());
    succeed(&output);
    let told =
        "mitoses: no value on 1 of 1 slide: the model has no class \"mitosis\", its classes are nucleus";
    assert!(stderr(&output).contains(&format!("\nmeasure   {told}\nreport ")), "{}", stderr(&output));
    let logged = run(&[&slide], &out, &[&SMALL_WINDOWS[..], &more, &["--json-logs"]].concat());
    let events: Vec<Value> =
        logged.stdout.lines().map(|line| serde_json::from_str(&line.unwrap()).unwrap()).collect();
    assert_eq!(events.last().unwrap()["message"], format!("measure {told}"));
    let found = measures(&out);
    let tumour = rois(&out).into_iter().find(|region| region.class_name.as_deref() == Some("Tumor")).unwrap();
    assert_eq!(found["in tumour"][0]["cells"], tumour.n_cells.to_string());
    let density: f64 = found["in tumour"][0]["value"].parse().unwrap();
    assert!((density / tumour.cells_per_mm2 - 1.0).abs() < 1e-5, "{density}");
    assert_eq!(found["dense"].len(), 2);
    assert_eq!(found["large"][0]["others"], centroids(&out).len().to_string());
    assert_eq!(
        (found["large"][0]["source"].as_str(), found["large"][0]["scheme"].as_str()),
        ("nobody, 2026", "sizes")
    );
    assert!(found["mitoses"][0]["problem"].contains("no class \"mitosis\", its classes are nucleus"));
    assert_eq!((found["large"][0]["outcome"].as_str(), found["large"][0]["doubts"].as_str()), ("done", ""));

    // The best field of all positions holds at least as many cells as any around a cell.
    let best: usize = found["dense"][0]["cells"].parse().unwrap();
    let reach: f64 = found["dense"][0]["reach_px"].parse().unwrap();
    let inside: Vec<_> = read_cells(&tables(&out).0).unwrap();
    let inside: Vec<_> = inside.iter().filter(|cell| cell.region_id == Some(tumour.region_id)).collect();
    let around = |middle: &dataset::CellRow| {
        inside.iter().filter(|cell| (cell.centroid - middle.centroid).length() <= reach).count()
    };
    assert!(best >= inside.iter().map(|cell| around(cell)).max().unwrap());

    let report = fs::read_to_string(out.join("report.html")).unwrap();
    assert!(
        report.contains("class=\"spot\"") && report.contains("nobody, 2026") && !report.contains("case-9")
    );
    let verified = slidemill().arg("verify").arg(&out).output().unwrap();
    succeed(&verified);

    // Other measures of the same cells, and none at all.
    fs::write(&wanted, MEASURES.replace("most = 2", "most = 1").replace("min = 40", "min = 60")).unwrap();
    let again = slidemill().arg("report").arg(&out).args(["--measure", text(&wanted)]).output().unwrap();
    succeed(&again);
    assert!(stderr(&again).contains(told), "{}", stderr(&again));
    let other = measures(&out);
    assert_eq!((other["dense"].len(), &other["dense"][0]), (1, &found["dense"][0]));
    assert_ne!(other["large"][0]["cells"], found["large"][0]["cells"]);
    fs::remove_file(out.join("measures.toml")).unwrap();
    succeed(&slidemill().arg("report").arg(&out).output().unwrap());
    assert!(!out.join("measures.csv").exists() && !out.join("measures.parquet").exists());
}

//! `slidemill eval` as a user runs it: files in, figures out.

mod support;

use std::{fs, path::Path, process::Output};

use serde_json::Value;
use slidemill::{cells::read_cells, dataset::Dataset, demo};
use support::{SMALL_WINDOWS, accounts, run, slidemill, small_slide, stderr};

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().expect("a temporary folder")
}

fn eval(pred: &Path, truth: &Path, more: &[&str]) -> Output {
    let mut command = slidemill();
    command.arg("eval").arg("--pred").arg(pred).arg("--truth").arg(truth).args(more);
    command.output().expect("the command starts")
}

fn json(output: &Output) -> Value {
    assert!(output.status.success(), "{}", stderr(output));
    serde_json::from_slice(&output.stdout).expect("JSON")
}

#[test]
fn a_run_is_judged_by_the_names_of_its_slides() {
    let folder = folder();
    let (truth, out) = (folder.path().join("truth"), folder.path().join("out"));
    fs::create_dir(&truth).unwrap();
    let slides = ["one", "two"].map(|name| folder.path().join(format!("{name}.tif")));
    let painted = [small_slide(&slides[0], 21), small_slide(&slides[1], 22)];
    painted[0].write_csv(&truth.join("one.csv")).unwrap();
    painted[1].write_csv(&truth.join("two.csv")).unwrap();
    let output = run(&[&slides[0], &slides[1]], &out, &SMALL_WINDOWS);
    assert!(output.status.success(), "{}", stderr(&output));

    let mistakes = folder.path().join("mistakes");
    let table = folder.path().join("figures.parquet");
    let files =
        ["--mistakes", mistakes.to_str().unwrap(), "--parquet", table.to_str().unwrap(), "--bootstrap", "20"];
    let found = json(&eval(&out, &truth, &[&["--match", "distance:3um", "--json"], &files[..]].concat()));

    // The demo's own score pairs cells by the same rule.
    let mut matched = 0;
    for account in accounts(&out) {
        let cells = read_cells(&Dataset::at(&out).cells(&account.slide)).unwrap();
        let centres: Vec<_> = cells.iter().map(|cell| cell.centroid).collect();
        let scores = painted.each_ref().map(|painted| demo::score(painted, &centres).unwrap().all.matched);
        matched += scores.into_iter().max().unwrap();
    }
    let counts = &found["overall"]["working"]["counts"];
    assert_eq!(counts["hits"], matched as f64);
    let painted = painted.iter().map(|painted| painted.cells.len()).sum::<usize>();
    assert_eq!(found["overall"]["truth"], painted);
    assert!(found["overall"]["figures"]["f1"]["interval"].is_array(), "{found}");
    let tissue: f64 =
        accounts(&out).iter().map(|account| account.analysis.as_ref().unwrap().coverage.analysed_mm2).sum();
    assert_eq!(found["area_mm2"], tissue, "false positives are per mm² of tissue analysed");

    let listed: usize = ["one", "two"]
        .map(|name| {
            let file = fs::read(mistakes.join(format!("{name}.geojson"))).unwrap();
            serde_json::from_slice::<Value>(&file).unwrap()["features"].as_array().unwrap().len()
        })
        .iter()
        .sum();
    let wrong = counts["false_marks"].as_f64().unwrap() + counts["missed"].as_f64().unwrap();
    assert_eq!(listed as f64, wrong);
    assert_eq!(&fs::read(&table).unwrap()[..4], b"PAR1");

    let plain = eval(&out, &truth, &["--match", "distance:3um"]);
    let text = String::from_utf8_lossy(&plain.stdout).into_owned();
    assert!(text.starts_with("2 images, ") && text.contains("count bias/image"), "{text}");
}

/// Three squares and an area nobody annotated.
fn annotated(path: &Path) {
    let square = |x: f64, class: &str, side: f64| {
        serde_json::json!({
            "type": "Feature",
            "geometry": { "type": "Polygon", "coordinates":
                [[[x, 10.0], [x + side, 10.0], [x + side, 10.0 + side], [x, 10.0 + side], [x, 10.0]]] },
            "properties": { "objectType": "annotation", "classification": { "name": class, "color": [1, 2, 3] } },
        })
    };
    let features = [
        square(10.0, "a", 20.0),
        square(50.0, "b", 20.0),
        square(90.0, "b", 20.0),
        square(200.0, "later", 90.0),
    ];
    let text = serde_json::json!({ "type": "FeatureCollection", "features": features }).to_string();
    fs::write(path, text).expect("the annotations are written");
}

#[test]
fn areas_nobody_annotated_excuse_and_renamed_classes_meet() {
    let folder = folder();
    let (truth, pred) = (folder.path().join("t.geojson"), folder.path().join("p.csv"));
    annotated(&truth);
    let rows = ["10,10,30,30,tumour,0.9", "50,10,70,30,b,0.8", "210,20,230,40,b,0.7", "150,10,170,30,b,0.6"];
    fs::write(&pred, format!("xmin,ymin,xmax,ymax,class,score\n{}\n", rows.join("\n"))).unwrap();
    let more = ["--ignore-area", "later", "--rename", "a=tumour", "--json"];
    let found = json(&eval(&pred, &truth, &more));
    let counts = &found["overall"]["working"]["counts"];
    let three = [&counts["hits"], &counts["false_marks"], &counts["missed"]].map(|n| n.as_f64().unwrap());
    assert_eq!(three, [2.0, 1.0, 1.0], "one is excused: {found}");
    let strict = json(&eval(&pred, &truth, &[&more[..], &["--min-score", "0.85"]].concat()));
    assert_eq!(strict["overall"]["working"]["counts"]["hits"], 1.0);
}

#[test]
fn what_is_asked_wrongly_is_said() {
    let folder = folder();
    let (truth, points) = (folder.path().join("t.geojson"), folder.path().join("p.csv"));
    annotated(&truth);
    fs::write(&points, "x,y,class\n1,2,a\n").unwrap();
    fs::write(folder.path().join("g.csv"), "picture,who\n1,2\n").unwrap();
    let groups = folder.path().join("g.csv");
    for (more, code, expected) in [
        (&["--match", "giou:0.5"][..], 64, "expected iou:0.5"),
        (&[], 64, "points, which have no area"),
        (&["--match", "distance:3um"], 64, "give --mpp"),
        (&["--mpp", "0"], 64, "--mpp"),
        (&["--rename", "a"], 64, "expected FROM=TO"),
        (&["--groups", groups.to_str().unwrap()], 64, "the columns are picture, who"),
    ] {
        let output = eval(&points, &truth, more);
        assert_eq!(output.status.code(), Some(code), "{more:?}: {}", stderr(&output));
        assert!(stderr(&output).contains(expected), "{more:?}: {}", stderr(&output));
    }
    let output = eval(Path::new("not-there"), &truth, &[]);
    assert_eq!(output.status.code(), Some(65));
    assert!(stderr(&output).trim_end().ends_with("not-there"), "{}", stderr(&output));
}

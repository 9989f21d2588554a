//! `slidemill eval` as a user runs it: files in, figures out.

mod support;

use std::{fs, path::Path, process::Output};

use dataset::{Dataset, read_cells};
use painted::Truth;
use serde_json::Value;
use support::{SMALL_WINDOWS, accounts, run, shared, slidemill, small_slide, stderr};

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

    // The painted slide's own score pairs cells by the same rule.
    let mut matched = 0;
    for account in accounts(&out) {
        let cells = read_cells(&Dataset::at(&out).cells(&account.slide)).unwrap();
        let centres: Vec<_> = cells.iter().map(|cell| cell.centroid).collect();
        let scores = painted.each_ref().map(|painted| painted::score(painted, &centres).unwrap().all.matched);
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

    let page = folder.path().join("page.html");
    let plain = eval(&out, &truth, &["--match", "distance:3um", "--html", page.to_str().unwrap()]);
    let page = fs::read_to_string(&page).unwrap();
    for part in ["Precision and recall", "Reliability", "Counts per image", "<svg", "F1"] {
        assert!(page.contains(part), "{part} is missing");
    }
    assert!(!page.contains("one.tif") && !page.contains("src=") && !page.contains("href="));
    let text = String::from_utf8_lossy(&plain.stdout).into_owned();
    assert!(text.starts_with("2 images, ") && text.contains("count bias/image"), "{text}");
}

/// AP of a run was that of the cells above its threshold, whatever was kept below.
#[test]
fn raw_detections_that_were_kept_are_judged_once_merged() {
    let folder = folder();
    let at = |name: &str| folder.path().join(name);
    let (slide, truth, out, all) = (at("one.tif"), at("one.csv"), at("out"), at("all"));
    small_slide(&slide, 23).write_csv(&truth).unwrap();
    let kept = [&SMALL_WINDOWS[..], &["--keep-raw", "--min-score", "0.6"]].concat();
    assert!(run(&[&slide], &out, &kept).status.success());
    let by_distance = ["--match", "distance:3um", "--json", "--bootstrap", "0"];
    let cells = json(&eval(&out, &truth, &by_distance));
    let notes = cells["notes"].to_string();
    let floor = notes.split("--into OTHER --min-score ").nth(1).and_then(|rest| rest.split('`').next());
    let floor = floor.unwrap_or_else(|| panic!("{notes}"));
    let merged =
        slidemill().arg("merge").arg(&out).arg("--into").arg(&all).args(["--min-score", floor]).output();
    assert!(merged.unwrap().status.success());
    let left = fs::read_dir(all.join(".slidemill")).unwrap().map(|entry| entry.unwrap().file_name());
    assert!(left.into_iter().all(|name| !name.to_string_lossy().starts_with("in-hand")), "marks are left");
    let everything = json(&eval(&all, &truth, &by_distance));
    assert!(!everything["notes"].to_string().contains("--into OTHER"), "{everything}");
    for (figure, least_gain) in [("/overall/predictions", 1.0), ("/overall/figures/ap/value", 0.0)] {
        let [before, after] =
            [&cells, &everything].map(|found| found.pointer(figure).unwrap().as_f64().unwrap());
        assert!(after >= before + least_gain, "{figure}: {before}, {after}");
    }
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
    let page = folder.path().join("page.html");
    let html = ["--html", page.to_str().unwrap(), "--min-score", "0.85"];
    let strict = json(&eval(&pred, &truth, &[&more[..], &html].concat()));
    let page = fs::read_to_string(&page).unwrap();
    assert!(page.contains("FROC per image") && !page.contains("FROC per mm²"), "no area is known here");
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

#[test]
fn what_is_left_out_is_told_and_refused_when_asked() {
    let folder = folder();
    let (truth, pred) = (folder.path().join("t.geojson"), folder.path().join("p.csv"));
    annotated(&truth);
    let text = fs::read_to_string(&truth).unwrap();
    let ruler = r#""features":[{"type":"Feature","geometry":{"type":"LineString","coordinates":[[1,2],[3,4]]},"properties":{}},"#;
    fs::write(&truth, text.replacen("\"features\":[", ruler, 1)).unwrap();
    fs::write(&pred, "xmin,ymin,xmax,ymax,class,score\n10,10,30,30,a,0.9\n").unwrap();
    let told = eval(&pred, &truth, &["--json"]);
    let left_out = "truth: left out: 1 line (a ruler?); the first: feature 0: ";
    assert!(stderr(&told).contains(left_out), "{}", stderr(&told));
    let note = &json(&told)["notes"][0];
    assert_eq!(note, "truth: left out: 1 line (a ruler?)", "no path in what is shared");
    let refused = eval(&pred, &truth, &["--strict"]);
    assert_eq!(refused.status.code(), Some(65), "{}", stderr(&refused));
    assert!(stderr(&refused).contains("left out: 1 line"), "{}", stderr(&refused));
}

#[test]
fn truth_that_was_never_run_is_named_and_left_out() {
    let folder = folder();
    let (truth, pred) = (folder.path().join("truth"), folder.path().join("pred"));
    for (side, names) in [(&truth, &["a", "b", "c"][..]), (&pred, &["a", "b"])] {
        fs::create_dir(side).unwrap();
        for name in names {
            fs::write(side.join(format!("{name}.csv")), "xmin,ymin,xmax,ymax\n10,10,30,30\n").unwrap();
        }
    }
    let skipped = eval(&pred, &truth, &["--json", "--bootstrap", "0"]);
    assert!(stderr(&skipped).contains("truth without predictions, left out (--absent missed counts it): "));
    assert!(stderr(&skipped).trim_end().ends_with("c"), "{}", stderr(&skipped));
    assert_eq!(json(&skipped)["overall"]["working"]["recall"], 1.0);
    assert!(!String::from_utf8_lossy(&skipped.stdout).contains("truth/c"), "no name in what is shared");
    let missed = json(&eval(&pred, &truth, &["--json", "--bootstrap", "0", "--absent", "missed"]));
    assert_eq!(missed["overall"]["working"]["counts"]["missed"], 1.0);
}

#[test]
fn sides_without_a_common_class_learn_how_to_get_one() {
    let folder = folder();
    let (truth, pred) = (folder.path().join("t.csv"), folder.path().join("p.csv"));
    fs::write(&truth, "xmin,ymin,xmax,ymax,class\n10,10,30,30,tumour\n").unwrap();
    fs::write(&pred, "xmin,ymin,xmax,ymax,class\n10,10,30,30,tumor\n").unwrap();
    let refused = eval(&pred, &truth, &[]);
    assert_eq!(refused.status.code(), Some(65));
    assert!(stderr(&refused).contains("the truth has tumour, the predictions have tumor"));
    assert!(stderr(&refused).contains("(--rename FROM=TO, --one-class)"), "{}", stderr(&refused));
    for more in [&["--rename", "tumor=tumour", "--json"][..], &["--one-class", "--json"]] {
        assert_eq!(json(&eval(&pred, &truth, more))["overall"]["working"]["f1"], 1.0, "{more:?}");
    }
}

#[test]
fn a_folder_of_label_pngs_called_as_the_slides_is_read() {
    let folder = folder();
    let labels = folder.path().join("labels");
    fs::create_dir(&labels).unwrap();
    for (name, value) in [("one", 3), ("two", 9)] {
        let mut picture = vec![0_u8; 100];
        picture[33] = value;
        let mut encoder =
            png::Encoder::new(fs::File::create(labels.join(format!("{name}.png"))).unwrap(), 10, 10);
        encoder.set_color(png::ColorType::Grayscale);
        encoder.write_header().unwrap().write_image_data(&picture).unwrap();
    }
    let pred = folder.path().join("p.csv");
    fs::write(&pred, "image,xmin,ymin,xmax,ymax,score\none.svs,3,3,4,4,0.9\ntwo.svs,3,3,4,4,0.9\n").unwrap();
    let found = json(&eval(&pred, &labels, &["--json", "--bootstrap", "0"]));
    assert_eq!((&found["images"], &found["overall"]["working"]["f1"]), (&2.into(), &1.0.into()));
    assert!(found["notes"][0].as_str().unwrap().contains("2 gray PNGs were read as label maps"), "{found}");
}

#[test]
fn a_reader_that_has_seen_enough_ends_no_command_loudly() {
    let folder = folder();
    let truth = folder.path().join("t.geojson");
    annotated(&truth);
    let mut command = slidemill();
    command.arg("eval").arg("--pred").arg(&truth).arg("--truth").arg(&truth).arg("--json");
    let mut child =
        command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success() && stderr(&output).is_empty(), "{}", stderr(&output));
}

/// Imitates one annotator of the painted cells: misses every `miss`-th and moves the others by a third of a
/// µm.
fn annotate(painted: &Truth, miss: usize, path: &Path) {
    let mut text = "x,y,class\n".to_owned();
    for (place, cell) in painted.cells.iter().enumerate().filter(|(place, _)| place % miss != miss - 1) {
        let aside = if place % 2 == 0 { 1.3 } else { -1.3 };
        text += &format!("{},{},{}\n", cell.centre.x + aside, cell.centre.y, cell.kind.name());
    }
    fs::write(path, text).expect("the annotations are written");
}

#[test]
fn annotators_agree_and_what_they_agree_on_judges() {
    let folder = folder();
    let painted = small_slide(&folder.path().join("slide.tif"), 23);
    let paths = ["anna", "ben", "carla"].map(|name| folder.path().join(format!("{name}.csv")));
    for (path, miss) in paths.iter().zip([3, 5, 7]) {
        annotate(&painted, miss, path);
    }
    let out = folder.path().join("agreed");
    let mut command = slidemill();
    command.arg("consensus").args(&paths).arg("-o").arg(&out);
    let output = command.args(["--match", "distance:2um", "--mpp", "0.25", "--json"]).output().unwrap();
    let found = json(&output);
    for (one, miss) in found["annotators"].as_array().unwrap().iter().zip([3.0, 5.0, 7.0]) {
        let sensitivity = one["sensitivity"].as_f64().unwrap();
        assert!((sensitivity - (1.0 - 1.0 / miss)).abs() < 0.03, "{one}");
    }
    // Two of three miss what is missed by 3 × 5, 3 × 7 or 5 × 7.
    let cells = painted.cells.len();
    let lost = (1..=cells).filter(|n| [3, 5, 7].iter().filter(|miss| n % *miss == 0).count() > 1).count();
    let truth = out.join("truth/anna.geojson");
    let judged = json(&eval(&truth, &paths[0], &["--match", "distance:2um", "--mpp", "0.25", "--json"]));
    let agreed = judged["overall"]["counts"]["predicted"].as_u64().unwrap() as usize;
    assert!(agreed.abs_diff(cells - lost) <= cells / 200, "{agreed} agreed of {cells}, {lost} lost");
    let review: Value = serde_json::from_slice(&fs::read(out.join("review/anna.geojson")).unwrap()).unwrap();
    let features = review["features"].as_array().unwrap();
    assert!(!features.is_empty());
    for feature in features {
        let properties = &feature["properties"];
        assert_eq!(properties["objectType"], "annotation");
        assert!(
            properties["classification"]["color"].is_array() && feature["id"].as_str().unwrap().len() == 36
        );
    }
    // It is there now, and is not overwritten.
    let again = slidemill().arg("consensus").args(&paths).arg("-o").arg(&out).output().unwrap();
    assert_eq!(again.status.code(), Some(64));
    assert!(stderr(&again).contains("give a new folder"), "{}", stderr(&again));
}

#[test]
fn a_data_set_comes_back_whole_through_eval() {
    let folder = folder();
    let slides = ["p1_a", "p1_b", "p2_a"].map(|name| folder.path().join(format!("{name}.tif")));
    let mut boxes = "image,xmin,ymin,xmax,ymax,class\n".to_owned();
    for (slide, seed) in slides.iter().zip(24..) {
        for cell in small_slide(slide, seed).cells {
            let b = cell.level0_box();
            let name = slide.file_stem().unwrap().to_string_lossy();
            // Cells that reach past the slide are whole in no tile.
            if b.min.x > 0.0 && b.min.y > 0.0 && b.max.x < 2560.0 && b.max.y < 2048.0 {
                let row = [b.min.x, b.min.y, b.max.x, b.max.y].map(|side| format!("{side:.3}")).join(",");
                boxes += &format!("{name},{row},{}\n", cell.kind.name());
            }
        }
    }
    let truth = folder.path().join("boxes.csv");
    fs::write(&truth, boxes).unwrap();
    let out = folder.path().join("set");
    let mut command = slidemill();
    command.arg("dataset").args(&slides).arg("--truth").arg(&truth).arg("-o").arg(&out);
    // Neighbours share 32 µm, more than any cell: each is whole in some tile.
    let how = ["--tile-mpp", "0.5", "--tile", "256", "--overlap", "64", "--border", "whole"];
    let output = command.args(how).args(["--group-by", "before:_", "--balanced"]).output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));

    let mut patients: [std::collections::BTreeSet<String>; 2] = Default::default();
    let mut table = csv::Reader::from_path(out.join("tiles.csv")).unwrap();
    for row in table.records().map(Result::unwrap) {
        patients[usize::from(&row[1] == "val")].insert(row[0][..2].to_owned());
        assert!(out.join(format!("images/{}/{}.png", &row[1], &row[0])).exists());
    }
    assert!(patients[0].is_disjoint(&patients[1]) && patients.iter().all(|split| !split.is_empty()));
    // Overlap shows a cell to several tiles; on level 0 of its slide it is one.
    let how = ["--match", "iou:0.95", "--json", "--bootstrap", "0"];
    let found = json(&eval(&out, &truth, &how));
    assert_eq!(found["classes"].as_array().unwrap().len(), 4);
    assert_eq!(found["overall"]["figures"]["f1"]["value"], 1.0, "{found}");
    assert_eq!(json(&eval(&truth, &out, &how))["overall"]["figures"]["f1"]["value"], 1.0);

    let sized = eval(&out, &truth, &[&how[..], &["--area", "coco", "--area", "all:0..um2"]].concat());
    assert!(stderr(&sized).contains("microns per pixel are not known"), "{}", stderr(&sized));
    let areas = ["--area", "coco", "--area", "all:0..um2", "--mpp", "0.25"];
    let sized = json(&eval(&out, &truth, &[&how[..], &areas].concat()));
    let sized = sized["overall"]["by_area"].as_array().unwrap();
    let names: Vec<&str> = sized.iter().map(|area| area["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["small", "medium", "large", "all"]);
    assert_eq!(&sized[3]["truth"], &found["overall"]["truth"]);
    assert!((sized[3]["ap"].as_f64().unwrap() - 1.0).abs() < 1e-9, "{sized:?}");
}

/// Returns the eight fields, of as many patients, on which no bundled model was trained: every third of the
/// set.
fn held_back() -> Option<Vec<std::path::PathBuf>> {
    let set = shared("nuclei/brca_m2c")?;
    let mut fields: Vec<_> = fs::read_dir(set)
        .expect("the set can be listed")
        .map(|entry| entry.expect("an entry").path())
        .collect();
    fields.retain(|field| field.is_dir());
    fields.sort();
    Some(fields.into_iter().skip(2).step_by(3).collect())
}

#[test]
fn three_kinds_of_cell_are_told_apart_on_patients_never_trained_on() {
    let Some(fields) = held_back() else { return };
    assert_eq!(fields.len(), 8);
    let folder = folder();
    let out = folder.path().join("out");
    let pictures: Vec<_> = fields.iter().map(|field| field.join("image.png")).collect();
    let slides: Vec<&Path> = pictures.iter().map(std::path::PathBuf::as_path).collect();
    let how = ["--model", "nuclei-he-classes", "--mpp", "0.5", "--window", "512", "--no-tissue-mask"];
    let output = run(&slides, &out, &how);
    assert!(output.status.success(), "{}", stderr(&output));

    let mut command = slidemill();
    command.arg("eval").arg("--pred").arg(&out).args(["--match", "distance:3um", "--mpp", "0.5"]);
    for field in &fields {
        command.arg("--truth").arg(field);
    }
    for class in ["1=lymphocyte", "2=epithelial", "3=stromal"] {
        command.args(["--rename", class]);
    }
    let found = json(&command.args(["--json", "--bootstrap", "0"]).output().unwrap());
    let classes = found["classes"].as_array().unwrap();
    let names: std::collections::BTreeSet<&str> =
        classes.iter().filter_map(|class| class["class"].as_str()).collect();
    assert_eq!(names, ["epithelial", "lymphocyte", "stromal"].into());
    let f1 = found["mean"]["f1"]["value"].as_f64().unwrap();
    assert!(f1 > 0.65, "mean F1 over classes {f1}, on its card 0.706");
}

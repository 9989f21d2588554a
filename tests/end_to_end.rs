//! The command as a user runs it: painted slides in, a dataset out.

mod support;

use std::{
    fs,
    path::{Path, PathBuf},
    process::Output,
};

use dataset::{Dataset, Findings, Outcome, RunAccount, SlideId, read_cells};
use rand::RngExt as _;
use sha2::Digest as _;
use support::{
    SMALL_WINDOWS, accounts, any_file, cell_tables, dice, paint, run, run_until, shared, slidemill,
    small_slide, stderr, tables, times, tiny_slides,
};
use tiff::encoder::{
    TiffEncoder,
    colortype::{ColorType, RGB8, RGB16},
};

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().expect("a temporary folder")
}

#[test]
fn painted_cells_are_found_once_each() {
    let folder = folder();
    let slide = folder.path().join("slide.tif");
    let truth = small_slide(&slide, 5);
    let out = folder.path().join("out");
    let output = run(&[&slide], &out, &SMALL_WINDOWS);
    assert!(output.status.success(), "{}", stderr(&output));

    let account = &accounts(&out)[0];
    let analysis = account.analysis.as_ref().expect("the slide was analysed");
    assert_eq!((account.outcome, analysis.windows.failed), (Outcome::Done, 0));
    assert_eq!(analysis.tiles.decoded, analysis.tiles.needed, "each tile is decoded once");
    let cells = read_cells(&Dataset::at(&out).cells(&account.slide)).expect("cells can be read");
    assert_eq!(cells.len() as u64, account.cells());
    let found: Vec<_> = cells.iter().map(|cell| cell.centroid).collect();
    let score = painted::score(&truth, &found).expect("centres are numbers");
    assert!(score.all.recall() > 0.8 && score.all.precision() > 0.8, "{score:?}");
}

/// Once `--mpp` rescaled slides that state their own scale, in silence, and half of the cells were lost.
#[test]
fn a_stated_scale_is_overridden_only_by_name_and_a_wrong_one_is_doubted() {
    let folder = folder();
    let slide = folder.path().join("slide.tif");
    small_slide(&slide, 5);
    let stated = wsi_reader::open(&slide).unwrap().info().scale.clone().unwrap().mpp.get();
    let with = |name: &str, more: &[&str]| {
        let out = folder.path().join(name);
        let output = run(&[&slide], &out, &[&SMALL_WINDOWS[..], more].concat());
        assert!(output.status.success(), "{}", stderr(&output));
        (accounts(&out).remove(0), stderr(&output), fs::read_to_string(out.join("report.html")).unwrap())
    };
    let mpp = |account: &RunAccount| account.analysis.as_ref().unwrap().mpp;
    let wrong = (stated * 4.0).to_string();

    let (account, said, report) = with("filled", &["--mpp", &wrong]);
    assert_eq!((mpp(&account), account.verdict().as_str()), (stated, "done"));
    assert!(
        account.warnings.iter().any(|warning| warning.contains("which is used")),
        "{:?}",
        account.warnings
    );
    assert!(said.contains("which is used") && !said.contains("DOUBTFUL"), "{said}");
    assert!(!report.contains("to be doubted"));

    let (account, said, report) = with("overridden", &["--override-mpp", &wrong, "--allow-enlarging"]);
    assert_eq!(mpp(&account), stated * 4.0);
    assert_eq!(account.analysis.as_ref().unwrap().mpp_source, "given by the user in place of the file's");
    assert!(
        account.warnings.iter().any(|warning| warning.contains("is overridden")),
        "{:?}",
        account.warnings
    );
    assert!(
        account.verdict().starts_with("done, doubtful: the nuclei have the size"),
        "{}",
        account.verdict()
    );
    assert!(said.contains("DOUBTFUL") && said.contains("1 with results to be doubted"), "{said}");
    assert!(report.contains("Its results are to be doubted"));
}

#[test]
fn doctor_and_info_say_the_scale_that_the_nuclei_tell() {
    let folder = folder();
    let slide = folder.path().join("slide.tif");
    small_slide(&slide, 5);
    let stated = wsi_reader::open(&slide).unwrap().info().scale.clone().unwrap().mpp.get();
    let says = |command: &str, more: &[&str]| {
        let output = slidemill().arg(command).arg(&slide).args(more).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    let wrong = (stated * 4.0).to_string();
    for command in ["info", "doctor"] {
        assert!(!says(command, &[]).contains("doubtful:"), "{}", says(command, &[]));
        let doubted = says(command, &["--override-mpp", &wrong]);
        assert!(doubted.contains("the nuclei have the size they have at about"), "{doubted}");
    }
    assert!(says("info", &[]).contains("nuclei      as large as at about"), "{}", says("info", &[]));
}

#[test]
fn the_model_with_outlines_finds_the_same_cells_and_their_areas() {
    let folder = folder();
    let slide = folder.path().join("slide.tif");
    let truth = small_slide(&slide, 5);
    let ellipses: f64 = truth.cells.iter().map(|cell| cell.radii_um.0 * cell.radii_um.1).sum();
    let painted_um2 = std::f64::consts::PI * ellipses / truth.cells.len() as f64;
    let [boxes, outlines] = ["nuclei-he", "nuclei-he-seg"].map(|model| {
        let out = folder.path().join(model);
        let output = run(&[&slide], &out, &[&SMALL_WINDOWS[..], &["--model", model]].concat());
        assert!(output.status.success(), "{}", stderr(&output));
        let cells =
            read_cells(&Dataset::at(&out).cells(&accounts(&out)[0].slide)).expect("cells can be read");
        let area: f64 = cells.iter().map(|cell| f64::from(cell.area_um2)).sum();
        (cells.len() as f64, area / cells.len() as f64)
    });
    let more = outlines.0 / boxes.0;
    assert!((0.98..1.02).contains(&more), "{boxes:?} {outlines:?}");
    // Painted nuclei are dented by up to a quarter of their radius.
    let off = outlines.1 / painted_um2;
    assert!((0.8..1.15).contains(&off), "{painted_um2} um2 painted; {boxes:?} {outlines:?}");
}

#[test]
fn threads_batch_and_a_second_run_change_no_byte() {
    let folder = folder();
    let slide = folder.path().join("slide.tif");
    small_slide(&slide, 6);
    let results: Vec<_> = [("1", "1"), ("2", "4"), ("2", "3")]
        .iter()
        .map(|(threads, batch)| {
            let out = folder.path().join(format!("out-{threads}-{batch}"));
            let output = run(&[&slide], &out, &["--window", "512", "--threads", threads, "--batch", batch]);
            assert!(output.status.success(), "{}", stderr(&output));
            tables(&out)
        })
        .collect();
    assert!(!results[0].is_empty());
    assert!(results.iter().all(|tables| *tables == results[0]));
}

#[test]
fn a_finished_slide_is_skipped_and_other_settings_are_refused() {
    let folder = folder();
    let slide = folder.path().join("slide.tif");
    small_slide(&slide, 7);
    let out = folder.path().join("out");
    assert!(run(&[&slide], &out, &SMALL_WINDOWS).status.success());
    let before = tables(&out);

    let again = run(&[&slide], &out, &SMALL_WINDOWS);
    assert!(again.status.success() && stderr(&again).contains("done before"), "{}", stderr(&again));

    let other = run(&[&slide], &out, &["--window", "512", "--min-score", "0.9"]);
    assert_eq!(other.status.code(), Some(65));
    assert!(
        stderr(&other).contains("min_score was") && stderr(&other).contains("--redo"),
        "{}",
        stderr(&other)
    );
    assert_eq!(tables(&out), before, "results are not touched");

    let redone = run(&[&slide], &out, &["--window", "512", "--min-score", "0.9", "--redo"]);
    assert!(redone.status.success(), "{}", stderr(&redone));
    assert_ne!(tables(&out), before);
}

/// Once the slide was skipped as done before with the same model.
#[test]
fn an_edit_of_the_toml_beside_a_model_is_named() {
    let folder = folder();
    let (slide, model) = (folder.path().join("slide.tif"), folder.path().join("model.onnx"));
    small_slide(&slide, 7);
    fs::copy(Path::new(env!("CARGO_MANIFEST_DIR")).join("models/nuclei-he/nuclei-he.int8.onnx"), &model)
        .unwrap();
    let promise = |text: &str| fs::write(folder.path().join("model.toml"), text).unwrap();
    let settings = [&["--model", model.to_str().expect("a path in UTF-8")][..], &SMALL_WINDOWS].concat();
    let out = folder.path().join("out");
    promise("nms_iou = 0.7");
    assert!(run(&[&slide], &out, &settings).status.success());
    let before = tables(&out);
    for (text, named) in [
        ("nms_iou = 0.65", "window_iou was 0.7, now 0.65"),
        ("[[classes]]\nname = \"nucleus\"\nconf = 0.6", "class_score was not set, now nucleus=0.6"),
        ("[[classes]]\nname = \"cell\"", "class_names was [\"nucleus\"], now [\"cell\"]"),
        ("stride = 64", "model_stride_px was 16, now 64"),
        ("[input]\ncolour_order = \"bgr\"", "model_pixels was rgb"),
    ] {
        promise(text);
        let output = run(&[&slide], &out, &settings);
        assert_eq!(output.status.code(), Some(65), "{text}: {}", stderr(&output));
        assert!(stderr(&output).contains(named), "{text}: {}", stderr(&output));
        assert_eq!(tables(&out), before, "{text}: results are not touched");
    }
    promise("name = \"another\"\nnms_iou = 0.7");
    let renamed = run(&[&slide], &out, &settings);
    assert!(renamed.status.success() && stderr(&renamed).contains("done before"), "{}", stderr(&renamed));
}

#[test]
fn a_bad_slide_costs_itself_and_is_named() {
    let folder = folder();
    let slides = folder.path().join("slides with ünïcode ' and spaces");
    fs::create_dir(&slides).unwrap();
    let good = slides.join("good.tif");
    small_slide(&good, 8);
    fs::write(slides.join("empty.svs"), b"").unwrap();
    fs::write(slides.join("text.svs"), b"this is no slide").unwrap();
    let whole = fs::read(&good).unwrap();
    fs::write(slides.join("cut.tif"), &whole[..whole.len() / 20]).unwrap();

    let out = folder.path().join("out");
    let list = folder.path().join("more.csv");
    fs::write(&list, "path\nnot-there.svs\n").unwrap();
    let output = run(&[&slides, &list], &out, &SMALL_WINDOWS);
    assert_eq!(output.status.code(), Some(65), "{}", stderr(&output));
    for name in ["empty.svs", "text.svs", "cut.tif", "not-there.svs"] {
        let named = stderr(&output).lines().any(|line| line.contains(name) && line.contains("FAILED"));
        assert!(named, "{name} is named: {}", stderr(&output));
    }
    let done = accounts(&out).iter().filter(|account| account.outcome == Outcome::Done).count();
    assert_eq!((done, cell_tables(&tables(&out))), (1, 1));
}

#[test]
fn a_mistyped_path_ends_the_command_before_a_dataset_is_made() {
    let folder = folder();
    let good = folder.path().join("good.tif");
    small_slide(&good, 8);
    let out = folder.path().join("out");
    for wrong in ["not-there.svs", "*.ndpi"] {
        let output = run(&[&good, &folder.path().join(wrong)], &out, &SMALL_WINDOWS);
        assert_eq!(output.status.code(), Some(64), "{}", stderr(&output));
        assert!(stderr(&output).contains(wrong), "{}", stderr(&output));
        assert!(!out.exists());
    }
}

#[test]
fn what_is_not_read_is_told_at_the_start_and_in_the_account() {
    let Some(cases) = shared("cases/reading") else { return };
    let folder = folder();
    let slides = folder.path().join("slides");
    fs::create_dir(&slides).unwrap();
    for name in ["r24_zstack_rgb.tif", "r15_sparse_tiles.svs", "r20_upright.jpg", "r19_imagej_micron.tif"] {
        fs::copy(cases.join(name), slides.join(name)).unwrap();
    }
    let out = folder.path().join("out");
    let output = run(&[&slides], &out, &SMALL_WINDOWS);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert!(stderr(&output).contains("left out: 2 files: 1 .jpg, 1 strip TIFF"), "{}", stderr(&output));
    let warnings: Vec<String> = accounts(&out).into_iter().flat_map(|account| account.warnings).collect();
    for expected in [
        "2 more pictures of 1024 × 1024 px are not read (focal planes, time points or scenes): only the first is",
        "3 tiles in or next to tissue are not stored in the file (0.012 mm²) and read as background",
    ] {
        assert!(warnings.iter().any(|warning| warning == expected), "{warnings:?}");
    }
    let absent: Vec<f64> = accounts(&out)
        .into_iter()
        .filter_map(|account| Some(account.analysis?.coverage.absent_mm2))
        .filter(|&mm2| mm2 > 0.0)
        .map(|mm2| (mm2 * 1e6).round())
        .collect();
    // Three tiles of 256 px at 0.25 µm.
    assert_eq!(absent, [3.0 * 64.0 * 64.0]);
}

#[cfg(unix)]
#[test]
fn names_that_are_no_text_are_planned_and_analysed() {
    use std::os::unix::ffi::OsStrExt as _;
    let folder = folder();
    let slides = folder.path().join("slides");
    fs::create_dir(&slides).unwrap();
    paint(&slides.join(std::ffi::OsStr::from_bytes(b"H\xf6he.tif")), 8, 256.0, 192.0);
    // A MIRAX slide whose folder was not copied.
    fs::write(slides.join("lost.mrxs"), b"\xff\xd8\xff\xe0").unwrap();
    let out = folder.path().join("out");
    let output = run(&[&slides], &out, &SMALL_WINDOWS);
    assert_eq!(output.status.code(), Some(65), "{}", stderr(&output));
    let lost = "lost.mrxs: FAILED: the file is broken: its data folder (the name of the file without .mrxs) is missing";
    assert!(stderr(&output).contains(lost), "{}", stderr(&output));
    let done = accounts(&out).iter().filter(|account| account.outcome == Outcome::Done).count();
    assert_eq!((accounts(&out).len(), done), (2, 1), "{}", stderr(&output));
    let plan = folder.path().join("plan");
    let planned =
        slidemill().arg("plan").arg(&slides).arg("-o").arg(&plan).output().expect("the command starts");
    let text = String::from_utf8_lossy(&planned.stdout).into_owned();
    assert_eq!(planned.status.code(), Some(65), "{text}{}", stderr(&planned));
    assert!(text.contains("2 slides") && text.contains("lost.mrxs"), "{text}");
}

/// Ids are made from samples of a file: once a damaged copy was taken for a copy, and skipped in silence.
#[test]
fn a_damaged_copy_is_a_slide_of_its_own_and_a_copy_is_named() {
    let Some(good) = shared("slides/crafted/generic_pyr_deflate_bigtiff.tif") else { return };
    let folder = folder();
    let damaged = folder.path().join("damaged.tif");
    damage_between_samples(&good, &damaged);
    let slides = folder.path().join("slides");
    fs::create_dir(&slides).unwrap();
    for (name, from) in [("a.tif", &good), ("b.tif", &good), ("c.tif", &damaged)] {
        fs::copy(from, slides.join(name)).unwrap();
    }
    let out = folder.path().join("out");
    let output = run(&[&slides], &out, &SMALL_WINDOWS);
    assert_eq!(output.status.code(), Some(65), "{}", stderr(&output));
    let copy =
        stderr(&output).lines().any(|line| line.contains("b.tif") && line.contains("a copy: byte by byte"));
    assert!(copy && stderr(&output).contains("1 copy left out"), "{}", stderr(&output));
    let outcomes: Vec<Outcome> = accounts(&out).iter().map(|account| account.outcome).collect();
    assert_eq!(outcomes.len(), 2, "{}", stderr(&output));
    assert_eq!(outcomes.iter().filter(|&&outcome| outcome == Outcome::Done).count(), 1);
    for account in accounts(&out) {
        assert_eq!(account.copies, usize::from(account.outcome == Outcome::Done), "{}", account.slide);
    }
    let report = fs::read_to_string(out.join("report.html")).expect("there is a report");
    assert!(report.contains("<b>1</b> copy left out"), "{report}");
    assert!(report.contains("1 more file is a copy of this slide"), "{report}");
    let status = slidemill().arg("status").arg(&out).output().expect("the command starts");
    let status = String::from_utf8_lossy(&status.stdout).into_owned();
    assert_eq!(status.matches(", 1 copy left out").count(), 2, "of the dataset and of the job: {status}");
    assert!(Findings::collect(&Dataset::at(&out)).expect("it can be read").problems.is_empty());
}

/// Once a damaged copy that came in another night was taken for the good slide, and called done before.
#[test]
fn a_damaged_copy_of_another_night_is_a_slide_of_its_own() {
    let Some(good) = shared("slides/crafted/generic_pyr_deflate_bigtiff.tif") else { return };
    let folder = folder();
    let [first, damaged] = ["m.tif", "a.tif"].map(|name| folder.path().join(name));
    fs::copy(&good, &first).expect("it can be copied");
    damage_between_samples(&good, &damaged);
    let out = folder.path().join("out");
    assert!(run(&[&first], &out, &SMALL_WINDOWS).status.success());
    let output = run(&[&damaged], &out, &SMALL_WINDOWS);
    assert_eq!(output.status.code(), Some(65), "{}", stderr(&output));
    assert!(!stderr(&output).contains("done before"), "{}", stderr(&output));
    // Together, in either order of names, nothing is done again under a third id.
    let output = run(&[&damaged, &first], &out, &SMALL_WINDOWS);
    assert!(stderr(&output).contains("m.tif: skipped, done before"), "{}", stderr(&output));
    assert_eq!(accounts(&out).len(), 2, "{}", stderr(&output));
}

/// Writes a copy with one byte changed at a place that [`wsi_reader::content_id`] does not read.
fn damage_between_samples(good: &Path, damaged: &Path) {
    let id = wsi_reader::content_id(good).expect("the slide can be read");
    let bytes = fs::read(good).expect("the slide can be read");
    let is_unseen = |place: &usize| {
        let mut changed = bytes.clone();
        changed[*place] ^= 0x55;
        fs::write(damaged, changed).expect("it can be written");
        wsi_reader::content_id(damaged).expect("the slide can be read") == id
    };
    assert!(
        (bytes.len() / 3..bytes.len()).step_by(3001).any(|place| is_unseen(&place)),
        "no place is unseen"
    );
}

/// Once summaries, report, lists, plan and ledgers were not checked, and accounts only if they were not JSON.
#[test]
fn every_changed_byte_and_every_missing_file_is_noticed() {
    let folder = folder();
    let slides = tiny_slides(folder.path(), 2, 70);
    let out = folder.path().join("out");
    let plan =
        slidemill().arg("plan").args(&slides).arg("-o").arg(&out).args(["--keep-raw"]).output().unwrap();
    assert!(plan.status.success(), "{}", stderr(&plan));
    assert!(run(&[], &out, &["--threads", "2"]).status.success());
    let dataset = Dataset::at(&out);
    assert!(Findings::collect(&dataset).unwrap().is_complete());

    let files = files_that_stay(&out);
    for needed in [
        "manifest.json",
        "slides.csv",
        "plan.json",
        "head.json",
        "windows.bin",
        "summary.parquet",
        "report.html",
    ] {
        assert!(files.iter().any(|path| path.ends_with(needed)), "{needed} in {files:?}");
    }
    for path in files {
        let bytes = fs::read(&path).unwrap();
        let last = bytes.len() - 1;
        for place in [0, last / 3, last / 2, last - last / 5, last] {
            let mut flipped = bytes.clone();
            flipped[place] ^= 0x10;
            fs::write(&path, flipped).unwrap();
            assert!(is_noticed(&dataset), "byte {place} of {}", path.display());
        }
        fs::remove_file(&path).unwrap();
        // Older datasets have no manifest: that is reported, and is not a fault.
        let is_said = path == dataset.manifest() && !Findings::collect(&dataset).unwrap().is_complete();
        assert!(is_said || is_noticed(&dataset), "without {}", path.display());
        fs::write(&path, bytes).unwrap();
    }
    let [one, other] = [0, 1].map(|place| dataset.accounts().unwrap()[place].clone());
    fs::copy(one, other).unwrap();
    assert!(is_noticed(&dataset), "an account under another name");
}

#[test]
fn any_flipped_bit_of_any_file_is_noticed() {
    let folder = folder();
    let slides = tiny_slides(folder.path(), 2, 72);
    let out = folder.path().join("out");
    assert!(run(&[&slides[0], &slides[1]], &out, &["--threads", "2", "--keep-raw"]).status.success());
    let dataset = Dataset::at(&out);
    let files = files_that_stay(&out);
    let mut dice = dice();
    for _ in 0..times(50) {
        let path = &files[dice.random_range(0..files.len())];
        let bytes = fs::read(path).unwrap();
        let (place, bit) = (dice.random_range(0..bytes.len()), dice.random_range(0..8));
        let mut flipped = bytes.clone();
        flipped[place] ^= 1 << bit;
        fs::write(path, flipped).unwrap();
        assert!(is_noticed(&dataset), "bit {bit} of byte {place} of {}", path.display());
        fs::write(path, bytes).unwrap();
    }
    println!("{} flips, all noticed", times(50));
    assert!(Findings::collect(&dataset).unwrap().is_complete());
}

/// `true` if `verify` ends with a fault.
fn is_noticed(dataset: &Dataset) -> bool {
    Findings::collect(dataset).map_or(true, |findings| !findings.problems.is_empty())
}

/// Returns the files of a dataset, without those that only matter while a job is at work.
fn files_that_stay(out: &Path) -> Vec<PathBuf> {
    let passing = ["status", "locks", "tiles", "log"].map(|name| out.join(".slidemill").join(name));
    let files = walkdir::WalkDir::new(out)
        .into_iter()
        .map(|entry| entry.expect("the output can be listed").into_path());
    files.filter(|path| path.is_file() && !passing.iter().any(|folder| path.starts_with(folder))).collect()
}

/// Once it was called done, whatever had become of its table.
#[test]
fn a_slide_whose_table_is_cut_short_is_done_again() {
    let folder = folder();
    let slide = folder.path().join("slide.tif");
    paint(&slide, 8, 256.0, 192.0);
    let out = folder.path().join("out");
    assert!(run(&[&slide], &out, &["--threads", "2"]).status.success());
    let before = tables(&out);
    let table = Dataset::at(&out).cells(&accounts(&out)[0].slide);
    let bytes = fs::read(&table).unwrap();
    fs::write(&table, &bytes[..bytes.len() / 2]).unwrap();
    let again = run(&[&slide], &out, &["--threads", "2"]);
    assert!(again.status.success() && stderr(&again).contains("done again"), "{}", stderr(&again));
    assert_eq!(tables(&out), before);
}

#[test]
fn a_file_that_takes_the_place_of_another_is_told_and_the_other_can_be_forgotten() {
    let folder = folder();
    let (slide, out) = (folder.path().join("slide.tif"), folder.path().join("out"));
    paint(&slide, 81, 256.0, 192.0);
    assert!(run(&[&slide], &out, &["--threads", "2", "--keep-raw"]).status.success());
    let old = accounts(&out)[0].slide.to_string();
    paint(&slide, 82, 256.0, 192.0);
    let second = run(&[&slide], &out, &["--threads", "2", "--keep-raw"]);
    let said = format!("still here and counted as {old}");
    assert!(second.status.success() && stderr(&second).contains(&said), "{}", stderr(&second));
    assert_eq!(accounts(&out).len(), 2);

    let forget = |slide: &str| slidemill().arg("forget").arg(&out).arg(slide).output().unwrap();
    let unclear = forget("slide.tif");
    assert_eq!(unclear.status.code(), Some(64));
    assert!(stderr(&unclear).contains("is the name of 2 slides"), "{}", stderr(&unclear));
    assert_eq!(forget("nobody").status.code(), Some(64));
    assert!(forget(&old).status.success());
    let left = files_that_stay(&out);
    let named = left.iter().find(|path| path.to_string_lossy().contains(&old));
    assert_eq!((accounts(&out).len(), named), (1, None));
    for file in ["summary.csv", "report.html", ".slidemill/slides.csv", ".slidemill/manifest.json"] {
        assert!(!fs::read_to_string(out.join(file)).unwrap().contains(&old), "{file}");
    }
    assert!(Findings::collect(&Dataset::at(&out)).unwrap().is_complete());
    assert!(forget("slide.tif").status.success(), "the name is of one slide now");
    assert!(accounts(&out).is_empty() && !out.join("report.html").exists());
}

/// Once it became two rows, and was counted twice.
#[test]
fn a_slide_that_a_list_calls_otherwise_stays_one_slide() {
    let folder = folder();
    let (slide, out) = (folder.path().join("slide.tif"), folder.path().join("out"));
    paint(&slide, 83, 256.0, 192.0);
    assert!(run(&[&slide], &out, &["--threads", "2"]).status.success());
    let id = accounts(&out)[0].slide.to_string();
    let list = folder.path().join("list.csv");
    fs::write(&list, "path,id\nslide.tif,case-7\n").unwrap();
    let named = run(&[&list], &out, &["--threads", "2"]);
    assert_eq!(named.status.code(), Some(65), "{}", stderr(&named));
    assert!(stderr(&named).contains(&format!("here already as {id}")), "{}", stderr(&named));
    assert_eq!(accounts(&out).len(), 1);
}

/// Once their ids were hashes of the file name: guessable, shared by files of one name, and permanent.
#[test]
fn failures_of_slides_that_cannot_be_read_tell_no_name_and_end_with_success() {
    let folder = folder();
    let out = folder.path().join("out");
    let paths = ["a", "b"].map(|part| folder.path().join(part).join("2024-0117.tif"));
    for path in &paths {
        fs::create_dir(path.parent().unwrap()).unwrap();
    }
    let list = folder.path().join("list.csv");
    fs::write(&list, "path\na/2024-0117.tif\nb/2024-0117.tif\n").unwrap();
    assert_eq!(run(&[&list], &out, &["--threads", "2"]).status.code(), Some(65));
    let failed: Vec<_> = accounts(&out).into_iter().map(|account| account.slide).collect();
    let tried = sha2::Sha256::digest("2024-0117.tif").into();
    assert_eq!(failed.len(), 2, "two files of one name");
    assert!(!failed.contains(&SlideId::from_content(&tried)));
    for (path, seed) in paths.iter().zip(84..) {
        paint(path, seed, 256.0, 192.0);
    }
    let ended = run(&[&list], &out, &["--threads", "2"]);
    assert!(ended.status.success(), "{}", stderr(&ended));
    let slides: Vec<_> = accounts(&out).into_iter().map(|account| account.slide).collect();
    assert!(slides.len() == 2 && slides.iter().all(|slide| !failed.contains(slide)), "{slides:?}");
}

/// Once ONNX Runtime kept a device id and a store of events there.
#[test]
fn nothing_is_left_in_the_home_of_the_user() {
    let folder = folder();
    let home = folder.path().join("home");
    fs::create_dir(&home).unwrap();
    let slide = folder.path().join("slide.tif");
    small_slide(&slide, 10);
    let output = slidemill()
        .args(["run", "--window", "512"])
        .args([&slide, Path::new("-o"), &folder.path().join("out")])
        .env("HOME", &home)
        .env_remove("XDG_CACHE_HOME")
        .output()
        .expect("slidemill starts");
    assert!(output.status.success(), "{}", stderr(&output));
    assert_eq!(fs::read_dir(&home).unwrap().count(), 0);
}

#[test]
fn shared_outputs_hold_no_file_name() {
    let folder = folder();
    let slide = folder.path().join("Muster-Erika-1964.tif");
    small_slide(&slide, 9);
    let out = folder.path().join("out");
    assert!(run(&[&slide], &out, &SMALL_WINDOWS).status.success());
    for entry in walkdir::WalkDir::new(&out).into_iter().map(Result::unwrap) {
        let private = entry.path().starts_with(out.join(".slidemill"));
        if entry.file_type().is_file() && !private {
            let bytes = fs::read(entry.path()).unwrap();
            assert!(!bytes.windows(12).any(|part| part == b"Muster-Erika"), "{}", entry.path().display());
            assert!(!entry.path().to_string_lossy().contains("Muster"));
        }
    }
    let names = fs::read_to_string(out.join(".slidemill/slides.csv")).unwrap();
    assert!(names.contains("Muster-Erika-1964.tif"));
}

#[test]
fn wrong_usage_says_what_is_expected() {
    let folder = folder();
    let slide = folder.path().join("slide.tif");
    small_slide(&slide, 10);
    let out = folder.path().join("out");
    for (more, expected) in [
        (&["--overlap", "120%"][..], "--overlap"),
        (&["--mpp", "0"], "--mpp"),
        (&["--device", "abacus"], "--device"),
        (&["--batch", "0"], "--batch is 0, expected 1"),
        (&["--min-score", "2"], "--min-score"),
        (&["--mem", "lots"], "--mem"),
        (&["--model", "not-there.onnx"], "not-there.onnx"),
        (&["--no-such-flag"], "--no-such-flag"),
    ] {
        let output = run(&[&slide], &out, more);
        assert_eq!(output.status.code(), Some(64), "{more:?}: {}", stderr(&output));
        assert!(stderr(&output).contains(expected), "{more:?}: {}", stderr(&output));
    }
    assert_eq!(slidemill().output().unwrap().status.code(), Some(64));
    assert!(slidemill().arg("--help").output().unwrap().status.success());
}

#[test]
fn the_long_version_names_libraries_and_devices() {
    let said = |command: &mut std::process::Command| {
        let output = command.output().unwrap();
        assert!(output.status.success(), "{}", stderr(&output));
        String::from_utf8(output.stdout).unwrap()
    };
    let text = said(slidemill().arg("--version"));
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines[0], format!("slidemill {}", env!("CARGO_PKG_VERSION")));
    assert!(lines[1].starts_with("ONNX Runtime 1.") && lines[1].contains("libonnxruntime"), "{text}");
    assert!(lines[2].starts_with("OpenSlide 4."), "{text}");
    assert_eq!(lines[3], "device cpu: can be used");
    assert_eq!(said(slidemill().arg("-V")).trim_end(), lines[0]);

    let text = said(slidemill().arg("--version").env("ORT_DYLIB_PATH", "/nowhere/libonnxruntime.so"));
    assert!(text.contains("correct or unset ORT_DYLIB_PATH") && !text.contains("\ndevice "), "{text}");
    assert!(text.contains("OpenSlide 4."), "{text}");
}

#[test]
fn completions_and_manual_know_every_command() {
    let help = slidemill().arg("--help").output().unwrap();
    let help = String::from_utf8(help.stdout).unwrap();
    let list = help.split("Commands:").nth(1).and_then(|rest| rest.split("Options:").next()).unwrap();
    // Names are at the margin of the list, their descriptions further in.
    let listed = list.lines().filter(|line| line.starts_with("  ") && !line.starts_with("   "));
    let commands: Vec<&str> = listed.filter_map(|line| line.split_whitespace().next()).collect();
    assert!(commands.contains(&"run") && commands.len() > 20, "{commands:?}");

    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let output = slidemill().args(["completions", shell]).output().unwrap();
        let script = String::from_utf8(output.stdout).unwrap();
        for command in &commands {
            assert!(script.contains(command), "{shell}: {command}");
        }
        assert!(script.contains("merge-iou"), "{shell}");
    }

    let folder = folder();
    let pages = folder.path().join("man1");
    assert!(slidemill().arg("manual").arg(&pages).status().unwrap().success());
    for command in commands.into_iter().filter(|&command| command != "help") {
        let page = fs::read_to_string(pages.join(format!("slidemill-{command}.1"))).unwrap();
        assert!(page.contains(&format!("slidemill {command}").replace('-', "\\-")), "{command}: {page}");
    }
    assert!(pages.join("slidemill.1").is_file());
}

#[test]
fn an_output_that_cannot_be_written_is_code_73() {
    let folder = folder();
    let slide = folder.path().join("slide.tif");
    small_slide(&slide, 11);
    let file = folder.path().join("a-file");
    fs::write(&file, b"in the way").unwrap();
    let output = run(&[&slide], &file.join("out"), &SMALL_WINDOWS);
    assert_eq!(output.status.code(), Some(73), "{}", stderr(&output));
}

#[test]
fn the_same_content_twice_is_one_slide() {
    let folder = folder();
    let (a, b) = (folder.path().join("a"), folder.path().join("b"));
    fs::create_dir(&a).unwrap();
    fs::create_dir(&b).unwrap();
    small_slide(&a.join("001.tif"), 12);
    fs::copy(a.join("001.tif"), b.join("copy.tif")).unwrap();
    small_slide(&b.join("001.tif"), 13);
    let out = folder.path().join("out");
    let output = run(&[&a, &b], &out, &SMALL_WINDOWS);
    assert!(output.status.success(), "{}", stderr(&output));
    assert_eq!(cell_tables(&tables(&out)), 2, "two slides of one name, one copy");
    let named = stderr(&output).lines().any(|line| line.contains("copy.tif") && line.contains("001.tif"));
    assert!(named, "{}", stderr(&output));
}

/// A killed run leaves a ledger; the same command resumes and ends in the bytes of a run that was not
/// disturbed.
#[test]
fn a_killed_run_goes_on_and_ends_in_the_same_bytes() {
    let folder = folder();
    let slides = [14, 15].map(|seed| folder.path().join(format!("{seed}.tif")));
    small_slide(&slides[0], 14);
    small_slide(&slides[1], 15);
    let slides = [slides[0].as_path(), slides[1].as_path()];
    let settings = ["--window", "256", "--threads", "2"];
    let undisturbed = folder.path().join("undisturbed");
    assert!(run(&slides, &undisturbed, &settings).status.success());

    // In the middle of a slide, and between two of them.
    let in_a_slide = folder.path().join("in-a-slide");
    let last = killed_and_gone_on(&slides, &in_a_slide, &settings, || {
        any_file(&in_a_slide.join(".slidemill/ledger"), "windows.bin")
    });
    assert!(last.contains("already done"), "{last}");
    let between = folder.path().join("between");
    let last = killed_and_gone_on(&slides, &between, &settings, || any_file(&between.join("runs"), ".json"));
    assert!(last.contains("done before"), "{last}");

    for out in [in_a_slide, between] {
        assert_eq!(tables(&out), tables(&undisturbed));
        let verified = slidemill().arg("verify").arg(&out).output().unwrap();
        assert!(verified.status.success(), "{}", String::from_utf8_lossy(&verified.stdout));
    }
}

/// Returns the output of the last of two runs: the first is killed as soon as `reached` holds.
fn killed_and_gone_on(slides: &[&Path], out: &Path, settings: &[&str], reached: impl Fn() -> bool) -> String {
    run_until(slides, out, settings, reached);
    let last = run(slides, out, settings);
    assert!(last.status.success(), "{}", stderr(&last));
    stderr(&last)
}

#[test]
fn a_stopped_run_says_how_to_go_on() {
    let folder = folder();
    let slide = folder.path().join("slide.tif");
    small_slide(&slide, 16);
    let out = folder.path().join("out");
    let mut command = slidemill();
    command.arg("run").arg(&slide).arg("-o").arg(&out).args(["--window", "64", "--overlap", "50%"]);
    let child = command.stderr(std::process::Stdio::piped()).spawn().expect("the command starts");
    let ledger = out.join(".slidemill/ledger");
    // Once a ledger is there, windows are being done.
    let (_keep, never) = std::sync::mpsc::channel::<()>();
    while !ledger.exists() {
        let _ = never.recv_timeout(std::time::Duration::from_millis(5));
    }
    let _ = std::process::Command::new("kill").args(["-TERM", &child.id().to_string()]).status();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(75), "{}", stderr(&output));
    assert!(stderr(&output).contains("the same command goes on"), "{}", stderr(&output));
    let status = slidemill().arg("status").arg(&out).output().unwrap();
    assert!(String::from_utf8_lossy(&status.stdout).contains("stopped"));
}

#[test]
fn a_corrupt_tile_costs_its_windows_and_is_named() {
    let Some(slide) = support::shared("slides/crafted/bad_corrupt_tiles.svs") else { return };
    let folder = folder();
    let out = folder.path().join("out");
    let output = run(&[&slide], &out, &["--window", "128", "--overlap", "25%"]);
    assert_eq!(output.status.code(), Some(65), "{}", stderr(&output));
    let account = &accounts(&out)[0];
    let analysis = account.analysis.as_ref().expect("the slide was analysed");
    assert_eq!(account.outcome, Outcome::Partial);
    assert!(analysis.windows.failed > 0 && analysis.windows.done > 0, "{:?}", analysis.windows);
    assert!(analysis.coverage.fraction < 1.0 && analysis.coverage.fraction > 0.0);
    assert!(analysis.failures[0].reason.contains("expected JPEG data"), "{:?}", analysis.failures);
}

#[test]
fn every_shared_slide_ends_done_or_named() {
    let Some(slides) = support::shared("slides") else { return };
    let folder = folder();
    let out = folder.path().join("out");
    let parts = ["bad", "crafted", "fixtures", "real"].map(|part| slides.join(part));
    let parts: Vec<_> = parts.iter().map(|part| part.as_path()).collect();
    let output = run(&parts, &out, &["--threads", "2"]);
    let text = stderr(&output);
    assert_eq!(output.status.code(), Some(65), "{text}");
    assert!(!text.contains("panicked") && !text.contains("internal error"), "{text}");
    for name in ["mpp_missing.svs", "bad_ifd_loop.svs", "tcga-cr-7395-01a-01-ts1.svs", "ospy_unreadable.svs"]
    {
        assert!(text.lines().any(|line| line.contains(name) && line.contains("FAILED")), "{name}: {text}");
    }
    for name in ["CMU-1-Small-Region.svs", "bigtiff.svs", "OS-1-detail.ome.tif"] {
        let done = text.lines().any(|line| line.contains(name) && line.contains(" cells in "));
        assert!(done, "{name}: {text}");
    }
}

#[test]
fn a_slide_of_16_bits_is_analysed_along_a_stated_line() {
    fn write<C: ColorType<Inner: Copy>>(path: &Path, (width, height): (u32, u32), samples: &[C::Inner])
    where
        [C::Inner]: tiff::encoder::TiffValue,
    {
        let file = fs::File::create(path).expect("a file");
        TiffEncoder::new(file).expect("a header").write_image::<C>(width, height, samples).expect("a page");
    }
    let folder = folder();
    let painted = wsi_reader::open(&tiny_slides(folder.path(), 1, 30)[0]).unwrap();
    let mpp = painted.info().scale.as_ref().expect("a scale").mpp.get().to_string();
    let pixels = wsi_reader::Overview::whole(&*painted, u32::MAX).pixels;
    let size = (pixels.width() as u32, pixels.height() as u32);
    let wide: Vec<u16> = pixels.bytes().iter().map(|&byte| 1000 + 100 * u16::from(byte)).collect();
    let slides = [folder.path().join("8.tif"), folder.path().join("16.tif")];
    write::<RGB8>(&slides[0], size, pixels.bytes());
    write::<RGB16>(&slides[1], size, &wide);

    let refused = run(&[&slides[1]], &folder.path().join("refused"), &["--mpp", &mpp]);
    assert_eq!(refused.status.code(), Some(65));
    assert!(stderr(&refused).contains("16-bit samples") && stderr(&refused).contains("--map-range"));

    let out = folder.path().join("out");
    let more = ["--mpp", &mpp, "--map-range", "1000:26500", "--window", "512", "--threads", "2"];
    let output = run(&[&slides[0], &slides[1]], &out, &more);
    assert!(output.status.success(), "{}", stderr(&output));
    let accounts = accounts(&out);
    let stated = |account: &RunAccount| account.settings.get("map_range").cloned();
    assert_eq!(accounts.iter().filter_map(stated).collect::<Vec<_>>(), ["1000:26500"], "of one slide alone");
    let found = accounts.iter().map(|account| {
        let cells = read_cells(&Dataset::at(&out).cells(&account.slide)).expect("cells can be read");
        cells.iter().map(|cell| (cell.centroid, cell.class_id)).collect::<Vec<_>>()
    });
    let found: Vec<_> = found.collect();
    assert!(found[0].len() > 5 && found[0] == found[1], "the same pixels, the same cells");
}

#[test]
fn a_model_of_one_size_decides_the_windows_or_gets_them_in_pieces() {
    let Some(models) = shared("cases/models") else { return };
    let folder = folder();
    let slide = folder.path().join("slide.tif");
    small_slide(&slide, 9);
    let model = models.join("m00_good_fixed640.onnx");
    let model = model.to_str().expect("a path in UTF-8");
    let made_with = |out: &Path, more: &[&str]| {
        let output = run(&[&slide], out, &[&["--model", model, "--threads", "2"][..], more].concat());
        assert!(output.status.success(), "{}", stderr(&output));
        let account = accounts(out).remove(0);
        (account.settings.clone(), account.cells(), stderr(&output))
    };
    let (settings, _, said) = made_with(&folder.path().join("own"), &[]);
    assert_eq!((settings["window_px"].as_str(), settings.get("pieces")), ("640", None));
    assert!(said.contains("windows of 640 px"), "{said}");
    // The model answers three boxes for each picture it is given, wherever that lies.
    let (settings, cells, _) = made_with(&folder.path().join("pieces"), &["--window", "1280"]);
    assert!(settings["window_px"] == "1280" && cells >= 9, "{settings:?}, {cells}");
    assert!(settings["pieces"].starts_with("640 × 640 px sharing "), "{settings:?}");

    let refused = |more: &[&str]| {
        let out = folder.path().join("refused");
        let output = run(&[&slide], &out, &[&["--model", model][..], more].concat());
        assert_eq!(output.status.code(), Some(64), "{}", stderr(&output));
        stderr(&output)
    };
    let small = refused(&["--window", "512"]);
    assert!(small.contains("640 × 640 px") && small.contains("leave --window out"), "{small}");
    let raw = refused(&["--window", "1280", "--keep-raw"]);
    assert!(raw.contains("--keep-raw") && raw.contains("--window 640"), "{raw}");
}

/// Contracts of the crate `detector`: models of other frameworks with random weights, of 64 px and twelve answers.
fn contract(name: &str) -> String {
    format!("{}/detector/tests/contracts/{name}.onnx", env!("CARGO_MANIFEST_DIR"))
}

/// A model of 64 px in windows of four pieces, from a score on.
fn run_in_pieces(slide: &Path, out: &Path, score: &str) -> (Output, RunAccount) {
    let model = contract("d-fine");
    let settings = ["--model", &model, "--window", "128", "--threads", "2", "--strict", "--min-score", score];
    (run(&[slide], out, &settings), accounts(out).remove(0))
}

#[test]
fn a_full_piece_of_a_window_is_named_and_strict_makes_it_count() {
    let folder = folder();
    let slide = folder.path().join("slide.tif");
    paint(&slide, 9, 256.0, 192.0);
    let (output, account) = run_in_pieces(&slide, &folder.path().join("full"), "0.01");
    assert_eq!(output.status.code(), Some(65), "{}", stderr(&output));
    assert_eq!(account.settings["pieces"], "64 × 64 px sharing 32 px");
    assert!(names_full_windows(&account), "{:?}", account.warnings);
    let (output, account) = run_in_pieces(&slide, &folder.path().join("sparse"), "0.99");
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(!names_full_windows(&account), "{:?}", account.warnings);
}

fn names_full_windows(account: &RunAccount) -> bool {
    account.warnings.iter().any(|warning| warning.contains("as many answers as it can"))
}

#[test]
fn a_model_of_points_gives_cells_of_its_nominal_size() {
    let folder = folder();
    let (slide, out) = (folder.path().join("slide.tif"), folder.path().join("out"));
    paint(&slide, 9, 256.0, 192.0);
    let output =
        run(&[&slide], &out, &["--model", &contract("points"), "--min-score", "0.3", "--threads", "2"]);
    assert!(output.status.success(), "{}", stderr(&output));
    let account = accounts(&out).remove(0);
    assert_eq!(account.settings["model_points"], "2.5 µm apart, 8 µm wide, maps [2, 5]");
    let cells = read_cells(&Dataset::at(&out).cells(&account.slide)).expect("cells can be read");
    let of_a_circle = std::f32::consts::PI * 16.0;
    let nominal = cells.iter().filter(|cell| (cell.area_um2 - of_a_circle).abs() < 0.1).count();
    // A model of random weights sees other points in each window, so that borders of windows cut some boxes for good.
    assert!(cells.len() > 100 && nominal * 3 > cells.len() * 2, "{nominal} of {}", cells.len());
}

#[test]
fn objects_that_a_model_numbers_are_cells_with_outlines_and_full_scores() {
    let folder = folder();
    let (slide, out) = (folder.path().join("slide.tif"), folder.path().join("out"));
    paint(&slide, 9, 256.0, 192.0);
    let output = run(&[&slide], &out, &["--model", &contract("labels"), "--threads", "2"]);
    assert!(output.status.success(), "{}", stderr(&output));
    let account = accounts(&out).remove(0);
    assert_eq!(account.settings["model_numbered"], "maps [0, 1]");
    let cells = read_cells(&Dataset::at(&out).cells(&account.slide)).expect("cells can be read");
    assert!(!cells.is_empty() && cells.iter().all(|cell| cell.score >= 1.0 && !cell.outline.is_empty()));
}

#[test]
fn a_fault_of_the_model_is_the_models_and_no_slides() {
    let Some(models) = shared("cases/models") else { return };
    let folder = folder();
    let slide = folder.path().join("slide.tif");
    small_slide(&slide, 9);
    for (name, says) in [
        ("m01_yolov5_one_class.onnx", "YOLOv5"),
        ("m14_lfs_pointer.onnx", "git lfs pull"),
        ("m17_opset_future.onnx", "opset 99"),
        ("m27_boxes_0_to_1.onnx", "fractions of the window"),
    ] {
        let out = folder.path().join(name);
        let model = models.join(name);
        let output = run(&[&slide], &out, &["--model", model.to_str().expect("a path in UTF-8")]);
        assert_eq!(output.status.code(), Some(64), "{name}: {}", stderr(&output));
        assert!(stderr(&output).contains(says), "{name}: {}", stderr(&output));
        assert!(accounts(&out).is_empty(), "{name}: no slide is blamed");
    }
}

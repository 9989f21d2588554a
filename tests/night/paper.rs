//! Pages for paper and the tables of the report, also as a browser has them.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use dataset::{Dataset, Findings, RunAccount, SlideId, wording::grouped};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::support::{SMALL_WINDOWS, accounts, browser, run, slidemill, small_slide, stderr};

const MEASURES: &str = r#"
[[hot-spot]]
name = "hot spot"
cells = {}
area-mm2 = 0.01
most = 2

[[index]]
name = "sure cells"
of = { where = { score = { min = 0.5 } } }
share-of = {}

[[grade]]
name = "a scheme of this test"
index = "sure cells"
source = "Tests of slidemill, first edition"
bands = [{ grade = "few", below = 0.5 }, { grade = "many", from = 0.5 }]
"#;

/// A night of two slides of a list and a broken one, with measures and pages for paper.
fn printed() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    for (name, seed) in [("Muster-Erika.tif", 71), ("Muster-Karl.tif", 72)] {
        small_slide(&folder.path().join(name), seed);
    }
    fs::write(folder.path().join("broken.svs"), "no slide").expect("a file can be written");
    let list = folder.path().join("list.csv");
    let lines =
        "path,patient,group\nMuster-Erika.tif,P-Erika,arm 7\nMuster-Karl.tif,P-Karl,arm 8\nbroken.svs,P-x,\n";
    fs::write(&list, lines).expect("a file can be written");
    let measures = folder.path().join("measures.toml");
    fs::write(&measures, MEASURES).expect("a file can be written");
    let out = folder.path().join("out");
    let more = [&SMALL_WINDOWS[..], &["--measure", measures.to_str().expect("a path in UTF-8")]].concat();
    let output = run(&[&list], &out, &more);
    assert_eq!(output.status.code(), Some(65), "{}", stderr(&output));
    (folder, out)
}

fn report(out: &Path, more: &[&str]) -> String {
    let output = slidemill().arg("report").arg(out).args(more).output().expect("the command starts");
    assert!(output.status.success(), "{}", stderr(&output));
    String::from_utf8(output.stdout).expect("UTF-8")
}

fn pages_in(folder: &Path) -> BTreeMap<String, String> {
    let entries = fs::read_dir(folder)
        .expect("the folder can be listed")
        .map(|entry| entry.expect("it can be listed").path());
    let named = entries.map(|path| {
        let name = path.file_name().expect("a name").to_string_lossy().into_owned();
        (name, fs::read_to_string(path).expect("a page"))
    });
    named.collect()
}

fn with_results(out: &Path) -> Vec<RunAccount> {
    accounts(out).into_iter().filter(RunAccount::has_results).collect()
}

#[test]
fn each_slide_with_results_has_a_page_that_tells_all_without_names() {
    let (folder, out) = printed();
    assert!(!out.join("report").exists(), "nobody asked for pages");
    let told = report(&out, &["--print"]);
    let shared = out.join("report/print");
    assert!(told.contains(shared.to_str().expect("a path in UTF-8")), "{told}");
    let pages = pages_in(&shared);
    let slides = with_results(&out);
    assert_eq!((pages.len(), slides.len()), (2, 2), "the broken one has none");
    for account in &slides {
        let html = &pages[&format!("{}.html", account.slide)];
        let analysis = account.analysis.as_ref().expect("an analysis");
        let least = account.settings["min_score"].as_str();
        for expected in [
            format!("<h1>{} <span class=\"badge done\">done</span>", account.slide),
            format!("<dt>Cells</dt><dd>{}</dd>", grouped(account.cells())),
            format!("{} {}</b> on cpu", account.model.name, account.model.version),
            format!("SHA-256 {}", &account.model.sha256[..12]),
            format!("min score {least}, "),
            format!("all of them as {}", &account.fingerprint[..12]),
            format!("../../report.html#slide-{}", account.slide),
            format!("viewBox=\"0 0 {} {}\"", analysis.slide_px[0], analysis.slide_px[1]),
            "Complete: the whole tissue was analysed".into(),
            "For research use. Not a medical device.".into(),
            "hot spot 2".into(),
            "class=\"spot-number\"".into(),
            "Tests of slidemill, first edition".into(),
            "95\u{a0}% interval".into(),
            "<b>Hottest field".into(),
            format!("With the threshold of {least} there are"),
            "Thresholds: score from 0.5 (sure cells).".into(),
        ] {
            assert!(html.contains(&expected), "{expected}: {html}");
        }
        assert!(html.matches("<g class=\"scale\">").count() >= 3, "the slide and its parts have scale bars");
        let asked = html.replace("http://www.w3.org/2000/svg", "");
        for foreign in ["http://", "https://", "src=", "@import", "url("] {
            assert!(!asked.contains(foreign), "the page asks for {foreign}");
        }
        for private in ["Muster", "P-Erika", "P-Karl", "arm 7", folder.path().to_str().expect("a path")] {
            assert!(!html.contains(private), "{private} is on a shared page");
        }
    }
    let card = fs::read_to_string(out.join("report.html")).expect("the report");
    assert!(slides.iter().all(|slide| card.contains(&format!("href=\"report/print/{}.html\"", slide.slide))));
    assert_eq!(Findings::collect(&Dataset::at(&out)).expect("it can be checked").problems.len(), 0);
}

#[test]
fn private_pages_name_the_patient_and_pages_go_with_their_slides() {
    let (folder, out) = printed();
    report(&out, &["--print", "--private"]);
    let private = out.join(".slidemill/report/print");
    let pages: Vec<String> = pages_in(&private).into_values().collect();
    let count = |text: &str| pages.iter().filter(|html| html.contains(text)).count();
    assert_eq!(["<h1>Muster-Erika.tif", "P-Erika", "arm 7", "<b>Private.</b>"].map(count), [1, 1, 1, 2]);
    assert!(pages.iter().all(|html| !html.contains(folder.path().to_str().expect("a path"))), "no folder");
    let table = fs::read_to_string(out.join(".slidemill/report.html")).expect("the private report");
    assert!(table.contains("<td class=\"more\">P-Karl</td>"), "the table has the patients: {table}");
    #[cfg(unix)]
    for path in fs::read_dir(&private).expect("a folder").map(|entry| entry.unwrap().path()) {
        use std::os::unix::fs::PermissionsExt as _;
        assert_eq!(fs::metadata(path).expect("a file").permissions().mode() & 0o777, 0o600);
    }

    // They are not older than the report, whichever command writes it.
    let slides = with_results(&out);
    let page = out.join(format!("report/print/{}.html", slides[0].slide));
    fs::write(&page, "an old page").expect("a file can be written");
    report(&out, &[]);
    assert!(fs::read_to_string(&page).expect("a page").contains("class=\"sheet\""));
    let forgotten =
        slidemill().arg("forget").arg(&out).arg(slides[0].slide.as_str()).output().expect("it starts");
    assert!(forgotten.status.success(), "{}", stderr(&forgotten));
    let left: Vec<String> = pages_in(&out.join("report/print")).into_keys().collect();
    assert_eq!(left, [format!("{}.html", slides[1].slide)]);
    assert!(!private.exists(), "the private report goes when a slide is forgotten");
}

/// A browser's view of a page of the report.
fn look(browser: &Path, page: &Path, job: Value) -> Value {
    let mut job = job;
    job["address"] = json!(format!("file://{}", page.display()));
    job["browser"] = json!(browser);
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("viewer/tests/browser/report.mjs");
    let output = Command::new("node").arg(script).arg(job.to_string()).output().expect("node starts");
    assert!(output.status.success(), "{}", stderr(&output));
    let seen: Value = serde_json::from_slice(&output.stdout).expect("the script prints JSON");
    assert_eq!(seen["problems"], json!([]), "nothing is wrong in the page, and it asks for nothing");
    seen
}

/// The measures under other names.
fn numbered_measures(number: usize) -> String {
    let names = ["hot spot", "sure cells", "a scheme"];
    names.into_iter().fold(MEASURES.to_owned(), |text, name| {
        text.replace(&format!("= \"{name}"), &format!("= \"{name} {number}"))
    })
}

/// An account of a slide with more of everything than a sheet has room for.
fn crowded(account: &RunAccount) -> RunAccount {
    let long =
        "a reason that goes on and on until it takes several lines of the sheet, as reasons of machines do "
            .repeat(4);
    let mut crowded = account.clone();
    crowded.doubts = vec![long.clone(); 7];
    crowded.warnings = vec![long; 30];
    crowded
}

#[test]
fn a_page_is_one_sheet_of_a4_and_of_letter_and_its_elements_are_nested_well() {
    let Some(browser) = browser() else { return };
    let (_folder, out) = printed();
    let slides = with_results(&out);
    let full = crowded(&slides[1]);
    let account = Dataset::at(&out).account(&full.slide);
    fs::write(account, serde_json::to_vec(&full).expect("JSON")).expect("a file can be written");
    let many: String = (0..30).map(numbered_measures).collect();
    fs::write(out.join("measures.toml"), many).expect("a file can be written");
    report(&out, &["--print"]);
    for slide in &slides {
        let page = out.join(format!("report/print/{}.html", slide.slide));
        let seen = look(&browser, &page, json!({"papers": ["A4", "Letter"], "tags": true}));
        assert_eq!(seen["papers"], json!({"sheets": {"A4": 1, "Letter": 1}, "over": [0]}), "{seen}");
        assert_eq!(seen["tags"], json!([]));
    }
    let html = fs::read_to_string(out.join(format!("report/print/{}.html", full.slide))).expect("a page");
    assert!(
        html.contains("more remarks: in the report.") && html.contains("more lines: in the report and in"),
        "{html}"
    );
    let seen = look(&browser, &out.join("report.html"), json!({"tags": true}));
    assert_eq!(seen["tags"], json!([]));
}

/// A dataset of copies of one slide, each with other figures.
fn many_slides(count: usize) -> (TempDir, PathBuf) {
    let (folder, out) = printed();
    let dataset = Dataset::at(&out);
    let original = with_results(&out).remove(0);
    for place in 0..count {
        let id = SlideId::new(format!("copy-{place:03}")).expect("an id");
        for (from, to) in [
            (dataset.cells(&original.slide), dataset.cells(&id)),
            (dataset.regions(&original.slide), dataset.regions(&id)),
            (dataset.overview(&original.slide), dataset.overview(&id)),
            (dataset.coverage(&original.slide), dataset.coverage(&id)),
        ] {
            fs::create_dir_all(to.parent().expect("a folder")).expect("a folder can be made");
            fs::copy(from, to).expect("a file can be copied");
        }
        let mut account =
            RunAccount { slide: id.clone(), elapsed_secs: (place * 7 % 50) as f64, ..original.clone() };
        let analysis = account.analysis.as_mut().expect("an analysis");
        analysis.cells.values_mut().for_each(|cells| *cells = 1000 + (place * 37 % 100) as u64);
        fs::write(dataset.account(&id), serde_json::to_vec(&account).expect("JSON"))
            .expect("a file can be written");
    }
    (folder, out)
}

#[test]
fn every_column_of_the_table_sorts_and_filters() {
    let Some(browser) = browser() else { return };
    let (_folder, out) = many_slides(18);
    report(&out, &[]);
    let page = out.join("report.html");
    let job = json!({"sort": "#cohort", "filter": {"table": "#cohort", "column": 5, "text": "1000..1050"}});
    let seen = look(&browser, &page, job);
    let heads = seen["sort"].as_array().expect("heads");
    let names: Vec<_> = heads.iter().map(|head| head["head"].as_str().expect("a name")).collect();
    let expected =
        ["#", "Slide", "Outcome", "Tissue mm²", "Coverage", "Cells", "Cells per mm²", "Warnings", "Time"];
    assert_eq!(names, expected);
    for head in heads {
        for click in ["first", "second"] {
            let column: Vec<&str> = head[click]["column"]
                .as_array()
                .expect("rows")
                .iter()
                .map(|cell| cell.as_str().expect("text"))
                .collect();
            assert_eq!(column.len(), 20);
            let numbers: Option<Vec<f64>> = column.iter().map(|text| text.parse().ok()).collect();
            let is_rising = head[click]["order"] == "ascending";
            let is_sorted = match numbers {
                Some(numbers) if is_rising => numbers.is_sorted(),
                Some(numbers) => numbers.is_sorted_by(|one, other| one >= other),
                None if is_rising => column.is_sorted(),
                None => column.is_sorted_by(|one, other| one >= other),
            };
            assert!(is_sorted, "{}: {column:?}", head["head"]);
        }
    }
    let left = seen["filter"]["left"].as_array().expect("rows");
    let wanted = with_results(&out).iter().filter(|account| (1000..=1050).contains(&account.cells())).count();
    assert_eq!(
        (left.len(), seen["filter"]["told"].as_str()),
        (wanted, Some(&*format!("{wanted} of 20 shown")))
    );
}

//! A cohort of painted slides whose patients are known, from the command to its page.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use dataset::{Dataset, read_cells};
use tempfile::TempDir;

use super::support::{SMALL_WINDOWS, accounts, run, slidemill, small_slide, stderr};

/// Two slides of each of three patients, in two groups, with their truth by patient: painted cells.
struct Painted {
    folder: TempDir,
    out: PathBuf,
    cells: BTreeMap<&'static str, usize>,
}

const SLIDES: [(&str, &str, &str); 6] = [
    ("P1", "control", "A"),
    ("P1", "control", "B"),
    ("=P2", "control", "A"),
    ("=P2", "control", "B"),
    ("P3", "treated", "A"),
    ("P3", "treated", "B"),
];

fn painted() -> Painted {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut cells = BTreeMap::new();
    let mut list = "path,patient,group,scanner\n".to_owned();
    for (place, (patient, group, scanner)) in SLIDES.into_iter().enumerate() {
        let name = format!("Muster-{place}.tif");
        let truth = small_slide(&folder.path().join(&name), 400 + place as u64);
        *cells.entry(patient).or_default() += truth.cells.len();
        list += &format!("{name},{patient},{group},{scanner}\n");
    }
    let path = folder.path().join("list.csv");
    fs::write(&path, list).expect("a file can be written");
    let out = folder.path().join("out");
    let output = run(&[&path], &out, &SMALL_WINDOWS);
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(
        stderr(&output).contains("kept for `slidemill cohort`: patient, group, scanner"),
        "{}",
        stderr(&output)
    );
    Painted { folder, out, cells }
}

fn cohort(out: &Path, more: &[&str]) -> std::process::Output {
    slidemill().arg("cohort").arg(out).args(more).output().expect("the command starts")
}

/// Lines of a table by its header.
fn lines(path: &Path) -> Vec<BTreeMap<String, String>> {
    let mut reader = csv::Reader::from_path(path).expect("a table");
    reader.deserialize().map(|line| line.expect("a line")).collect()
}

#[test]
fn patients_and_groups_have_the_cells_of_their_slides() {
    let Painted { folder, out, cells } = painted();
    let made = cohort(&out, &["--by", "patient,group"]);
    assert!(made.status.success(), "{}", stderr(&made));
    let into = out.join(".slidemill/cohort");
    let found = lines(&into.join("cohort.csv"));
    let density = |by: &str, group: &str| {
        let is_it = |line: &&BTreeMap<String, String>| {
            (line["by"].as_str(), line["group"].as_str(), line["quantity"].as_str()) == (by, group, "density")
        };
        found.iter().find(is_it).unwrap_or_else(|| panic!("{by} {group}: {found:?}"))
    };

    // The counts are those of the tables, and near what was painted.
    let dataset = Dataset::at(&out);
    let ids: BTreeMap<String, String> = lines(&out.join(".slidemill/columns.csv"))
        .into_iter()
        .filter(|line| line["column"] == "patient")
        .map(|line| (line["id"].clone(), line["value"].clone()))
        .collect();
    let mut counted: BTreeMap<&str, (usize, f64)> = BTreeMap::new();
    for account in accounts(&out) {
        let patient = ids[account.slide.as_str()].as_str();
        let (count, mm2) = counted.entry(patient).or_default();
        *count += read_cells(&dataset.cells(&account.slide)).unwrap().len();
        *mm2 += account.analysis.unwrap().coverage.analysed_mm2;
    }
    assert_eq!(counted.len(), 3);
    for (patient, (count, mm2)) in &counted {
        let shown = if patient.starts_with('=') { format!("'{patient}") } else { (*patient).to_owned() };
        let line = density("patient", &shown);
        assert_eq!((line["cells"].as_str(), line["slides"].as_str()), (count.to_string().as_str(), "2"));
        let pooled: f64 = line["pooled"].parse().unwrap();
        assert!((pooled / (*count as f64 / mm2) - 1.0).abs() < 1e-5, "{line:?}");
        let truth = cells[*patient] as f64;
        assert!((*count as f64 / truth - 1.0).abs() < 0.2, "{patient}: {count} of {truth}");
    }
    let group = |name: &str| density("group", name)["cells"].parse::<usize>().unwrap();
    assert_eq!(group("control"), counted["P1"].0 + counted["=P2"].0);
    assert_eq!(group("treated"), counted["P3"].0);
    assert_eq!(density("all slides", "")["slides"], "6");
    assert!(lines(&into.join("batches.csv")).iter().any(|line| line["column"] == "scanner"));
    assert_eq!(lines(&into.join("slides.csv"))[0]["scanner"].len(), 1);

    // The page names patients, as the list does, and no file; it is for its owner alone.
    let html = fs::read_to_string(into.join("cohort.html")).unwrap();
    assert!(html.contains("By patient") && html.contains("=P2") && !html.contains("Muster"), "{html}");
    for shared in ["summary.csv", "report.html"] {
        assert!(!fs::read_to_string(out.join(shared)).unwrap().contains("control"), "{shared} says groups");
    }
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        let mode = fs::metadata(into.join("cohort.html")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    // A table of the clinic, and the same bytes whenever it is made, but for the time of the page.
    let clinical = folder.path().join("clinical.csv");
    fs::write(&clinical, "patient;age\nP1;64\n=P2;70\nP3;64\n").unwrap();
    let mine = folder.path().join("mine");
    let more = ["--by", "age", "--join", clinical.to_str().unwrap(), "-o", mine.to_str().unwrap()];
    let made = cohort(&out, &more);
    assert!(made.status.success(), "{}", stderr(&made));
    let tables =
        ["cohort.csv", "slides.parquet", "outliers.csv", "batches.parquet"].map(|name| mine.join(name));
    let first = tables.clone().map(|path| fs::read(path).unwrap());
    let ages = lines(&mine.join("cohort.csv"));
    let sixty_four = ages.iter().find(|line| line["by"] == "age" && line["group"] == "64").unwrap();
    assert_eq!(sixty_four["slides"], "4");
    assert!(cohort(&out, &more).status.success());
    assert_eq!(tables.map(|path| fs::read(path).unwrap()), first);
}

#[test]
fn what_a_cohort_cannot_be_made_by_is_refused_with_what_is_there() {
    let folder = tempfile::tempdir().unwrap();
    let slide = folder.path().join("slide.tif");
    small_slide(&slide, 410);
    let out = folder.path().join("out");
    assert!(run(&[&slide], &out, &SMALL_WINDOWS).status.success());
    let table = folder.path().join("slides.csv");
    fs::write(&table, "name,age\nx,3\n").unwrap();
    let (table, root) = (table.to_str().unwrap(), out.to_str().unwrap());
    let beside = folder.path().to_str().unwrap();
    for (more, expected) in [
        (&["--by", "patient"][..], "--by: no slide has a column \"patient\"; there are mpp."),
        (&["--batch", "scanner"], "--batch: no slide has a column \"scanner\""),
        (&["--join", table], "its columns are name, age, expected one of slides: slide_id"),
        (&["--join", "none.csv"], "none.csv"),
        (&["-o", root], "-o is the dataset itself"),
        (&["--join", table, "-o", beside], "slides.csv"),
    ] {
        let refused = cohort(&out, more);
        assert_eq!(refused.status.code(), Some(64), "{more:?}: {}", stderr(&refused));
        assert!(stderr(&refused).contains(expected), "{more:?}: {}", stderr(&refused));
    }
    assert_eq!(fs::read_to_string(table).unwrap(), "name,age\nx,3\n");
    assert!(!out.join(".slidemill/cohort").exists());
    // Without columns there are all slides, and what to do is said.
    let made = cohort(&out, &[]);
    assert!(made.status.success(), "{}", stderr(&made));
    let html = fs::read_to_string(out.join(".slidemill/cohort/cohort.html")).unwrap();
    assert!(html.contains("Nothing is known of patients or groups"), "{html}");
    let none = cohort(folder.path(), &[]);
    assert_eq!(none.status.code(), Some(65), "{}", stderr(&none));
}

//! `slidemill view` as a person uses it: over HTTP, and in a real browser.
//!
//! The browser is Chromium, driven by `viewer/tests/browser/look.mjs`; `cargo xtask
//! test` fetches what it needs. Where there is none, those tests say that they skip.

mod support;

use std::{
    fs,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::TcpStream,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use base64::Engine as _;
use dataset::{CellRow, Dataset, read_cells};
use rand::{RngExt as _, SeedableRng as _};
use serde_json::{Value, json};
use support::{
    SMALL_WINDOWS, accounts, any_file, browser, python, run, run_until, shared, slidemill, small_slide,
    stderr,
};
use wsi_types::{LevelIndex, RgbBuffer, TileId};

/// A running viewer; it ends when this is dropped.
struct Viewing {
    process: Child,
    /// Such as `http://127.0.0.1:40127/5f…/`.
    address: String,
}

impl Viewing {
    fn start(out: &Path, more: &[&str]) -> Self {
        let mut process = slidemill()
            .arg("view")
            .arg(out)
            .args(more)
            .stdout(Stdio::piped())
            .spawn()
            .expect("the command starts");
        let mut line = String::new();
        let stdout = process.stdout.take().expect("its output is kept");
        BufReader::new(stdout).read_line(&mut line).expect("it prints its address");
        let address = line.split_whitespace().last().unwrap_or_default().to_owned();
        assert!(address.starts_with("http://127.0.0.1:"), "{line:?}");
        Self { process, address }
    }

    fn host(&self) -> &str {
        self.address.trim_start_matches("http://").split('/').next().expect("a host")
    }

    fn key(&self) -> &str {
        self.address.trim_end_matches('/').rsplit('/').next().expect("a key")
    }

    /// Returns status and body of a request with these lines after the first.
    fn ask(&self, path: &str, lines: &[&str]) -> (u16, Vec<u8>) {
        let mut stream = TcpStream::connect(self.host()).expect("it listens");
        let head = format!("GET {path} HTTP/1.1\r\n{}\r\nconnection: close\r\n\r\n", lines.join("\r\n"));
        stream.write_all(head.as_bytes()).expect("it reads");
        let mut answer = Vec::new();
        // It closes an idle connection only after minutes: read what the head promises.
        let mut reader = BufReader::new(stream);
        let mut length = 0;
        let mut status = 0;
        loop {
            let mut line = String::new();
            reader.read_line(&mut line).expect("it answers");
            if let Some(code) = line.strip_prefix("HTTP/1.1 ") {
                status = code[..3].parse().expect("a status");
            }
            if let Some(bytes) = line.strip_prefix("content-length: ") {
                length = bytes.trim().parse().expect("a length");
            }
            if line == "\r\n" {
                break;
            }
        }
        reader.take(length).read_to_end(&mut answer).expect("it answers");
        (status, answer)
    }

    /// Returns the body of a request as the page itself makes it.
    fn get(&self, path: &str) -> (u16, Vec<u8>) {
        self.ask(&format!("/{}/{path}", self.key()), &[&format!("host: {}", self.host())])
    }

    fn json(&self, path: &str) -> Value {
        let (status, body) = self.get(path);
        assert_eq!(status, 200, "{path}: {}", String::from_utf8_lossy(&body));
        serde_json::from_slice(&body).expect("JSON")
    }
}

impl Drop for Viewing {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A dataset of outlined cells on a painted slide, and the slide.
fn painted_dataset(folder: &Path) -> (PathBuf, PathBuf) {
    let (slide, out) = (folder.join("Anna Muster 1950.tif"), folder.join("out"));
    small_slide(&slide, 41);
    let more = [&SMALL_WINDOWS[..], &["--model", "nuclei-he-seg", "--dense-per-mm2", "1500"]].concat();
    let output = run(&[&slide], &out, &more);
    assert!(output.status.success(), "{}", stderr(&output));
    (out, slide)
}

#[test]
fn only_those_with_the_address_are_answered() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (out, _) = painted_dataset(folder.path());
    let viewing = Viewing::start(&out, &[]);
    let host = format!("host: {}", viewing.host());
    let page = format!("/{}/slides.json", viewing.key());
    assert_eq!(viewing.ask(&page, &[&host]).0, 200);
    let rebound = "host: attacker.example";
    assert_eq!(viewing.ask(&page, &[rebound]).0, 421, "a name that was made to point here");
    assert_eq!(viewing.ask(&page, &["accept: */*"]).0, 421, "no host at all");
    assert_eq!(viewing.ask(&page, &[&host, "origin: http://attacker.example"]).0, 403);
    assert_eq!(viewing.ask(&page, &[&host, &format!("origin: http://{}", viewing.host())]).0, 200);
    for path in ["/slides.json", "/", "/0000000000000000000000000/slides.json"] {
        assert_eq!(viewing.ask(path, &[&host]).0, 404, "{path}: no key");
    }
    for path in ["../../etc/passwd", "slide/../../x", "slide/none/view.json", "label.jpg"] {
        assert_eq!(viewing.get(path).0, 404, "{path}");
    }
}

#[test]
fn what_is_served_is_the_slide_and_its_tables() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (out, slide) = painted_dataset(folder.path());
    let account = accounts(&out).remove(0);
    let id = account.slide.as_str();
    let viewing = Viewing::start(&out, &[]);
    let list = viewing.json("slides.json");
    assert_eq!(list["slides"][0]["name"], "Anna Muster 1950.tif", "for the person at this machine");
    let view = viewing.json(&format!("slide/{id}/view.json"));
    let opened = wsi_reader::open(&slide).expect("the slide opens");
    let base = opened.info().pyramid.base();
    assert_eq!(view["size"], json!([base.width(), base.height()]));
    assert_eq!(view["no_pixels"], Value::Null);

    let header = viewing.json(&format!("slide/{id}/cells.json"));
    let cells = read_cells(&Dataset::at(&out).cells(&account.slide)).expect("cells can be read");
    assert_eq!(header["rows"], cells.len());
    let table = header["table"]["sha256"].as_str().expect("a hash");
    let last = viewing.json(&format!("slide/{id}/cell/{table}/{}.json", cells.len() - 1));
    let expected = cells.last().expect("there are cells");
    assert_eq!(
        last["cell_id"].as_str().map_or(last["cell_id"].to_string(), str::to_owned),
        expected.cell_id.to_string()
    );
    assert_eq!(last["x_px"], expected.centroid.x);
    let past = format!("slide/{id}/cell/{table}/{}.json", cells.len());
    assert_eq!(viewing.get(&past).0, 500, "past the last row");
    assert_eq!(viewing.get(&format!("slide/{id}/cell/0123/0.json")).0, 404, "a row of another table");
    let regions = viewing.json(&format!("slide/{id}/regions.json"));
    assert!(
        regions.as_array().is_some_and(|regions| regions.iter().any(|region| region["label"] == "tissue"))
    );

    // The tile file is derived: if it is damaged or missing, it is made again.
    let tiles = out.join(format!(".slidemill/tiles/{id}.smt"));
    let made = fs::read(&tiles).expect("the tile file");
    drop(viewing);
    fs::write(&tiles, &made[..made.len() / 2]).expect("it can be damaged");
    let viewing = Viewing::start(&out, &[id]);
    assert_eq!(viewing.json(&format!("slide/{id}/cells.json"))["rows"], cells.len());
    assert_eq!(fs::read(&tiles).expect("the tile file"), made, "the same bytes");

    // A slide that has moved is shown without pixels, and with them when it is named.
    let moved = folder.path().join("moved.tif");
    fs::rename(&slide, &moved).expect("it can be moved");
    let viewing = Viewing::start(&out, &[]);
    let view = viewing.json(&format!("slide/{id}/view.json"));
    assert!(view["no_pixels"].as_str().is_some_and(|reason| reason.contains("not where it was")), "{view}");
    let viewing = Viewing::start(&out, &[moved.to_str().expect("a path in UTF-8")]);
    assert_eq!(viewing.json(&format!("slide/{id}/view.json"))["no_pixels"], Value::Null);
    assert_eq!(viewing.json("slides.json")["first"], id);
}

#[test]
fn what_cannot_be_shown_is_said() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let refused = |arguments: &[&str]| {
        let output = slidemill().arg("view").args(arguments).output().expect("the command starts");
        (output.status.code(), stderr(&output))
    };
    let empty = folder.path().to_str().expect("a path in UTF-8");
    let (code, words) = refused(&[empty]);
    assert_eq!(code, Some(65), "{words}");
    assert!(words.contains("no slide with cells is here"), "{words}");
    let (code, words) = refused(&[empty, "nonesuch"]);
    assert_eq!(code, Some(64), "{words}");
    assert!(
        words.contains(
            "no slide \"nonesuch\" is here, expected an id, or the path or name of its file; here are none"
        ),
        "{words}"
    );
    let (out, _) = painted_dataset(folder.path());
    let account = accounts(&out).remove(0);
    let table = Dataset::at(&out).cells(&account.slide);
    let bytes = fs::read(&table).expect("the table");
    fs::write(&table, &bytes[..bytes.len() - 9]).expect("it can be damaged");
    let viewing = Viewing::start(&out, &[]);
    let (status, words) = viewing.get(&format!("slide/{}/cells.json", account.slide));
    let words = String::from_utf8_lossy(&words);
    assert_eq!(status, 500);
    assert!(words.contains("slidemill verify"), "{words}");
}

/// Returns a browser's view of a page.
fn look(browser: &Path, address: &str, gpu: &str, job: Value) -> Value {
    let mut job = job;
    job["address"] = json!(address);
    job["browser"] = json!(browser);
    job["gpu"] = json!(gpu);
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("viewer/tests/browser/look.mjs");
    let output = Command::new("node").arg(script).arg(job.to_string()).output().expect("node starts");
    assert!(output.status.success(), "{}", stderr(&output));
    let seen: Value = serde_json::from_slice(&output.stdout).expect("the script prints JSON");
    assert_eq!(seen["problems"], json!([]), "nothing is wrong in the page");
    seen
}

/// Returns places at all zooms, and thresholds.
fn random_views(size: &Value, count: usize) -> Vec<Value> {
    let mut dice = rand_pcg::Pcg64Mcg::seed_from_u64(12);
    let side = |axis: usize| size[axis].as_f64().expect("a size");
    (0..count)
        .map(|index| {
            let downsample = 2.0_f64.powf(-1.5 + 7.5 * index as f64 / count as f64);
            let at = |most: f64, share: f64| most * share;
            json!({
                "x": at(side(0), dice.random_range(0.0..1.0)),
                "y": at(side(1), dice.random_range(0.0..1.0)),
                "downsample": downsample,
                "step": dice.random_range(0..70),
            })
        })
        .collect()
}

/// Returns the cells of a table in the box that a page says it counts, at its threshold.
fn expected_count(cells: &[CellRow], view: &Value) -> usize {
    let side = |name: &str| view["box"][name].as_f64().expect("a side");
    let within = |value: f64, from: &str, to: &str| value >= side(from) && value < side(to);
    let threshold = view["step"].as_f64().expect("a step") as f32 / 100.0;
    let counts = |cell: &&CellRow| {
        cell.score >= threshold && within(cell.centroid.x, "x0", "x1") && within(cell.centroid.y, "y0", "y1")
    };
    cells.iter().filter(counts).count()
}

/// Returns DuckDB's counts in boxes of a table, by class, at thresholds.
fn counted_by_duckdb(python: &Path, table: &Path, views: &Value) -> Value {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/python/count_boxes.py");
    let output =
        Command::new(python).arg(script).arg(table).arg(views.to_string()).output().expect("Python starts");
    assert!(output.status.success(), "{}", stderr(&output));
    serde_json::from_slice(&output.stdout).expect("the script prints JSON")
}

#[test]
fn the_counts_in_view_are_those_of_the_table_at_every_zoom() {
    let Some(browser) = browser() else { return };
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (out, _) = painted_dataset(folder.path());
    let account = accounts(&out).remove(0);
    let viewing = Viewing::start(&out, &[]);
    let size = viewing.json(&format!("slide/{}/view.json", account.slide))["size"].clone();
    let table = Dataset::at(&out).cells(&account.slide);
    let cells = read_cells(&table).expect("cells can be read");
    for gpu in ["software", "none"] {
        let views = random_views(&size, 20);
        let click = json!({"x": cells[7].centroid.x, "y": cells[7].centroid.y, "downsample": 0.5});
        let seen = look(&browser, &viewing.address, gpu, json!({"views": views, "click": click}));
        let seen_views = seen["views"].as_array().expect("views");
        assert_eq!(seen_views.len(), 20);
        for view in seen_views {
            assert_eq!(view["classes"][0]["cells"], expected_count(&cells, view), "{view}");
        }
        assert!(seen_views.iter().any(|view| view["classes"][0]["cells"] != 0), "some views show cells");
        if let Some(python) = python() {
            let counted = counted_by_duckdb(&python, &table, &seen["views"]);
            for (view, counted) in seen_views.iter().zip(counted.as_array().expect("counts")) {
                assert_eq!(view["classes"][0]["cells"], counted[0], "{view}");
            }
        }
        assert_eq!(seen["click"]["class"], "nucleus", "{}", seen["click"]);
    }
}

/// Makes a slide of which a killed job analysed some windows; returns its dataset and its file.
fn begun(folder: &Path, more: &[&str]) -> (PathBuf, PathBuf) {
    let (slide, out) = (folder.join("slide.tif"), folder.join("out"));
    small_slide(&slide, 43);
    run_until(&[&slide], &out, more, || any_file(&out.join(".slidemill/ledger"), "windows.bin"));
    (out, slide)
}

const MANY_WINDOWS: [&str; 6] = ["--window", "256", "--threads", "2", "--batch", "1"];

#[test]
fn a_slide_at_work_is_shown_as_far_as_it_got_and_then_as_it_ended() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (out, slide) = begun(folder.path(), &MANY_WINDOWS);
    let viewing = Viewing::start(&out, &[]);
    let list = viewing.json("slides.json");
    let id = list["slides"][0]["id"].as_str().expect("an id");
    let preliminary = &list["slides"][0]["facts"]["preliminary"];
    let (ended, planned) = (preliminary["ended"].as_u64().expect("a count"), preliminary["planned"].as_u64());
    assert!(ended > 0 && planned.is_some_and(|planned| ended < planned), "{preliminary}");
    let first = viewing.json(&format!("slide/{id}/cells.json"));
    let windows = viewing.json(&format!("slide/{id}/windows.json"));
    assert_eq!(windows["boxes"].as_array().map(Vec::len), planned.map(|planned| planned as usize));
    assert_eq!(windows["failed"], json!([]), "windows to come have not failed");
    assert_eq!(viewing.json(&format!("slide/{id}/view.json"))["no_pixels"], Value::Null);

    let output = run(&[&slide], &out, &MANY_WINDOWS);
    assert!(output.status.success(), "{}", stderr(&output));
    let account = accounts(&out).remove(0);
    let cells = read_cells(&Dataset::at(&out).cells(&account.slide)).expect("cells can be read");
    // It looks again only after a pause.
    let (_keep, never) = std::sync::mpsc::channel::<()>();
    while !viewing.json("slides.json")["slides"][0]["facts"]["preliminary"].is_null() {
        let _ = never.recv_timeout(std::time::Duration::from_millis(100));
    }
    let header = viewing.json(&format!("slide/{id}/cells.json"));
    assert_eq!(header["rows"], cells.len());
    assert!(first["rows"].as_u64() < header["rows"].as_u64(), "{} rows at first", first["rows"]);
}

/// All windows of a slide are in its ledger, only its account is missing: the viewer shows what a job would
/// write.
#[test]
fn the_last_preliminary_cells_are_those_of_the_table() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (slide, out) = (folder.path().join("slide.tif"), folder.path().join("out"));
    small_slide(&slide, 44);
    let output = run(&[&slide], &out, &[&SMALL_WINDOWS[..], &["--keep-raw"]].concat());
    assert!(output.status.success(), "{}", stderr(&output));
    let dataset = Dataset::at(&out);
    let account = accounts(&out).remove(0);
    let cells = read_cells(&dataset.cells(&account.slide)).expect("cells can be read");
    fs::remove_file(dataset.account(&account.slide)).expect("the account can be removed");

    let mut onlooker = engine::Onlooker::new(&dataset, engine::Machine::here());
    let [preliminary] = &onlooker.look().expect("it can be looked at")[..] else {
        panic!("one slide at work")
    };
    let table = preliminary.dataset.cells(&account.slide);
    assert_eq!(read_cells(&table).expect("cells can be read"), cells);
    assert_eq!(preliminary.account.analysis.as_ref().map(|analysis| analysis.windows.failed), Some(0));
    drop(onlooker);
    assert!(!table.exists(), "what is preliminary goes with who looked");
}

#[test]
fn a_page_follows_a_job_to_its_end() {
    let Some(browser) = browser() else { return };
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (out, slide) = begun(folder.path(), &MANY_WINDOWS);
    let viewing = Viewing::start(&out, &[]);
    let address = viewing.address.clone();
    let sign = folder.path().join("page is open");
    let job = json!({"watch": sign});
    let looking = std::thread::spawn(move || look(&browser, &address, "software", job));
    let (_keep, never) = std::sync::mpsc::channel::<()>();
    while !sign.exists() {
        assert!(!looking.is_finished(), "the page did not open");
        let _ = never.recv_timeout(std::time::Duration::from_millis(50));
    }
    let output = run(&[&slide], &out, &MANY_WINDOWS);
    assert!(output.status.success(), "{}", stderr(&output));
    let seen = looking.join().expect("the page follows");
    let words = seen["watch"]["before"].as_str().expect("words");
    assert!(words.starts_with("Preliminary: ") && words.contains(" windows are analysed"), "{words}");
    let account = accounts(&out).remove(0);
    assert_eq!(seen["watch"]["cells"], account.cells(), "the whole slide is in view");
}

#[test]
fn an_exported_folder_shows_the_same_from_a_disk() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (out, _) = painted_dataset(folder.path());
    let account = accounts(&out).remove(0);
    let page = folder.path().join("to show");
    let export = |more: &[&str]| {
        let output = slidemill().arg("view").arg(&out).arg("--export").arg(&page).args(more).output();
        output.expect("the command starts")
    };
    let output = export(&[]);
    assert!(output.status.success(), "{}", stderr(&output));
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(told.contains("writes    about"), "{told}");
    let again = export(&[]);
    assert_eq!(again.status.code(), Some(64), "what is there already is not written over");
    for entry in walkdir::WalkDir::new(&page) {
        let path = entry.expect("the folder can be listed").into_path();
        let Ok(text) = fs::read_to_string(&path) else { continue };
        assert!(!text.contains("Anna") && !text.contains(out.to_str().expect("a path in UTF-8")), "{path:?}");
    }
    let Some(browser) = browser() else { return };
    let address = format!("file://{}", page.join("index.html").display().to_string().replace(' ', "%20"));
    let cells = read_cells(&Dataset::at(&out).cells(&account.slide)).expect("cells can be read");
    let size = json!(account.analysis.expect("it was analysed").slide_px);
    let seen = look(&browser, &address, "none", json!({"views": random_views(&size, 6)}));
    for view in seen["views"].as_array().expect("views") {
        assert_eq!(view["classes"][0]["cells"], expected_count(&cells, view), "{view}");
    }
}

#[test]
fn report_and_viewer_lead_to_each_other() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (out, _) = painted_dataset(folder.path());
    let id = accounts(&out).remove(0).slide;
    let report = |more: &[&str]| {
        let output = slidemill().arg("report").arg(&out).args(more).output().expect("the command starts");
        assert!(output.status.success(), "{}", stderr(&output));
        fs::read_to_string(out.join("report.html")).expect("a report")
    };
    let html = report(&["--print"]);
    let (link, print) = (format!("href=\"viewer/index.html#slide={id}\""), format!("report/print/{id}.html"));
    assert!(html.contains(&format!("{link} hidden")), "only a server answers it: {html}");
    assert!(html.contains(&format!("slidemill view . {id} --open")), "{html}");

    let viewing = Viewing::start(&out, &[]);
    let list = viewing.json("slides.json");
    assert_eq!(list["report"], json!({"first": "report.html", "print": {id.as_str(): print}}));
    for path in ["report.html", &print] {
        assert_eq!(viewing.get(path), (200, fs::read(out.join(path)).expect("a page")), "{path}");
    }
    assert_eq!(viewing.json("viewer/slides.json"), list, "the report finds the viewer in its folder");
    assert_eq!(viewing.get("report/print/none.html").0, 404);
    assert_eq!(viewing.get("summary.csv").0, 404);

    let to = out.join("viewer");
    let exported = slidemill().arg("view").arg(&out).arg("--export").arg(&to).output().expect("it starts");
    assert!(exported.status.success(), "{}", stderr(&exported));
    let data = fs::read_to_string(to.join("data.js")).expect("the answers");
    assert!(data.contains("\"../report.html\"") && data.contains(&format!("../{print}")), "{data}");
    assert!(report(&[]).contains(&format!("{link}>")), "it lies there");
    fs::write(to.join(format!("slide/{id}/cells.sha256")), "of other cells").expect("a file can be written");
    assert!(report(&[]).contains(&format!("{link} hidden")), "a viewer of other cells is not linked");
}

#[test]
fn two_runs_show_the_same_place() {
    let Some(browser) = browser() else { return };
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (out, slide) = painted_dataset(folder.path());
    let other = folder.path().join("other");
    let output = run(&[&slide], &other, &[&SMALL_WINDOWS[..], &["--min-score", "0.6"]].concat());
    assert!(output.status.success(), "{}", stderr(&output));
    let viewing = Viewing::start(&out, &["--against", other.to_str().expect("a path in UTF-8")]);
    let place = json!({"x": 700, "y": 500, "downsample": 0.6});
    let seen = look(&browser, &viewing.address, "none", json!({"follow": place}))["follow"].clone();
    let id = accounts(&out).remove(0).slide;
    assert_eq!(seen[0]["box"], seen[1]["box"], "both show the same place");
    for (shown, dataset) in [(&seen[0], &out), (&seen[1], &other)] {
        let cells = read_cells(&Dataset::at(dataset).cells(&id)).expect("cells can be read");
        assert_eq!(shown["classes"][0]["cells"], expected_count(&cells, shown), "{shown}");
    }
}

#[test]
fn what_is_drawn_by_hand_is_kept_in_px_of_the_slide() {
    let Some(browser) = browser() else { return };
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (out, _) = painted_dataset(folder.path());
    let id = accounts(&out).remove(0).slide;
    let viewing = Viewing::start(&out, &[]);
    let place = json!({"x": 640, "y": 512, "downsample": 0.5});
    let seen = look(&browser, &viewing.address, "none", json!({"draw": place}));
    assert_eq!(seen["draw"], "3 shapes.");
    let path = out.join(format!("annotations/{id}.geojson"));
    let kept: Value = serde_json::from_slice(&fs::read(&path).expect("the drawing is kept")).expect("JSON");
    let features = kept["features"].as_array().expect("features");
    assert!(features.iter().all(|feature| feature["properties"]["classification"]["name"] == "tumour"));
    let corner = |value: &Value| [value[0].as_f64().expect("x"), value[1].as_f64().expect("y")];
    let near = |found: [f64; 2], expected: [f64; 2]| {
        found.iter().zip(expected).all(|(found, expected)| (found - expected).abs() <= 1.0)
    };
    assert!(near(corner(&features[0]["geometry"]["coordinates"]), [640.0, 512.0]), "{kept}");
    let ring = features[1]["geometry"]["coordinates"][0].as_array().expect("a ring");
    assert_eq!(ring.len(), 5, "{kept}");
    assert!(near(corner(&ring[0]), [690.0, 512.0]) && near(corner(&ring[2]), [730.0, 542.0]), "{kept}");
    let ring = features[2]["geometry"]["coordinates"][0].as_array().expect("a ring");
    assert!(near(corner(&ring[2]), [575.0, 537.0]) && ring.first() == ring.last(), "{kept}");
}

/// Stored JPEG tiles go to the browser undecoded. Without the marker that says that Aperio's are RGB, its
/// colours are off by up to 143.
#[test]
fn stored_tiles_have_the_slides_own_colours_in_a_browser() {
    let (Some(browser), Some(slide)) = (browser(), shared("slides/real/CMU-1-Small-Region.svs")) else {
        return;
    };
    let folder = tempfile::tempdir().expect("a temporary folder");
    let out = folder.path().join("out");
    let output = run(&[&slide], &out, &["--window", "1024", "--threads", "2"]);
    assert!(output.status.success(), "{}", stderr(&output));
    let viewing = Viewing::start(&out, &[]);
    let id = accounts(&out).remove(0).slide;
    let path = format!("slide/{id}/pixels/0/3_4.jpg");
    let seen = look(&browser, &viewing.address, "none", json!({"picture": path}))["picture"].clone();
    let rgba = base64::engine::general_purpose::STANDARD
        .decode(seen["rgba"].as_str().expect("pixels"))
        .expect("base64");
    let mut expected = RgbBuffer::default();
    let opened = wsi_reader::open(&slide).expect("the slide opens");
    opened
        .read_tile(TileId { level: LevelIndex(0), row: 4, column: 3 }, &mut expected)
        .expect("the tile is sound");
    assert_eq!((seen["width"].as_u64(), seen["height"].as_u64()), (Some(240), Some(240)));
    let (found, _) = rgba.as_chunks::<4>();
    let (expected, _) = expected.bytes().as_chunks::<3>();
    let off = found.iter().zip(expected).flat_map(|(found, expected)| {
        found.iter().zip(expected).map(|(found, expected)| found.abs_diff(*expected))
    });
    // RGB is stored as it is: only the rounding of the inverse transform may differ.
    assert!(off.clone().max() <= Some(1), "off by {:?}", off.max());
}

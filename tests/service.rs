//! `slidemill serve` as a client meets it: a painted slide in, the results of a run out, whatever is killed.

#![cfg(feature = "serve")]

#[path = "support/dicom.rs"]
mod dicom;
#[path = "../service/tests/support/pacs.rs"]
#[allow(dead_code, clippy::unwrap_used, reason = "a part of it is used here")]
mod pacs;
mod support;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::TcpStream,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use rand::RngExt as _;
use serde_json::Value;
use support::{
    SMALL_WINDOWS, any_file, dice, is_reached, kill, paint, pause, run, slidemill, small_slide, tables,
    times, tiny_slides, wait_until,
};

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().expect("a temporary folder")
}

/// A service with jobs in a folder.
struct Served {
    child: Child,
    address: String,
    data: PathBuf,
}

impl Served {
    fn start(data: &Path, more: &[&str]) -> Self {
        let mut command = slidemill();
        command
            .arg("serve")
            .arg("--data")
            .arg(data)
            .args(["--listen", "127.0.0.1:0"])
            .args(SMALL_WINDOWS)
            .args(more);
        let mut child = command.stdout(Stdio::piped()).spawn().expect("the command starts");
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("its output"))
            .read_line(&mut line)
            .expect("it says its address");
        let address = line.split("http://").nth(1).expect("an address").trim().to_owned();
        Self { child, address, data: data.to_owned() }
    }

    /// Status, head and body of the answer.
    fn ask(&self, request: &str, head: &[&str], body: &[u8]) -> (u16, String, Vec<u8>) {
        let mut stream = TcpStream::connect(&self.address).expect("it listens");
        let lines: String = head.iter().map(|line| format!("{line}\r\n")).collect();
        let length = body.len();
        let head = format!(
            "{request} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\nContent-Length: {length}\r\n{lines}\r\n",
            self.address
        );
        stream.write_all(&[head.as_bytes(), body].concat()).expect("it reads");
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).expect("it answers");
        let end = answer.windows(4).position(|four| four == b"\r\n\r\n").expect("a whole head");
        let head = String::from_utf8_lossy(&answer[..end]).to_lowercase();
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
        (status, head, answer[end + 4..].to_vec())
    }

    fn json(&self, path: &str) -> Value {
        let (_, _, body) = self.ask(&format!("GET {path}"), &[], b"");
        serde_json::from_slice(&body)
            .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&body)))
    }

    fn detect(&self, slide: &Path, query: &str, head: &[&str]) -> (u16, String, Vec<u8>) {
        let content = fs::read(slide).expect("the slide is there");
        let head = [&["Content-Type: application/octet-stream"], head].concat();
        self.ask(&format!("POST /v1/detect{query}"), &head, &content)
    }

    /// The place of the job that a slide becomes.
    fn job(&self, slide: &Path) -> String {
        self.job_of(slide, "")
    }

    fn job_of(&self, slide: &Path, query: &str) -> String {
        let (status, head, body) = self.detect(slide, query, &["Prefer: respond-async"]);
        assert_eq!(status, 202, "{}", String::from_utf8_lossy(&body));
        // Ids are upper case.
        let view: Value = serde_json::from_slice(&body).expect("a job");
        assert!(head.contains("location: /v1/jobs/"));
        view["links"]["self"].as_str().expect("a place").to_owned()
    }

    fn wait_for_end(&self, job: &str) -> Value {
        wait_until(|| {
            let state = self.json(job)["state"].clone();
            !["gathering", "queued", "running"].map(Value::from).contains(&state)
        });
        self.json(job)
    }

    fn parquet(&self, job: &str) -> Vec<u8> {
        let accept = ["Accept: application/vnd.apache.parquet"];
        let (status, _, body) = self.ask(&format!("GET {job}/result"), &accept, b"");
        assert_eq!(status, 200, "{}", String::from_utf8_lossy(&body));
        body
    }

    /// Waits until windows of a job are in its ledger.
    fn wait_for_windows(&self) {
        wait_until(|| any_file(&self.data.join("jobs"), "windows.bin"));
    }

    /// Its worker processes.
    fn workers(&self) -> Vec<u32> {
        let pid = self.child.id();
        let tasks = fs::read_dir(format!("/proc/{pid}/task")).expect("its threads");
        let children =
            tasks.flatten().map(|task| fs::read_to_string(task.path().join("children")).unwrap_or_default());
        children.collect::<String>().split_whitespace().filter_map(|child| child.parse().ok()).collect()
    }

    /// The exit code after SIGTERM.
    fn terminate(mut self) -> Option<i32> {
        let pid = self.child.id().to_string();
        let _ = Command::new("kill").args(["-TERM", &pid]).status();
        self.child.wait().expect("it ends").code()
    }

    /// Kills it and its workers, as a lost machine does.
    fn kill(mut self) {
        let workers = self.workers();
        kill(self.child.id());
        workers.into_iter().for_each(kill);
        let _ = self.child.wait();
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The table of cells that a run with the same settings writes.
fn cells_of_a_run(slide: &Path, folder: &Path) -> Vec<u8> {
    let out = folder.join("run");
    assert!(run(&[slide], &out, &SMALL_WINDOWS).status.success());
    let mut tables = tables(&out);
    let path = tables.keys().find(|path| path.starts_with("cells")).cloned().expect("a table of cells");
    tables.remove(&path).expect("it was found")
}

#[test]
fn a_picture_gives_the_cells_of_a_run_byte_by_byte() {
    let folder = folder();
    let slide = folder.path().join("Miller John.tif");
    small_slide(&slide, 5);
    let expected = cells_of_a_run(&slide, folder.path());
    let served = Served::start(&folder.path().join("data"), &["--models", "nuclei-he,nuclei-he-seg"]);

    let (status, head, body) = served.detect(&slide, "", &[]);
    assert_eq!(status, 200, "{}", String::from_utf8_lossy(&body));
    let report: Value = serde_json::from_slice(&body).expect("a report");
    assert!(head.contains("content-type: application/json"));
    let cells = report["counts"][0]["n"].as_u64().expect("a count");
    assert_eq!(report["findings"].as_array().expect("findings").len() as u64, cells);
    assert!(report["findings"][0].get("outline").is_none());
    assert_eq!(report["coverage"]["failed_windows"], 0);
    let (status, _, table) = served.detect(&slide, "", &["Accept: application/vnd.apache.parquet"]);
    assert_eq!((status, table == expected), (200, true));

    let (status, _, body) = served.detect(&slide, "?model=nuclei-he-seg", &[]);
    assert_eq!(status, 200, "{}", String::from_utf8_lossy(&body));
    let outlined: Value = serde_json::from_slice(&body).expect("a report");
    assert!(outlined["findings"][0]["outline"].as_array().expect("an outline").len() > 4);
    assert_eq!(served.json("/v1/models")["models"][1]["name"], "nuclei-he-seg");
    wait_until(|| served.json("/readyz")["status"] == "ready");

    let job = served.job(&slide);
    assert_eq!(served.wait_for_end(&job)["state"], "done");
    let of_kind = |accept: &str, query: &str| {
        let (status, _, body) =
            served.ask(&format!("GET {job}/result{query}"), &[&format!("Accept: {accept}")], b"");
        assert_eq!(status, 200, "{accept}: {}", String::from_utf8_lossy(&body));
        body
    };
    let geojson: Value = serde_json::from_slice(&of_kind("application/geo+json", "")).expect("GeoJSON");
    assert!(geojson["features"].as_array().expect("features").len() as u64 >= cells);
    assert!(of_kind("application/zip", "").starts_with(b"PK"));
    for object in ["?object=ann", "?object=sr"] {
        assert_eq!(&of_kind("application/dicom", object)[128..132], b"DICM");
    }
    assert_eq!(served.terminate(), Some(0), "no job is left");
    let kept = walkdir::WalkDir::new(folder.path().join("data")).into_iter().flatten();
    for entry in kept.filter(|entry| entry.file_type().is_file()) {
        let text = String::from_utf8_lossy(&fs::read(entry.path()).expect("it can be read")).into_owned();
        assert!(!text.contains("Miller"), "{}", entry.path().display());
    }
}

/// The answer to DICOM files that are sent by STOW-RS.
fn stow(served: &Served, files: &[Vec<u8>]) -> (u16, String, Value) {
    let mut body = Vec::new();
    for file in files {
        body.extend(b"--xyz\r\nContent-Type: application/dicom\r\n\r\n");
        body.extend(file);
        body.extend(b"\r\n");
    }
    body.extend(b"--xyz--\r\n");
    let kind = "Content-Type: multipart/related; type=\"application/dicom\"; boundary=xyz";
    let (status, head, body) = served.ask("POST /v1/studies", &[kind], &body);
    let answer = serde_json::from_slice(&body)
        .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&body)));
    (status, head, answer)
}

#[test]
fn a_series_that_comes_in_two_requests_is_one_slide() {
    let folder = folder();
    let level = level(folder.path());
    let [whole, half] = [(&level, "1.2.3.1"), (&level.half(), "1.2.3.2")].map(|(level, uid)| {
        level.file(dicom::Names { study: "1.2.7", series: "1.2.8", instance: uid, patient: "Miller^John" })
    });

    let data = folder.path().join("data");
    let served = Served::start(&data, &["--stow-quiet", "2"]);
    let mut hostile = whole.clone();
    // An element that is to be longer than the file, before the identifiers.
    hostile.splice(132.., *b"\x02\0\0\0UL\x04\0\xff\xff\xff\x7f");
    let (status, _, answer) = stow(&served, &[half.clone(), hostile, b"no DICOM".to_vec()]);
    assert_eq!((status, answer["0008119A"]["Value"].as_array().map(Vec::len)), (202, Some(2)), "{answer}");
    assert_eq!(answer["00081199"]["Value"][0]["00081155"]["Value"][0], "1.2.3.2");
    let (status, head, _) = stow(&served, &[whole, half]);
    assert_eq!(status, 200);
    let place = head.lines().find_map(|line| line.strip_prefix("location: /v1/jobs/")).expect("a place");
    let job = format!("/v1/jobs/{}", place.to_uppercase());
    let ended = served.wait_for_end(&job);
    assert_eq!(ended["state"], "done", "{ended}");
    let report = served.json(&format!("{job}/result"));
    assert_eq!((&report["study_id"], &report["series_id"]), (&"1.2.7".into(), &"1.2.8".into()));
    assert_eq!(report["frame"]["size_px"], serde_json::json!(level.size_px()));
    assert!(report["counts"][0]["n"].as_u64().is_some_and(|cells| cells > 100), "{report}");
    // The annotations are of this slide, although it is erased.
    let (status, _, annotations) =
        served.ask(&format!("GET {job}/result"), &["Accept: application/dicom"], b"");
    let holds = |text: &str| annotations.windows(text.len()).any(|found| found == text.as_bytes());
    assert!(status == 200 && holds("1.2.3.1") && holds("Miller^John"));
    assert_eq!(served.terminate(), Some(0));
    assert!(!any_file(&data.join("jobs"), "upload"));
    let kept = walkdir::WalkDir::new(&data).into_iter().flatten();
    for entry in kept.filter(|entry| entry.file_type().is_file()) {
        let name = entry.path().display().to_string();
        let text = String::from_utf8_lossy(&fs::read(entry.path()).expect("it can be read")).into_owned();
        assert!(name.ends_with(".dcm") || !text.contains("Miller"), "{name}");
    }
}

/// A painted picture, as a level of a DICOM slide.
fn level(folder: &Path) -> dicom::Level {
    let [slide, picture] = ["slide.tif", "picture.png"].map(|name| folder.join(name));
    small_slide(&slide, 5);
    let thumbnail =
        slidemill().arg("thumbnail").arg(slide).arg("-o").arg(&picture).args(["--size", "1280"]).output();
    assert!(thumbnail.expect("the command starts").status.success());
    dicom::Level::of_png(&picture)
}

/// A DICOM slide in one file.
fn dicom_slide(folder: &Path) -> PathBuf {
    let path = folder.join("slide.dcm");
    let names = dicom::Names { study: "1.2.7", series: "1.2.8", instance: "1.2.3.1", patient: "Miller^John" };
    fs::write(&path, level(folder).file(names)).expect("it can be written");
    path
}

/// How a push to `pacs` stands when it has ended.
fn wait_for_push(served: &Served, job: &str) -> Value {
    let push = || served.json(job)["pushes"]["pacs"].clone();
    wait_until(|| ["sent", "failed"].iter().any(|state| push()["state"] == *state));
    push()
}

#[test]
fn results_are_pushed_to_a_pacs_and_a_kill_in_the_midst_makes_no_other_object() {
    let folder = folder();
    let slide = dicom_slide(folder.path());
    let archive = pacs::Pacs::start(vec![pacs::Reply::Stores, pacs::Reply::Hangs, pacs::Reply::Stores]);
    let (data, targets) = (folder.path().join("data"), archive.targets(folder.path()));
    let options = ["--push-targets", targets.to_str().expect("a path")];
    let served = Served::start(&data, &options);
    let job = served.job(&slide);
    assert_eq!(served.wait_for_end(&job)["state"], "done");
    let (status, _, body) = served.ask(&format!("POST {job}/push?target=pacs"), &[], b"");
    assert_eq!(status, 202, "{}", String::from_utf8_lossy(&body));
    wait_until(|| archive.objects().len() == 2);
    served.kill();

    let served = Served::start(&data, &options);
    let push = wait_for_push(&served, &job);
    assert_eq!((&push["state"], &push["rounds"]), (&"sent".into(), &2.into()), "{push}");
    let sent = archive.objects();
    assert!(sent.len() == 3 && sent[1] == sent[2] && sent[0] != sent[1], "the same object, not another one");
    for object in &sent {
        let holds = |text: &str| object.windows(text.len()).any(|found| found == text.as_bytes());
        assert!(&object[128..132] == b"DICM" && holds("Miller^John") && holds("1.2.7") && holds("1.2.3.1"));
    }
    assert!(archive.heads().iter().all(|head| head.contains("authorization: basic c2vjcmv0")));
    assert_eq!(served.terminate(), Some(0));

    // The same slide as another job: to a PACS it is the same object.
    let served = Served::start(&folder.path().join("other"), &[options[0], options[1], "--push-to", "pacs"]);
    let job = served.job(&slide);
    assert_eq!(served.wait_for_end(&job)["state"], "done");
    let again = wait_for_push(&served, &job);
    for object in ["ann", "sr"] {
        assert_eq!(again["objects"][object]["instance_uid"], push["objects"][object]["instance_uid"]);
    }
}

#[test]
fn a_service_tells_another_which_kinds_of_objects_it_does_not_take() {
    let folder = folder();
    let slide = dicom_slide(folder.path());
    let archive = Served::start(&folder.path().join("archive"), &[]);
    let targets = folder.path().join("targets");
    fs::write(&targets, format!("pacs http://{}/v1/studies\n", archive.address)).expect("it can be written");
    let path = targets.to_str().expect("a path");
    let served = Served::start(&folder.path().join("data"), &["--push-targets", path, "--push-to", "pacs"]);
    let job = served.job(&slide);
    assert_eq!(served.wait_for_end(&job)["state"], "done");
    let push = wait_for_push(&served, &job);
    assert_eq!(push["state"], "failed");
    for object in ["ann", "sr"] {
        assert_eq!(push["objects"][object]["code"], "0122", "{push}");
    }

    for (line, name, said) in [
        ("pacs https://h/studies secret", "pacs", "line 1: the third word"),
        ("pacs https://h/studies", "other", "no target \"other\""),
    ] {
        fs::write(&targets, line).expect("it can be written");
        let mut command = slidemill();
        command.arg("serve").arg("--data").arg(folder.path().join("none"));
        let output = command.args(["--push-targets", path, "--push-to", name]).output();
        let output = output.expect("the command starts");
        let told = support::stderr(&output);
        assert!(output.status.code() == Some(64) && told.contains(said), "{told}");
        assert!(!told.contains("studies secret"), "{told}");
    }
}

#[test]
fn a_killed_service_loses_no_job_and_does_no_window_twice() {
    let folder = folder();
    let (slide, data) = (folder.path().join("slide.tif"), folder.path().join("data"));
    paint(&slide, 9, 900.0, 700.0);
    let expected = cells_of_a_run(&slide, folder.path());
    let slow = ["--sync-mpx", "0"];
    let served = Served::start(&data, &slow);
    let jobs = [served.job(&slide), served.job(&slide)];
    served.wait_for_windows();
    served.kill();

    let served = Served::start(&data, &slow);
    for job in &jobs {
        assert_eq!(served.wait_for_end(job)["state"], "done");
        assert!(served.parquet(job) == expected, "the same bytes as of a run that nobody killed");
    }
    let log = fs::read_to_string(data.join(jobs[0].trim_start_matches("/v1/")).join("events.jsonl"))
        .expect("events");
    let events: Vec<Value> = log.lines().map(|line| serde_json::from_str(line).expect("an event")).collect();
    let begun: Vec<u64> = events.iter().filter_map(|event| event["resumed"].as_u64()).collect();
    assert!(begun.len() == 2 && begun[1] > 0, "it went on from its ledger: {begun:?}");
    assert_eq!(fs::read_dir(data.join("jobs")).expect("jobs").count(), 2);
}

/// Where the cells of a report are. Their ids are those of their slide.
fn places(report: &Value) -> Vec<Value> {
    let findings = report["findings"].as_array().expect("findings");
    findings.iter().map(|finding| finding["location"].clone()).collect()
}

#[test]
fn a_dicom_picture_is_analysed_on_its_own_grid_a_frame_at_a_time() {
    let folder = folder();
    let level = level(folder.path());
    let names =
        || dicom::Names { study: "1.2.7", series: "1.2.8", instance: "1.2.3.1", patient: "Miller^John" };
    let [one, three, tampered] =
        ["one.dcm", "three.dcm", "tampered.dcm"].map(|name| folder.path().join(name));
    fs::write(&one, level.photograph(names(), 1)).expect("it can be written");
    fs::write(&three, level.photograph(names(), 3)).expect("it can be written");
    let mut lie = level.photograph(names(), 1);
    lie.truncate(lie.len() / 2);
    fs::write(&tampered, lie).expect("it can be written");
    let data = folder.path().join("data");
    let served = Served::start(&data, &[]);
    let report = |slide: &Path, query: &str| {
        let (status, _, body) = served.detect(slide, query, &[]);
        let text = String::from_utf8_lossy(&body).into_owned();
        (status, serde_json::from_slice::<Value>(&body).unwrap_or_else(|error| panic!("{error}: {text}")))
    };
    let cells = |report: &Value| report["counts"][0]["n"].as_u64();

    let (status, picture) = report(&folder.path().join("picture.png"), "?mpp=0.5");
    assert!(status == 200 && cells(&picture).is_some_and(|cells| cells > 100), "{picture}");
    let (status, found) = report(&one, "?mpp=0.5");
    assert!(status == 200 && found["counts"] == picture["counts"] && places(&found) == places(&picture));
    assert_eq!((&found["study_id"], &found["series_id"]), (&"1.2.7".into(), &"1.2.8".into()));
    let warns = |report: &Value, words: &str| report["warnings"].to_string().contains(words);
    assert!(warns(&found, "a DICOM picture and no whole slide"), "{found}");

    let (status, refused) = report(&one, "");
    let says =
        |problem: &Value, words: &str| problem["detail"].as_str().is_some_and(|said| said.contains(words));
    assert!(status == 422 && says(&refused, "option mpp") && says(&refused, "own_grid"), "{refused}");
    let (status, own) = report(&one, "?own_grid=true");
    assert_eq!((status, cells(&own)), (200, cells(&picture)), "the model was trained at 0.5 µm too: {own}");
    assert!(warns(&own, "analysed on its own grid, as asked") && own["frame"]["mpp"].is_null(), "{own}");
    assert!(own["counts"][0]["per_mm2"].is_null() && own["coverage"]["tissue_mm2"].is_null(), "{own}");
    // What is wrong with the options alone is said before the picture is read.
    let none = folder.path().join("none.dcm");
    fs::write(&none, "").expect("it can be written");
    for (query, words) in [("?own_grid=true&mpp=0.5", "either it or a scale"), ("?frame=0", "expected 1")] {
        let (status, refused) = report(&none, query);
        assert!(status == 422 && says(&refused, words), "{refused}");
    }

    let (status, refused) = report(&three, "?mpp=0.5");
    assert!(status == 422 && says(&refused, "3 frames") && says(&refused, "option frame"), "{refused}");
    let (status, last) = report(&three, "?mpp=0.5&frame=3");
    assert!(status == 200 && last["picture_frame"] == 3 && places(&last) == places(&picture));
    assert_ne!(last["slide_id"], report(&three, "?mpp=0.5&frame=1").1["slide_id"]);
    let (status, refused) = report(&three, "?mpp=0.5&frame=4");
    assert!(status == 422 && says(&refused, "frames are 1 to 3"), "{refused}");
    let (status, refused) = report(&tampered, "?mpp=0.5");
    assert!(status == 422 && says(&refused, "ends early, within its pixels"), "{refused}");

    // Nothing is made up for a PACS, and no name is kept.
    let job = served.job_of(&one, "?mpp=0.5");
    assert_eq!(served.wait_for_end(&job)["state"], "done");
    let (status, _, _) = served.ask(&format!("GET {job}/result"), &["Accept: application/dicom"], b"");
    assert_eq!(status, 406);
    assert_eq!(served.terminate(), Some(0));
    for entry in
        walkdir::WalkDir::new(&data).into_iter().flatten().filter(|entry| entry.file_type().is_file())
    {
        let text = String::from_utf8_lossy(&fs::read(entry.path()).expect("it can be read")).into_owned();
        assert!(!text.contains("Miller"), "{}", entry.path().display());
    }
}

/// Jobs that have ended, and how that is noted.
fn ended_jobs(data: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let jobs = fs::read_dir(data.join("jobs")).into_iter().flatten().flatten();
    let ends = jobs.map(|job| job.path().join("ended.json"));
    ends.filter_map(|end| fs::read(&end).ok().map(|noted| (end, noted))).collect()
}

/// `true` if windows of a job are at work.
fn is_one_at_work(data: &Path) -> bool {
    let jobs = fs::read_dir(data.join("jobs")).into_iter().flatten().flatten();
    let mut waiting = jobs.map(|job| job.path()).filter(|job| !job.join("ended.json").exists());
    waiting.any(|job| {
        let log = fs::read_to_string(job.join("events.jsonl")).unwrap_or_default();
        log.contains("slide_started") && !log.contains("slide_finished")
    })
}

/// A thousand jobs over twenty kills with `SLIDEMILL_LONG=1`.
#[test]
fn no_job_is_lost_and_none_done_twice_however_often_the_service_is_killed() {
    let (jobs, kills) = if times(1) > 1 { (1_000, 20) } else { (60, 5) };
    let folder = folder();
    let pictures = tiny_slides(folder.path(), 6, 40);
    let expected = pictures.iter().zip(["a", "b", "c", "d", "e", "f"]);
    let expected: Vec<Vec<u8>> =
        expected.map(|(picture, name)| cells_of_a_run(picture, &folder.path().join(name))).collect();
    let contents: Vec<Vec<u8>> =
        pictures.iter().map(|picture| fs::read(picture).expect("the picture is there")).collect();
    let data = folder.path().join("data");
    let start = || Served::start(&data, &["--max-queued", "2000"]);
    let head = |job: usize| [format!("Idempotency-Key: job {job}"), "Prefer: respond-async".to_owned()];
    let accepted = |served: &Served, job: usize| {
        let [key, prefer] = head(job);
        let head = ["Content-Type: image/tiff", &key, &prefer];
        let (status, _, body) = served.ask("POST /v1/detect", &head, &contents[job % contents.len()]);
        assert_eq!(status, 202, "{}", String::from_utf8_lossy(&body));
        let view: Value = serde_json::from_slice(&body).expect("a job");
        view["links"]["self"].as_str().expect("a place").to_owned()
    };

    let (mut dice, mut sent, mut in_the_midst) = (dice(), 0, 0);
    for round in 1..=kills {
        let served = start();
        let (before, until) = (ended_jobs(&data), jobs * round / kills);
        let ended = dice.random_range(0..=(until - before.len()).min(jobs / kills));
        while sent < until {
            accepted(&served, sent);
            sent += 1;
        }
        wait_until(|| ended_jobs(&data).len() >= before.len() + ended);
        // One more is on its way: whether it was taken nobody knows.
        let [key, prefer] = head(sent % jobs);
        let content = &contents[sent % jobs % contents.len()];
        let request = format!(
            "POST /v1/detect HTTP/1.1\r\nHost: {}\r\nContent-Type: image/tiff\r\n{key}\r\n{prefer}\r\nContent-Length: {}\r\n\r\n",
            served.address,
            content.len()
        );
        let mut stream = TcpStream::connect(&served.address).expect("it listens");
        let part = dice.random_range(1..=content.len());
        stream.write_all(&[request.as_bytes(), &content[..part]].concat()).expect("it reads");
        // In every other round while one is at work, else wherever the next one is by then.
        match round % 2 {
            0 => drop(is_reached(Duration::from_secs(5), || is_one_at_work(&data))),
            _ => pause(Duration::from_millis(dice.random_range(0..600))),
        }
        let noted = ended_jobs(&data);
        served.kill();
        let now = ended_jobs(&data);
        assert!(noted.iter().all(|(job, end)| now.get(job) == Some(end)));
        assert!(before.iter().all(|(job, end)| now.get(job) == Some(end)), "none ends twice");
        in_the_midst += sent - now.len();
    }

    let (served, noted) = (start(), ended_jobs(&data));
    let places: Vec<String> = (0..jobs).map(|job| accepted(&served, job)).collect();
    assert_eq!(places.iter().collect::<BTreeSet<_>>().len(), jobs, "a key stands for one job");
    let mut went_on = 0;
    for (job, place) in places.iter().enumerate() {
        assert_eq!(served.wait_for_end(place)["state"], "done");
        assert!(served.parquet(place) == expected[job % expected.len()], "as a run that nobody killed");
        let log = data.join(place.trim_start_matches("/v1/")).join("events.jsonl");
        let log = fs::read_to_string(log).expect("events");
        let of_kind = |kind: &str| log.lines().filter(|line| line.contains(&format!("\"{kind}\""))).count();
        assert!(of_kind("slide_finished") <= 1, "done once: {log}");
        went_on += usize::from(of_kind("slide_started") > 1);
    }
    assert_eq!(fs::read_dir(data.join("jobs")).expect("jobs").count(), jobs, "and no other");
    let now = ended_jobs(&data);
    assert!(noted.iter().all(|(job, end)| now.get(job) == Some(end)), "none ends twice");
    println!(
        "{jobs} jobs over {kills} kills, 0 lost, 0 done twice; {in_the_midst} times one waited or ran at a kill, {went_on} were at work at one and begun again"
    );
}

#[test]
fn a_service_that_is_asked_to_stop_says_that_jobs_remain() {
    let folder = folder();
    let (slide, data) = (folder.path().join("slide.tif"), folder.path().join("data"));
    paint(&slide, 9, 900.0, 700.0);
    let served = Served::start(&data, &["--sync-mpx", "0"]);
    let job = served.job(&slide);
    served.job(&slide);
    served.wait_for_windows();
    assert_eq!(served.terminate(), Some(75));
    let served = Served::start(&data, &["--sync-mpx", "0"]);
    assert_eq!(served.wait_for_end(&job)["state"], "done");
}

#[test]
fn a_worker_that_dies_costs_nothing_but_time_and_strangers_files_cost_themselves() {
    let folder = folder();
    let (slide, bad) = (folder.path().join("slide.tif"), folder.path().join("bad.tif"));
    paint(&slide, 9, 900.0, 700.0);
    let served = Served::start(&folder.path().join("data"), &["--sync-mpx", "0"]);
    let job = served.job(&slide);
    served.wait_for_windows();
    served.workers().into_iter().for_each(|worker| {
        let _ = Command::new("kill").args(["-9", &worker.to_string()]).status();
    });
    assert_eq!(served.wait_for_end(&job)["state"], "done");

    let content = fs::read(&slide).expect("the slide is there");
    for (content, said) in
        [(&content[..200], "cannot be opened"), (b"GIF89a, and no slide", "cannot be opened")]
    {
        fs::write(&bad, content).expect("it can be written");
        let (status, head, body) = served.detect(&bad, "", &[]);
        let body = String::from_utf8_lossy(&body).into_owned();
        assert!(status == 422 && body.contains(said), "{status}: {body}");
        assert!(head.contains("application/problem+json") && !body.contains("/upload/"), "{body}");
    }
}

#[test]
fn another_address_than_loopback_needs_tokens() {
    let folder = folder();
    let output =
        slidemill().arg("serve").arg("--data").arg(folder.path()).args(["--listen", "0.0.0.0:0"]).output();
    let output = output.expect("the command starts");
    assert_eq!(output.status.code(), Some(64));
    assert!(support::stderr(&output).contains("--token-file"), "{}", support::stderr(&output));
}

/// Blocks of shell in a part of a page.
fn shell_blocks(page: &str, heading: &str) -> Vec<String> {
    let part = page.split(heading).nth(1).expect("the heading").split("\n## ").next().unwrap_or_default();
    part.split("```sh\n").skip(1).filter_map(|block| block.split("```").next()).map(str::to_owned).collect()
}

#[test]
fn the_session_of_the_docs_works_as_written() {
    if Command::new("curl").arg("--version").output().is_err() {
        eprintln!("SKIPPED: curl is absent");
        return;
    }
    let folder = folder();
    let slides = folder.path().join("slides");
    fs::create_dir(&slides).expect("a folder");
    small_slide(&slides.join("case-7.svs"), 5);
    fs::copy(slides.join("case-7.svs"), folder.path().join("slide.tif")).expect("a copy");
    let [slide, field] = ["slide.tif", "field.png"].map(|name| folder.path().join(name));
    let thumbnail =
        slidemill().arg("thumbnail").arg(slide).arg("-o").arg(field).args(["--size", "1280"]).output();
    assert!(thumbnail.expect("the command starts").status.success());

    let root = slides.display().to_string();
    let served = Served::start(&folder.path().join("data"), &["--allow-root", &root]);
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/service.md");
    let page = fs::read_to_string(page).expect("the page is there");
    let session = shell_blocks(&page, "## A session").join("\n");
    assert!(session.contains("/v1/detect") && session.contains("/v1/jobs"));
    let session = session.replace("127.0.0.1:8750", &served.address).replace("/slides/", &format!("{root}/"));
    let output = Command::new("sh").arg("-euc").arg(&session).current_dir(folder.path()).output();
    let output = output.expect("a shell");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    assert!(said.contains("event: end") && said.contains("\"state\":"), "{said}");
    let read = |name: &str| fs::read(folder.path().join(name)).expect("the session wrote it");
    for report in ["report.json", "slide.json"] {
        let report: Value = serde_json::from_slice(&read(report)).expect("a report");
        assert!(report["counts"][0]["n"].as_u64().is_some_and(|cells| cells > 100), "{report}");
    }
    assert!(read("slide.parquet").starts_with(b"PAR1"));
    assert_eq!(&read("slide-sr.dcm")[128..132], b"DICM");
}

/// The command that tests answers against `openapi.json`, where it is installed.
fn schemathesis() -> Option<PathBuf> {
    let named = std::env::var_os("SLIDEMILL_TEST_SCHEMATHESIS").map(PathBuf::from);
    let made = Path::new(env!("CARGO_MANIFEST_DIR")).join(".venv-test/bin/schemathesis");
    let found = named.or_else(|| made.exists().then_some(made));
    if found.is_none() {
        eprintln!("SKIPPED: schemathesis is absent; SLIDEMILL_TEST_SCHEMATHESIS says where it is");
    }
    found
}

#[test]
fn answers_are_as_the_description_says() {
    let Some(schemathesis) = schemathesis() else { return };
    let folder = folder();
    let served = Served::start(&folder.path().join("data"), &[]);
    wait_until(|| served.ask("GET /readyz", &[], b"").0 == 200);
    let output = Command::new(schemathesis)
        .args(["run", "--max-examples", "20", "--seed", "1", "--no-color"])
        // Bytes of any kind fit the schema of an upload, and are no slide.
        .args(["--exclude-checks", "positive_data_acceptance"])
        // It cannot write multipart/related; the tests of the service check these answers.
        .args(["--exclude-path", "/v1/studies"])
        .arg(format!("http://{}/openapi.json", served.address))
        .current_dir(folder.path())
        .output()
        .expect("schemathesis starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}

//! The service over real connections; jobs follow a script.

#![allow(clippy::unwrap_used, reason = "these are tests")]

mod support;

use std::{
    collections::BTreeMap,
    fs,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::Shutdown,
    sync::atomic::Ordering,
    time::Duration,
};

use serde_json::{Value, json};
use service::{OPENAPI, Roots, Settings, Tokens};
use sha2::{Digest as _, Sha256};
use support::{Answer, Served};

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

#[test]
fn a_small_picture_is_answered_at_once() {
    let folder = folder();
    let served = Served::start(folder.path());
    let answer = served.detect(&[], b"small picture");
    assert_eq!(answer.status, 200, "{}", answer.text());
    let report = answer.json();
    assert_eq!(report["counts"], json!([{"class": "nucleus", "n": 3, "per_mm2": 12.0}]));
    assert_eq!(report["findings"].as_array().unwrap().len(), 3);
    let first = &report["findings"][0];
    assert_eq!(first["location"], json!({"x": 10.0, "y": 20.0, "width": 20.0, "height": 10.0}));
    assert_eq!((&first["category_name"], &first["confidence"]), (&json!("nucleus"), &json!(0.75)));
    assert_eq!((&report["state"], &report["not_a_medical_device"]), (&json!("done"), &json!(true)));
    assert_eq!(report["inference_time_ms"], 1500);

    let result = &answer.head["content-location"];
    assert_eq!(served.get(result).json(), report);
    let id = result.split('/').nth(3).unwrap();
    assert!(!served.data.join("jobs").join(id).join("upload").exists(), "what was sent is erased");
    assert_eq!(served.ask(&format!("DELETE /v1/jobs/{id}"), &[], b"").status, 204);
    served.get(result).problem(404);
    assert_eq!(served.entries("jobs"), 0);
}

#[test]
fn results_come_in_the_format_that_is_asked_for() {
    let folder = folder();
    let served = Served::start(folder.path());
    let answer = served.detect(&["Accept: application/vnd.apache.parquet"], b"small");
    assert_eq!(answer.head["content-type"], "application/vnd.apache.parquet");
    assert!(answer.body.starts_with(b"PAR1") && answer.body.ends_with(b"PAR1"));
    let result = &answer.head["content-location"];
    for (accept, query, content) in [
        ("application/geo+json", "", "GeoJson"),
        ("application/zip", "", "QuPath"),
        ("application/dicom", "", "DicomAnn"),
        ("application/dicom", "?object=sr", "DicomSr"),
    ] {
        let answer = served.ask(&format!("GET {result}{query}"), &[&format!("Accept: {accept}")], b"");
        assert_eq!((answer.head["content-type"].as_str(), answer.text().as_str()), (accept, content));
    }
    let refused = served.ask(&format!("GET {result}"), &["Accept: text/html"], b"").problem(406);
    assert!(refused.contains("application/geo+json"), "{refused}");
    assert!(served.get(&format!("{result}?objekt=sr")).problem(400).contains("objekt"));
    served.detect(&["Accept: text/html"], b"small").problem(406);
}

#[test]
fn more_findings_than_wanted_are_left_out_and_said_where() {
    let folder = folder();
    let served = Served::with(Settings { max_findings: 2, ..Settings::local(folder.path()) });
    let answer = served.detect(&[], b"small");
    let report = answer.json();
    assert!(report.get("findings").is_none());
    assert_eq!(report["findings_url"], answer.head["content-location"]);
    assert_eq!(report["counts"][0]["n"], 3);
}

#[test]
fn a_large_slide_becomes_a_job_with_a_place_and_results_so_far() {
    let folder = folder();
    let served = Served::start(folder.path());
    let answer = served.detect(&[], b"large slide");
    assert_eq!(answer.status, 202);
    let first = &answer.head["location"];
    assert_eq!(answer.json()["links"]["self"], *first);
    served.wait_for(first, "running");
    let second = served.detect(&[], b"large slide, the second").head["location"].clone();
    assert_eq!(served.get(&second).json()["place"], 0);
    // A small picture waits behind none of them.
    assert_eq!(served.detect(&[], b"small").status, 200);

    let view = served.get(first).json();
    assert_eq!(view["windows"], json!({"done": 1, "total": 2, "failed": 0}));
    let not_yet = served.get(&format!("{first}/result"));
    assert!(not_yet.problem(409).contains("?partial=true"));
    assert!(not_yet.head["retry-after"].parse::<u64>().unwrap() >= 1);
    let so_far = served.get(&format!("{first}/result?partial=true")).json();
    assert_eq!((&so_far["state"], &so_far["counts"][0]["n"]), (&json!("running"), &json!(1)));
    served.ask(&format!("GET {first}/result?partial=true"), &["Accept: application/zip"], b"").problem(406);

    served.script.release();
    let ended = served.wait_for(first, "done");
    assert!(ended["ended"].is_string() && ended.get("place").is_none());
    assert_eq!(served.get(&format!("{first}/result")).json()["state"], "done");
    assert_eq!(served.ask(&format!("DELETE {second}"), &[], b"").status, 204);
}

/// Kinds and numbers of the events that come until the stream ends.
fn events(answer: &Answer) -> Vec<(String, Option<u64>)> {
    let text = answer.text();
    let blocks = text.split("\n\n").filter(|block| block.contains("data:"));
    let field = |block: &str, name: &str| {
        block.lines().find_map(|line| line.strip_prefix(name)).map(|value| value.trim().to_owned())
    };
    blocks
        .map(|block| {
            (field(block, "event:").unwrap(), field(block, "id:").map(|number| number.parse().unwrap()))
        })
        .collect()
}

#[test]
fn events_come_as_they_happen_and_go_on_where_they_were_even_after_a_restart() {
    let folder = folder();
    let served = Served::start(folder.path());
    let place = served.detect(&[], b"large slide").head["location"].clone();
    served.wait_for(&place, "running");
    let mut stream = served.connect();
    let request =
        format!("GET {place}/events HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", served.address);
    stream.write_all(request.as_bytes()).unwrap();
    let mut lines = BufReader::new(stream.try_clone().unwrap()).lines().map_while(Result::ok);
    // While it runs, what happened is there already.
    assert!(lines.any(|line| line == "event: windows"));
    served.script.release();
    assert!(lines.any(|line| line == "event: end"));

    let all = events(&served.get(&format!("{place}/events")));
    let names: Vec<&str> = all.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["slide_started", "windows", "slide_finished", "end"]);
    assert_eq!(all.iter().map(|(_, number)| *number).collect::<Vec<_>>(), [Some(1), Some(2), Some(3), None]);
    assert_eq!(served.stop(), 0);

    let served = Served::start(folder.path());
    let rest = served.ask(&format!("GET {place}/events"), &["Last-Event-ID: 2"], b"");
    assert_eq!(rest.head["content-type"], "text/event-stream");
    assert_eq!(events(&rest), [("slide_finished".to_owned(), Some(3)), ("end".to_owned(), None)]);
}

#[test]
fn a_client_may_rather_have_a_job() {
    let folder = folder();
    let served = Served::start(folder.path());
    let answer = served.detect(&["Prefer: wait=5, respond-async"], b"small");
    assert_eq!(answer.status, 202);
    served.wait_for(&answer.head["location"], "done");
}

fn form(fields: &[(&str, &str)]) -> Vec<u8> {
    let parts = fields.iter().map(|(name, content)| {
        format!("--b\r\nContent-Disposition: form-data; name=\"{name}\"; filename=\"Miller John.png\"\r\n\r\n{content}\r\n")
    });
    format!("{}--b--\r\n", parts.collect::<String>()).into_bytes()
}

#[test]
fn forms_are_taken_and_no_name_of_a_file_is_kept() {
    let folder = folder();
    let served = Served::start(folder.path());
    let send = |fields: &[(&str, &str)]| {
        let head = ["Content-Type: multipart/form-data; boundary=b", "Prefer: respond-async"];
        served.ask("POST /v1/detect", &head, &form(fields))
    };
    let answer = send(&[("file", "large slide"), ("options", r#"{"model": "second", "mpp": 0.25}"#)]);
    assert_eq!(answer.status, 202, "{}", answer.text());
    for (fields, status, said) in [
        (vec![("options", "{}")], 400, "no field `file`"),
        (vec![("file", "small"), ("comment", "x")], 400, "comment"),
        (vec![("file", "small"), ("options", r#"{"mmp": 1}"#)], 400, "mmp"),
        (vec![("file", "small"), ("options", r#"{"mpp": 0}"#)], 422, "mpp is 0"),
        (vec![("file", "small"), ("options", r#"{"model": "third"}"#)], 422, "known are first, second"),
        (vec![("file", "")], 400, "no bytes"),
    ] {
        let refused = send(&fields).problem(status);
        assert!(refused.contains(said), "{refused}");
    }
    assert_eq!((served.entries("jobs"), served.entries("incoming")), (1, 0));
    let metrics = served.get("/metrics").text();
    assert!(metrics.contains("slidemill_jobs{state=\"queued\"}"), "{metrics}");
    let mut kept = vec![metrics];
    for entry in walk(folder.path()) {
        kept.push(entry.display().to_string());
        kept.push(String::from_utf8_lossy(&fs::read(entry).unwrap()).into_owned());
    }
    assert!(kept.len() > 4 && kept.iter().all(|text| !text.contains("Miller")));
}

fn walk(folder: &std::path::Path) -> Vec<std::path::PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { files.extend(walk(&path)) } else { files.push(path) }
    }
    files
}

#[test]
fn what_cannot_be_used_is_refused_in_words() {
    let folder = folder();
    let served = Served::start(folder.path());
    assert_eq!(served.detect(&[], b"bad").problem(422), "this is no slide");
    assert!(
        served
            .ask("POST /v1/detect?mpp=x", &["Content-Type: image/png"], b"small")
            .problem(400)
            .contains("mpp")
    );
    assert!(
        served.ask("POST /v1/detect", &["Content-Type: text/plain"], b"x").problem(415).contains("image/png")
    );
    served.ask("POST /v1/detect", &["Content-Type: multipart/form-data; boundary=b"], b"junk").problem(400);
    served.get("/v2").problem(404);
    served.get("/v1/jobs/..%2f..%2fetc%2fpasswd").problem(404);
    served.get("/v1/jobs/01KB0F4Q3W8Z1V5N6C7D8E9F0G").problem(404);
    let refused = served.ask("PUT /v1/detect", &[], b"x");
    refused.problem(405);
    assert_eq!(refused.head["allow"], "POST");
    let answer = served.detect(&[], b"panic");
    assert!(answer.problem(422).contains("internal error"), "one job fails, the service goes on");
    assert_eq!(served.detect(&[], b"small").status, 200);
    assert_eq!(served.entries("incoming"), 0);
}

#[test]
fn a_full_queue_turns_away_and_says_when_to_come_again() {
    let folder = folder();
    let served = Served::with(Settings { max_queued: 2, ..Settings::local(folder.path()) });
    let first = served.detect(&[], b"large 1").head["location"].clone();
    served.wait_for(&first, "running");
    for slide in [b"large 2", b"large 3"] {
        assert_eq!(served.detect(&[], slide).status, 202);
    }
    let full = served.detect(&[], b"large 4");
    assert!(full.problem(429).contains("2 jobs wait"));
    let secs: u64 = full.head["retry-after"].parse().unwrap();
    assert!((1..=3600).contains(&secs) && full.json()["retry_after_s"] == secs);
    assert_eq!(served.entries("jobs"), 3);
}

#[test]
fn uploads_at_once_are_bounded() {
    let folder = folder();
    let served = Served::with(Settings { max_uploads: 1, ..Settings::local(folder.path()) });
    let mut slow = served.connect();
    let head = format!(
        "POST /v1/detect HTTP/1.1\r\nHost: {}\r\nContent-Type: image/png\r\nContent-Length: 5\r\nConnection: close\r\n\r\nsm",
        served.address
    );
    slow.write_all(head.as_bytes()).unwrap();
    let (_keep, never) = std::sync::mpsc::channel::<()>();
    while served.entries("incoming") == 0 {
        let _ = never.recv_timeout(Duration::from_millis(1));
    }
    let refused = served.detect(&[], b"small");
    assert!(refused.problem(503).contains("1 uploads") && refused.head["retry-after"] == "5");
    slow.write_all(b"all").unwrap();
    assert_eq!(Answer::read(slow).status, 200);
}

#[test]
fn what_is_too_large_is_refused_whatever_it_says_of_itself() {
    let folder = folder();
    let served = Served::with(Settings { max_upload: 1000, ..Settings::local(folder.path()) });
    let honest = served.detect(&[], &[b's'; 200_000]);
    assert!(honest.problem(413).contains("1000 bytes"));
    let waits = ["Content-Type: image/png", "Expect: 100-continue", "Content-Length: 99999999999"];
    served.ask("POST /v1/detect", &waits, b"").problem(413);
    // In chunks nobody says how much will come.
    let chunks = format!("{:x}\r\n{}\r\n", 600, "s".repeat(600)).repeat(2) + "0\r\n\r\n";
    let mut stream = served.connect();
    let head = format!(
        "POST /v1/detect HTTP/1.1\r\nHost: {}\r\nContent-Type: image/png\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n",
        served.address
    );
    stream.write_all([head, chunks].concat().as_bytes()).unwrap();
    Answer::read(stream).problem(413);
    assert_eq!((served.entries("jobs"), served.entries("incoming")), (0, 0));
}

#[test]
fn a_length_that_lies_makes_no_job() {
    let folder = folder();
    let served = Served::start(folder.path());
    let mut stream = served.connect();
    let head = format!(
        "POST /v1/detect HTTP/1.1\r\nHost: {}\r\nContent-Type: image/png\r\nContent-Length: 5000\r\n\r\nsmall",
        served.address
    );
    stream.write_all(head.as_bytes()).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    assert!(!answer.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&answer));
    assert_eq!(served.stop(), 0);
    let served = Served::start(folder.path());
    assert_eq!((served.entries("jobs"), served.entries("incoming")), (0, 0));
}

#[test]
fn a_connection_that_drips_is_closed() {
    let folder = folder();
    let patience = Duration::from_millis(200);
    let served = Served::with(Settings { patience, ..Settings::local(folder.path()) });
    // A head that never ends.
    let mut head = served.connect();
    head.write_all(b"POST /v1/detect HTTP/1.1\r\nHost:").unwrap();
    // A body that never ends.
    let mut body = served.connect();
    let text = format!(
        "POST /v1/detect HTTP/1.1\r\nHost: {}\r\nContent-Type: image/png\r\nContent-Length: 50\r\nConnection: close\r\n\r\ns",
        served.address
    );
    body.write_all(text.as_bytes()).unwrap();
    Answer::read(body).problem(408);
    // Until the other side closes: otherwise this never ends.
    let _ = head.read_to_end(&mut Vec::new());
    assert_eq!(served.entries("incoming"), 0);
}

const SLIDE: &str = "1.2.840.10008.5.1.4.1.1.77.1.6";

/// The answer to DICOM instances that are sent.
fn stow(served: &Served, query: &str, head: &[&str], parts: &[&str]) -> Answer {
    let part = |content: &&str| format!("\r\n--xyz\r\nContent-Type: application/dicom\r\n\r\n{content}");
    let body: String = parts.iter().map(part).chain(["\r\n--xyz--".to_owned()]).collect();
    let kind = "Content-Type: multipart/related; type=\"application/dicom\"; boundary=xyz";
    let head = [&[kind], head].concat();
    served.ask(&format!("POST /v1/studies{query}"), &head, body.as_bytes())
}

fn instance(uid: &str, series: &str) -> String {
    format!("DICM {SLIDE} {uid} {series}")
}

/// Instances that were stored, those that failed with their reasons, and the reasons of the rest.
fn stored(answer: &Answer) -> (Vec<String>, Vec<(String, u64)>, Vec<u64>) {
    assert_eq!(answer.head["content-type"], "application/dicom+json", "{}", answer.text());
    let told = answer.json();
    let items = |tag: &str| told[tag]["Value"].as_array().cloned().unwrap_or_default();
    let uid = |item: &Value| item["00081155"]["Value"][0].as_str().unwrap().to_owned();
    let reason = |item: &Value| item["00081197"]["Value"][0].as_u64().unwrap();
    (
        items("00081199").iter().map(uid).collect(),
        items("00081198").iter().map(|item| (uid(item), reason(item))).collect(),
        items("0008119A").iter().map(reason).collect(),
    )
}

#[test]
fn instances_of_a_series_become_a_job_when_no_more_come() {
    let folder = folder();
    let settings = Settings { stow_quiet: Duration::from_secs(600), ..Settings::local(folder.path()) };
    let served = Served::with(settings.clone());
    let [one, two, three] = ["1.1", "1.2", "1.3"].map(|uid| instance(uid, "9.1"));
    let first = stow(&served, "", &[], &[&one, &two]);
    assert_eq!((first.status, stored(&first)), (200, (vec!["1.1".into(), "1.2".into()], vec![], vec![])));
    let place = first.head["location"].clone();
    assert_eq!(first.head["link"], format!("<{place}>; rel=\"item\""));
    assert_eq!(served.get(&place).json()["state"], "gathering");
    served.get(&format!("{place}/result")).problem(409);
    assert_eq!(served.stop(), 1, "it is to be gone on with");

    // After a restart, sent in part again.
    let served = Served::with(settings.clone());
    assert_eq!(served.get(&place).json()["state"], "gathering");
    let again = stow(&served, "", &[], &[&two, &three]);
    assert_eq!((again.status, &again.head["location"]), (200, &place));
    served.stop();
    let served = Served::with(Settings { stow_quiet: Duration::ZERO, ..settings });
    let done = served.wait_for(&place, "done");
    assert_eq!(done["lane"], "small");
    let late = stow(&served, "", &[], &[&three, &instance("1.4", "9.1")]);
    assert_eq!(
        (late.status, stored(&late)),
        (202, (vec!["1.3".into()], vec![("1.4".into(), 0x110)], vec![]))
    );
    assert_eq!(served.script.runs.load(Ordering::Relaxed), 1);
    assert_eq!(served.entries("incoming"), 0);
    assert_eq!(served.ask(&format!("DELETE {place}"), &[], b"").status, 204);
    let anew = stow(&served, "", &[], &[&instance("1.4", "9.1")]);
    assert_ne!(anew.head["location"], place);
}

#[test]
fn each_series_has_its_job_and_what_is_not_taken_says_why() {
    let folder = folder();
    let served = Served::start(folder.path());
    let ct = "DICM 1.2.840.10008.5.1.4.1.1.2 5.5 9.3";
    let parts = [&instance("1.1", "9.1"), ct, "no DICOM", &instance("2.1", "9.2"), ""];
    let answer = stow(&served, "?model=second", &[], &parts);
    let expected = (vec!["1.1".into(), "2.1".into()], vec![("5.5".into(), 0x122)], vec![0xc000, 0xc000]);
    assert_eq!((answer.status, stored(&answer)), (202, expected));
    assert_eq!(answer.head["link"].split(", ").count(), 2);
    assert!(!answer.head.contains_key("location"));
    assert_eq!(answer.json()["00081190"], json!({"vr": "UR"}));
    assert_eq!(stored(&stow(&served, "", &[], &[ct])), (vec![], vec![("5.5".into(), 0x122)], vec![]));
    assert_eq!(stow(&served, "", &[], &[ct]).status, 409);
    for path in walk(&served.data) {
        assert!(!path.display().to_string().contains("1.1"), "{}", path.display());
    }

    stow(&served, "?model=third", &[], &[ct]).problem(422);
    stow(&served, "", &["Accept: text/html"], &[ct]).problem(406);
    assert_eq!(stow(&served, "", &["Accept: application/dicom+json"], &[ct]).status, 409);
    assert!(stow(&served, "", &[], &[]).problem(400).contains("no part"));
    for kind in ["application/dicom", "multipart/related; type=\"application/dicom+json\"; boundary=xyz"] {
        served.ask("POST /v1/studies", &[&format!("Content-Type: {kind}")], b"--xyz--").problem(415);
    }
    let related = "Content-Type: multipart/related; type=\"application/dicom\"; boundary=xyz";
    served.ask("POST /v1/studies", &[related], b"--xyz\r\n\r\ncut").problem(400);
    assert_eq!(served.entries("incoming"), 0);
}

#[test]
fn instances_that_are_too_many_or_too_large_are_refused() {
    let folder = folder();
    let served = Served::with(Settings { max_upload: 80, max_queued: 1, ..Settings::local(folder.path()) });
    let [one, two] = ["1.1", "1.2"].map(|uid| instance(uid, "9.1"));
    let answer = stow(&served, "", &[], &[&one, &two]);
    assert_eq!(
        (answer.status, stored(&answer)),
        (202, (vec!["1.1".into()], vec![("1.2".into(), 0xa700)], vec![]))
    );
    let other = stow(&served, "", &[], &[&instance("2.1", "9.2")]);
    assert_eq!((other.status, stored(&other).1), (409, vec![("2.1".into(), 0xa700)]), "the queue is full");
    let large = "x".repeat(70_000);
    stow(&served, "", &[], &[&large]).problem(413);
    assert_eq!(served.entries("incoming"), 0);
}

fn tokens(folder: &std::path::Path) -> Tokens {
    let line = |name: &str, role: &str| {
        format!("{name} {role} {}\n", dataset::hex(&Sha256::digest(format!("{name}-secret"))))
    };
    let text =
        [line("viewer", "read"), line("lab", "run"), line("other", "run"), line("boss", "admin")].concat();
    fs::write(folder.join("tokens"), text).unwrap();
    Tokens::read(&folder.join("tokens")).unwrap()
}

#[test]
fn tokens_say_who_may_do_what() {
    let (folder, apart) = (folder(), folder());
    let tokens = Some(tokens(apart.path()));
    let served = Served::with(Settings { tokens, ..Settings::local(folder.path()) });
    let ask = |request: &str, name: &str, body: &[u8]| {
        let token = format!("Authorization: Bearer {name}-secret");
        served.ask(request, &[&token, "Content-Type: image/png"], body)
    };
    for open in ["/healthz", "/readyz", "/openapi.json"] {
        assert_eq!(served.get(open).status, 200, "{open}");
    }
    let none = served.get("/v1/models");
    let none_said = none.problem(401);
    assert_eq!(none.head["www-authenticate"], "Bearer");
    let guesses =
        ["Bearer ", "Bearer lab", "Bearer lab-secret2", "bearer LAB-SECRET", "Basic bGFiLXNlY3JldA=="];
    for guess in guesses {
        let refused = served.ask("GET /v1/models", &[&format!("Authorization: {guess}")], b"");
        assert_eq!(refused.problem(401), none_said, "a guess learns nothing: {guess}");
    }
    assert_eq!(ask("GET /v1/models", "viewer", b"").json()["models"].as_array().unwrap().len(), 2);
    for route in ["POST /v1/detect", "POST /v1/studies"] {
        assert!(ask(route, "viewer", b"small").problem(403).contains("expected run"));
    }
    let result = ask("POST /v1/detect", "lab", b"small").head["content-location"].clone();
    let job = result.trim_end_matches("/result").to_owned();
    assert_eq!(ask(&format!("GET {result}"), "viewer", b"").status, 200);
    ask(&format!("DELETE {job}"), "viewer", b"").problem(403);
    ask(&format!("DELETE {job}"), "other", b"").problem(403);
    assert_eq!(ask(&format!("DELETE {job}"), "boss", b"").status, 204);

    let audit: Vec<String> =
        walk(&folder.path().join("audit")).iter().map(|path| fs::read_to_string(path).unwrap()).collect();
    let lines: Vec<Value> = audit.concat().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(!audit.concat().contains("secret"));
    let of_lab = lines.iter().find(|line| line["who"] == "lab").unwrap();
    assert_eq!(
        (&of_lab["route"], &of_lab["status"], &of_lab["request_bytes"]),
        (&json!("/v1/detect"), &json!(200), &json!(5))
    );
    assert!(job.ends_with(of_lab["job"].as_str().unwrap()) && of_lab["from"] == "127.0.0.1");
    assert_eq!(lines.iter().filter(|line| line["status"] == 401).count(), 1 + guesses.len());
}

#[test]
fn without_tokens_only_programs_of_this_machine_are_answered() {
    let folder = folder();
    let served = Served::start(folder.path());
    let mut stream = served.connect();
    stream.write_all(b"GET /v1/models HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n").unwrap();
    Answer::read(stream).problem(421);
    served
        .ask("POST /v1/detect", &["Origin: https://evil.example", "Content-Type: image/png"], b"s")
        .problem(403);
    let own = format!("Origin: http://{}", served.address);
    assert_eq!(served.ask("GET /v1/models", &[&own], b"").status, 200);
}

#[test]
#[cfg(unix)]
fn slides_are_named_by_path_only_under_allowed_folders() {
    let (folder, slides) = (folder(), folder());
    let root = slides.path().join("slides");
    let beside = slides.path().join("beside");
    for folder in [&root, &beside] {
        fs::create_dir(folder).unwrap();
        fs::write(folder.join("a.svs"), "large slide").unwrap();
    }
    std::os::unix::fs::symlink(&beside, root.join("link")).unwrap();
    let roots = Roots::new(std::slice::from_ref(&root)).unwrap();
    let served = Served::with(Settings { roots, ..Settings::local(folder.path()) });
    let post = |body: Value| {
        served.ask("POST /v1/jobs", &["Content-Type: application/json"], body.to_string().as_bytes())
    };
    let by_path = |path: &str| post(json!({"source": {"path": path}}));
    let good = root.join("a.svs");
    let answer = by_path(&good.display().to_string());
    assert_eq!(answer.status, 202, "{}", answer.text());
    served.wait_for(&answer.head["location"], "running");
    served.script.release();
    served.wait_for(&answer.head["location"], "done");
    assert!(good.exists(), "it is not ours to erase");

    let outside =
        [beside.join("a.svs"), root.join("../beside/a.svs"), root.join("link/a.svs"), root.join("missing")];
    let said: Vec<String> =
        outside.iter().map(|path| by_path(&path.display().to_string()).problem(404)).collect();
    assert!(said.windows(2).all(|two| two[0] == two[1]), "what is there and what is not look alike");
    by_path("a.svs").problem(404);
    by_path("/etc/passwd").problem(404);
    assert!(post(json!({"source": {"url": "http://169.254.169.254/"}})).problem(400).contains("url"));
    post(json!([])).problem(400);
    served.ask("POST /v1/jobs", &["Content-Type: text/plain"], b"{}").problem(415);
}

#[test]
fn by_path_nothing_is_allowed_unless_the_operator_says_so() {
    let folder = folder();
    let served = Served::start(folder.path());
    let body = br#"{"source": {"path": "/etc/passwd"}}"#;
    let refused = served.ask("POST /v1/jobs", &["Content-Type: application/json"], body).problem(403);
    assert!(refused.contains("--allow-root"), "{refused}");
}

#[test]
fn an_idempotency_key_stands_for_one_job() {
    let folder = folder();
    let served = Served::start(folder.path());
    let send = |key: &str, content: &[u8]| {
        served.detect(&[&format!("Idempotency-Key: {key}"), "Prefer: respond-async"], content)
    };
    let first = send("a", b"large slide").head["location"].clone();
    assert_eq!(send("a", b"large slide").head["location"], first);
    assert!(send("a", b"large slide, another").problem(422).contains("idempotency-key"));
    assert_ne!(send("b", b"large slide").head["location"], first);
    assert_eq!(served.entries("jobs"), 2);
    assert_eq!(served.stop(), 2);
    let served = Served::start(folder.path());
    let again = served.detect(&["Idempotency-Key: a", "Prefer: respond-async"], b"large slide");
    assert_eq!(again.head["location"], first, "a restart forgets none");
}

#[test]
fn a_service_that_stops_keeps_its_jobs_and_the_next_goes_on() {
    let folder = folder();
    let served = Served::start(folder.path());
    let places = [b"large 1", b"large 2"].map(|slide| served.detect(&[], slide).head["location"].clone());
    served.wait_for(&places[0], "running");
    assert_eq!(served.stop(), 2);
    let served = Served::start(folder.path());
    for place in &places {
        served.script.release();
        served.wait_for(place, "done");
    }
    assert_eq!(served.script.runs.load(Ordering::Relaxed), 2);
    assert_eq!(served.stop(), 0);
}

/// Every path and method that `openapi.json` names is there, and it names all that are there.
#[test]
fn the_description_names_every_path_and_method() {
    let folder = folder();
    let served = Served::start(folder.path());
    let api: Value = serde_json::from_str(OPENAPI).unwrap();
    assert_eq!(served.get("/openapi.json").json(), api);
    assert_eq!(api["openapi"], "3.1.0");
    let paths: BTreeMap<String, Value> = serde_json::from_value(api["paths"].clone()).unwrap();
    for (path, methods) in &paths {
        let concrete = path.replace("{id}", "01KB0F4Q3W8Z1V5N6C7D8E9F0G");
        // A method that no path takes tells which it takes.
        let allowed = served.ask(&format!("PATCH {concrete}"), &[], b"");
        allowed.problem(405);
        let allowed: Vec<String> = allowed.head["allow"]
            .split(',')
            .map(str::to_lowercase)
            .filter(|method| method != "head")
            .collect();
        let described: Vec<String> = methods.as_object().unwrap().keys().cloned().collect();
        let sorted = |mut methods: Vec<String>| {
            methods.sort();
            methods
        };
        assert_eq!(sorted(allowed), sorted(described), "{path}");
    }
    let router = include_str!("../src/http/mod.rs");
    assert_eq!(router.matches(".route(\"").count(), paths.len());
}

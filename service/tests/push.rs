//! Results to a PACS that answers as a script says.

#![allow(clippy::unwrap_used, reason = "these are tests")]

mod support;

use std::{fs, path::Path, time::Duration};

use serde_json::{Value, json};
use service::{Settings, Targets};
use support::{
    Served,
    pacs::{Pacs, Reply, item},
};

const STORED: &str = "00081199";
const FAILED: &str = "00081198";
const WARNING: &str = "00081196";
const FAILURE: &str = "00081197";

/// A job of a DICOM slide of the study 1.5 that is done.
fn done(served: &Served) -> String {
    let answer = served.detect(&[], b"dicom 1.5");
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.head["content-location"].trim_end_matches("/result").to_owned()
}

fn push(served: &Served, job: &str, query: &str) -> support::Answer {
    served.ask(&format!("POST {job}/push?{query}"), &[], b"")
}

/// How the push stands, as soon as it is so.
fn wait_for(served: &Served, job: &str, is_so: impl Fn(&Value) -> bool) -> Value {
    let (_keep, never) = std::sync::mpsc::channel::<()>();
    loop {
        let push = served.get(job).json()["pushes"]["pacs"].clone();
        if is_so(&push) {
            return push;
        }
        let _ = never.recv_timeout(Duration::from_millis(5));
    }
}

fn is_over(push: &Value) -> bool {
    !push.is_null() && push["state"] != "waiting"
}

/// How the push of annotations and report to such a server ends.
fn pushed(replies: Vec<Reply>) -> (Value, Vec<String>) {
    let folder = tempfile::tempdir().unwrap();
    let pacs = Pacs::start(replies);
    let served = Served::with(pacs.settings(folder.path()));
    let job = done(&served);
    assert_eq!(push(&served, &job, "target=pacs").status, 202);
    let ended = wait_for(&served, &job, is_over);
    assert_eq!(served.get(&job).json()["state"], "done", "the results are there all the same");
    assert!(ended["next_at_secs"].is_null());
    (ended, pacs.came())
}

fn walk(folder: &Path) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { found.extend(walk(&path)) } else { found.push(path) }
    }
    found
}

#[test]
fn what_is_done_is_sent_once_and_no_secret_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let pacs = Pacs::start(vec![Reply::Stores]);
    let served = Served::with(pacs.settings(folder.path()));
    let job = done(&served);
    let accepted = push(&served, &job, "target=pacs");
    assert_eq!((accepted.status, &accepted.head["location"]), (202, &job));
    let sent = wait_for(&served, &job, is_over);
    let object = |uid: &str| json!({"state": "stored", "instance_uid": uid});
    let objects = json!({"ann": object("7.1"), "sr": object("7.2")});
    assert_eq!(sent, json!({"state": "sent", "rounds": 1, "objects": objects}));
    for head in pacs.heads() {
        assert!(head.starts_with("post /dicom-web/studies http/1.1"), "{head}");
        for line in ["authorization: basic c2vjcmv0", "accept: application/dicom+json"] {
            assert!(head.lines().any(|found| found == line), "{head}");
        }
    }
    let again = push(&served, &job, "target=pacs&objects=sr,ann");
    assert_eq!((again.status, &again.json()["pushes"]["pacs"]), (200, &sent));
    assert_eq!(pacs.came(), ["DicomAnn", "DicomSr"]);
    let audit: String =
        walk(&served.data.join("audit")).iter().map(|path| fs::read_to_string(path).unwrap()).collect();
    let lines = audit.lines().map(|line| serde_json::from_str(line).unwrap());
    let lines: Vec<Value> = lines.filter(|line: &Value| line["push"] == "pacs").collect();
    let told = lines.iter().map(|line| [&line["object"], &line["instance_uid"], &line["outcome"]]);
    let expected = [
        ["ann", "7.1", "sending"],
        ["ann", "7.1", "stored"],
        ["sr", "7.2", "sending"],
        ["sr", "7.2", "stored"],
    ];
    assert!(told.eq(expected), "{audit}");
    assert!(lines.iter().all(|line| job.ends_with(line["job"].as_str().unwrap())));
    let figures = served.get("/metrics").text();
    assert!(figures.contains("slidemill_pushes_total{outcome=\"stored\"} 2"), "{figures}");
    for path in walk(&served.data) {
        let text = String::from_utf8_lossy(&fs::read(&path).unwrap()).into_owned();
        assert!(
            !text.contains("c2VjcmV0") && !text.contains(&pacs.address.to_string()),
            "{}",
            path.display()
        );
    }
    assert_eq!(served.stop(), 0);
}

#[test]
fn warnings_and_refusals_are_told() {
    let coerced = Reply::Says(202, item(STORED, "7.1", Some((WARNING, 0xb000))));
    let refused = Reply::Says(409, item(FAILED, "7.2", Some((FAILURE, 0x0122))));
    let (ended, came) = pushed(vec![coerced, refused]);
    assert_eq!((&ended["state"], came.len()), (&json!("failed"), 2), "{ended}");
    let ann = json!({"state": "stored", "instance_uid": "7.1", "code": "B000", "reason": "the server changed values of it"});
    assert_eq!(ended["objects"]["ann"], ann);
    let reason = "the server does not take objects of this kind";
    let sr = json!({"state": "failed", "instance_uid": "7.2", "code": "0122", "reason": reason});
    assert_eq!(ended["objects"]["sr"], sr);

    let known = |uid: &str| Reply::Says(409, item(FAILED, uid, Some((FAILURE, 0x0111))));
    let (ended, _) = pushed(vec![known("7.1"), known("7.2")]);
    assert_eq!((&ended["state"], &ended["objects"]["sr"]["state"]), (&json!("sent"), &json!("known")));
}

#[test]
fn a_server_that_is_away_for_a_while_is_asked_again_for_what_it_does_not_have() {
    let busy = Reply::Raw(503, "", "");
    let (ended, came) = pushed(vec![Reply::Stores, busy, Reply::Stores]);
    assert_eq!((&ended["state"], &ended["rounds"]), (&json!("sent"), &json!(2)), "{ended}");
    assert_eq!(came, ["DicomAnn", "DicomSr", "DicomSr"]);
    let full = Reply::Says(409, item(FAILED, "7.1", Some((FAILURE, 0xa700))));
    let (ended, came) = pushed(vec![full, Reply::Stores]);
    assert_eq!((&ended["state"], &ended["rounds"]), (&json!("sent"), &json!(2)), "{ended}");
    assert_eq!(came, ["DicomAnn", "DicomSr", "DicomAnn"]);
}

#[test]
fn a_server_that_does_not_answer_is_given_up_in_the_end() {
    for (reply, said) in [
        (Reply::Hangs, "did not answer in time"),
        (Reply::Closes, "the connection to the server failed"),
        (Reply::Raw(503, "", ""), "503"),
    ] {
        let (ended, came) = pushed(vec![reply.clone()]);
        let reason = ended["reason"].as_str().unwrap();
        assert!(reason.contains(said) && reason.contains("at each of 3 tries"), "{reason}");
        assert_eq!((&ended["state"], &ended["rounds"]), (&json!("failed"), &json!(3)));
        assert!(came.iter().all(|object| object == "DicomAnn"), "the second is not tried: {came:?}");
        let states = ["ann", "sr"].map(|object| &ended["objects"][object]["state"]);
        assert_eq!(states, ["waiting", "waiting"], "{reply:?}");
    }
}

#[test]
fn a_server_that_lies_is_not_believed() {
    for lie in [
        Reply::Raw(200, "Content-Type: text/html\r\n", "<html>Log in</html>"),
        Reply::Raw(200, "", ""),
        Reply::Says(200, json!({})),
        Reply::Says(200, item(STORED, "9.9", None)),
        Reply::Says(409, json!([1])),
    ] {
        let (ended, came) = pushed(vec![lie.clone()]);
        assert_eq!((&ended["state"], came.len()), (&json!("failed"), 2), "{lie:?}: {ended}");
        let reason = ended["objects"]["ann"]["reason"].as_str().unwrap();
        assert!(reason.contains("whether it has it is not known"), "{reason}");
    }
    let elsewhere = "Location: http://127.0.0.1:1/studies\r\n";
    for (lie, said) in [
        (Reply::Raw(307, elsewhere, ""), "is not followed"),
        (Reply::Raw(401, "", ""), "authorization of the target"),
        (Reply::Raw(404, "", ""), "nothing takes objects"),
        (Reply::Raw(418, "", ""), "expected 200, 202 or 409"),
    ] {
        let (ended, came) = pushed(vec![lie]);
        assert_eq!(came.len(), 1, "nothing more is sent to it");
        assert!(ended["reason"].as_str().unwrap().contains(said), "{ended}");
    }
}

#[test]
fn targets_are_the_operators_and_what_is_not_for_them_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let pacs = Pacs::start(vec![Reply::Stores]);
    let served = Served::with(pacs.settings(folder.path()));
    let job = done(&served);
    for target in ["other", "http%3A%2F%2F127.0.0.1%2Fstudies"] {
        let refused = push(&served, &job, &format!("target={target}")).problem(422);
        assert!(refused.contains("known are: pacs"), "{refused}");
    }
    assert!(push(&served, &job, "").problem(400).contains("target"));
    assert!(
        push(&served, &job, "target=pacs&objects=ann,doc").problem(400).contains("expected ann, sr and seg")
    );
    push(&served, "/v1/jobs/01KB0F4Q3W8Z1V5N6C7D8E9F0G", "target=pacs").problem(404);

    let picture =
        served.detect(&[], b"small").head["content-location"].trim_end_matches("/result").to_owned();
    assert!(push(&served, &picture, "target=pacs").problem(422).contains("is no DICOM"));
    let slide = served.detect(&[], b"large slide").head["location"].clone();
    assert!(push(&served, &slide, "target=pacs").problem(409).contains("there is no result to push"));

    // Its objects are of the study 1.5.
    let other =
        served.detect(&[], b"dicom 1.6").head["content-location"].trim_end_matches("/result").to_owned();
    assert_eq!(push(&served, &other, "target=pacs&objects=ann,seg").status, 202);
    let ended = wait_for(&served, &other, is_over);
    let reason = |object: &str| ended["objects"][object]["reason"].as_str().unwrap().to_owned();
    assert!(reason("ann").contains("of another study"), "{ended}");
    assert!(reason("seg").contains("there are no regions"), "{ended}");
    assert_eq!(pacs.came(), [""; 0]);

    let none = tempfile::tempdir().unwrap();
    let without = Served::start(none.path());
    let job = done(&without);
    assert!(push(&without, &job, "target=pacs").problem(422).contains("--push-targets"));
}

#[test]
fn what_was_not_answered_is_sent_again_by_the_next_start_under_the_same_uid() {
    let folder = tempfile::tempdir().unwrap();
    let pacs = Pacs::start(vec![Reply::Stores, Reply::Hangs, Reply::Stores]);
    let mut settings = pacs.settings(folder.path());
    settings.push_patience.silence = Duration::from_secs(60);
    let served = Served::with(settings.clone());
    let job = done(&served);
    assert_eq!(push(&served, &job, "target=pacs").status, 202);
    wait_for(&served, &job, |_| pacs.came().len() == 2);
    let stands = wait_for(&served, &job, |push| push["objects"]["ann"]["state"] == "stored");
    assert_eq!((&stands["state"], &stands["objects"]["sr"]["state"]), (&json!("waiting"), &json!("waiting")));
    assert_eq!(served.stop(), 1, "it is to be gone on with");
    let served = Served::with(settings.clone());
    let sent = wait_for(&served, &job, is_over);
    assert_eq!((&sent["state"], &sent["rounds"]), (&json!("sent"), &json!(2)));
    assert_eq!(pacs.came(), ["DicomAnn", "DicomSr", "DicomSr"]);
    assert_eq!(served.stop(), 0);
    let served = Served::with(settings);
    assert_eq!(
        served.get(&job).json()["pushes"]["pacs"],
        sent,
        "a restart forgets nothing, and sends nothing"
    );
    assert_eq!(pacs.came().len(), 3);
}

#[test]
fn a_target_that_is_no_more_is_waited_for_no_longer() {
    let folder = tempfile::tempdir().unwrap();
    let pacs = Pacs::start(vec![Reply::Hangs]);
    let mut settings = pacs.settings(folder.path());
    settings.push_patience.silence = Duration::from_secs(60);
    let served = Served::with(settings.clone());
    let job = done(&served);
    assert_eq!(push(&served, &job, "target=pacs").status, 202);
    wait_for(&served, &job, |_| pacs.came().len() == 1);
    assert_eq!(served.stop(), 1);
    let served = Served::with(Settings { targets: Targets::default(), ..settings });
    let ended = served.get(&job).json()["pushes"]["pacs"].clone();
    assert_eq!(ended["state"], "failed");
    assert!(ended["reason"].as_str().unwrap().contains("no target of this name any more"), "{ended}");
    assert_eq!(served.stop(), 0);
}

#[test]
fn an_operator_may_have_all_results_sent() {
    let folder = tempfile::tempdir().unwrap();
    let pacs = Pacs::start(vec![Reply::Stores]);
    let settings = Settings { push_to: Some("pacs".into()), ..pacs.settings(folder.path()) };
    let served = Served::with(settings);
    let job = done(&served);
    assert_eq!(wait_for(&served, &job, is_over)["state"], "sent");
    let picture =
        served.detect(&[], b"small").head["content-location"].trim_end_matches("/result").to_owned();
    let refused = served.get(&picture).json()["pushes"]["pacs"].clone();
    assert_eq!(refused["state"], "failed");
    assert!(refused["reason"].as_str().unwrap().contains("is no DICOM"), "{refused}");
    assert_eq!(pacs.came(), ["DicomAnn", "DicomSr"]);
}

//! Servers that are away: the exit code asks for the same command again, which reads what is missing.

use std::path::{Path, PathBuf};

use dataset::{Dataset, Outcome, RunAccount};

use crate::{
    SECRET, folder, larger_served,
    range_server::Wrong,
    served,
    support::{SMALL_WINDOWS, accounts, run, slidemill, stderr, tables},
};

/// Asks for the same command again.
const AGAIN: i32 = 75;

fn outcomes(out: &Path) -> Vec<Outcome> {
    let mut outcomes: Vec<_> = accounts(out).iter().map(|account| account.outcome).collect();
    outcomes.sort_by_key(|outcome| format!("{outcome:?}"));
    outcomes
}

/// The accounts of slides that are done: when they were written, and what they say.
fn done(out: &Path) -> Vec<RunAccount> {
    accounts(out).into_iter().filter(|account| account.outcome == Outcome::Done).collect()
}

#[test]
fn a_server_that_goes_away_in_mid_slide_is_asked_again_by_the_same_command() {
    let folder = folder();
    let (slide, server) = larger_served(folder.path());
    let (other, _) = served(folder.path());
    let url = PathBuf::from(server.url("larger.tif"));
    let [calm, out] = ["calm", "out"].map(|name| folder.path().join(name));
    let output = run(&[&slide, &other], &calm, &SMALL_WINDOWS);
    assert!(output.status.success(), "{}", stderr(&output));

    // What comes before the windows is what planning asks for.
    server.asked();
    let plan = folder.path().join("plan");
    let planned = slidemill().arg("plan").arg(&url).arg("-o").arg(&plan).args(&SMALL_WINDOWS[..2]).output();
    assert!(planned.unwrap().status.success());
    server.always_after(server.asked().requests, Wrong::Status(503));
    let output = run(&[&url, &other], &out, &SMALL_WINDOWS);
    let said = stderr(&output);
    assert_eq!(output.status.code(), Some(AGAIN), "{said}");
    assert!(said.contains("the same command tries these slides again") && !said.contains(SECRET), "{said}");
    assert_eq!(outcomes(&out), [Outcome::Done, Outcome::Partial], "{said}");
    let before = done(&out);

    server.always(None);
    let output = run(&[&url, &other], &out, &SMALL_WINDOWS);
    assert!(output.status.success(), "{}", stderr(&output));
    assert_eq!(outcomes(&out), [Outcome::Done, Outcome::Done]);
    assert!(done(&out).contains(&before[0]), "the other slide was left as it was");
    let [calm, again] = [&calm, &out].map(|out| tables(out));
    assert!(!calm.is_empty() && calm == again, "every table, byte by byte");
}

#[test]
fn a_server_that_is_away_at_the_start_is_no_fault_of_the_slide_and_a_bad_slide_is() {
    let folder = folder();
    let (slide, server) = served(folder.path());
    let url = PathBuf::from(server.url("slide.tif"));
    let out = folder.path().join("out");
    server.always(Some(Wrong::Status(429)));
    let output = run(&[&url], &out, &SMALL_WINDOWS);
    let said = stderr(&output);
    assert_eq!(output.status.code(), Some(AGAIN), "{said}");
    assert!(said.contains("the server answers 429") && !said.contains(SECRET), "{said}");

    let bad = folder.path().join("bad.tif");
    std::fs::write(&bad, b"II*\0 and nothing else").unwrap();
    let output = run(&[&url, &bad], &folder.path().join("bad"), &SMALL_WINDOWS);
    assert_eq!(output.status.code(), Some(65), "{}", stderr(&output));

    server.always(None);
    let output = run(&[&url], &out, &SMALL_WINDOWS);
    assert!(output.status.success(), "{}", stderr(&output));
    let there = Dataset::at(&out).accounts().expect("accounts");
    assert_eq!(there.len(), 1, "none is left of the failure");
    let calm = folder.path().join("calm");
    assert!(run(&[&slide], &calm, &SMALL_WINDOWS).status.success());
    assert_eq!(tables(&calm), tables(&out));
}

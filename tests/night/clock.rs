//! Clocks that jump, during a run and between the runs of two hosts.

use std::{
    fs,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use dataset::Outcome;

use super::{
    faults::shim_of,
    support::{accounts, run, slidemill, stderr, tables, tiny_slides, wait_until},
};

/// A clock that is days ahead or days behind, differently at each call but the same in every run; the steady
/// clock stays.
const JUMPING: &str = r#"
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <time.h>
int clock_gettime(clockid_t id, struct timespec *at) {
    static int (*real)(clockid_t, struct timespec *);
    static unsigned looks;
    if (!real) real = dlsym(RTLD_NEXT, "clock_gettime");
    int result = real(id, at);
    if (id == CLOCK_REALTIME && !result) {
        static const long days[] = {2, -3, 0, 40};
        unsigned dice = __atomic_fetch_add(&looks, 1, __ATOMIC_RELAXED) * 2654435761u;
        const char *fixed = getenv("CLOCK_DAYS");
        at->tv_sec += 86400 * (fixed ? atol(fixed) : days[dice >> 30]);
    }
    return result;
}
"#;

const SETTINGS: [&str; 5] = ["--window", "64", "--threads", "1", "--json-logs"];

fn paths(slides: &[PathBuf]) -> Vec<&Path> {
    slides.iter().map(PathBuf::as_path).collect()
}

#[test]
fn a_clock_that_jumps_changes_no_byte_and_no_duration() {
    let folder = tempfile::tempdir().unwrap();
    let Some(shim) = shim_of(folder.path(), JUMPING) else { return };
    let slides = tiny_slides(folder.path(), 2, 140);
    let undisturbed = folder.path().join("undisturbed");
    assert!(run(&paths(&slides), &undisturbed, &SETTINGS).status.success());

    let out = folder.path().join("out");
    let jumping = |command: &str, more: &[&str]| {
        let mut command_line = slidemill();
        command_line.arg(command).args(more).env("LD_PRELOAD", &shim);
        command_line.output().unwrap()
    };
    let (typed, to) = (slides.iter().map(|slide| slide.to_str().unwrap()), out.to_str().unwrap());
    let line: Vec<_> = typed.chain(["-o", to]).chain(SETTINGS).collect();
    let output = jumping("run", &line);
    assert!(output.status.success(), "{}", stderr(&output));
    assert_eq!(tables(&out), tables(&undisturbed));

    let events: Vec<serde_json::Value> = String::from_utf8_lossy(&output.stdout)
        .lines()
        .map(|line| serde_json::from_str(line).expect("one object a line"))
        .collect();
    let times: Vec<f64> = events.iter().filter_map(|event| event["time"].as_f64()).collect();
    assert!(!times.is_sorted(), "the clock did not jump: {times:?}");
    let spans = events.iter().filter_map(|event| event["elapsed_secs"].as_f64());
    let spans: Vec<f64> = spans.chain(accounts(&out).iter().map(|account| account.elapsed_secs)).collect();
    assert!(spans.len() >= 5 && spans.iter().all(|secs| (0.0..600.0).contains(secs)), "{spans:?}");

    let status = jumping("status", &[to]);
    let text = String::from_utf8_lossy(&status.stdout).into_owned();
    assert!(status.status.success() && text.contains("2 done"), "{text}{}", stderr(&status));
    let again = jumping("run", &line);
    assert!(String::from_utf8_lossy(&again.stdout).contains("done before"), "{}", stderr(&again));
}

/// Once the lock of a living run looked days old to a host whose clock was ahead.
#[test]
fn a_host_whose_clock_is_days_ahead_takes_no_living_lock() {
    let folder = tempfile::tempdir().unwrap();
    let Some(shim) = shim_of(folder.path(), JUMPING) else { return };
    let root = fs::metadata("/proc/self").is_ok_and(|facts| facts.uid() == 0);
    let named = Command::new("unshare").args(["--uts", "hostname", "other"]).output();
    if !root || !named.is_ok_and(|output| output.status.success()) {
        eprintln!("SKIPPED: another host name needs root, unshare and hostname");
        return;
    }
    let slides = tiny_slides(folder.path(), 2, 150);
    let undisturbed = folder.path().join("undisturbed");
    assert!(run(&paths(&slides), &undisturbed, &SETTINGS).status.success());

    let out = folder.path().join("out");
    let host = |name: &str, days: &str| {
        let mut command = Command::new("unshare");
        command.args(["--uts", "sh", "-c", r#"hostname "$0" && exec "$@""#, name]);
        command.arg(env!("CARGO_BIN_EXE_slidemill")).arg("run").args(&slides).arg("-o").arg(&out);
        command.args(SETTINGS).env("LD_PRELOAD", &shim).env("CLOCK_DAYS", days);
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the command starts")
    };
    let behind = host("behind", "-2");
    wait_until(|| out.join(".slidemill/ledger").exists());
    let ahead = host("ahead", "3");
    for child in [behind, ahead] {
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{}", stderr(&output));
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(!text.contains("took this slide over") && !text.contains("slide_failed"), "{text}");
    }
    assert_eq!(tables(&out), tables(&undisturbed));
    assert!(accounts(&out).iter().all(|account| account.outcome == Outcome::Done));
}

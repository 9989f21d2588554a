//! Intervals and comparisons against SciPy.
//!
//! Runs `tests/python/count_intervals.py` with the interpreter that
//! `SLIDEMILL_TEST_PYTHON` names, or that of `.venv-test`; skips, visibly, where
//! there is none or where it lacks SciPy.

#![allow(clippy::unwrap_used)]

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use measures::{
    groups::kruskal_wallis,
    interval::{Level, mean, poisson, wilson},
};
use serde_json::Value;

fn references() -> Option<Value> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let in_venv = if cfg!(windows) { ".venv-test/Scripts/python.exe" } else { ".venv-test/bin/python" };
    let given = std::env::var_os("SLIDEMILL_TEST_PYTHON").map(PathBuf::from);
    let Some(python) = Some(given.unwrap_or_else(|| root.join(in_venv))).filter(|path| path.exists()) else {
        eprintln!("skipped: .venv-test is absent and SLIDEMILL_TEST_PYTHON names no interpreter");
        return None;
    };
    if !Command::new(&python).args(["-c", "import scipy"]).output().unwrap().status.success() {
        eprintln!("skipped: the test interpreter lacks SciPy");
        return None;
    }
    let ran = Command::new(&python).arg(root.join("tests/python/count_intervals.py")).output().unwrap();
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    Some(serde_json::from_slice(&ran.stdout).unwrap())
}

fn assert_same((low, high): (f64, f64), interval: &Value) {
    for (ours, theirs) in [(low, &interval[0]), (high, &interval[1])] {
        let theirs = theirs.as_f64().unwrap();
        assert!(
            (ours - theirs).abs() <= 1e-9 * theirs.abs().max(1e-3),
            "{ours}, expected {theirs}: {interval}"
        );
    }
}

#[test]
fn intervals_are_those_of_scipy() {
    let Some(references) = references() else { return };
    let level = |case: &Value| Level::new(case["level"].as_f64().unwrap()).unwrap();
    let shares = references["wilson"].as_array().unwrap();
    let counts = references["poisson"].as_array().unwrap();
    assert!(shares.len() > 100 && counts.len() > 30);
    for case in shares {
        let (hits, trials) = (case["hits"].as_u64().unwrap(), case["trials"].as_u64().unwrap());
        assert_same(wilson(hits, trials, level(case)), &case["interval"]);
    }
    for case in counts {
        assert_same(poisson(case["count"].as_u64().unwrap(), level(case)), &case["interval"]);
    }
    for case in references["mean"].as_array().unwrap() {
        assert_same(mean(&numbers(&case["values"]), level(case)).unwrap(), &case["interval"]);
    }
    let compared = references["kruskal"].as_array().unwrap();
    assert_eq!(compared.len(), 8);
    for case in compared {
        let groups: Vec<Vec<f64>> = case["groups"].as_array().unwrap().iter().map(numbers).collect();
        let found = kruskal_wallis(&groups).unwrap();
        let (h, p) = (case["h"].as_f64().unwrap(), case["p"].as_f64().unwrap());
        assert!(
            (found.h - h).abs() <= 1e-9 * h && (found.p - p).abs() <= 1e-9 * p,
            "{found:?}, expected {h} {p}"
        );
    }
}

fn numbers(values: &Value) -> Vec<f64> {
    values.as_array().unwrap().iter().map(|value| value.as_f64().unwrap()).collect()
}

//! What `plan` and `info` say that a run will ask a server for, beside what it then asks for.

use std::{fs, path::Path};

use dataset::Dataset;
use engine::{JobPlan, PlannedSlide};

use crate::{
    folder, larger_served,
    range_server::{Asked, RangeServer, Wrong},
    support::{SMALL_WINDOWS, run, slidemill, stderr},
};

/// Plans the slides and returns what is said and what is in the plan.
fn planned(slides: &[&str], out: &Path) -> (String, Vec<PlannedSlide>) {
    let output = slidemill().arg("plan").args(slides).arg("-o").arg(out).args(&SMALL_WINDOWS[..2]).output();
    let output = output.expect("the command starts");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    (said, JobPlan::read(&Dataset::at(out)).expect("a plan").slides)
}

fn asked_by_a_run(server: &RangeServer, out: &Path) -> Asked {
    server.asked();
    let output = run(&[], out, &[]);
    assert!(output.status.success(), "{}", stderr(&output));
    server.asked()
}

#[test]
fn a_plan_tells_what_a_run_asks_for() {
    let folder = folder();
    let (slide, server) = larger_served(folder.path());
    let url = server.url("larger.tif");
    let out = folder.path().join("out");
    let (said, slides) = planned(&[&url], &out);
    let told = slides[0].from_server.expect("it is known");
    assert_eq!(slides[0].bytes, Some(fs::metadata(&slide).unwrap().len()));
    assert!(said.contains(&format!("in {} requests or more", told.requests)), "{said}");
    let asked = asked_by_a_run(&server, &out);
    println!("told {told:?}, asked {asked:?}");
    let near = |told: u64, asked: u64| told * 10 >= asked * 7 && told * 10 <= asked * 13;
    assert!(near(told.bytes, asked.bytes), "{told:?}, {asked:?}");
    // Bytes that are here already break the requests of a run into smaller ones.
    let at_least = told.requests;
    assert!((at_least..=3 * at_least).contains(&asked.requests), "{told:?}, {asked:?}");

    let output = slidemill().args(["info", "--json", &url]).output().unwrap();
    let info: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let of_info = &info["run_from_server"];
    println!("info {of_info}");
    assert!(near(of_info["bytes"].as_u64().unwrap(), asked.bytes), "{of_info}, {asked:?}");
}

#[test]
fn what_is_not_known_is_never_told_as_nothing() {
    let folder = folder();
    let (slide, server) = larger_served(folder.path());
    server.always(Some(Wrong::Status(404)));
    let url = server.url("gone.tif");
    let (said, slides) = planned(&[&url], &folder.path().join("one"));
    assert!(said.contains("size unknown") && !said.contains(" 0 B"), "{said}");
    assert!(said.contains("what a run asks for 1 slide is unknown"), "{said}");
    assert_eq!((slides[0].bytes, slides[0].from_server), (None, None));
    let (said, _) = planned(&[slide.to_str().unwrap(), &url], &folder.path().join("two"));
    assert!(said.contains("MB and 1 of unknown size"), "{said}");
}

//! Names in the private folder of a dataset: one list, for those who write there and for the sweep.
//!
//! | name | of | gone when |
//! | --- | --- | --- |
//! | `ledger/<id>/` | a slide | its account stands, unless raw detections are kept |
//! | `slab-locks/<id>.<part>.lock` | a part of a slide | nobody is at work on it |
//! | `slabs/<id>/` | a slide | the job that ends it has taken its parts in |
//! | `staged/<id>/` | a slide | its results have their names |
//! | `spent/<id>/` | a slide | its account stands |
//! | `locks/<id>.lock` | a slide | nobody is at work on it |
//! | `in-hand-<writer>/` | a job | it ends |
//! | `onlooker-<writer>/` | a process that looks at a job | it ends |
//! | `probe-<writer>` | a job | at once |
//! | `writing-<writer>/` | a job | it ends |
//! | `redo-<command>/` | a command | it ends by itself |
//!
//! Beside them lie `status/`, `log/`, `tiles/`, `slides.csv`, `plan.json`, `manifest.json` and `secret`, which stay.

/// Prefix of the marks of one `--redo` command.
pub(super) const REDO: &str = "redo-";
/// Prefix of the marks of slides at work of one job.
pub(super) const IN_HAND: &str = "in-hand-";
/// Prefix of the dataset that a process makes of slides at work, in order to look at them.
pub(super) const ONLOOKER: &str = "onlooker-";
/// Prefix of a file that only shows that the folder can be written to.
pub(super) const PROBE: &str = "probe-";
/// Prefix of the folder where a job writes files that are not of a slide; the dataset names it.
const WRITING: &str = "writing-";

/// Folders with a folder for each slide, needed only while the slide is at work.
pub(super) const OF_SLIDES: [&str; 2] = ["staged", "spent"];
/// Prefixes of files needed only while a job runs; its writer follows, `<host>-<process>`.
const OF_JOBS: [&str; 4] = [IN_HAND, ONLOOKER, PROBE, WRITING];

/// `true` for entries of the private folder that are needed only while some job runs.
pub(super) fn is_of_a_job(name: &str) -> bool {
    OF_JOBS.iter().any(|start| name.starts_with(start))
}

/// `true` for entries of the private folder left by a process of `host` that is gone; `runs` tells which
/// processes run.
pub(super) fn is_left(name: &str, host: &str, runs: impl Fn(u32) -> bool) -> bool {
    let writer = OF_JOBS.iter().find_map(|start| name.strip_prefix(start));
    let process = writer.and_then(|writer| writer.strip_prefix(host)?.strip_prefix('-')?.parse().ok());
    process.is_some_and(|process| !runs(process))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_dead_processes_of_this_host_left_is_swept() {
        let runs = |process| process == 1;
        for left in ["in-hand-node-7-42", "onlooker-node-7-42", "probe-node-7-42", "writing-node-7-42"] {
            assert!(is_left(left, "node-7", runs), "{left}");
        }
        for stays in [
            "in-hand-node-7-1",
            "in-hand-other-42",
            "in-hand-node-42",
            "redo-node-7-42",
            "slides.csv",
            "ledger",
            "writing-node-7-",
            "in-hand-node-7-x",
        ] {
            assert!(!is_left(stays, "node-7", runs), "{stays}");
        }
    }
}

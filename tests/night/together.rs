//! Jobs that work on one dataset at once, some of which die: each slide is done once, and whole.

use std::{
    path::Path,
    process::Output,
    time::{Duration, Instant},
};

use dataset::{Dataset, Findings};
use rand::RngExt as _;

use super::{
    faults::{SETTINGS, assert_nothing_is_left, kill_after, paths, start},
    support::{dice, run, stderr, tables, times, tiny_slides},
};

const JOBS: usize = 4;
/// Longer than any job takes: it is not killed.
const NEVER: Duration = Duration::from_secs(3600);
/// Another job is at work on what is left.
const AGAIN: i32 = 75;

#[test]
fn jobs_at_once_on_one_dataset_end_in_the_same_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let slides = tiny_slides(folder.path(), 4, 420);
    let undisturbed = folder.path().join("undisturbed");
    let began = Instant::now();
    assert!(run(&paths(&slides), &undisturbed, &SETTINGS).status.success());
    let whole = began.elapsed();
    let expected = tables(&undisturbed);
    let mut dice = dice();
    let mut kills = 0;
    for trial in 0..times(2) {
        let out = folder.path().join(format!("together-{trial}"));
        let ends = std::thread::scope(|scope| {
            let jobs = [0; JOBS].map(|_| {
                let mut own = slides.clone();
                own.rotate_left(dice.random_range(0..slides.len()));
                let delay = if dice.random_bool(0.5) { whole.mul_f64(dice.random()) } else { NEVER };
                let (child, worker) = (start(&own, &out, &[]), dice.random_bool(0.3));
                scope.spawn(move || (kill_after(child, delay, worker), worker))
            });
            jobs.map(|job| job.join().expect("the thread ends"))
        });
        for ((killed, output), only_worker) in &ends {
            kills += u32::from(*killed);
            assert!((*killed && !only_worker) || ended_well(output), "{}", stderr(output));
        }
        let again = run(&paths(&slides), &out, &SETTINGS);
        assert!(again.status.success(), "{}", stderr(&again));
        assert!(tables(&out) == expected, "{} has other tables", out.display());
        assert_whole(&out);
        std::fs::remove_dir_all(&out).unwrap();
    }
    println!("{} jobs at once, {JOBS} on a dataset, of which {kills} were killed", JOBS * times(2));
}

fn ended_well(output: &Output) -> bool {
    matches!(output.status.code(), Some(0 | AGAIN))
}

fn assert_whole(out: &Path) {
    let found = Findings::collect(&Dataset::at(out)).expect("there is a dataset");
    assert!(found.is_complete(), "{found:?}");
    assert_nothing_is_left(out);
}

//! Runs jobs: a thread for each lane.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    time::Instant,
};

use crate::{
    format::DicomResult,
    job::Lane,
    jobs::{AtEnd, Jobs, Turn},
    metrics::{Metrics, WindowTally},
    runner::{RunEnd, Runner},
};

/// Runs the jobs of a lane, one after the other, until the service stops.
pub(crate) fn work(lane: Lane, jobs: &Jobs, runner: &dyn Runner, metrics: &Metrics, at_end: &AtEnd<'_>) {
    runner.prepare(lane);
    while let Some(mut turn) = jobs.take(lane) {
        metrics.began(turn.waited);
        let begun = Instant::now();
        let run = catch_unwind(AssertUnwindSafe(|| run(lane, jobs, runner, metrics, &mut turn)));
        let end = run.unwrap_or_else(|_| RunEnd::Failed("internal error, please report it".to_owned()));
        let is_erased = turn.request.is_upload && !at_end.keep_uploads;
        if end == RunEnd::Ended && is_erased && turn.request.measured.is_dicom {
            keep_dicom_objects(runner, &turn);
        }
        metrics.ended(&end, begun.elapsed());
        jobs.end(turn, end, at_end);
    }
}

fn run(lane: Lane, jobs: &Jobs, runner: &dyn Runner, metrics: &Metrics, turn: &mut Turn) -> RunEnd {
    let (task, stop) = (turn.task.clone(), turn.stop.clone());
    let mut tally = WindowTally::default();
    runner.run(
        lane,
        &task,
        &mut |event| {
            metrics.windows(tally.more(&event));
            jobs.note(turn, &event);
        },
        &stop,
    )
}

/// They name the patient and the study of the slide, which is erased now.
fn keep_dicom_objects(runner: &dyn Runner, turn: &Turn) {
    for object in DicomResult::ALL {
        // A job without results, or without regions, has none; of another that fails, who asks for it is told.
        let _ = runner.export(&turn.task, object.format());
    }
}

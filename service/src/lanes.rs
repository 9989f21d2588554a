//! Runs jobs: a thread for each lane.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    time::Instant,
};

use crate::{
    job::Lane,
    jobs::{Jobs, Turn},
    metrics::{Metrics, WindowTally},
    runner::{Format, RunEnd, Runner},
};

/// Runs the jobs of a lane, one after the other, until the service stops.
pub(crate) fn work(lane: Lane, jobs: &Jobs, runner: &dyn Runner, metrics: &Metrics, keep_uploads: bool) {
    runner.prepare(lane);
    while let Some(mut turn) = jobs.take(lane) {
        metrics.began(turn.waited);
        let begun = Instant::now();
        let run = catch_unwind(AssertUnwindSafe(|| run(lane, jobs, runner, metrics, &mut turn)));
        let end = run.unwrap_or_else(|_| RunEnd::Failed("internal error, please report it".to_owned()));
        if end == RunEnd::Ended && turn.request.is_upload && turn.request.measured.is_dicom && !keep_uploads {
            keep_dicom_objects(runner, &turn);
        }
        metrics.ended(&end, begun.elapsed());
        jobs.end(turn, end, keep_uploads);
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
    for format in [Format::DicomAnn, Format::DicomSr] {
        // A job without results has none; of another that fails, who asks for it is told.
        let _ = runner.export(&turn.task, format);
    }
}

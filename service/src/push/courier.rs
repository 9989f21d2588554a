//! Brings results to one target: a thread for each, so that a server that is away holds up no other.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    path::PathBuf,
    sync::{Arc, Weak},
};

use ureq::Agent;

use super::{
    state::{Answer, Fault, Push, PushPatience},
    stow,
    targets::Target,
};
use crate::{
    audit::{Audit, PushLine},
    format::DicomResult,
    id::JobId,
    job::Task,
    jobs::Jobs,
    metrics::Metrics,
    runner::Runner,
};

/// A push whose time has come.
pub(crate) struct Due {
    pub(crate) id: JobId,
    pub(crate) task: Task,
    /// `StudyInstanceUID` of the slide.
    pub(crate) study_uid: Option<String>,
    pub(crate) objects: Vec<DicomResult>,
}

/// Brings results to one target.
pub(crate) struct Courier {
    /// Not held while a server is waited for: a service that stops does not wait for that.
    jobs: Weak<Jobs>,
    runner: Arc<dyn Runner>,
    metrics: Arc<Metrics>,
    audit: Audit,
    target: Target,
    patience: PushPatience,
    agent: Agent,
}

impl Courier {
    pub(crate) fn new(
        jobs: &Arc<Jobs>,
        runner: Arc<dyn Runner>,
        metrics: Arc<Metrics>,
        target: Target,
        patience: PushPatience,
    ) -> Self {
        let agent = stow::agent(patience.silence);
        let audit = Audit::new(jobs.store.audit());
        Self { jobs: Arc::downgrade(jobs), runner, metrics, audit, target, patience, agent }
    }

    /// Sends what is due, until the service stops.
    pub(crate) fn work(&self) {
        while let Some(due) = self.jobs.upgrade().and_then(|jobs| jobs.next_push(&self.target.name)) {
            self.note(due.id, Push::begin_round);
            let fault = catch_unwind(AssertUnwindSafe(|| self.round(&due)));
            let fault = fault.unwrap_or_else(|_| Some(Fault::lasting("internal error, please report it")));
            self.note(due.id, |push| push.end_round(fault, self.patience));
        }
    }

    /// Sends each object once; a server that does not answer gets no further one, and why is returned.
    fn round(&self, due: &Due) -> Option<Fault> {
        for object in &due.objects {
            let (uid, answer) = match self.made(due, *object) {
                Ok((path, uid)) => {
                    if !self.write_line(due, *object, &uid, "sending") {
                        return Some(Fault::passing(
                            "the audit log cannot be written: nothing is sent without a line in it",
                        ));
                    }
                    let answer = stow::send(&self.agent, &self.target, &path, &uid);
                    // That it is on its way is written already.
                    let outcome = answer.as_ref().map_or("unanswered", Answer::word);
                    let _ = self.write_line(due, *object, &uid, outcome);
                    (Some(uid), answer)
                }
                Err(reason) => (None, Ok(Answer::Failed { reason: format!("it cannot be made: {reason}") })),
            };
            match answer {
                Ok(answer) => {
                    self.metrics.pushed(&answer);
                    self.note(due.id, |push| push.take(*object, uid, answer));
                }
                Err(fault) => {
                    self.metrics.push_unanswered();
                    return Some(fault);
                }
            }
        }
        None
    }

    /// Adds a line to the audit log. Whether it is written.
    fn write_line(&self, due: &Due, object: DicomResult, instance_uid: &str, outcome: &str) -> bool {
        let (time, push) = (dataset::clock::timestamp(), self.target.name.as_str());
        self.audit.add(&PushLine { time, push, job: due.id, object, instance_uid, outcome })
    }

    /// Changes the push of a job, if the service still runs and the job is still there.
    fn note(&self, id: JobId, change: impl FnOnce(&mut Push)) {
        if let Some(jobs) = self.jobs.upgrade() {
            jobs.change_push(id, &self.target.name, change);
        }
    }

    /// The file of an object, and its UID.
    fn made(&self, due: &Due, object: DicomResult) -> Result<(PathBuf, String), String> {
        let path = self.runner.export(&due.task, object.format())?;
        let found = self.runner.identify(std::slice::from_ref(&path))?.pop().flatten();
        let found = found.ok_or("it has no identifiers")?;
        // Once the slide is erased, a patient would be made up.
        if Some(&found.study_uid) != due.study_uid.as_ref() {
            return Err("it is of another study than its slide; run the slide again".to_owned());
        }
        Ok((path, found.instance_uid))
    }
}

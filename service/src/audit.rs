//! Who asked for what, and what was sent where: a line each, in a file for each day.

use std::{
    fs::File,
    io::Write as _,
    path::PathBuf,
    sync::{Mutex, PoisonError},
};

use serde::Serialize;

use crate::{format::DicomResult, id::JobId};

/// A request and its answer. No name of a file or of a person, but that of the token.
#[derive(Debug, Serialize)]
pub(crate) struct AuditLine<'a> {
    /// UTC.
    pub(crate) time: String,
    /// The name of the token.
    pub(crate) who: Option<&'a str>,
    /// The address it came from; behind a proxy that of the proxy.
    pub(crate) from: Option<String>,
    pub(crate) method: &'a str,
    /// As a template: what stands in a path that is not known is nobody's business.
    pub(crate) route: &'a str,
    pub(crate) job: Option<JobId>,
    pub(crate) status: u16,
    /// As the client said; an upload that ended early had less.
    pub(crate) request_bytes: Option<u64>,
    /// Until the head of the answer.
    pub(crate) ms: u64,
}

/// An object on its way to a server: a line before its first byte, another when an answer came or none.
#[derive(Debug, Serialize)]
pub(crate) struct PushLine<'a> {
    /// UTC.
    pub(crate) time: String,
    /// The name of the target.
    pub(crate) push: &'a str,
    pub(crate) job: JobId,
    pub(crate) object: DicomResult,
    pub(crate) instance_uid: &'a str,
    /// `sending`, then `stored`, `refused`, `failed` or `unanswered`.
    pub(crate) outcome: &'a str,
}

/// A line with its time.
pub(crate) trait Line: Serialize {
    fn time(&self) -> &str;
}

impl Line for AuditLine<'_> {
    fn time(&self) -> &str {
        &self.time
    }
}

impl Line for PushLine<'_> {
    fn time(&self) -> &str {
        &self.time
    }
}

/// The folder of such files.
#[derive(Debug)]
pub(crate) struct Audit {
    folder: PathBuf,
    today: Mutex<Option<(String, File)>>,
}

impl Audit {
    pub(crate) fn new(folder: PathBuf) -> Self {
        Self { folder, today: Mutex::default() }
    }

    /// Adds a line. Whether it is written.
    pub(crate) fn add(&self, line: &impl Line) -> bool {
        let Ok(mut text) = serde_json::to_vec(line) else { return false };
        text.push(b'\n');
        let day = line.time().get(..10).unwrap_or("unknown");
        let mut today = self.today.lock().unwrap_or_else(PoisonError::into_inner);
        if today.as_ref().is_none_or(|(known, _)| known != day) {
            let path = self.folder.join(format!("{day}.jsonl"));
            let file = whole_file::private_options().create(true).append(true).open(path);
            *today = file.ok().map(|file| (day.to_owned(), file));
        }
        today.as_mut().is_some_and(|(_, file)| file.write_all(&text).is_ok())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_day_has_its_file() {
        let folder = tempfile::tempdir().unwrap();
        let audit = Audit::new(folder.path().to_owned());
        for time in ["2026-11-26T23:59:59Z", "2026-11-27T00:00:00Z", "2026-11-27T00:00:01Z"] {
            let line = AuditLine {
                time: time.to_owned(),
                who: Some("lab"),
                from: None,
                method: "GET",
                route: "/v1/jobs/{id}",
                job: None,
                status: 404,
                request_bytes: None,
                ms: 1,
            };
            assert!(audit.add(&line));
        }
        let lines = |day: &str| std::fs::read_to_string(folder.path().join(day)).unwrap().lines().count();
        assert_eq!((lines("2026-11-26.jsonl"), lines("2026-11-27.jsonl")), (1, 2));
    }
}

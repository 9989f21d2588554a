//! Settings of an operator.

use std::{path::PathBuf, time::Duration};

use crate::{
    push::{PushPatience, Targets},
    roots::Roots,
    tokens::Tokens,
};

/// Settings of an operator.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The folder of jobs.
    pub data: PathBuf,
    /// Who may do what; `None`: everybody on this machine, and nobody else.
    pub tokens: Option<Tokens>,
    /// Folders whose slides may be named by path.
    pub roots: Roots,
    /// Servers that results may be sent to.
    pub targets: Targets,
    /// The target that results of every job are sent to when it is done.
    pub push_to: Option<String>,
    /// How long targets are waited for.
    pub push_patience: PushPatience,
    /// Pictures up to this many megapixels are answered at once.
    pub sync_mpx: f64,
    /// Longest wait of a client for such an answer before it gets a job instead.
    pub sync_wait: Duration,
    /// Bytes of an upload, and of what a zip unpacks to.
    pub max_upload: u64,
    /// Uploads at once.
    pub max_uploads: usize,
    /// Jobs that wait at once.
    pub max_queued: usize,
    /// Connections at once.
    pub max_connections: usize,
    /// A report with more findings says how many there are, and where to fetch them.
    pub max_findings: u64,
    /// Longest time that 32 kB of an upload, and the head of a request, may take.
    pub patience: Duration,
    /// Time that a job is kept after its end.
    pub keep: Duration,
    /// A series whose instances come one by one is whole when none came for so long.
    pub stow_quiet: Duration,
    /// `true` if uploads are kept as long as their results.
    pub keep_uploads: bool,
}

impl Settings {
    /// Those of a service on its own machine, with its jobs in `data`.
    #[must_use]
    pub fn local(data: impl Into<PathBuf>) -> Self {
        const HOUR: Duration = Duration::from_secs(3600);
        Self {
            data: data.into(),
            tokens: None,
            roots: Roots::default(),
            targets: Targets::default(),
            push_to: None,
            push_patience: PushPatience::USUAL,
            sync_mpx: 16.0,
            sync_wait: Duration::from_secs(60),
            max_upload: 4 << 30,
            max_uploads: 4,
            max_queued: 100,
            max_connections: 512,
            max_findings: 10_000,
            patience: Duration::from_secs(30),
            keep: 7 * 24 * HOUR,
            stow_quiet: Duration::from_secs(10),
            keep_uploads: false,
        }
    }
}

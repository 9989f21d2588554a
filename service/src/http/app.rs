//! State that all requests share.

use std::sync::Arc;

use tokio::sync::Semaphore;

use crate::{
    audit::Audit,
    jobs::Jobs,
    metrics::Metrics,
    problem::{Kind, Problem},
    runner::Runner,
    settings::Settings,
};

/// State that all requests share.
pub(crate) struct App {
    pub(crate) jobs: Arc<Jobs>,
    pub(crate) runner: Arc<dyn Runner>,
    pub(crate) settings: Settings,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) audit: Audit,
    /// Uploads at once.
    pub(crate) uploads: Semaphore,
    /// Results that are turned into other formats at once: each takes a processor.
    pub(crate) conversions: Semaphore,
}

impl App {
    pub(crate) fn new(
        settings: Settings,
        jobs: Arc<Jobs>,
        runner: Arc<dyn Runner>,
        metrics: Arc<Metrics>,
    ) -> Self {
        const CONVERSIONS: usize = 2;
        Self {
            audit: Audit::new(jobs.store.audit()),
            uploads: Semaphore::new(settings.max_uploads),
            conversions: Semaphore::new(CONVERSIONS),
            jobs,
            runner,
            settings,
            metrics,
        }
    }
}

/// Runs what waits for a disk or a processor off the threads that answer.
pub(super) async fn aside<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Problem> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|_| Problem::new(Kind::Internal, "the service failed to answer this; please report it"))
}

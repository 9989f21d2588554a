//! Figures for Prometheus. No path, no id and no name of a slide is a label.

use std::time::Duration;

use prometheus_client::{
    encoding::{EncodeLabelSet, text::encode},
    metrics::{
        counter::Counter,
        family::Family,
        gauge::Gauge,
        histogram::{Histogram, exponential_buckets},
    },
    registry::Registry,
};

use crate::{
    jobs::Census,
    push::Answer,
    runner::{Event, RunEnd, count},
};

/// Figures of one service.
#[derive(Debug)]
pub(crate) struct Metrics {
    registry: Registry,
    jobs: Family<ByState, Gauge>,
    requests: Family<ByRoute, Counter>,
    windows: Family<ByOutcome, Counter>,
    ended: Family<ByOutcome, Counter>,
    pushes: Family<ByOutcome, Counter>,
    upload_bytes: Counter,
    queue_secs: Histogram,
    job_secs: Histogram,
    request_secs: Histogram,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByState {
    state: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByRoute {
    method: String,
    /// As a template: `/v1/jobs/{id}`.
    route: String,
    status: u32,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByOutcome {
    outcome: &'static str,
}

impl Metrics {
    pub(crate) fn new() -> Self {
        let mut metrics = Self {
            registry: Registry::with_prefix("slidemill"),
            jobs: Family::default(),
            requests: Family::default(),
            windows: Family::default(),
            ended: Family::default(),
            pushes: Family::default(),
            upload_bytes: Counter::default(),
            queue_secs: Histogram::new(of_jobs()),
            job_secs: Histogram::new(of_jobs()),
            request_secs: Histogram::new(exponential_buckets(0.001, 2.0, 15)),
        };
        let Self {
            registry,
            jobs,
            requests,
            windows,
            ended,
            pushes,
            upload_bytes,
            queue_secs,
            job_secs,
            request_secs,
        } = &mut metrics;
        registry.register("jobs", "Jobs by state", jobs.clone());
        registry.register("http_requests", "Answered requests", requests.clone());
        registry.register("http_request_seconds", "Until the head of the answer", request_secs.clone());
        registry.register("windows", "Windows that ended", windows.clone());
        registry.register("jobs_ended", "Runs of jobs that ended", ended.clone());
        registry.register(
            "pushes",
            "Objects that were sent to targets, by what became of them",
            pushes.clone(),
        );
        registry.register("upload_bytes", "Bytes of uploads that became jobs", upload_bytes.clone());
        registry.register("queue_seconds", "How long jobs waited", queue_secs.clone());
        registry.register("job_seconds", "How long jobs ran", job_secs.clone());
        metrics
    }

    pub(crate) fn answered(&self, method: &str, route: &str, status: u16, took: Duration) {
        let labels = ByRoute { method: method.to_owned(), route: route.to_owned(), status: status.into() };
        self.requests.get_or_create(&labels).inc();
        self.request_secs.observe(took.as_secs_f64());
    }

    pub(crate) fn uploaded(&self, bytes: u64) {
        self.upload_bytes.inc_by(bytes);
    }

    pub(crate) fn began(&self, waited: Duration) {
        self.queue_secs.observe(waited.as_secs_f64());
    }

    pub(crate) fn ended(&self, end: &RunEnd, took: Duration) {
        let outcome = match end {
            RunEnd::Ended => "ended",
            RunEnd::Stopped => "stopped",
            RunEnd::Failed(_) => "failed",
        };
        self.ended.get_or_create(&ByOutcome { outcome }).inc();
        self.job_secs.observe(took.as_secs_f64());
    }

    pub(crate) fn pushed(&self, answer: &Answer) {
        self.count_push(answer.word());
    }

    /// An object that no answer came to.
    pub(crate) fn push_unanswered(&self) {
        self.count_push("unanswered");
    }

    fn count_push(&self, outcome: &'static str) {
        self.pushes.get_or_create(&ByOutcome { outcome }).inc();
    }

    pub(crate) fn windows(&self, more: WindowTally) {
        for (outcome, count) in [("done", more.done), ("failed", more.failed)] {
            self.windows.get_or_create(&ByOutcome { outcome }).inc_by(count);
        }
    }

    /// As OpenMetrics text.
    pub(crate) fn text(&self, census: &Census) -> String {
        for (state, count) in &census.states {
            let gauge = self.jobs.get_or_create(&ByState { state: state.word() });
            gauge.set(i64::try_from(*count).unwrap_or(i64::MAX));
        }
        let mut text = String::new();
        // Writing to a string cannot fail.
        let _ = encode(&mut text, &self.registry);
        text
    }
}

/// A tenth of a second to five hours.
fn of_jobs() -> impl Iterator<Item = f64> {
    exponential_buckets(0.1, 3.0, 12)
}

/// Windows of a job that ended, with a result and without.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct WindowTally {
    done: u64,
    failed: u64,
}

impl WindowTally {
    /// Takes in an event, and returns the windows that it adds.
    pub(crate) fn more(&mut self, event: &Event) -> Self {
        let now = match event.get("event").and_then(serde_json::Value::as_str) {
            // Done by an earlier run, and counted then.
            Some("slide_started") => {
                *self = Self { done: count(event, "resumed"), failed: 0 };
                *self
            }
            Some("windows") => {
                let failed = count(event, "failed");
                Self { done: count(event, "done").saturating_sub(failed), failed }
            }
            _ => *self,
        };
        let before = std::mem::replace(self, now);
        Self { done: now.done.saturating_sub(before.done), failed: now.failed.saturating_sub(before.failed) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(text: &str) -> Event {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn windows_are_counted_once() {
        let mut tally = WindowTally::default();
        let started = event(r#"{"event":"slide_started","windows":9,"resumed":2}"#);
        assert_eq!(tally.more(&started), WindowTally::default());
        let some = event(r#"{"event":"windows","done":5,"failed":1,"windows":9,"cells":3}"#);
        assert_eq!(tally.more(&some), WindowTally { done: 2, failed: 1 });
        assert_eq!(tally.more(&some), WindowTally::default());
    }

    #[test]
    fn figures_are_openmetrics_text() {
        let metrics = Metrics::new();
        metrics.answered("GET", "/v1/jobs/{id}", 200, Duration::from_millis(3));
        let census = Census { states: [(crate::job::State::Queued, 7)].into() };
        let text = metrics.text(&census);
        assert!(text.contains("slidemill_jobs{state=\"queued\"} 7"), "{text}");
        let request =
            "slidemill_http_requests_total{method=\"GET\",route=\"/v1/jobs/{id}\",status=\"200\"} 1";
        assert!(text.contains(request), "{text}");
        assert!(text.ends_with("# EOF\n"));
    }
}

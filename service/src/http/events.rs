//! Events of a job, as they happen: server-sent events.

use std::{convert::Infallible, sync::Arc, time::Duration};

use axum::{
    extract::State,
    http::{HeaderMap, HeaderName},
    response::{
        IntoResponse as _, Response,
        sse::{Event, KeepAlive, Sse},
    },
};
use futures_util::{Stream, stream};
use tokio::sync::watch;

use super::{
    app::{App, aside},
    extract::{Named, text},
};
use crate::{id::JobId, job::JobView, problem::Problem, store::EventReader};

/// Lines that are read at once.
const AT_ONCE: usize = 64;

/// `GET /v1/jobs/{id}/events`: from the event behind `Last-Event-ID` on.
pub(super) async fn follow(
    State(app): State<Arc<App>>,
    Named(id): Named,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    const SIGN_OF_LIFE: Duration = Duration::from_secs(15);
    let last = text(&headers, HeaderName::from_static("last-event-id")).parse().unwrap_or(0);
    let changed = app.jobs.follow(id).ok_or_else(Problem::no_job)?;
    let folder = app.jobs.store.folder(id);
    let reader = aside(move || EventReader::open(&folder, last)).await?.map_err(|_| Problem::no_job())?;
    let follower =
        Follower { stopping: app.jobs.stopping(), app, id, changed, reader, place: None, is_last: false };
    let alive = KeepAlive::new().interval(SIGN_OF_LIFE);
    Ok(Sse::new(batches(follower)).keep_alive(alive).into_response())
}

/// A client that follows a job.
struct Follower {
    app: Arc<App>,
    id: JobId,
    changed: watch::Receiver<u64>,
    stopping: watch::Receiver<bool>,
    reader: EventReader,
    /// Place in the queue that was told last.
    place: Option<usize>,
    is_last: bool,
}

fn batches(follower: Follower) -> impl Stream<Item = Result<Event, Infallible>> {
    use futures_util::StreamExt as _;
    stream::unfold(follower, |mut follower| async {
        let events = follower.next().await?;
        Some((stream::iter(events.into_iter().map(Ok)), follower))
    })
    .flatten()
}

impl Follower {
    /// Returns the events since the last call; `None` at the end.
    async fn next(&mut self) -> Option<Vec<Event>> {
        while !self.is_last {
            self.changed.mark_unchanged();
            // First: what is written before the end is read after it.
            let view = self.app.jobs.view(self.id)?;
            let mut events = self.written().await?;
            if events.len() < AT_ONCE {
                events.extend(self.place(&view));
                if view.state.is_over() {
                    self.is_last = true;
                    events.extend(Event::default().event("end").json_data(&view).ok());
                }
            }
            if !events.is_empty() {
                return Some(events);
            }
            tokio::select! {
                more = self.changed.changed() => more.ok()?,
                _ = self.stopping.wait_for(|is_stopping| *is_stopping) => return None,
            }
        }
        None
    }

    async fn written(&mut self) -> Option<Vec<Event>> {
        let mut reader = self.reader.clone();
        let (reader, lines) = aside(move || {
            let lines = reader.read(AT_ONCE);
            (reader, lines)
        })
        .await
        .ok()?;
        self.reader = reader;
        let events = lines.ok()?.into_iter().map(|(number, line)| {
            let event = Event::default().id(number.to_string());
            match name_in(&line) {
                Some(name) => event.event(name).data(line),
                None => event.data(line),
            }
        });
        Some(events.collect())
    }

    /// Its place in the queue, where that is another than before. It has no number: it is no longer true later.
    fn place(&mut self, view: &JobView) -> Option<Event> {
        let place = view.place.filter(|place| self.place != Some(*place))?;
        self.place = Some(place);
        let told = serde_json::json!({"event": "place", "place": place, "eta_s": view.eta_s});
        Event::default().event("place").json_data(told).ok()
    }
}

/// Returns the kind of event of a line.
fn name_in(line: &str) -> Option<String> {
    let event: serde_json::Value = serde_json::from_str(line).ok()?;
    let name = event.get("event")?.as_str()?;
    // Whatever a line says, it is one field of one event.
    name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_').then(|| name.to_owned())
}

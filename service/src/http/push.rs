//! Results to a server that the operator has named.

use std::sync::Arc;

use axum::{
    Extension, Json,
    extract::State,
    response::{IntoResponse as _, Response},
};
use serde::Deserialize;

use super::{
    app::{App, aside},
    extract::{Asked, Named},
    jobs::refuse_other,
    submit::accepted,
};
use crate::{
    format::DicomResult,
    problem::{Kind, Problem},
    push::PushState,
    tokens::Caller,
    upload::not_written,
};

/// Query of a request to push.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PushQuery {
    /// The name of a target; never an address.
    target: String,
    /// Words of objects, with commas between them.
    objects: Option<String>,
}

/// `POST /v1/jobs/{id}/push`: 202 when something is to be sent, 200 when the target has it all.
pub(super) async fn push(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    Named(id): Named,
    Asked(query): Asked<PushQuery>,
) -> Result<Response, Problem> {
    let (request, state) = app.jobs.request(id).ok_or_else(Problem::no_job)?;
    refuse_other(&caller, &request, "push it")?;
    let PushQuery { target, objects } = query;
    let objects = wanted(objects.as_deref())?;
    let targets = &app.settings.targets;
    if !targets.has(&target) {
        let detail = format!("there is no target {target:?} here, known are: {}", targets.names());
        return Err(Problem::new(Kind::Unusable, detail));
    }
    if !state.has_results() {
        let detail = format!("the job is {}, there is no result to push", state.word());
        return Err(Problem::new(Kind::Conflict, detail));
    }
    if let Some(reason) = request.push_refusal(state) {
        return Err(Problem::new(Kind::Unusable, reason));
    }
    let jobs = Arc::clone(&app.jobs);
    let pushed = aside(move || jobs.push(id, &target, &objects)).await?;
    let pushed = pushed.map_err(|error| not_written("what is to be pushed", &error))?;
    match pushed.ok_or_else(Problem::no_job)? {
        PushState::Sent => {
            let view = app.jobs.view(id).ok_or_else(Problem::no_job)?;
            Ok(Json(view).into_response())
        }
        PushState::Waiting | PushState::Failed => accepted(&app, id),
    }
}

/// The objects that were asked for.
fn wanted(words: Option<&str>) -> Result<Vec<DicomResult>, Problem> {
    let Some(words) = words else { return Ok(DicomResult::USUAL.to_vec()) };
    let known = words.split(',').map(|word| {
        DicomResult::named(word).ok_or_else(|| {
            let detail = format!("objects has {word:?}, expected ann, sr and seg, with commas between them");
            Problem::new(Kind::Malformed, detail)
        })
    });
    known.collect()
}

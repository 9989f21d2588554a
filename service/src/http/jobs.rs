//! Jobs: how they stand, and their end.

use std::sync::Arc;

use axum::{Extension, Json, extract::State, http::StatusCode};

use super::{
    app::{App, aside},
    extract::Named,
};
use crate::{
    job::{JobView, Request},
    problem::{Kind, Problem},
    tokens::{Caller, Role},
};

/// `GET /v1/jobs/{id}`.
pub(super) async fn show(State(app): State<Arc<App>>, Named(id): Named) -> Result<Json<JobView>, Problem> {
    app.jobs.view(id).map(Json).ok_or_else(Problem::no_job)
}

/// `DELETE /v1/jobs/{id}`: takes it back, and erases what was sent and found.
pub(super) async fn erase(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    Named(id): Named,
) -> Result<StatusCode, Problem> {
    let (request, _) = app.jobs.request(id).ok_or_else(Problem::no_job)?;
    refuse_other(&caller, &request, "erase it")?;
    let jobs = Arc::clone(&app.jobs);
    if aside(move || jobs.cancel(id)).await? { Ok(StatusCode::NO_CONTENT) } else { Err(Problem::no_job()) }
}

/// Refuses who neither sent a job nor is an admin.
pub(super) fn refuse_other(caller: &Caller, request: &Request, what: &str) -> Result<(), Problem> {
    if caller.role >= Role::Admin || request.by.as_deref() == caller.name.as_deref() {
        return Ok(());
    }
    Err(Problem::new(
        Kind::NotAllowed,
        format!("this job came with another token: only that one, or one of the role admin, may {what}"),
    ))
}

//! The service itself: models, health, figures, its own description.

use std::sync::Arc;

use axum::{
    Json,
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse as _, Response},
};
use serde::Serialize;

use super::{
    app::{App, aside},
    submit::SPARE_BYTES,
};
use crate::{
    problem::{Kind, Problem},
    runner::ModelCard,
};

/// Answer of `/v1/models`.
#[derive(Debug, Serialize)]
pub(super) struct Models {
    models: Vec<ModelCard>,
}

/// `GET /v1/models`.
pub(super) async fn models(State(app): State<Arc<App>>) -> Json<Models> {
    Json(Models { models: app.runner.models().to_vec() })
}

/// `GET /healthz`: the process answers.
pub(super) async fn health() -> Response {
    Json(serde_json::json!({"status": "alive"})).into_response()
}

/// `GET /readyz`: jobs would be taken and begin.
pub(super) async fn ready(State(app): State<Arc<App>>) -> Result<Response, Problem> {
    if app.jobs.is_stopping() {
        return Err(Problem::new(Kind::Busy, "the service is stopping"));
    }
    let runner = Arc::clone(&app.runner);
    aside(move || runner.ready()).await?.map_err(|reason| Problem::new(Kind::Busy, reason))?;
    let free = app.jobs.store.free_bytes();
    if free.is_ok_and(|free| free < SPARE_BYTES) {
        return Err(Problem::new(Kind::Busy, "the disk of the service has less than 1 GiB free"));
    }
    Ok(Json(serde_json::json!({"status": "ready"})).into_response())
}

/// `GET /metrics`.
pub(super) async fn metrics(State(app): State<Arc<App>>) -> Response {
    let kind = [(header::CONTENT_TYPE, "application/openmetrics-text; version=1.0.0; charset=utf-8")];
    (StatusCode::OK, kind, app.metrics.text(&app.jobs.census())).into_response()
}

/// `GET /openapi.json`.
pub(super) async fn openapi() -> Response {
    let kind = [(header::CONTENT_TYPE, "application/json")];
    (kind, crate::OPENAPI).into_response()
}

//! Answers to requests, and who gets them.

mod about;
mod app;
mod events;
mod extract;
mod guard;
mod jobs;
mod negotiate;
mod push;
mod results;
mod studies;
mod submit;

use std::sync::Arc;

use axum::{
    Router,
    extract::DefaultBodyLimit,
    middleware,
    response::{IntoResponse as _, Response},
    routing::{get, post},
};
use tower_http::catch_panic::CatchPanicLayer;

pub(crate) use self::{app::App, guard::Peer};
use crate::problem::{Kind, Problem};

/// All routes; `openapi.json` describes the same.
pub(crate) fn router(app: Arc<App>) -> Router {
    Router::new()
        .route("/v1/detect", post(submit::detect))
        .route("/v1/studies", post(studies::store))
        .route("/v1/jobs", post(submit::by_path))
        .route("/v1/jobs/{id}", get(jobs::show).delete(jobs::erase))
        .route("/v1/jobs/{id}/events", get(events::follow))
        .route("/v1/jobs/{id}/result", get(results::result))
        .route("/v1/jobs/{id}/push", post(push::push))
        .route("/v1/models", get(about::models))
        .route("/healthz", get(about::health))
        .route("/readyz", get(about::ready))
        .route("/metrics", get(about::metrics))
        .route("/openapi.json", get(about::openapi))
        .fallback(no_such_path)
        .method_not_allowed_fallback(no_such_method)
        // Bodies are counted where they are read.
        .layer(DefaultBodyLimit::disable())
        .layer(CatchPanicLayer::custom(panicked))
        .layer(middleware::from_fn_with_state(Arc::clone(&app), guard::guard))
        .with_state(app)
}

async fn no_such_path() -> Problem {
    Problem::new(Kind::NotFound, "there is no such path; /openapi.json lists those there are")
}

async fn no_such_method() -> Problem {
    Problem::new(Kind::Method, "this path does not take this method; /openapi.json lists those it takes")
}

fn panicked(_: Box<dyn std::any::Any + Send>) -> Response {
    Problem::new(Kind::Internal, "the service failed to answer this; please report it").into_response()
}

//! Parts of a request, or a problem in words.

use axum::{
    extract::{FromRequestParts, Path, Query},
    http::{HeaderMap, HeaderName, request::Parts},
};
use serde::de::DeserializeOwned;

use crate::{
    id::JobId,
    problem::{Kind, Problem},
};

/// The job that the path names.
pub(super) struct Named(pub(super) JobId);

impl<S: Send + Sync> FromRequestParts<S> for Named {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let Path(text) =
            Path::<String>::from_request_parts(parts, state).await.map_err(|_| Problem::no_job())?;
        text.parse().map(Self).map_err(|_| Problem::no_job())
    }
}

/// Query of a request: the part behind the `?`.
pub(super) struct Asked<T>(pub(super) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Asked<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        match Query::<T>::try_from_uri(&parts.uri) {
            Ok(Query(asked)) => Ok(Self(asked)),
            Err(rejection) => {
                let text = rejection.body_text();
                let reason = text.rsplit("query string: ").next().unwrap_or(&text);
                Err(Problem::new(Kind::Malformed, format!("what stands behind the ? is wrong: {reason}")))
            }
        }
    }
}

/// A header's text; empty when it is not there, or no text.
pub(super) fn text(headers: &HeaderMap, name: HeaderName) -> &str {
    headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
}

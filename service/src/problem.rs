//! Refusals in words, as RFC 9457 has them: `application/problem+json`.

use axum::{
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::Serialize;

/// Why a request was refused, for people and for programs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// Kind of problem; the same for all of its kind.
    #[serde(rename = "type")]
    kind: String,
    /// The kind in words.
    title: &'static str,
    /// The HTTP status.
    status: u16,
    /// Says what was found, what was expected, and what to do. Names no file.
    detail: String,
    /// Seconds after which another try makes sense.
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_after_s: Option<u64>,
}

/// Kinds of problems.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The request makes no sense.
    Malformed,
    /// No token, or one that is not known.
    NoToken,
    /// The token may not do this.
    NotAllowed,
    /// There is nothing there.
    NotFound,
    /// The path is known, the method is not.
    Method,
    /// No format that was asked for can be given.
    NotAcceptable,
    /// The upload came too slowly.
    TooSlow,
    /// Not in this state of the job.
    Conflict,
    /// The upload is larger than allowed.
    TooLarge,
    /// The upload is of a kind that is not read.
    MediaType,
    /// The request is meant for another host.
    Misdirected,
    /// The upload or its options were read and cannot be used.
    Unusable,
    /// No place in the queue.
    QueueFull,
    /// Our own fault.
    Internal,
    /// The service stops, or has too much to do just now.
    Busy,
    /// There is no room on the disk.
    NoRoom,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 16] = [
        Self::Malformed,
        Self::NoToken,
        Self::NotAllowed,
        Self::NotFound,
        Self::Method,
        Self::NotAcceptable,
        Self::TooSlow,
        Self::Conflict,
        Self::TooLarge,
        Self::MediaType,
        Self::Misdirected,
        Self::Unusable,
        Self::QueueFull,
        Self::Internal,
        Self::Busy,
        Self::NoRoom,
    ];

    /// Status, name and title.
    #[must_use]
    pub fn facts(self) -> (u16, &'static str, &'static str) {
        match self {
            Self::Malformed => (400, "malformed", "The request makes no sense"),
            Self::NoToken => (401, "no-token", "A token is needed"),
            Self::NotAllowed => (403, "not-allowed", "The token may not do this"),
            Self::NotFound => (404, "not-found", "There is nothing here"),
            Self::Method => (405, "method", "This cannot be done here"),
            Self::NotAcceptable => (406, "not-acceptable", "No such format"),
            Self::TooSlow => (408, "too-slow", "The upload came too slowly"),
            Self::Conflict => (409, "conflict", "Not now"),
            Self::TooLarge => (413, "too-large", "The upload is too large"),
            Self::MediaType => (415, "media-type", "Uploads of this kind are not read"),
            Self::Misdirected => (421, "misdirected", "This service is for its own machine"),
            Self::Unusable => (422, "unusable", "What was sent cannot be used"),
            Self::QueueFull => (429, "queue-full", "The queue is full"),
            Self::Internal => (500, "internal", "Our own fault"),
            Self::Busy => (503, "busy", "The service cannot take this now"),
            Self::NoRoom => (507, "no-room", "There is no room on the disk"),
        }
    }
}

impl Problem {
    /// A problem of this kind, in words that name no file.
    pub fn new(kind: Kind, detail: impl Into<String>) -> Self {
        let (status, name, title) = kind.facts();
        let kind = format!("urn:slidemill:problem:{name}");
        Self { kind, title, status, detail: detail.into(), retry_after_s: None }
    }

    /// The same, with the seconds after which another try makes sense.
    #[must_use]
    pub fn retry_after(self, secs: u64) -> Self {
        Self { retry_after_s: Some(secs.max(1)), ..self }
    }

    /// Nothing of that name.
    #[must_use]
    pub fn no_job() -> Self {
        Self::new(
            Kind::NotFound,
            "there is no job of this id: it was never accepted, or it was erased, by hand or because its time was over",
        )
    }

    /// The HTTP status.
    #[must_use]
    pub fn status(&self) -> u16 {
        self.status
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let body = serde_json::to_vec(&self).unwrap_or_default();
        let kind = [(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"))];
        let mut response = (status, kind, body).into_response();
        if let Some(secs) = self.retry_after_s {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(secs));
        }
        if status == StatusCode::UNAUTHORIZED {
            let scheme = HeaderValue::from_static("Bearer");
            response.headers_mut().insert(header::WWW_AUTHENTICATE, scheme);
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_is_json_with_its_status_and_says_when_to_come_again() {
        let response = Problem::new(Kind::QueueFull, "100 jobs wait").retry_after(0).into_response();
        assert_eq!(response.status(), 429);
        assert_eq!(response.headers()["content-type"], "application/problem+json");
        assert_eq!(response.headers()["retry-after"], "1");
        let names: std::collections::BTreeSet<_> = Kind::ALL.iter().map(|kind| kind.facts().1).collect();
        assert_eq!(names.len(), Kind::ALL.len(), "each kind has its own name");
    }
}

//! Before and after each request: who it is, what may be done, what is noted of it.

use std::{net::SocketAddr, sync::Arc, time::Instant};

use axum::{
    extract::{MatchedPath, Request, State},
    http::{HeaderMap, Method, header},
    middleware::Next,
    response::{IntoResponse as _, Response},
};

use super::app::App;
use crate::{
    audit::AuditLine,
    id::JobId,
    problem::{Kind, Problem},
    tokens::{Caller, Role},
};

/// The other end of the connection.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Peer(pub(crate) SocketAddr);

/// Paths that anybody may ask for: they say nothing of any job.
const OPEN: [&str; 3] = ["/healthz", "/readyz", "/openapi.json"];

/// Lets a request through, or not; counts it and writes its line.
pub(super) async fn guard(State(app): State<Arc<App>>, mut request: Request, next: Next) -> Response {
    let begun = Instant::now();
    let route = request.extensions().get::<MatchedPath>().map(|path| path.as_str().to_owned());
    let route = route.unwrap_or_else(|| "none".to_owned());
    let method = request.method().clone();
    let named = job_in(request.uri().path());
    let from = request.extensions().get::<Peer>().map(|peer| peer.0.ip().to_string());
    let length = header_text(request.headers(), header::CONTENT_LENGTH);
    let request_bytes = length.and_then(|length| length.parse().ok());

    let caller = caller(&app, &request, &route);
    let who = caller.as_ref().ok().and_then(|caller| caller.name.clone());
    let response = match caller.and_then(|caller| allowed(caller, &method, &route)) {
        Ok(caller) => {
            request.extensions_mut().insert(caller);
            next.run(request).await
        }
        Err(problem) => problem.into_response(),
    };

    let (status, took) = (response.status().as_u16(), begun.elapsed());
    let method = known(&method);
    app.metrics.answered(method, &route, status, took);
    let line = AuditLine {
        time: dataset::clock::timestamp(),
        who: who.as_deref(),
        from,
        method,
        route: &route,
        job: named.or_else(|| response.extensions().get::<JobId>().copied()),
        status,
        request_bytes,
        ms: u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
    };
    if app.audit.add(&line) || OPEN.contains(&route.as_str()) {
        return response;
    }
    Problem::new(Kind::NoRoom, "the line of this request cannot be written to the audit log").into_response()
}

/// A method that may be a label: clients may make up others without end.
fn known(method: &Method) -> &'static str {
    const KNOWN: [&str; 7] = ["DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"];
    KNOWN.into_iter().find(|known| *known == method.as_str()).unwrap_or("other")
}

/// The job that a path names.
fn job_in(path: &str) -> Option<JobId> {
    path.strip_prefix("/v1/jobs/")?.split('/').next()?.parse().ok()
}

fn header_text(headers: &HeaderMap, name: header::HeaderName) -> Option<&str> {
    headers.get(name)?.to_str().ok()
}

fn caller(app: &App, request: &Request, route: &str) -> Result<Caller, Problem> {
    let Some(tokens) = &app.settings.tokens else {
        return own_machine(request.headers()).map(|()| Caller::local());
    };
    if OPEN.contains(&route) {
        return Ok(Caller { name: None, role: Role::Read });
    }
    let presented = header_text(request.headers(), header::AUTHORIZATION).and_then(bearer);
    presented.and_then(|token| tokens.caller(token)).ok_or_else(|| {
        Problem::new(
            Kind::NoToken,
            "this needs `Authorization: Bearer TOKEN` with a token that the operator gave out",
        )
    })
}

fn bearer(header: &str) -> Option<&str> {
    let (scheme, token) = header.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// Without tokens only programs of this machine are served. A page on the web that has its own name point here, or that
/// sends a form here, gets nothing.
fn own_machine(headers: &HeaderMap) -> Result<(), Problem> {
    let host = header_text(headers, header::HOST).unwrap_or_default();
    if !is_loopback(host) {
        return Err(Problem::new(
            Kind::Misdirected,
            "without tokens this service answers only to 127.0.0.1 and localhost; behind a proxy it needs --token-file",
        ));
    }
    match header_text(headers, header::ORIGIN) {
        Some(origin) if origin.strip_prefix("http://") != Some(host) => {
            Err(Problem::new(Kind::NotAllowed, "pages of other origins get nothing here"))
        }
        _ => Ok(()),
    }
}

fn is_loopback(host: &str) -> bool {
    let name = host.rsplit_once(':').filter(|(_, port)| port.bytes().all(|byte| byte.is_ascii_digit()));
    let name = name.map_or(host, |(name, _)| name);
    ["127.0.0.1", "localhost", "[::1]"].iter().any(|own| own.eq_ignore_ascii_case(name))
}

fn allowed(caller: Caller, method: &Method, route: &str) -> Result<Caller, Problem> {
    let needed =
        if matches!(*method, Method::GET | Method::HEAD) || route == "none" { Role::Read } else { Role::Run };
    if caller.role >= needed {
        return Ok(caller);
    }
    Err(Problem::new(
        Kind::NotAllowed,
        format!("this token has the role {}, expected {} or higher", caller.role.word(), needed.word()),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_of_this_machine_are_its_own() {
        for host in ["127.0.0.1", "127.0.0.1:8750", "LocalHost:1", "[::1]:8750", "[::1]"] {
            assert!(is_loopback(host), "{host}");
        }
        for host in ["", "127.0.0.1.evil.example", "evil.example:8750", "localhost:x", "::1"] {
            assert!(!is_loopback(host), "{host}");
        }
    }

    #[test]
    fn clients_make_up_no_labels() {
        assert_eq!(known(&Method::POST), "POST");
        assert_eq!(known(&Method::from_bytes(b"MILLER").unwrap()), "other");
    }

    #[test]
    fn a_job_is_known_by_its_path() {
        let id = JobId::new().unwrap();
        assert_eq!(job_in(&format!("/v1/jobs/{id}/result")), Some(id));
        assert_eq!(job_in("/v1/jobs/Miller%20John"), None);
    }
}

//! Takes slides: sent along, or named by path.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use axum::{
    Extension, Json,
    extract::{Request, State},
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse as _, Response},
};
use serde::Deserialize;
use sha2::{Digest as _, Sha256};
use tokio::{sync::SemaphorePermit, time::timeout};

use super::{
    app::{App, aside},
    extract::{Asked, text},
    negotiate::ResultType,
    results,
};
use crate::{
    id::JobId,
    job::{self, JobOptions, Lane, Measured, Once},
    jobs::{First, Keyed, Place},
    multipart::{Parts, boundary},
    problem::{Kind, Problem},
    store::{Incoming, UPLOAD},
    tokens::Caller,
    unzip,
    upload::{Limits, Pieces, Received, Sink, receive, receive_small, too_large, unwritten},
};

/// Types of uploads. What a file is tells its content: the type only has to be one of these.
const TAKEN: [&str; 6] = [
    "application/dicom",
    "application/octet-stream",
    "application/zip",
    "image/jpeg",
    "image/png",
    "image/tiff",
];

/// Bytes of a request in JSON.
const MOST_JSON: u64 = 64 << 10;

/// Of a body in parts: what it has beside the slide.
pub(super) const FORM_BYTES: u64 = MOST_JSON;

/// Room on the disk that is left free, for what jobs write.
pub(super) const SPARE_BYTES: u64 = 1 << 30;

/// The name of an upload in its folder.
const SLIDE: &str = "slide";

/// `POST /v1/detect`: a slide or picture in, a report or a job out.
pub(super) async fn detect(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    Asked(mut options): Asked<JobOptions>,
    request: Request,
) -> Result<Response, Problem> {
    let headers = request.headers().clone();
    let body = BodyKind::of_request(&headers)?;
    let wanted = ResultType::wanted(&headers)?;
    refuse_unknown(&app, &options)?;
    let request = refuse_declared_length(&app, request).await?;
    let door = Door::enter(&app, &headers, &caller)?;
    let _permit = upload_permit(&app)?;
    let incoming = app.jobs.store.incoming().map_err(|error| unwritten(&error))?;
    let path = incoming.upload().join(SLIDE);
    let received = match body {
        BodyKind::Raw => receive(request.into_body().into_data_stream(), &path, limits(&app)).await?,
        BodyKind::Form(boundary) => receive_form(&app, request, &boundary, &path, &mut options).await?,
    };
    refuse_unknown(&app, &options)?;
    let content = content_of(&received.sha256, &options);
    let id = match door {
        Door::Known(id, once) => known(id, &once, &content)?,
        Door::New(place, first) => {
            let slide = unpacked(&app, path, incoming.upload()).await?;
            app.metrics.uploaded(received.bytes);
            // Of the job's folder, whatever that is called later.
            let within = slide.strip_prefix(incoming.upload()).unwrap_or(&slide);
            let source = Source { at: slide.clone(), slide: Path::new(UPLOAD).join(within), is_upload: true };
            let new = New { app: &app, caller: &caller, source, options, content };
            new.job(place, first, incoming).await?
        }
    };
    answer(&app, id, &headers, wanted).await
}

/// Body that `POST /v1/jobs` takes.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ByPath {
    source: Named,
    #[serde(default)]
    options: JobOptions,
}

/// A slide that is there already.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Named {
    path: PathBuf,
}

/// `POST /v1/jobs`: a slide on the service's own disks, by path.
pub(super) async fn by_path(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    Asked(Nothing {}): Asked<Nothing>,
    request: Request,
) -> Result<Response, Problem> {
    let headers = request.headers().clone();
    if essence(text(&headers, header::CONTENT_TYPE)) != "application/json" {
        return Err(Problem::new(Kind::MediaType, "this takes application/json"));
    }
    let door = Door::enter(&app, &headers, &caller)?;
    let _permit = upload_permit(&app)?;
    let small = Limits { bytes: MOST_JSON, ..limits(&app) };
    let body = receive_small(request.into_body().into_data_stream(), small).await?;
    let ByPath { source, options } = serde_json::from_slice(&body)
        .map_err(|error| Problem::new(Kind::Malformed, format!("the JSON is not as expected: {error}")))?;
    refuse_unknown(&app, &options)?;
    let content = content_of(&Sha256::digest(source.path.as_os_str().as_encoded_bytes()).into(), &options);
    let id = match door {
        Door::Known(id, once) => known(id, &once, &content)?,
        Door::New(place, first) => {
            let slide = allowed_slide(&app, source.path).await?;
            let incoming = app.jobs.store.incoming().map_err(|error| unwritten(&error))?;
            let source = Source { at: slide.clone(), slide, is_upload: false };
            let new = New { app: &app, caller: &caller, source, options, content };
            new.job(place, first, incoming).await?
        }
    };
    accepted(&app, id)
}

/// A query that has nothing.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Nothing {}

/// Place of the pixels of a request.
enum BodyKind {
    Raw,
    /// Between lines of this boundary.
    Form(String),
}

impl BodyKind {
    fn of_request(headers: &HeaderMap) -> Result<Self, Problem> {
        let kind = text(headers, header::CONTENT_TYPE);
        if let Some(boundary) = boundary(kind) {
            return Ok(Self::Form(boundary));
        }
        if TAKEN.contains(&essence(kind).as_str()) {
            return Ok(Self::Raw);
        }
        let taken = TAKEN.join(", ");
        Err(Problem::new(
            Kind::MediaType,
            format!(
                "the content-type is {kind:?}, expected one of {taken}, or multipart/form-data with a boundary"
            ),
        ))
    }
}

/// A media type without its parameters.
fn essence(kind: &str) -> String {
    kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

/// A request's right to make a job, or the earlier job that it stands for.
enum Door {
    Known(JobId, Once),
    New(Place, Option<First>),
}

impl Door {
    fn enter(app: &App, headers: &HeaderMap, caller: &Caller) -> Result<Self, Problem> {
        if app.jobs.is_stopping() {
            return Err(Problem::new(Kind::Busy, "the service is stopping; jobs that it has go on later")
                .retry_after(30));
        }
        let first = match idempotency_key(headers, caller)?.map(|key| app.jobs.keyed(key)) {
            Some(Keyed::Job(id, once)) => return Ok(Self::Known(id, once)),
            Some(Keyed::Coming) => {
                let detail =
                    "a request with this idempotency-key is on its way; ask again when it was answered";
                return Err(Problem::new(Kind::Conflict, detail).retry_after(1));
            }
            Some(Keyed::First(first)) => Some(first),
            None => None,
        };
        let place = app.jobs.reserve().map_err(|(waiting, secs)| {
            Problem::new(
                Kind::QueueFull,
                format!("{waiting} jobs wait, and no more may; come again in {secs} s"),
            )
            .retry_after(secs)
        })?;
        Ok(Self::New(place, first))
    }
}

/// The client's key, together with who it is: two clients may use the same.
fn idempotency_key(headers: &HeaderMap, caller: &Caller) -> Result<Option<String>, Problem> {
    let Some(value) = headers.get(HeaderName::from_static("idempotency-key")) else { return Ok(None) };
    let key = value.to_str().ok().filter(|key| (1..=255).contains(&key.len())).ok_or_else(|| {
        Problem::new(Kind::Malformed, "the idempotency-key has no text of 1 to 255 letters of ASCII")
    })?;
    let who = caller.name.as_deref().unwrap_or_default();
    Ok(Some(dataset::hex(&Sha256::digest(format!("{who}\n{key}")))))
}

/// Returns the hash that tells a request from another with the same key.
fn content_of(sha256: &[u8; 32], options: &JobOptions) -> String {
    let options = serde_json::to_vec(options).unwrap_or_default();
    dataset::hex(&Sha256::new_with_prefix(sha256).chain_update(options).finalize())
}

fn known(id: JobId, once: &Once, content: &str) -> Result<JobId, Problem> {
    if once.content == content {
        return Ok(id);
    }
    let detail =
        "this idempotency-key came before with another slide or other options: give each request its own";
    Err(Problem::new(Kind::Unusable, detail))
}

pub(super) fn limits(app: &App) -> Limits {
    Limits { bytes: app.settings.max_upload, patience: app.settings.patience }
}

pub(super) fn upload_permit(app: &App) -> Result<SemaphorePermit<'_>, Problem> {
    app.uploads.try_acquire().map_err(|_| {
        let most = app.settings.max_uploads;
        Problem::new(Kind::Busy, format!("{most} uploads are on their way, which is the most at once"))
            .retry_after(5)
    })
}

/// Refuses at once what says itself that it is too large.
pub(super) async fn refuse_declared_length(app: &App, request: Request) -> Result<Request, Problem> {
    let declared = text(request.headers(), header::CONTENT_LENGTH).parse::<u64>().unwrap_or_default();
    let most = app.settings.max_upload;
    if declared > most + FORM_BYTES {
        // Who waits to be told to go on has sent nothing yet.
        if !request.headers().contains_key(header::EXPECT) {
            let nothing = Limits { bytes: 0, ..limits(app) };
            let _ = receive_small(request.into_body().into_data_stream(), nothing).await;
        }
        return Err(too_large(most));
    }
    let free = app.jobs.store.free_bytes().map_err(|error| unwritten(&error))?;
    if free < declared + SPARE_BYTES {
        return Err(Problem::new(Kind::NoRoom, "the disk of the service is full; ask its operator"));
    }
    Ok(request)
}

pub(super) fn refuse_unknown(app: &App, options: &JobOptions) -> Result<(), Problem> {
    let JobOptions { model, mpp, override_mpp, own_grid, frame } = options;
    let models = app.runner.models();
    if let Some(model) = model.as_ref().filter(|model| !models.iter().any(|card| card.name == **model)) {
        let known: Vec<&str> = models.iter().map(|card| card.name.as_str()).collect();
        let detail = format!("there is no model {model:?} here, known are {}", known.join(", "));
        return Err(Problem::new(Kind::Unusable, detail));
    }
    for (name, value) in [("mpp", mpp), ("override_mpp", override_mpp)] {
        if let Some(value) = value.filter(|value| !(0.05..=5.0).contains(value)) {
            let detail = format!("{name} is {value}, expected microns per pixel of 0.05 to 5, such as 0.25");
            return Err(Problem::new(Kind::Unusable, detail));
        }
    }
    if *own_grid && (mpp.is_some() || override_mpp.is_some()) {
        let detail = "own_grid takes the pixels of a picture as they are: give either it or a scale";
        return Err(Problem::new(Kind::Unusable, detail));
    }
    if *frame == Some(0) {
        return Err(Problem::new(Kind::Unusable, "frame is 0, expected 1 for the first"));
    }
    Ok(())
}

/// Takes the fields `file` and `options` of a form, in any order.
async fn receive_form(
    app: &App,
    request: Request,
    boundary: &str,
    path: &Path,
    options: &mut JobOptions,
) -> Result<Received, Problem> {
    let Limits { bytes, patience } = limits(app);
    let most = Limits { bytes: bytes + FORM_BYTES, patience };
    let mut parts = Parts::new(Pieces::new(request.into_body().into_data_stream(), most), boundary);
    let mut received = None;
    while let Some(head) = parts.next().await? {
        match head.field()?.as_str() {
            "file" if received.is_none() => {
                let mut sink = Sink::create(path)?;
                while let Some(piece) = parts.bytes().await? {
                    sink.take(&piece)?;
                }
                received = Some(sink.finish()?);
            }
            "options" => {
                let mut text = Vec::new();
                while let Some(piece) = parts.bytes().await? {
                    text.extend(piece);
                    if text.len() as u64 > MOST_JSON {
                        return Err(Problem::new(Kind::TooLarge, "the options are too long"));
                    }
                }
                *options = serde_json::from_slice(&text).map_err(|error| {
                    Problem::new(Kind::Malformed, format!("the options are not as expected: {error}"))
                })?;
            }
            other => {
                let detail =
                    format!("the form has the field {other:?}, expected one `file`, and `options` in JSON");
                return Err(Problem::new(Kind::Malformed, detail));
            }
        }
    }
    received.ok_or_else(|| Problem::new(Kind::Malformed, "the form has no field `file`"))
}

/// The slide in an upload: the file, or what a zip holds.
async fn unpacked(app: &App, path: PathBuf, folder: PathBuf) -> Result<PathBuf, Problem> {
    let limit = app.settings.max_upload;
    aside(move || {
        if !unzip::is_zip(&path).map_err(|error| unwritten(&error))? {
            return Ok(path);
        }
        let slide = unzip::unzip(&path, &folder.join("series"), limit)?;
        unzip::remove(&path)?;
        Ok(slide)
    })
    .await?
}

/// The slide at a path, if it may be named.
async fn allowed_slide(app: &App, path: PathBuf) -> Result<PathBuf, Problem> {
    if app.settings.roots.is_empty() {
        return Err(Problem::new(
            Kind::NotAllowed,
            "slides cannot be named by path here: the operator has allowed no folder (--allow-root)",
        ));
    }
    let roots = app.settings.roots.clone();
    let found = aside(move || roots.resolve(&path)).await?;
    found.ok_or_else(|| {
        Problem::new(
            Kind::NotFound,
            "no slide is at this path under the folders that the operator has allowed; it must be absolute",
        )
    })
}

/// The slide of a job to be.
struct Source {
    /// Its path now.
    at: PathBuf,
    /// Its later path, from the job's folder on.
    slide: PathBuf,
    is_upload: bool,
}

/// A job to be.
struct New<'a> {
    app: &'a App,
    caller: &'a Caller,
    source: Source,
    options: JobOptions,
    content: String,
}

impl New<'_> {
    async fn job(self, place: Place, first: Option<First>, incoming: Incoming) -> Result<JobId, Problem> {
        let Self { app, caller, source, options, content } = self;
        let measured = measure(app, source.at, &options).await?;
        let lane = Lane::of(&measured, app.settings.sync_mpx);
        let once = first.as_ref().map(|first| Once { key: first.key().to_owned(), content });
        let request = job::Request {
            slide: source.slide,
            is_upload: source.is_upload,
            options,
            measured,
            lane,
            by: caller.name.as_deref().map(str::to_owned),
            once,
            accepted: dataset::clock::timestamp(),
            series: None,
        };
        let jobs = Arc::clone(&app.jobs);
        // Both go on to the end, even if the client goes away now.
        aside(move || {
            let accepted = jobs.accept(place, incoming, request);
            drop(first);
            accepted
        })
        .await?
        .map_err(|error| unwritten(&error))
    }
}

async fn measure(app: &App, slide: PathBuf, options: &JobOptions) -> Result<Measured, Problem> {
    let (runner, options) = (Arc::clone(&app.runner), options.clone());
    let measured = aside(move || runner.measure(&slide, &options)).await?;
    measured.map_err(|reason| Problem::new(Kind::Unusable, reason))
}

/// The report of a small picture, unless the client rather has the job; the job of a large one.
async fn answer(
    app: &Arc<App>,
    id: JobId,
    headers: &HeaderMap,
    wanted: ResultType,
) -> Result<Response, Problem> {
    let view = app.jobs.view(id).ok_or_else(Problem::no_job)?;
    if prefers_async(headers) || (view.lane == Lane::Large && !view.state.is_over()) {
        return accepted(app, id);
    }
    wait_for_end(app, id).await;
    let view = app.jobs.view(id).ok_or_else(Problem::no_job)?;
    if view.state.has_results() {
        let mut response = results::of_ended(app, id, wanted, None).await?;
        if let Ok(place) = HeaderValue::from_str(&view.links.result) {
            response.headers_mut().insert(header::CONTENT_LOCATION, place);
        }
        response.extensions_mut().insert(id);
        return Ok(response);
    }
    if view.state.is_over() {
        let reason = view.reason.unwrap_or_else(|| "the job was taken back".to_owned());
        return Err(Problem::new(Kind::Unusable, reason));
    }
    accepted(app, id)
}

fn prefers_async(headers: &HeaderMap) -> bool {
    let values = headers.get_all(HeaderName::from_static("prefer")).iter();
    let words = values.filter_map(|value| value.to_str().ok()).flat_map(|value| value.split(','));
    words
        .map(|word| word.split(';').next().unwrap_or_default().trim())
        .any(|word| word.eq_ignore_ascii_case("respond-async"))
}

/// Until the job ends, the client's patience does, or the service is asked to stop.
async fn wait_for_end(app: &App, id: JobId) {
    let (Some(mut changed), mut stopping) = (app.jobs.follow(id), app.jobs.stopping()) else { return };
    let ended = async {
        while app.jobs.view(id).is_some_and(|view| !view.state.is_over()) {
            tokio::select! {
                more = changed.changed() => if more.is_err() { return },
                _ = stopping.wait_for(|is_stopping| *is_stopping) => return,
            }
        }
    };
    // After that the answer is the state so far.
    let _ = timeout(app.settings.sync_wait, ended).await;
}

/// 202, and where the job is.
pub(super) fn accepted(app: &App, id: JobId) -> Result<Response, Problem> {
    let view = app.jobs.view(id).ok_or_else(Problem::no_job)?;
    let mut response = (StatusCode::ACCEPTED, Json(&view)).into_response();
    if let Ok(place) = HeaderValue::from_str(&view.links.own) {
        response.headers_mut().insert(header::LOCATION, place);
    }
    response.extensions_mut().insert(id);
    Ok(response)
}

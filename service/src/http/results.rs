//! Results, in the format that the client likes best.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use axum::{
    Json,
    body::Body,
    extract::State,
    http::{HeaderMap, HeaderValue, header},
    response::{IntoResponse as _, Response},
};
use serde::Deserialize;
use tokio_util::io::ReaderStream;

use super::{
    app::{App, aside},
    extract::{Asked, Named},
    negotiate::ResultType,
};
use crate::{
    format::{DicomResult, Format},
    id::JobId,
    job::{JobView, State as JobState, Task},
    problem::{Kind, Problem},
    report::{Report, ReportError, report},
};

/// Query of a request for results.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct ResultQuery {
    /// Also of a job that has not ended.
    partial: bool,
    /// Of DICOM: which object.
    object: Option<DicomResult>,
}

/// `GET /v1/jobs/{id}/result`.
pub(super) async fn result(
    State(app): State<Arc<App>>,
    Named(id): Named,
    Asked(query): Asked<ResultQuery>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let view = app.jobs.view(id).ok_or_else(Problem::no_job)?;
    let wanted = ResultType::wanted(&headers)?;
    match view.state {
        JobState::Done | JobState::Partial => of_ended(&app, id, wanted, query.object).await,
        JobState::Failed => {
            let reason = view.reason.unwrap_or_default();
            Err(Problem::new(Kind::Conflict, format!("the job failed, there is no result: {reason}")))
        }
        JobState::Cancelled => {
            Err(Problem::new(Kind::Conflict, "the job was taken back, there is no result"))
        }
        JobState::Running if query.partial => so_far(&app, view, wanted).await,
        JobState::Gathering | JobState::Queued | JobState::Running => {
            let more = if view.state == JobState::Running {
                "; ?partial=true gives what is found so far"
            } else {
                ""
            };
            let detail = format!("the job is {}, there is no result yet{more}", view.state.word());
            let secs = view.eta_s.map_or(5, |secs| secs.ceil() as u64);
            Err(Problem::new(Kind::Conflict, detail).retry_after(secs.clamp(1, 3600)))
        }
    }
}

/// The result of a job that ended with results.
pub(super) async fn of_ended(
    app: &Arc<App>,
    id: JobId,
    wanted: ResultType,
    object: Option<DicomResult>,
) -> Result<Response, Problem> {
    let task = app.jobs.task(id).ok_or_else(Problem::no_job)?;
    let view = app.jobs.view(id).ok_or_else(Problem::no_job)?;
    let path = match wanted {
        ResultType::Json => return Ok(Json(report_in(app, task.out(), view).await?).into_response()),
        ResultType::Parquet => table_in(task.out()).await?,
        ResultType::GeoJson => exported(app, task, Format::GeoJson).await?,
        ResultType::Zip => exported(app, task, Format::QuPath).await?,
        ResultType::Dicom
            if app.jobs.request(id).is_some_and(|(request, _)| request.measured.is_dicom_picture()) =>
        {
            let detail = "DICOM objects are made of whole slides alone, and this is a DICOM picture: take application/json, \
                          application/geo+json or application/vnd.apache.parquet";
            return Err(Problem::new(Kind::NotAcceptable, detail));
        }
        ResultType::Dicom => exported(app, task, object.unwrap_or(DicomResult::Ann).format()).await?,
    };
    file(&path, wanted).await
}

/// Answers with the results so far of a job that runs.
async fn so_far(app: &Arc<App>, view: JobView, wanted: ResultType) -> Result<Response, Problem> {
    if wanted != ResultType::Json {
        return Err(Problem::new(
            Kind::NotAcceptable,
            "results so far are given as application/json alone; the other formats when the job has ended",
        ));
    }
    let task = app.jobs.task(view.id).ok_or_else(Problem::no_job)?;
    let so_far = task.so_far();
    let _permit = conversion_permit(app).await?;
    let runner = Arc::clone(&app.runner);
    let is_some = aside(move || runner.look(&task)).await?.map_err(internal)?;
    if !is_some {
        let detail = "no window has ended yet, there is nothing so far";
        return Err(Problem::new(Kind::Conflict, detail).retry_after(2));
    }
    Ok(Json(report_in(app, so_far, view).await?).into_response())
}

async fn report_in(app: &Arc<App>, out: PathBuf, view: JobView) -> Result<Report, Problem> {
    let (request, _) = app.jobs.request(view.id).ok_or_else(Problem::no_job)?;
    let most = app.settings.max_findings;
    let made = aside(move || report(&out, &request, &view, most)).await?;
    made.map_err(|error| match error {
        ReportError::None => internal("the job left no results".to_owned()),
        // It names files.
        ReportError::Dataset(_) => unreadable(),
    })
}

/// The table of cells in a dataset of one slide.
async fn table_in(out: PathBuf) -> Result<PathBuf, Problem> {
    let found = aside(move || {
        let dataset = dataset::Dataset::at(out);
        let account = dataset.read_accounts().ok()?.pop()?;
        Some(dataset.cells(&account.slide))
    });
    found.await?.ok_or_else(unreadable)
}

/// The results in another format, made the first time they are asked for.
async fn exported(app: &Arc<App>, task: Task, format: Format) -> Result<PathBuf, Problem> {
    let _permit = conversion_permit(app).await?;
    let runner = Arc::clone(&app.runner);
    aside(move || runner.export(&task, format)).await?.map_err(internal)
}

async fn conversion_permit(app: &App) -> Result<tokio::sync::SemaphorePermit<'_>, Problem> {
    app.conversions.acquire().await.map_err(|_| Problem::new(Kind::Busy, "the service is stopping"))
}

fn unreadable() -> Problem {
    internal("the results of the job cannot be read".to_owned())
}

fn internal(reason: String) -> Problem {
    Problem::new(Kind::Internal, reason)
}

/// A file, as it is read.
async fn file(path: &Path, kind: ResultType) -> Result<Response, Problem> {
    let path = path.to_owned();
    let (file, bytes) = aside(move || {
        let file = std::fs::File::open(path)?;
        let bytes = file.metadata()?.len();
        Ok::<_, std::io::Error>((file, bytes))
    })
    .await?
    .map_err(|_| unreadable())?;
    let body = Body::from_stream(ReaderStream::with_capacity(tokio::fs::File::from_std(file), 256 << 10));
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static(kind.media())),
        (header::CONTENT_LENGTH, HeaderValue::from(bytes)),
    ];
    Ok((headers, body).into_response())
}

//! STOW-RS (PS3.18, 10.5): DICOM instances in, a job for each series of whole-slide images.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    sync::Arc,
};

use axum::{
    Extension,
    extract::{Request, State},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse as _, Response},
};
use serde_json::{Value, json};

use super::{
    app::{App, aside},
    extract::{Asked, text},
    negotiate::must_take,
    submit::{FORM_BYTES, limits, refuse_declared_length, refuse_unknown, upload_permit},
};
use crate::{
    id::JobId,
    job::JobOptions,
    multipart::{Parts, related},
    problem::{Kind, Problem},
    runner::DicomObject,
    series::{Arrival, Failure, MOST_INSTANCES, Sender, gather},
    tokens::Caller,
    upload::{Limits, Pieces, Received, Sink, unwritten},
};

/// Type of the parts.
const DICOM: &str = "application/dicom";
/// Type of the answer.
const DICOM_JSON: &str = "application/dicom+json";

/// `POST /v1/studies`.
pub(super) async fn store(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    Asked(options): Asked<JobOptions>,
    request: Request,
) -> Result<Response, Problem> {
    let boundary = boundary_of(request.headers())?;
    must_take(request.headers(), DICOM_JSON)?;
    refuse_unknown(&app, &options)?;
    let request = refuse_declared_length(&app, request).await?;
    if app.jobs.is_stopping() {
        return Err(Problem::new(Kind::Busy, "the service is stopping").retry_after(30));
    }
    let _permit = upload_permit(&app)?;
    let bringing = app.jobs.bringing(caller.name.clone());
    let incoming = app.jobs.store.incoming().map_err(|error| unwritten(&error))?;
    let parts = receive_parts(&app, request, &boundary, &incoming.upload()).await?;
    let sender = Sender { by: caller.name, options };
    let (at_work, most) = (Arc::clone(&app), app.settings.max_upload);
    let answers = aside(move || {
        let answers = take(&at_work, &sender, &parts, most);
        // All that was not taken is erased.
        drop((incoming, bringing));
        answers
    })
    .await??;
    Ok(answer(&answers))
}

fn boundary_of(headers: &HeaderMap) -> Result<String, Problem> {
    let kind = text(headers, header::CONTENT_TYPE);
    match related(kind) {
        Some((boundary, kind)) if kind == DICOM || kind.is_empty() => Ok(boundary),
        _ => Err(Problem::new(
            Kind::MediaType,
            format!(
                "the content-type is {kind:?}, expected multipart/related; type=\"{DICOM}\" with a boundary"
            ),
        )),
    }
}

/// A part of the body; `None`: not DICOM by its own type, or empty.
type Part = Option<(PathBuf, Received)>;

async fn receive_parts(
    app: &App,
    request: Request,
    boundary: &str,
    folder: &Path,
) -> Result<Vec<Part>, Problem> {
    let Limits { bytes, patience } = limits(app);
    let most = Limits { bytes: bytes + FORM_BYTES, patience };
    let mut body = Parts::new(Pieces::new(request.into_body().into_data_stream(), most), boundary);
    let mut parts: Vec<Part> = Vec::new();
    while let Some(head) = body.next().await? {
        if parts.len() == MOST_INSTANCES {
            let detail =
                format!("the body has more than {MOST_INSTANCES} parts; send them in several requests");
            return Err(Problem::new(Kind::TooLarge, detail));
        }
        let is_dicom = head.kind()?.is_none_or(|kind| kind == DICOM);
        let path = folder.join(format!("{:05}.dcm", parts.len()));
        let mut sink = if is_dicom { Some(Sink::create(&path)?) } else { None };
        while let Some(piece) = body.bytes().await? {
            sink.as_mut().map_or(Ok(()), |sink| sink.take(&piece))?;
        }
        let sink = sink.filter(|sink| sink.bytes() > 0);
        let received = sink.map(Sink::finish).transpose()?;
        parts.push(received.map(|received| (path, received)));
    }
    if parts.is_empty() {
        return Err(Problem::new(Kind::Malformed, "the body has no part, expected DICOM instances"));
    }
    Ok(parts)
}

/// Answer to a part.
struct Answered {
    /// `None`: it is no object that could be named.
    object: Option<DicomObject>,
    /// Its job now, or why it has none.
    taken: Result<JobId, Failure>,
}

/// Takes what can be taken of the parts.
fn take(app: &App, sender: &Sender, parts: &[Part], most: u64) -> Result<Vec<Answered>, Problem> {
    let files: Vec<PathBuf> = parts.iter().flatten().map(|(path, _)| path.clone()).collect();
    let found = app.runner.identify(&files).map_err(|reason| Problem::new(Kind::Internal, reason))?;
    let mut found = found.into_iter();
    let mut answers: Vec<Answered> = Vec::new();
    let mut series: BTreeMap<String, Vec<(usize, Arrival)>> = BTreeMap::new();
    for part in parts {
        let object = part.as_ref().and_then(|_| found.next().flatten());
        let failure = match (&object, part) {
            (Some(object), Some((path, received))) if object.is_whole_slide() => {
                let arrival = Arrival {
                    path: path.clone(),
                    instance_uid: object.instance_uid.clone(),
                    bytes: received.bytes,
                    sha256: received.sha256,
                };
                series.entry(object.series_uid.clone()).or_default().push((answers.len(), arrival));
                // Until it is taken.
                Failure::NoRoom
            }
            (Some(_), _) => Failure::Kind,
            (None, _) => Failure::Unreadable,
        };
        answers.push(Answered { object, taken: Err(failure) });
    }
    for (series_uid, arrivals) in series {
        let (places, arrivals): (Vec<usize>, Vec<Arrival>) = arrivals.into_iter().unzip();
        let taken = gather(&app.jobs, sender, &series_uid, &arrivals, most);
        for ((place, arrival), taken) in places.into_iter().zip(&arrivals).zip(taken) {
            if taken.is_ok() {
                app.metrics.uploaded(arrival.bytes);
            }
            answers[place].taken = taken;
        }
    }
    Ok(answers)
}

/// The answer of the standard, and the jobs as links.
fn answer(answers: &[Answered]) -> Response {
    let stored = answers.iter().filter(|answer| answer.taken.is_ok()).count();
    let status = match stored {
        0 => StatusCode::CONFLICT,
        all if all == answers.len() => StatusCode::OK,
        _ => StatusCode::ACCEPTED,
    };
    let kind = [(header::CONTENT_TYPE, HeaderValue::from_static(DICOM_JSON))];
    let mut response = (status, kind, described(answers).to_string()).into_response();
    let jobs: BTreeSet<JobId> = answers.iter().filter_map(|answer| answer.taken.ok()).collect();
    let links: Vec<String> = jobs.iter().map(|id| format!("</v1/jobs/{id}>; rel=\"item\"")).collect();
    if let Some(links) = HeaderValue::from_str(&links.join(", ")).ok().filter(|links| !links.is_empty()) {
        response.headers_mut().insert(header::LINK, links);
    }
    if let (1, Some(&id)) = (jobs.len(), jobs.first()) {
        if let Ok(place) = HeaderValue::from_str(&format!("/v1/jobs/{id}")) {
            response.headers_mut().insert(header::LOCATION, place);
        }
        response.extensions_mut().insert(id);
    }
    response
}

/// The Store Instances Response (PS3.18, I.2.2) in the JSON of DICOM.
fn described(answers: &[Answered]) -> Value {
    // Nothing is given back by DICOMweb here: the place where it could be is empty.
    let mut described = serde_json::Map::from_iter([("00081190".to_owned(), json!({"vr": "UR"}))]);
    let mut sequences: BTreeMap<&str, Vec<Value>> = BTreeMap::new();
    for Answered { object, taken } in answers {
        let mut item = serde_json::Map::new();
        if let Some(object) = object {
            item.insert("00081150".to_owned(), json!({"vr": "UI", "Value": [object.class_uid]}));
            item.insert("00081155".to_owned(), json!({"vr": "UI", "Value": [object.instance_uid]}));
        }
        let sequence = match taken {
            Ok(_) => {
                item.insert("00081190".to_owned(), json!({"vr": "UR"}));
                "00081199"
            }
            Err(failure) => {
                item.insert("00081197".to_owned(), json!({"vr": "US", "Value": [failure.code()]}));
                if object.is_some() { "00081198" } else { "0008119A" }
            }
        };
        sequences.entry(sequence).or_default().push(Value::Object(item));
    }
    described.extend(
        sequences.into_iter().map(|(tag, items)| (tag.to_owned(), json!({"vr": "SQ", "Value": items}))),
    );
    Value::Object(described)
}

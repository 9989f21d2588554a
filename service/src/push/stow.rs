//! One object to one server by STOW-RS (PS3.18, 10.5), and what its answer means.

use std::{
    fs::File,
    io::{self, Read},
    path::Path,
    sync::Arc,
    time::Duration,
};

use rustls::crypto::ring::default_provider;
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use ureq::{
    Agent, SendBody,
    http::{HeaderMap, header},
    tls::{RootCerts, TlsConfig},
};

use super::{
    state::{Answer, Fault},
    targets::Target,
};

/// Bytes of an answer that are read.
const MOST_ANSWER: u64 = 1 << 20;

/// Tags of the Store Instances Response (PS3.18, I.2.2).
const STORED: &str = "00081199";
const FAILED: &str = "00081198";
const OTHER_FAILURES: &str = "0008119A";
const INSTANCE_UID: &str = "00081155";
const WARNING_REASON: &str = "00081196";
const FAILURE_REASON: &str = "00081197";

/// A client that follows no redirect: what is for one server is sent to no other.
pub(super) fn agent(silence: Duration) -> Agent {
    const CONNECT: Duration = Duration::from_secs(30);
    let tls = TlsConfig::builder()
        .root_certs(RootCerts::PlatformVerifier)
        .unversioned_rustls_crypto_provider(Arc::new(default_provider()));
    let config = Agent::config_builder()
        .tls_config(tls.build())
        .http_status_as_error(false)
        .max_redirects(0)
        .max_redirects_will_error(false)
        .user_agent("slidemill")
        .timeout_connect(Some(CONNECT.min(silence)))
        .timeout_per_write(Some(silence))
        .timeout_per_read(Some(silence))
        .timeout_recv_response(Some(silence))
        .timeout_recv_body(Some(silence));
    config.build().into()
}

/// Sends an object, once.
pub(super) fn send(agent: &Agent, target: &Target, path: &Path, instance_uid: &str) -> Result<Answer, Fault> {
    let authorization = target.authorization().map_err(Fault::lasting)?;
    let boundary = boundary(instance_uid);
    let (mut body, bytes) = body(path, &boundary)
        .map_err(|error| Fault::passing(format!("the object cannot be read: {}", error.kind())))?;
    let request = agent
        .post(&target.url)
        .header(header::ACCEPT, "application/dicom+json")
        .header(
            header::CONTENT_TYPE,
            format!("multipart/related; type=\"application/dicom\"; boundary={boundary}"),
        )
        .header(header::CONTENT_LENGTH, bytes.to_string());
    let request = authorization
        .into_iter()
        .fold(request, |request, authorization| request.header(header::AUTHORIZATION, authorization));
    let mut answer = request.send(SendBody::from_reader(&mut body)).map_err(|error| not_answered(&error))?;
    let (status, pause) = (answer.status().as_u16(), retry_after(answer.headers()));
    let told = answer.body_mut().with_config().limit(MOST_ANSWER).read_to_vec();
    match told {
        Ok(told) => understood(status, &told, instance_uid),
        Err(error) if matches!(status, 200 | 202 | 409) => Err(not_answered(&error)),
        Err(_) => understood(status, b"", instance_uid),
    }
    .map_err(|fault| Fault { pause_secs: pause.filter(|_| fault.is_passing), ..fault })
}

fn retry_after(headers: &HeaderMap) -> Option<u64> {
    headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()
}

/// Of a hash: it is in no object.
fn boundary(instance_uid: &str) -> String {
    let hash = Sha256::digest(format!("boundary of {instance_uid}"));
    format!("slidemill-{}", dataset::hex(&hash[..16]))
}

/// The body, read from the disk as it is sent, and its bytes.
fn body(path: &Path, boundary: &str) -> io::Result<(impl Read + use<>, u64)> {
    let file = File::open(path)?;
    let length = file.metadata()?.len();
    let head = format!("--{boundary}\r\nContent-Type: application/dicom\r\n\r\n").into_bytes();
    let end = format!("\r\n--{boundary}--\r\n").into_bytes();
    let bytes = head.len() as u64 + length + end.len() as u64;
    Ok((io::Cursor::new(head).chain(file.take(length)).chain(io::Cursor::new(end)), bytes))
}

/// Says why a request got no answer. The address is left out.
fn not_answered(error: &ureq::Error) -> Fault {
    use ureq::Error::{HostNotFound, Io, Rustls, Timeout, Tls};
    let is_not_secure = match error {
        Tls(_) | Rustls(_) => true,
        Io(error) => error.get_ref().is_some_and(|inner| inner.is::<rustls::Error>()),
        _ => false,
    };
    match error {
        _ if is_not_secure => Fault::lasting(
            "the connection to the server is not secure; add its authority to those that the system trusts, or name its \
             file in SSL_CERT_FILE",
        ),
        HostNotFound => Fault::passing("the name of the server is not known"),
        Timeout(_) => Fault::passing("the server did not answer in time"),
        Io(error) => Fault::passing(format!("the connection to the server failed ({})", error.kind())),
        _ => Fault::passing("the server gave no proper answer"),
    }
}

/// What became of an object, by the answer to it.
fn understood(status: u16, told: &[u8], instance_uid: &str) -> Result<Answer, Fault> {
    match status {
        200 | 202 | 409 => Ok(named(status, told, instance_uid)),
        300..=399 => Err(Fault::lasting(format!(
            "the server answers {status} and sends to another address, which is not followed; give the target its last one"
        ))),
        401 | 403 => Err(Fault::lasting(format!(
            "the server refuses us (it answers {status}): the authorization of the target is missing, wrong or has expired"
        ))),
        404 | 405 | 410 => Err(Fault::lasting(format!(
            "nothing takes objects at the address of the target (the server answers {status}); expected its STOW-RS"
        ))),
        413 => Ok(Answer::Failed {
            reason: "the object is too large for the server (it answers 413)".to_owned(),
        }),
        408 | 429 | 500..=599 => Err(Fault::passing(format!("the server answers {status}"))),
        _ => Err(Fault::lasting(format!("the server answers {status}, expected 200, 202 or 409"))),
    }
}

/// What an answer says of our object. What is not named is not taken for stored: a page to log in says 200 too.
fn named(status: u16, told: &[u8], instance_uid: &str) -> Answer {
    let told: Value = serde_json::from_slice(told).unwrap_or_default();
    let items = |tag: &str| told[tag]["Value"].as_array().cloned().unwrap_or_default();
    let uid = |item: &Value| item[INSTANCE_UID]["Value"][0].as_str().map(str::to_owned);
    let code =
        |item: &Value, tag: &str| item[tag]["Value"][0].as_u64().and_then(|code| u16::try_from(code).ok());
    // Only one was sent: a failure without a name is its own.
    let failed = [items(FAILED), items(OTHER_FAILURES)].concat();
    let failed = failed.iter().find(|item| uid(item).is_none_or(|uid| uid == instance_uid));
    if let Some(item) = failed {
        return match code(item, FAILURE_REASON) {
            Some(code) => Answer::Refused { code },
            None => Answer::Failed {
                reason: format!("the server refuses it (it answers {status}) and gives no reason"),
            },
        };
    }
    let stored = items(STORED).into_iter().find(|item| uid(item).is_some_and(|uid| uid == instance_uid));
    match stored {
        Some(item) if status != 409 => Answer::Stored { warning: code(&item, WARNING_REASON) },
        _ => Answer::Failed {
            reason: format!(
                "the server answers {status} and does not name the object, expected application/dicom+json with what it has \
                 stored; whether it has it is not known"
            ),
        },
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn item(uid: &str, reason: Option<(&str, u16)>) -> Value {
        let mut item = json!({INSTANCE_UID: {"vr": "UI", "Value": [uid]}});
        if let Some((tag, code)) = reason {
            item[tag] = json!({"vr": "US", "Value": [code]});
        }
        item
    }

    fn answer(status: u16, told: &Value) -> Answer {
        understood(status, told.to_string().as_bytes(), "1.1").unwrap()
    }

    fn sequence(tag: &str, item: Value) -> Value {
        json!({tag: {"vr": "SQ", "Value": [item]}})
    }

    #[test]
    fn only_what_is_named_is_stored() {
        let stored = sequence(STORED, item("1.1", None));
        assert_eq!(answer(200, &stored), Answer::Stored { warning: None });
        let warned = sequence(STORED, item("1.1", Some((WARNING_REASON, 0xb000))));
        assert_eq!(answer(202, &warned), Answer::Stored { warning: Some(0xb000) });
        for lie in [json!({}), json!("<html>"), json!([]), sequence(STORED, item("1.9", None))] {
            for status in [200, 202, 409] {
                let Answer::Failed { reason } = answer(status, &lie) else { panic!("{lie}") };
                assert!(reason.contains("not known"), "{reason}");
            }
        }
        // It says both.
        let mut both = stored.clone();
        both[FAILED] = sequence(FAILED, item("1.1", Some((FAILURE_REASON, 0xc000))))[FAILED].clone();
        assert_eq!(answer(200, &both), Answer::Refused { code: 0xc000 });
        assert!(matches!(answer(409, &stored), Answer::Failed { .. }));
        assert!(matches!(understood(200, b"\xff<html>", "1.1"), Ok(Answer::Failed { .. })));
    }

    #[test]
    fn failures_are_ours_by_name_or_without_one() {
        let refused = |told: Value| answer(409, &told);
        let named = item("1.1", Some((FAILURE_REASON, 0x0122)));
        assert_eq!(refused(sequence(FAILED, named)), Answer::Refused { code: 0x0122 });
        let nameless = json!({FAILURE_REASON: {"vr": "US", "Value": [0xc000]}});
        assert_eq!(refused(sequence(OTHER_FAILURES, nameless)), Answer::Refused { code: 0xc000 });
        for silent in [item("1.1", None), json!({"00081197": {"vr": "US", "Value": [99_999_999]}})] {
            let Answer::Failed { reason } = refused(sequence(FAILED, silent)) else { panic!() };
            assert!(reason.contains("gives no reason"), "{reason}");
        }
    }

    #[test]
    fn some_answers_pass_and_others_last() {
        for status in [408, 429, 500, 503, 507] {
            assert!(understood(status, b"", "1.1").unwrap_err().is_passing, "{status}");
        }
        for (status, said) in
            [(302, "not followed"), (401, "authorization"), (404, "address"), (415, "expected 200")]
        {
            let fault = understood(status, b"", "1.1").unwrap_err();
            assert!(!fault.is_passing && fault.reason.contains(said), "{status}: {}", fault.reason);
        }
        assert!(matches!(understood(413, b"", "1.1"), Ok(Answer::Failed { .. })));
    }

    #[test]
    fn the_body_is_as_long_as_it_says() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("object");
        std::fs::write(&path, "DICM").unwrap();
        let (mut body, bytes) = body(&path, "xyz").unwrap();
        let mut text = String::new();
        assert_eq!(body.read_to_string(&mut text).unwrap() as u64, bytes);
        assert_eq!(text, "--xyz\r\nContent-Type: application/dicom\r\n\r\nDICM\r\n--xyz--\r\n");
    }
}

//! Ranges of one object from its server, each answer held against what was asked for.

use std::{
    io::Read as _,
    ops::Range,
    sync::{Arc, LazyLock},
    thread,
    time::Duration,
};

use rustls::crypto::ring::default_provider;
use ureq::{
    Agent, Body,
    http::{HeaderMap, Response, StatusCode, header},
    tls::{RootCerts, TlsConfig},
};
use wsi_types::UtcTime;

use super::{
    azure::{self, AzureObject},
    environment::Environment,
    fault::{StoreFault, not_answered},
    google::{self, GoogleObject},
    s3::{self, S3Object},
    said::Said,
    stored::{self, Headers, Stored},
};
use crate::address::SEPARATOR;

/// How long a server is waited for, and how often it is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Patience {
    /// Number of tries of one request.
    pub(crate) tries: u32,
    /// The wait before the second try; each further one is three times as long.
    pub(crate) first_pause: Duration,
    /// Time without a byte after which a connection is given up.
    pub(crate) silence: Duration,
}

impl Patience {
    /// Five tries in ten seconds, beside the time that each waits for an answer.
    pub(crate) const USUAL: Self =
        Self { tries: 5, first_pause: Duration::from_millis(250), silence: Duration::from_secs(30) };
}

/// Bytes of an answer in which a store gives the reason why it refuses.
const REASON: u64 = 64 << 10;
/// Connections kept open for the next requests to a host.
const IDLE: usize = 32;

/// One object of a server, as asked for by every request.
#[derive(Debug)]
pub(super) struct Server {
    agent: Agent,
    place: Place,
    patience: Patience,
}

/// Where an object lies.
#[derive(Debug)]
pub(super) enum Place {
    /// At an address of the web.
    Web(String),
    /// In a store, which wants to know who asks.
    Store(Box<dyn Stored>),
}

impl Place {
    /// The place that an address names.
    pub(super) fn of(address: &str) -> Result<Self, StoreFault> {
        let (scheme, name) = address.split_once(SEPARATOR).unwrap_or_default();
        let scheme = scheme.to_ascii_lowercase();
        Ok(match scheme.as_str() {
            "http" | "https" => Self::Web(address.to_owned()),
            "s3" => Self::Store(Box::new(S3Object::new(name, &Environment::of_process(&s3::VARIABLES))?)),
            "gs" => {
                let environment = Environment::of_process(&google::VARIABLES);
                Self::Store(Box::new(GoogleObject::new(name, &environment)?))
            }
            "az" | "abfs" | "abfss" => {
                let environment = Environment::of_process(&azure::VARIABLES);
                Self::Store(Box::new(AzureObject::new(name, &environment)?))
            }
            _ => {
                return Err(StoreFault::lasting(format!(
                    "slides are not read from {scheme}:// here, expected https://, http://, s3://, gs:// or az://; {}",
                    instead_of(&scheme)
                )));
            }
        })
    }

    /// What is sent to ask for the object with these headers.
    fn headers(&self, agent: &Agent, headers: Headers) -> Result<Headers, StoreFault> {
        match self {
            Self::Web(_) => Ok(headers),
            Self::Store(object) => object.signed(headers, UtcTime::now(), agent),
        }
    }

    fn send(&self, agent: &Agent, headers: &Headers) -> Result<Response<Body>, StoreFault> {
        let request = match self {
            Self::Web(address) => agent.get(address),
            // What says who asks is meant for one host, and sent to no other.
            Self::Store(object) => agent.get(object.url()).config().max_redirects(0).build(),
        };
        let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, value));
        request.call().map_err(|error| not_answered(&error))
    }

    /// `true` if another request may be answered although this one, with these headers, was not.
    fn renews(&self, status: StatusCode, refused: &Headers) -> bool {
        match self {
            Self::Store(object) if status == StatusCode::UNAUTHORIZED => object.renews(refused),
            _ => false,
        }
    }

    /// Says what it means that the object was not given.
    fn refused(&self, mut answer: Response<Body>) -> StoreFault {
        let status = answer.status();
        let in_words = match self {
            Self::Web(_) => None,
            Self::Store(object) => {
                let body = answer.body_mut().with_config().limit(REASON).read_to_string();
                let body = body.unwrap_or_default();
                stored::refused(object.as_ref(), &Said::new(status, answer.headers(), &body))
            }
        };
        in_words.unwrap_or_else(|| refused(status))
    }
}

/// What to give in place of an address with this scheme.
fn instead_of(scheme: &str) -> &'static str {
    match scheme {
        "azure" | "wasb" | "wasbs" => {
            "give az://CONTAINER/BLOB and the account's name in AZURE_STORAGE_ACCOUNT"
        }
        "gcs" => "give gs://BUCKET/OBJECT",
        _ => "a store gives a signed https:// address for a time, or copy the slide to a disk",
    }
}

/// The version of an object, as its server names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Version {
    pub(super) len: u64,
    etag: Option<String>,
    modified: Option<String>,
}

impl Server {
    pub(super) fn new(place: Place, patience: Patience) -> Self {
        let agent = match patience {
            Patience::USUAL => AGENT.clone(),
            _ => agent(patience.silence),
        };
        Self { agent, place, patience }
    }

    /// Fetches the first bytes, at most `count`, of whatever version there is; returns them with that version.
    pub(super) fn first(&self, count: u64) -> Result<(Vec<u8>, Version), StoreFault> {
        self.patiently(self.patience.tries, || self.first_once(count))
    }

    /// Fetches a range of one version.
    pub(super) fn range(
        &self,
        range: &Range<u64>,
        version: &Version,
        is_hopeless: bool,
    ) -> Result<Vec<u8>, StoreFault> {
        let tries = if is_hopeless { 1 } else { self.patience.tries };
        self.patiently(tries, || self.range_once(range, version))
    }

    fn first_once(&self, count: u64) -> Result<(Vec<u8>, Version), StoreFault> {
        let wanted = 0..count;
        let answer = self.ask(&wanted, None)?;
        let (given, len) = part_given(answer.headers())?;
        if given != (0..count.min(len)) {
            return Err(other_part(&wanted, &given, len));
        }
        let version = Version::new(answer.headers(), len);
        Ok((body(answer, len.min(count))?, version))
    }

    fn range_once(&self, wanted: &Range<u64>, version: &Version) -> Result<Vec<u8>, StoreFault> {
        let answer = self.ask(wanted, version.strong_etag())?;
        let (given, len) = part_given(answer.headers())?;
        version.check(&Version::new(answer.headers(), len))?;
        if given != *wanted {
            return Err(other_part(wanted, &given, len));
        }
        body(answer, wanted.end - wanted.start)
    }

    /// Asks for a range, once, and returns the answer if it is a part of the object.
    fn ask(&self, range: &Range<u64>, etag: Option<&str>) -> Result<Response<Body>, StoreFault> {
        let mut headers = Headers::from([("range", format!("bytes={}-{}", range.start, range.end - 1))]);
        headers.extend(etag.map(|etag| ("if-match", etag.to_owned())));
        let sent = self.place.headers(&self.agent, headers.clone())?;
        let mut answer = self.place.send(&self.agent, &sent)?;
        if self.place.renews(answer.status(), &sent) {
            answer = self.place.send(&self.agent, &self.place.headers(&self.agent, headers)?)?;
        }
        match answer.status() {
            StatusCode::PARTIAL_CONTENT => Ok(answer),
            _ => Err(self.place.refused(answer)),
        }
    }

    /// Asks again where the server or the network failed, a limited number of times.
    fn patiently<T>(&self, tries: u32, ask: impl Fn() -> Result<T, StoreFault>) -> Result<T, StoreFault> {
        let mut pause = self.patience.first_pause;
        for _ in 1..tries {
            match ask() {
                Err(fault) if fault.is_passing => {
                    tracing::debug!("a request is tried again: {fault}");
                    thread::park_timeout(pause);
                    pause *= 3;
                }
                answer => return answer,
            }
        }
        ask().map_err(|fault| match fault.is_passing {
            true => StoreFault::passing(format!(
                "{fault}, at each of {tries} tries; the slide itself may be sound, run the same command again later"
            )),
            false => fault,
        })
    }
}

/// Its connections are shared by all objects.
static AGENT: LazyLock<Agent> = LazyLock::new(|| agent(Patience::USUAL.silence));

fn agent(silence: Duration) -> Agent {
    let tls = TlsConfig::builder()
        .root_certs(RootCerts::PlatformVerifier)
        .unversioned_rustls_crypto_provider(Arc::new(default_provider()));
    let config = Agent::config_builder()
        .tls_config(tls.build())
        .http_status_as_error(false)
        // A compressed answer has other bytes than the object.
        .accept_encoding("identity")
        .user_agent("slidemill")
        .max_idle_connections(IDLE)
        .max_idle_connections_per_host(IDLE)
        .timeout_connect(Some(silence))
        .timeout_recv_response(Some(silence))
        .timeout_per_read(Some(silence));
    config.build().into()
}

impl Version {
    fn new(headers: &HeaderMap, len: u64) -> Self {
        Self { len, etag: text(headers, header::ETAG), modified: text(headers, header::LAST_MODIFIED) }
    }

    /// The tag that a server compares byte by byte; weak ones never match.
    fn strong_etag(&self) -> Option<&str> {
        self.etag.as_deref().filter(|etag| !etag.starts_with("W/"))
    }

    /// Refuses an answer about another version.
    fn check(&self, now: &Self) -> Result<(), StoreFault> {
        let (name, then, now_is) = match (&self.etag, &self.modified) {
            _ if self.len != now.len => ("size", self.len.to_string(), now.len.to_string()),
            (Some(etag), _) => ("ETag", etag.clone(), in_words(now.etag.as_deref())),
            (None, Some(modified)) => ("time of change", modified.clone(), in_words(now.modified.as_deref())),
            (None, None) => return Ok(()),
        };
        if then == now_is {
            return Ok(());
        }
        Err(changed(&format!("its {name} was {then} and is {now_is}")))
    }
}

fn in_words(value: Option<&str>) -> String {
    value.unwrap_or("not told").to_owned()
}

fn changed(how: &str) -> StoreFault {
    StoreFault::lasting(format!("the object was replaced or changed while it was read ({how}); run it again"))
}

fn text(headers: &HeaderMap, name: header::HeaderName) -> Option<String> {
    headers.get(name)?.to_str().ok().map(str::to_owned)
}

/// The part of the object that an answer says it has, and the object's length.
fn part_given(headers: &HeaderMap) -> Result<(Range<u64>, u64), StoreFault> {
    let said = text(headers, header::CONTENT_RANGE).unwrap_or_default();
    content_range(&said).ok_or_else(|| {
        StoreFault::lasting(format!(
            "the server's answer says Content-Range {said:?}, expected \"bytes FIRST-LAST/LENGTH\"; its answers cannot \
             be trusted: copy the slide to a disk"
        ))
    })
}

/// Parses `bytes 0-9/100`.
fn content_range(said: &str) -> Option<(Range<u64>, u64)> {
    let (part, len) = said.strip_prefix("bytes ")?.split_once('/')?;
    let (first, last) = part.split_once('-')?;
    let (first, last, len): (u64, u64, u64) = (first.parse().ok()?, last.parse().ok()?, len.parse().ok()?);
    (first <= last && last < len).then_some((first..last + 1, len))
}

fn other_part(wanted: &Range<u64>, given: &Range<u64>, len: u64) -> StoreFault {
    StoreFault::lasting(format!(
        "the server was asked for bytes {} to {} and sent {} to {} of {len}; its answers cannot be trusted: copy the \
         slide to a disk",
        wanted.start,
        wanted.end - 1,
        given.start,
        given.end - 1
    ))
}

/// Reads the whole body, which must have `expected` bytes.
fn body(answer: Response<Body>, expected: u64) -> Result<Vec<u8>, StoreFault> {
    let mut bytes = Vec::with_capacity(expected as usize);
    // One byte more than expected shows an answer that is too long.
    let read = answer.into_body().into_reader().take(expected + 1).read_to_end(&mut bytes);
    let found = bytes.len() as u64;
    match read {
        Ok(_) if found == expected => Ok(bytes),
        Ok(_) if found > expected => Err(StoreFault::passing(format!(
            "the server sent more than the {expected} bytes that it announced"
        ))),
        Ok(_) => Err(StoreFault::passing(format!("the answer ended after {found} of {expected} bytes"))),
        Err(error) => Err(StoreFault::passing(format!(
            "the connection was lost after {found} of {expected} bytes ({})",
            error.kind()
        ))),
    }
}

/// Says what it means that a server answers with this status.
fn refused(status: StatusCode) -> StoreFault {
    let number = status.as_u16();
    match number {
        200 => StoreFault::lasting(
            "the server sends whole files only (it answers 200, expected 206): copy the slide to a disk",
        ),
        401 | 403 => StoreFault::lasting(format!(
            "the server refuses it (it answers {number}): the credentials are missing, wrong or have expired"
        )),
        404 | 410 => StoreFault::lasting(format!("nothing is at this address (the server answers {number})")),
        412 => changed("the server answers 412"),
        416 => {
            StoreFault::lasting("the object is shorter than it was, or has no bytes (the server answers 416)")
        }
        408 | 429 | 500..=599 => StoreFault::passing(format!("the server answers {number}")),
        _ => StoreFault::lasting(format!("the server answers {number}, expected 206")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_understood_or_refused() {
        assert_eq!(content_range("bytes 0-9/100"), Some((0..10, 100)));
        for said in
            ["", "bytes */100", "bytes 0-9/*", "bytes 5-4/9", "bytes 0-9/9", "items 0-9/10", "bytes 0-9"]
        {
            assert_eq!(content_range(said), None, "{said}");
        }
    }

    fn version(len: u64, etag: Option<&str>, modified: Option<&str>) -> Version {
        Version { len, etag: etag.map(str::to_owned), modified: modified.map(str::to_owned) }
    }

    #[test]
    fn another_version_is_seen_by_whatever_names_it() {
        let tagged = version(9, Some("\"a\""), Some("Mon"));
        assert!(tagged.check(&version(9, Some("\"a\""), Some("Tue"))).is_ok());
        let dated = version(9, None, Some("Mon"));
        assert!(dated.check(&dated).is_ok());
        for (then, now, expected) in [
            (&tagged, version(9, Some("\"b\""), Some("Mon")), "its ETag was \"a\" and is \"b\""),
            (&tagged, version(9, None, Some("Mon")), "its ETag was \"a\" and is not told"),
            (&tagged, version(8, Some("\"a\""), None), "its size was 9 and is 8"),
            (&dated, version(9, None, Some("Tue")), "its time of change was Mon and is Tue"),
            (&version(9, None, None), version(10, None, None), "its size was 9 and is 10"),
        ] {
            let fault = then.check(&now).unwrap_err();
            assert!(fault.what.contains(expected) && !fault.is_passing, "{fault}");
        }
        assert_eq!(version(9, Some("W/\"a\""), None).strong_etag(), None);
    }
}

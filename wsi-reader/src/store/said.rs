//! What a store says when it does not give an object.

use roxmltree::Document;
use ureq::http::{HeaderMap, StatusCode, header};

/// The reason that a store gives, as far as it is plain.
#[derive(Debug)]
pub(super) struct Said<'a> {
    status: StatusCode,
    headers: &'a HeaderMap,
    xml: Option<Document<'a>>,
}

impl<'a> Said<'a> {
    pub(super) fn new(status: StatusCode, headers: &'a HeaderMap, body: &'a str) -> Self {
        Self { status, headers, xml: Document::parse(body).ok() }
    }

    pub(super) fn number(&self) -> u16 {
        self.status.as_u16()
    }

    /// `true` for answers that mean the same from every server.
    pub(super) fn is_of_any_server(&self) -> bool {
        matches!(self.number(), 408 | 412 | 416 | 429 | 500..)
    }

    /// Such as `NoSuchKey`; empty if there is none.
    pub(super) fn code(&self) -> String {
        self.element("Code").unwrap_or_default()
    }

    /// The answer in words: `the store answers 404, NoSuchKey`.
    pub(super) fn answers(&self) -> String {
        match (self.number(), self.code()) {
            (number, code) if code.is_empty() => format!("the store answers {number}"),
            (number, code) => format!("the store answers {number}, {code}"),
        }
    }

    /// What the clock of the store shows.
    pub(super) fn time(&self) -> Option<String> {
        self.element("ServerTime").or_else(|| self.header(header::DATE.as_str()))
    }

    pub(super) fn header(&self, name: &str) -> Option<String> {
        plain(self.headers.get(name)?.to_str().ok()?)
    }

    pub(super) fn element(&self, name: &str) -> Option<String> {
        let root = self.xml.as_ref()?.root_element();
        plain(root.children().find(|node| node.tag_name().name() == name)?.text()?)
    }

    /// A reason, with the credentials that were used.
    pub(super) fn with_credentials(&self, what: &str, credentials: &str) -> String {
        format!("{what} ({}); the credentials used are {credentials}", self.answers())
    }

    /// Says that there is no such bucket; `check` is what may be wrong beside its name.
    pub(super) fn no_bucket(&self, bucket: &str, check: &str) -> String {
        format!("the store has no {bucket} of this name ({}); check the name, and {check}", self.answers())
    }

    /// Says that there is no such object in a bucket.
    pub(super) fn no_object(&self, bucket: &str) -> String {
        format!(
            "the {bucket} has no object of this name ({}); small and large letters differ",
            self.answers()
        )
    }

    /// Says that an object is not at hand.
    pub(super) fn archived(&self) -> String {
        format!(
            "the object is archived ({}): have the store restore it first, or copy the slide to a disk",
            self.answers()
        )
    }
}

/// A word or a time of a server; nothing else of what it says is repeated, as it may repeat keys.
pub(super) fn plain(text: &str) -> Option<String> {
    const MOST: usize = 48;
    let is_plain = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-:,. ".contains(&byte));
    (is_plain && (1..=MOST).contains(&text.len())).then(|| text.to_owned())
}

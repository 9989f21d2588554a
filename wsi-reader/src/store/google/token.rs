//! Tokens of Google's token server, shared by all objects and renewed before they expire.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use serde::Deserialize;
use ureq::{Agent, Body, http::Response};
use wsi_types::UtcTime;

use super::super::{
    clock::clocks,
    fault::{StoreFault, not_answered},
    lock,
    said::plain,
    secret::Secret,
};
use super::grant::Grant;

/// Grants whose tokens are kept after their last use.
const KEPT: usize = 4;
/// Bytes of an answer that are read at most.
const ANSWER: u64 = 64 << 10;

/// The tokens of one grant, one at a time.
#[derive(Debug)]
pub(super) struct Tokens {
    grant: Grant,
    /// Locked while a token is asked for, so that it is asked for once.
    held: Mutex<Option<Held>>,
}

#[derive(Debug)]
struct Held {
    token: Secret,
    /// From when on it is renewed.
    old: Instant,
}

impl Tokens {
    /// Those of a grant, which all objects share.
    pub(super) fn of(grant: Grant) -> Arc<Self> {
        static KNOWN: Mutex<VecDeque<Arc<Tokens>>> = Mutex::new(VecDeque::new());
        let mut known = lock(&KNOWN);
        let place = known.iter().position(|tokens| tokens.grant == grant);
        let tokens = place
            .and_then(|place| known.remove(place))
            .unwrap_or_else(|| Arc::new(Self { grant, held: Mutex::new(None) }));
        known.truncate(KEPT - 1);
        known.push_front(Arc::clone(&tokens));
        tokens
    }

    /// A token that holds for a while.
    pub(super) fn get(&self, agent: &Agent) -> Result<Secret, StoreFault> {
        let mut held = lock(&self.held);
        if let Some(held) = held.as_ref().filter(|held| Instant::now() < held.old) {
            return Ok(held.token.clone());
        }
        let new = self.grant.exchanged(agent)?;
        let token = new.token.clone();
        *held = Some(new);
        Ok(token)
    }

    /// Has a token that was refused renewed, unless that was done.
    pub(super) fn forget(&self, refused: &str) {
        let mut held = lock(&self.held);
        if held.as_ref().is_some_and(|held| held.token.tell() == refused) {
            *held = None;
        }
    }
}

#[derive(Deserialize)]
struct Given {
    access_token: String,
    /// In seconds.
    expires_in: u64,
}

#[derive(Deserialize)]
struct Refused {
    error: String,
}

impl Grant {
    /// A token for it.
    fn exchanged(&self, agent: &Agent) -> Result<Held, StoreFault> {
        let asked = Instant::now();
        let request = agent.post(&self.url).config().max_redirects(0).build();
        let request = request.header("content-type", "application/x-www-form-urlencoded");
        let answer = request.send(self.form(UtcTime::now())?);
        let mut answer = answer.map_err(|error| {
            let StoreFault { what, is_passing } = not_answered(&error);
            StoreFault { what: format!("Google's token server: {what}"), is_passing }
        })?;
        if answer.status() != 200 {
            return Err(self.refused(answer));
        }
        let given: Given = json(&mut answer).ok_or_else(|| {
            StoreFault::lasting(
                "the token server that the credentials name gave no token, expected JSON with access_token and \
                 expires_in; check token_uri in the file of credentials",
            )
        })?;
        let token = Secret::new(&given.access_token, "access_token", "the answer of the token server")?;
        // An hour's token is renewed six minutes before its end.
        let lasts = Duration::from_secs(given.expires_in.min(DAY)) * 9 / 10;
        Ok(Held { token, old: asked + lasts })
    }

    fn refused(&self, mut answer: Response<Body>) -> StoreFault {
        let number = answer.status().as_u16();
        let time = answer.headers().get("date").and_then(|time| plain(time.to_str().ok()?));
        let code = json(&mut answer).and_then(|Refused { error }| plain(&error.replace('_', "-")));
        let code = code.map_or_else(String::new, |code| format!(", {}", code.replace('-', "_")));
        let answers = format!("Google's token server answers {number}{code}");
        match number {
            408 | 429 | 500.. => StoreFault::passing(answers),
            300..=399 => StoreFault::lasting(format!(
                "{answers}: it sends to another address, which is not followed with credentials; check token_uri in the \
                 file of credentials"
            )),
            _ => StoreFault::lasting(format!(
                "no token was given for the credentials ({answers}): {}; {}",
                self.mended_by(),
                clocks(time.as_deref())
            )),
        }
    }
}

const DAY: u64 = 86_400;

fn json<T: serde::de::DeserializeOwned>(answer: &mut Response<Body>) -> Option<T> {
    let body = answer.body_mut().with_config().limit(ANSWER).read_to_string().ok()?;
    serde_json::from_str(&body).ok()
}

//! What the kinds of stores have in common: objects that are asked for by name, with something that says who asks.

use std::{collections::BTreeMap, fmt};

use ureq::Agent;
use wsi_types::UtcTime;

use super::{fault::StoreFault, said::Said};

/// Headers by their names in lower case.
pub(super) type Headers = BTreeMap<&'static str, String>;

/// An object of a store.
pub(super) trait Stored: fmt::Debug + Send + Sync {
    /// Where it is asked for. It may hold a secret.
    fn url(&self) -> String;

    /// The headers of a request, with those that say who asks at this time.
    fn signed(&self, headers: Headers, at: UtcTime, agent: &Agent) -> Result<Headers, StoreFault>;

    /// `true` if what said who asks, which the store did not accept, can be had anew for another request.
    fn renews(&self, _refused: &Headers) -> bool {
        false
    }

    /// The credentials that are used, in words.
    fn credentials(&self) -> &str;

    /// What to do where the store sends to another address.
    fn elsewhere(&self) -> &'static str;

    /// Says why the object was not given, where this kind of store says more than others.
    fn refused(&self, said: &Said<'_>) -> Option<String>;
}

/// Says why an object was not given, where a store says more than other servers.
pub(super) fn refused(object: &dyn Stored, said: &Said<'_>) -> Option<StoreFault> {
    if said.is_of_any_server() {
        return None;
    }
    object.refused(said).or_else(|| in_general(object, said)).map(StoreFault::lasting)
}

fn in_general(object: &dyn Stored, said: &Said<'_>) -> Option<String> {
    let answers = said.answers();
    match said.number() {
        300..=399 => Some(format!(
            "the store sends to another address ({answers}), which is not followed with what says who asks; {}",
            object.elsewhere()
        )),
        401 | 403 => Some(said.with_credentials(
            "the store refuses it, or has no such object and does not say so",
            object.credentials(),
        )),
        400 => Some(format!("{answers}, expected 206; the credentials used are {}", object.credentials())),
        _ => None,
    }
}

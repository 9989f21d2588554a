//! The account of a store and credentials for it, from where Azure's own programs look for them.

use base64::{Engine as _, prelude::BASE64_STANDARD};
use ring::hmac;

use super::super::{environment::Environment, fault::StoreFault, secret::Secret, site::Site};
use super::connection::Connection;

const ACCOUNTS: [&str; 2] = ["AZURE_STORAGE_ACCOUNT", "AZURE_STORAGE_ACCOUNT_NAME"];
const KEYS: [&str; 2] = ["AZURE_STORAGE_KEY", "AZURE_STORAGE_ACCOUNT_KEY"];
const SIGNATURE: &str = "AZURE_STORAGE_SAS_TOKEN";
const TOKEN: &str = "AZURE_STORAGE_TOKEN";
const CONNECTION: &str = "AZURE_STORAGE_CONNECTION_STRING";
const USUAL_SUFFIX: &str = "core.windows.net";

/// All that is asked for.
pub(in super::super) const VARIABLES: [&str; 7] =
    [ACCOUNTS[0], ACCOUNTS[1], KEYS[0], KEYS[1], SIGNATURE, TOKEN, CONNECTION];

/// Who asks for blobs.
pub(super) enum Who {
    /// Nobody in particular, as public containers allow.
    Anybody,
    /// Who has the key of the account.
    Key { account: String, key: hmac::Key },
    /// Who has a shared access signature: settings in the address.
    Signature(Secret),
    /// Who has a token of Entra ID.
    Token(Secret),
}

/// Tells no key.
impl std::fmt::Debug for Who {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Anybody => "Anybody",
            Self::Key { .. } => "Key",
            Self::Signature(_) => "Signature",
            Self::Token(_) => "Token",
        })
    }
}

/// An account, and who asks there.
#[derive(Debug)]
pub(super) struct Account {
    /// Where it is, as far as that is told.
    endpoint: Option<String>,
    protocol: &'static str,
    name: Option<String>,
    suffix: String,
    pub(super) who: Who,
    /// Where the credentials were found, in words.
    pub(super) source: String,
}

impl Account {
    /// That of the environment; `host` is the account that the address names, with the end of its host.
    pub(super) fn find(environment: &Environment, host: Option<(&str, &str)>) -> Result<Self, StoreFault> {
        let connection =
            environment.get(CONNECTION).map(|text| Connection::new(text, CONNECTION)).transpose()?;
        let connection = connection.unwrap_or_default();
        let name = name(environment, host, connection.account())?;
        let (who, source) = who(environment, &connection, name)?;
        let suffix = host.map(|(_, suffix)| suffix).or(connection.suffix.as_deref());
        Ok(Self {
            endpoint: connection.endpoint.clone(),
            protocol: if connection.is_insecure { "http" } else { "https" },
            name: name.map(str::to_owned),
            suffix: suffix.unwrap_or(USUAL_SUFFIX).to_owned(),
            who,
            source,
        })
    }

    /// Where blobs are asked for, and the path that containers have there.
    pub(super) fn site(&self) -> Result<(Site, String), StoreFault> {
        let named_by = format!("BlobEndpoint in {CONNECTION}");
        let (site, prefix) = match (&self.endpoint, &self.name) {
            (Some(endpoint), _) => Site::of_endpoint(endpoint, &named_by)?,
            (None, Some(name)) => {
                let site = Site::secure(format!("{name}.blob.{}", self.suffix));
                (Site { scheme: self.protocol.to_owned(), ..site }, String::new())
            }
            (None, None) => {
                return Err(StoreFault::lasting(format!(
                    "the account is not told; set {} to its name, or {CONNECTION}",
                    ACCOUNTS[0]
                )));
            }
        };
        if matches!(self.who, Who::Signature(_) | Who::Token(_)) {
            site.check_private(&named_by)?;
        }
        Ok((site, prefix))
    }
}

/// The name of the account, which all that tell it must agree on.
fn name<'a>(
    environment: &'a Environment,
    host: Option<(&'a str, &str)>,
    connected: Option<&'a str>,
) -> Result<Option<&'a str>, StoreFault> {
    let told = [
        host.map(|(account, _)| ("the address", account)),
        environment.first(&ACCOUNTS),
        connected.map(|account| (CONNECTION, account)),
    ];
    let told: Vec<(&str, &str)> = told.into_iter().flatten().collect();
    if let Some((place, _)) = told.iter().find(|(_, name)| !is_account(name)) {
        return Err(StoreFault::lasting(format!(
            "what {place} names is no account, expected small letters, digits and hyphens"
        )));
    }
    let Some(&(place, name)) = told.first() else { return Ok(None) };
    match told.iter().find(|(_, other)| *other != name) {
        None => Ok(Some(name)),
        Some((other_place, other)) => Err(StoreFault::lasting(format!(
            "{place} names {name} and {other_place} {other}, so it is not clear whose credentials are meant; name one \
             account"
        ))),
    }
}

fn is_account(name: &str) -> bool {
    !name.is_empty()
        && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
}

/// Who asks, by what is found first, and where that was.
fn who(
    environment: &Environment,
    connection: &Connection,
    account: Option<&str>,
) -> Result<(Who, String), StoreFault> {
    if let Some(key) = &connection.key {
        return Ok((key_of(account, key, "AccountKey", CONNECTION)?, format!("the key of {CONNECTION}")));
    }
    if let Some(signature) = &connection.signature {
        let who = signature_of(signature, "SharedAccessSignature", CONNECTION)?;
        return Ok((who, format!("the shared access signature of {CONNECTION}")));
    }
    if let Some((name, key)) = environment.first(&KEYS) {
        return Ok((key_of(account, key, name, "the environment")?, format!("the key of {name}")));
    }
    if let Some(signature) = environment.get(SIGNATURE) {
        let who = signature_of(signature, SIGNATURE, "the environment")?;
        return Ok((who, format!("the shared access signature of {SIGNATURE}")));
    }
    if let Some(token) = environment.get(TOKEN) {
        let token = Secret::new(token, TOKEN, "the environment")?;
        return Ok((Who::Token(token), format!("the token of {TOKEN}")));
    }
    let none = format!("none: neither {CONNECTION} with a key, {}, {SIGNATURE} nor {TOKEN} is set", KEYS[0]);
    Ok((Who::Anybody, none))
}

fn key_of(account: Option<&str>, key: &str, name: &str, place: &str) -> Result<Who, StoreFault> {
    let account = account.ok_or_else(|| {
        StoreFault::lasting(format!("the account of {name} in {place} is not told; set {}", ACCOUNTS[0]))
    })?;
    let key = BASE64_STANDARD.decode(key).map_err(|_| {
        StoreFault::lasting(format!("{name} in {place} is no key of an account, expected Base64"))
    })?;
    Ok(Who::Key { account: account.to_owned(), key: hmac::Key::new(hmac::HMAC_SHA256, &key) })
}

fn signature_of(text: &str, name: &str, place: &str) -> Result<Who, StoreFault> {
    let text = text.strip_prefix('?').unwrap_or(text);
    if text.contains('#') || !text.split('&').any(|setting| setting.starts_with("sig=")) {
        return Err(StoreFault::lasting(format!(
            "{name} in {place} is no shared access signature, expected settings such as sv=…&sig=…"
        )));
    }
    Ok(Who::Signature(Secret::new(text, name, place)?))
}

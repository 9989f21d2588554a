//! Blobs of Azure's store (`az://CONTAINER/BLOB`): where they are, how requests are signed, what refusals mean.

mod account;
mod address;
mod connection;
mod refusal;
mod signature;

use ureq::Agent;
use wsi_types::UtcTime;

pub(super) use self::account::VARIABLES;
use self::{
    account::{Account, Who},
    address::Named,
    refusal::in_words,
    signature::authorization,
};
use super::{
    clock::http_date,
    environment::Environment,
    fault::StoreFault,
    naming::encoded,
    said::Said,
    site::Site,
    stored::{Headers, Stored},
};

/// The version of the interface that is spoken: ETags are in quotation marks, tokens are understood.
const VERSION: &str = "2021-12-02";

/// A blob of Azure's store, and who asks for it.
#[derive(Debug)]
pub(super) struct AzureObject {
    site: Site,
    /// Encoded, from the root of the site on.
    path: String,
    account: Account,
}

impl AzureObject {
    /// Finds out how a blob is asked for, by the part of its address after `://`.
    pub(super) fn new(name: &str, environment: &Environment) -> Result<Self, StoreFault> {
        let named = Named::new(name)?;
        let account = Account::find(environment, named.host)?;
        let (site, prefix) = account.site()?;
        let path = encoded(&format!("{prefix}/{}/{}", named.container, named.blob));
        Ok(Self { site, path, account })
    }
}

impl Stored for AzureObject {
    fn url(&self) -> String {
        match &self.account.who {
            Who::Signature(query) => format!("{}?{}", self.site.url(&self.path), query.tell()),
            _ => self.site.url(&self.path),
        }
    }

    fn signed(&self, mut headers: Headers, at: UtcTime, _agent: &Agent) -> Result<Headers, StoreFault> {
        headers.insert("x-ms-version", VERSION.to_owned());
        let authorization = match &self.account.who {
            Who::Anybody | Who::Signature(_) => return Ok(headers),
            Who::Token(token) => format!("Bearer {}", token.tell()),
            Who::Key { account, key } => {
                headers.insert("x-ms-date", http_date(at));
                authorization(account, key, &self.path, &headers)
            }
        };
        headers.insert("authorization", authorization);
        Ok(headers)
    }

    fn credentials(&self) -> &str {
        &self.account.source
    }

    fn elsewhere(&self) -> &'static str {
        "check the account, and BlobEndpoint in AZURE_STORAGE_CONNECTION_STRING if it is set"
    }

    fn refused(&self, said: &Said<'_>) -> Option<String> {
        in_words(said, &self.account.source)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ACCOUNT: (&str, &str) = ("AZURE_STORAGE_ACCOUNT", "lab");
    /// `open sesame`.
    const KEY: (&str, &str) = ("AZURE_STORAGE_KEY", "b3BlbiBzZXNhbWU=");
    const TEXT: &str = "AZURE_STORAGE_CONNECTION_STRING";

    fn object(name: &str, variables: &[(&'static str, &str)]) -> AzureObject {
        AzureObject::new(name, &Environment::of(variables)).unwrap()
    }

    #[test]
    fn blobs_are_asked_for_at_azure_or_at_the_endpoint() {
        let endpoint = "AccountName=lab;AccountKey=b3BlbiBzZXNhbWU=;BlobEndpoint=http://127.0.0.1:10000/lab;";
        let china = "DefaultEndpointsProtocol=https;AccountName=lab;AccountKey=b3BlbiBzZXNhbWU=;EndpointSuffix=core.chinacloudapi.cn";
        for (name, variables, expected) in [
            ("c/a b/ü+.svs", vec![ACCOUNT], "https://lab.blob.core.windows.net/c/a%20b/%C3%BC%2B.svs"),
            ("c/k", vec![("AZURE_STORAGE_ACCOUNT_NAME", "lab")], "https://lab.blob.core.windows.net/c/k"),
            ("c/k", vec![(TEXT, endpoint)], "http://127.0.0.1:10000/lab/c/k"),
            ("c/k", vec![(TEXT, china), ACCOUNT], "https://lab.blob.core.chinacloudapi.cn/c/k"),
            ("c@lab.dfs.core.windows.net/d/k", vec![], "https://lab.blob.core.windows.net/c/d/k"),
            ("c@lab.blob.core.usgovcloudapi.net/k", vec![KEY], "https://lab.blob.core.usgovcloudapi.net/c/k"),
            (
                "c/k",
                vec![ACCOUNT, ("AZURE_STORAGE_SAS_TOKEN", "?sv=1&sig=a%2Bb%3D")],
                "https://lab.blob.core.windows.net/c/k?sv=1&sig=a%2Bb%3D",
            ),
        ] {
            let object = object(name, &variables);
            assert_eq!(object.url(), expected);
            assert!(!format!("{object:?}").contains("sig="), "{object:?}");
        }
    }

    #[test]
    fn requests_say_who_asks_by_what_was_found() {
        let range = Headers::from([("range", "bytes=0-9".to_owned())]);
        for (variables, expected) in [
            (vec![ACCOUNT], None),
            (vec![ACCOUNT, ("AZURE_STORAGE_SAS_TOKEN", "sv=1&sig=a")], None),
            (vec![ACCOUNT, ("AZURE_STORAGE_TOKEN", "ey.sesame")], Some("Bearer ey.sesame")),
            (vec![ACCOUNT, KEY], Some("SharedKey lab:")),
        ] {
            let object = object("c/k", &variables);
            let agent = Agent::new_with_defaults();
            let sent = object.signed(range.clone(), UtcTime::from_secs(0), &agent).unwrap();
            assert_eq!((sent["range"].as_str(), sent["x-ms-version"].as_str()), ("bytes=0-9", VERSION));
            let authorization = sent.get("authorization").map(String::as_str);
            assert_eq!(authorization.is_some(), expected.is_some());
            assert!(authorization.is_none_or(|given| given.starts_with(expected.unwrap())), "{sent:?}");
        }
    }

    #[test]
    fn what_names_no_blob_or_no_account_is_refused_in_words() {
        for (name, variables, expected) in [
            ("c", vec![ACCOUNT], "the address is malformed, expected az://CONTAINER/BLOB"),
            ("c/", vec![ACCOUNT], "folders of a store are not listed"),
            ("c/k?sig=sesame", vec![ACCOUNT], "neither settings nor a user"),
            ("me:sesame@h/k", vec![ACCOUNT], "neither settings nor a user"),
            ("c@lab.dfs.core.example.org/k", vec![], "neither settings nor a user"),
            ("c@lab.dfs.core.windows.net/", vec![], "folders of a store are not listed"),
            ("c/k", vec![], "the account is not told; set AZURE_STORAGE_ACCOUNT"),
            (
                "c/k",
                vec![("AZURE_STORAGE_ACCOUNT", "h.org/x")],
                "what AZURE_STORAGE_ACCOUNT names is no account",
            ),
            (
                "c@other.dfs.core.windows.net/k",
                vec![ACCOUNT],
                "the address names other and AZURE_STORAGE_ACCOUNT lab",
            ),
            (
                "c/k",
                vec![ACCOUNT, ("AZURE_STORAGE_KEY", "se:same")],
                "AZURE_STORAGE_KEY in the environment is no key",
            ),
            ("c/k", vec![ACCOUNT, ("AZURE_STORAGE_SAS_TOKEN", "sesame")], "is no shared access signature"),
            ("c/k", vec![(TEXT, "UseDevelopmentStorage=true")], "write out AccountName"),
            ("c/k", vec![(TEXT, "sesame")], "is not as expected: NAME=VALUE;NAME=VALUE"),
            ("c/k", vec![(TEXT, "BlobEndpoint=ftp://h;AccountName=lab")], "is no address of a store"),
            (
                "c/k",
                vec![(TEXT, "BlobEndpoint=http://h/;SharedAccessSignature=sv=1&sig=sesame")],
                "is http:// on another machine",
            ),
            (
                "c@b.dfs.core.windows.net/k",
                vec![(
                    TEXT,
                    "BlobEndpoint=https://lab.blob.core.windows.net/;SharedAccessSignature=sv=1&sig=sesame",
                )],
                "the address names b and AZURE_STORAGE_CONNECTION_STRING lab",
            ),
            (
                "c/k",
                vec![(TEXT, "AccountName=b;AccountKey=b3BlbiBzZXNhbWU="), ACCOUNT],
                "AZURE_STORAGE_ACCOUNT names lab and AZURE_STORAGE_CONNECTION_STRING b",
            ),
        ] {
            let fault = AzureObject::new(name, &Environment::of(&variables)).unwrap_err();
            assert!(!fault.is_passing && fault.what.contains(expected), "{name}: {fault}");
            assert!(!fault.what.contains("sesame"), "{fault}");
        }
    }
}

//! How blobs are named in addresses.

use super::super::{
    fault::StoreFault,
    naming::{Form, is_bucket},
};

const FORM: Form = Form { shape: "az://CONTAINER/BLOB", settings: "the variables AZURE_STORAGE_…" };
/// Where Azure's stores are: for all, for China and for the United States' government.
const SUFFIXES: [&str; 3] = ["core.windows.net", "core.chinacloudapi.cn", "core.usgovcloudapi.net"];

/// The parts of an address after `://`.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Named<'a> {
    pub(super) container: &'a str,
    pub(super) blob: &'a str,
    /// The account and the end of its host, where the address has them.
    pub(super) host: Option<(&'a str, &'a str)>,
}

impl<'a> Named<'a> {
    /// Understands `CONTAINER/BLOB` and, as file systems of Azure are named, `CONTAINER@ACCOUNT.dfs.core.windows.net/BLOB`.
    pub(super) fn new(name: &'a str) -> Result<Self, StoreFault> {
        if let Some((container, host, blob)) = with_host(name) {
            FORM.check(container, blob)?;
            return Ok(Self { container, blob, host: Some(host) });
        }
        let (container, blob) = FORM.split(name)?;
        Ok(Self { container, blob, host: None })
    }
}

/// Container, account with the end of its host, and blob, if a name has them all.
fn with_host(name: &str) -> Option<(&str, (&str, &str), &str)> {
    let (authority, blob) = name.split_once('/')?;
    let (container, host) = authority.split_once('@').filter(|(container, _)| is_bucket(container))?;
    let (account, rest) = host.split_once('.')?;
    let suffix = rest.strip_prefix("dfs.").or_else(|| rest.strip_prefix("blob."))?;
    SUFFIXES.contains(&suffix).then_some((container, (account, suffix), blob))
}

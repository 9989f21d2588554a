//! Connection strings: what Azure's pages give to copy.

use super::super::fault::StoreFault;

/// What a connection string says, as far as it is needed.
#[derive(Default)]
pub(super) struct Connection {
    account: Option<String>,
    pub(super) key: Option<String>,
    pub(super) signature: Option<String>,
    pub(super) endpoint: Option<String>,
    pub(super) suffix: Option<String>,
    /// Asks for `http://`.
    pub(super) is_insecure: bool,
}

impl Connection {
    /// Understands `NAME=VALUE;NAME=VALUE`; `named_by` is where it stands.
    pub(super) fn new(text: &str, named_by: &str) -> Result<Self, StoreFault> {
        let mut connection = Self::default();
        for part in text.split(';').map(str::trim).filter(|part| !part.is_empty()) {
            let (name, value) = part.split_once('=').ok_or_else(|| {
                StoreFault::lasting(format!(
                    "{named_by} is not as expected: NAME=VALUE;NAME=VALUE, as Azure's pages give it"
                ))
            })?;
            let value = Some(value.trim().to_owned()).filter(|value| !value.is_empty());
            match name.trim().to_ascii_lowercase().as_str() {
                "accountname" => connection.account = value,
                "accountkey" => connection.key = value,
                "sharedaccesssignature" => connection.signature = value,
                "blobendpoint" => connection.endpoint = value,
                "endpointsuffix" => connection.suffix = value,
                "defaultendpointsprotocol" => {
                    connection.is_insecure = value.is_some_and(|value| value.eq_ignore_ascii_case("http"));
                }
                "usedevelopmentstorage" => {
                    return Err(StoreFault::lasting(format!(
                        "UseDevelopmentStorage in {named_by} is not understood; write out AccountName, AccountKey and \
                         BlobEndpoint"
                    )));
                }
                // Endpoints of other services.
                _ => {}
            }
        }
        Ok(connection)
    }

    /// The name of the account: as it is given, else as the host of the endpoint begins.
    pub(super) fn account(&self) -> Option<&str> {
        let of_host = self.endpoint.as_deref().and_then(|endpoint| endpoint.split_once("://"));
        let of_host = of_host.map(|(_, host)| host).filter(|host| host.contains(".blob."));
        self.account.as_deref().or_else(|| of_host?.split('.').next())
    }
}

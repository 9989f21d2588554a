//! What Azure's store says when it does not give a blob.

use super::super::{clock::clocks, said::Said};

/// Says why a blob was not given, where Azure says more than others; `None` where it does not.
pub(super) fn in_words(said: &Said<'_>, credentials: &str) -> Option<String> {
    let of_body = said.code();
    let code = if of_body.is_empty() { said.header("x-ms-error-code").unwrap_or_default() } else { of_body };
    Some(match (code.as_str(), said.number()) {
        ("ContainerNotFound", _) => said.no_bucket("container", "AZURE_STORAGE_ACCOUNT"),
        ("BlobNotFound", _) => said.no_object("container"),
        ("ResourceNotFound", _) => said.with_credentials(
            "the store has no such blob, or the container is not public",
            credentials,
        ),
        ("BlobArchived" | "BlobBeingRehydrated", _) => said.archived(),
        ("NoAuthenticationInformation" | "PublicAccessNotPermitted", _) => {
            said.with_credentials("the store wants to know who asks", credentials)
        }
        ("KeyBasedAuthenticationNotPermitted", _) => format!(
            "{}; set AZURE_STORAGE_TOKEN to a token of az account get-access-token --resource https://storage.azure.com",
            said.with_credentials("the account takes no keys", credentials)
        ),
        ("InvalidAuthenticationInfo", _) | (_, 401) => said.with_credentials(
            "the store does not accept what says who asks; a token may have expired",
            credentials,
        ),
        ("AuthenticationFailed", _) => format!(
            "{}; {}",
            said.with_credentials(
                "the key, the signature or the token is not that of the account or has expired, or the clocks differ",
                credentials
            ),
            clocks(said.time().as_deref())
        ),
        (_, 403) => format!(
            "{}; who asks needs the right to read, as the role Storage Blob Data Reader has it, from a \
             network that the account allows",
            said.with_credentials("the store refuses it", credentials)
        ),
        (_, 409) => said.with_credentials("the store cannot give it now", credentials),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use ureq::http::{HeaderMap, StatusCode};

    use super::{
        super::{
            super::{environment::Environment, stored},
            AzureObject,
        },
        *,
    };

    #[test]
    fn reasons_are_told_with_what_to_do_and_without_keys() {
        let variables = [("AZURE_STORAGE_ACCOUNT", "lab"), ("AZURE_STORAGE_KEY", "b3BlbiBzZXNhbWU=")];
        let object = AzureObject::new("c/k", &Environment::of(&variables)).unwrap();
        let used = "the credentials used are the key of AZURE_STORAGE_KEY";
        let mut headers = HeaderMap::new();
        headers.insert("date", "Fri, 27 Nov 2026 07:00:00 GMT".parse().unwrap());
        for (status, code, expected) in [
            (
                404,
                "ContainerNotFound",
                "no container of this name (the store answers 404, ContainerNotFound)",
            ),
            (404, "BlobNotFound", "the container has no object of this name"),
            (404, "ResourceNotFound", "or the container is not public"),
            (409, "BlobArchived", "the object is archived"),
            (409, "PublicAccessNotPermitted", "wants to know who asks"),
            (409, "LeaseLost", used),
            (401, "NoAuthenticationInformation", "wants to know who asks"),
            (401, "sesame!", used),
            (
                403,
                "AuthenticationFailed",
                "its clock shows Fri, 27 Nov 2026 07:00:00 GMT, that of this machine",
            ),
            (403, "AuthorizationPermissionMismatch", "the role Storage Blob Data Reader"),
            (403, "KeyBasedAuthenticationNotPermitted", "set AZURE_STORAGE_TOKEN"),
            (302, "", "sends to another address"),
            (400, "InvalidHeaderValue", used),
        ] {
            let body = format!(
                "\u{feff}<?xml version=\"1.0\"?><Error><Code>{code}</Code><Message>sesame</Message></Error>"
            );
            let said = Said::new(StatusCode::from_u16(status).unwrap(), &headers, &body);
            let fault = stored::refused(&object, &said).unwrap();
            assert!(fault.what.contains(expected) && !fault.is_passing, "{fault}");
            assert!(!fault.what.contains("sesame") && !fault.what.contains("b3Bl"), "{fault}");
        }
        headers.insert("x-ms-error-code", "BlobNotFound".parse().unwrap());
        let said = Said::new(StatusCode::NOT_FOUND, &headers, "");
        assert!(stored::refused(&object, &said).unwrap().what.contains("no object of this name"));
    }
}

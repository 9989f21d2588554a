//! Servers of stores.

use std::net::IpAddr;

use ureq::http::Uri;

use super::fault::StoreFault;

/// A server that objects are asked of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Site {
    pub(super) scheme: String,
    /// With its port where that is not the usual one of the scheme.
    pub(super) host: String,
}

impl Site {
    /// That of a service on the web.
    pub(super) fn secure(host: impl Into<String>) -> Self {
        Self { scheme: "https".into(), host: host.into() }
    }

    /// The site of an endpoint, and the path that it has there; `named_by` is what gives it.
    pub(super) fn of_endpoint(endpoint: &str, named_by: &str) -> Result<(Self, String), StoreFault> {
        Self::parsed(endpoint).ok_or_else(|| {
            StoreFault::lasting(format!(
                "{named_by} is no address of a store, expected https://HOST or http://HOST:PORT, without a user"
            ))
        })
    }

    fn parsed(endpoint: &str) -> Option<(Self, String)> {
        let uri: Uri = endpoint.parse().ok()?;
        let scheme = uri.scheme_str().filter(|scheme| ["http", "https"].contains(scheme))?;
        let authority = uri.authority().filter(|authority| !authority.as_str().contains('@'))?;
        let is_usual = matches!((scheme, authority.port_u16()), ("http", Some(80)) | ("https", Some(443)));
        let host = if is_usual { authority.host() } else { authority.as_str() };
        let site = Self { scheme: scheme.to_owned(), host: host.to_owned() };
        uri.query().is_none().then(|| (site, uri.path().trim_end_matches('/').to_owned()))
    }

    pub(super) fn url(&self, path: &str) -> String {
        format!("{}://{}{path}", self.scheme, self.host)
    }

    /// Refuses to send what is secret where others could read it on its way.
    pub(super) fn check_private(&self, named_by: &str) -> Result<(), StoreFault> {
        if self.scheme == "https" || self.is_this_machine() {
            return Ok(());
        }
        Err(StoreFault::lasting(format!(
            "{named_by} is http:// on another machine, where others could read the token or signature that is sent; \
             expected https://, or a server on this machine"
        )))
    }

    fn is_this_machine(&self) -> bool {
        let uri: Option<Uri> = self.url("/").parse().ok();
        let host = uri.as_ref().and_then(Uri::host).unwrap_or_default();
        let address: Option<IpAddr> = host.trim_matches(['[', ']']).parse().ok();
        host == "localhost" || address.is_some_and(|address| address.is_loopback())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_go_to_secure_servers_and_to_this_machine_only() {
        for (endpoint, is_private) in [
            ("https://h", true),
            ("http://localhost:10000", true),
            ("http://127.0.0.1:1/x", true),
            ("http://[::1]:9", true),
            ("http://h", false),
            ("http://127.0.0.1.example.org", false),
            ("http://10.0.0.1:80", false),
        ] {
            let (site, _) = Site::of_endpoint(endpoint, "X").unwrap();
            assert_eq!(site.check_private("X").is_ok(), is_private, "{endpoint}");
        }
    }
}

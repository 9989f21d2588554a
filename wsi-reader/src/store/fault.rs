//! Reasons why an object is not read.

use std::{fmt, io};

/// A reason why bytes of an object were not had, in words, without its address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StoreFault {
    pub(super) what: String,
    /// A later try of the same request may succeed: the server or the network failed, not the object.
    pub(super) is_passing: bool,
}

impl StoreFault {
    pub(super) fn passing(what: impl Into<String>) -> Self {
        Self { what: what.into(), is_passing: true }
    }

    pub(super) fn lasting(what: impl Into<String>) -> Self {
        Self { what: what.into(), is_passing: false }
    }

    /// The fault of a store in an error of reading, if it is one.
    pub(crate) fn in_error(error: &io::Error) -> Option<&Self> {
        error.get_ref()?.downcast_ref()
    }
}

impl fmt::Display for StoreFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}

impl std::error::Error for StoreFault {}

impl From<StoreFault> for io::Error {
    fn from(fault: StoreFault) -> Self {
        let kind = if fault.is_passing { io::ErrorKind::TimedOut } else { io::ErrorKind::InvalidData };
        Self::new(kind, fault)
    }
}

/// Says why a request got no answer. The address is left out: it may hold a secret.
pub(super) fn not_answered(error: &ureq::Error) -> StoreFault {
    use ureq::Error::{BadUri, HostNotFound, Http, Io, Rustls, Timeout, Tls, TooManyRedirects};
    match error {
        BadUri(_) | Http(_) => StoreFault::lasting("the address is malformed, expected https://HOST/PATH"),
        HostNotFound => StoreFault::passing("the name of the server is not known"),
        Timeout(_) => StoreFault::passing("the server did not answer in time"),
        TooManyRedirects => StoreFault::lasting("the server sends from one address to the next, without end"),
        Tls(what) => not_secure(what),
        Rustls(error) => not_secure(error),
        Io(error) => match error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
            Some(error) => not_secure(error),
            None => StoreFault::passing(format!("the connection failed ({})", error.kind())),
        },
        _ => StoreFault::passing("the server gave no proper answer"),
    }
}

fn not_secure(why: &dyn std::fmt::Display) -> StoreFault {
    StoreFault::lasting(format!(
        "the connection is not secure ({why}); add the authority of the server to those that the system trusts, or name \
         its file in SSL_CERT_FILE"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_that_is_not_trusted_is_not_asked_again() {
        let untrusted = rustls::Error::InvalidCertificate(rustls::CertificateError::UnknownIssuer);
        let error = ureq::Error::Io(std::io::Error::new(std::io::ErrorKind::InvalidData, untrusted));
        let fault = not_answered(&error);
        assert!(!fault.is_passing && fault.what.contains("UnknownIssuer"), "{fault}");
        let cut = ureq::Error::Io(std::io::ErrorKind::ConnectionReset.into());
        assert!(not_answered(&cut).is_passing);
    }
}

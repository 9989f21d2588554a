//! Who may do what: tokens, of which only hashes are kept.

use std::{path::Path, sync::Arc};

use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use crate::{
    error::ServiceError,
    named_lines::{self, NamedLine, check_name},
};

/// Rights of a token; each allows what those before it do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// To look at jobs and fetch results.
    Read,
    /// To start jobs, and to erase one's own.
    Run,
    /// To erase any job.
    Admin,
}

impl Role {
    fn named(word: &str) -> Option<Self> {
        match word {
            "read" => Some(Self::Read),
            "run" => Some(Self::Run),
            "admin" => Some(Self::Admin),
            _ => None,
        }
    }

    /// In one word.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Run => "run",
            Self::Admin => "admin",
        }
    }
}

/// Who sent a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// The name of the token; `None` on a loopback address without tokens.
    pub name: Option<Arc<str>>,
    /// Rights of the caller.
    pub role: Role,
}

impl Caller {
    /// Whoever is on this machine, where no tokens are set.
    #[must_use]
    pub fn local() -> Self {
        Self { name: None, role: Role::Admin }
    }
}

/// The tokens that are known, by their SHA-256.
#[derive(Debug, Clone, Default)]
pub struct Tokens(Vec<Token>);

#[derive(Debug, Clone)]
struct Token {
    name: Arc<str>,
    role: Role,
    sha256: [u8; 32],
}

impl Tokens {
    /// Reads a file of lines `name role sha256`; lines that are empty or begin with `#` are left out.
    ///
    /// # Errors
    ///
    /// [`ServiceError::Tokens`] with the number of the line that is wrong.
    pub fn read(path: &Path) -> Result<Self, ServiceError> {
        let read = named_lines::read(path).map(Self);
        read.map_err(|reason| ServiceError::Tokens { reason, path: path.to_owned() })
    }

    /// Returns the caller whose token this is. All are compared, each in the same time whatever it holds.
    #[must_use]
    pub fn caller(&self, presented: &str) -> Option<Caller> {
        let hash: [u8; 32] = Sha256::digest(presented.as_bytes()).into();
        let mut found = None;
        for token in &self.0 {
            if bool::from(token.sha256.ct_eq(&hash)) {
                found = Some(token);
            }
        }
        found.map(|token| Caller { name: Some(Arc::clone(&token.name)), role: token.role })
    }
}

impl NamedLine for Token {
    const WHAT: &str = "token";
    const EXAMPLE: &str = "lab run SHA256";

    fn name(&self) -> &str {
        &self.name
    }

    fn parse(line: &str) -> Result<Self, String> {
        let words: Vec<&str> = line.split_whitespace().collect();
        let &[name, role, sha256] = words.as_slice() else {
            return Err(format!("it has {} words, expected three: name, role, SHA-256", words.len()));
        };
        check_name(name)?;
        let role =
            Role::named(role).ok_or_else(|| format!("the role is {role:?}, expected read, run or admin"))?;
        let sha256 = bytes_of(sha256).ok_or("the hash is not one of 64 hexadecimal digits")?;
        Ok(Self { name: name.into(), role, sha256 })
    }
}

fn bytes_of(hex: &str) -> Option<[u8; 32]> {
    let digits = hex.as_bytes();
    if digits.len() != 64 || !digits.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    let mut bytes = [0; 32];
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Tokens, String> {
        named_lines::parse(text).map(Tokens)
    }

    /// SHA-256 of `secret`, from coreutils.
    const SECRET: &str = "2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b";

    #[test]
    fn only_the_hashed_token_is_known() {
        let tokens = parse(&format!("# who\n\nlab run {SECRET}\n")).unwrap();
        let caller = tokens.caller("secret").unwrap();
        assert_eq!((caller.name.as_deref(), caller.role), (Some("lab"), Role::Run));
        for guess in ["", "Secret", "secret ", SECRET] {
            assert_eq!(tokens.caller(guess), None, "{guess:?}");
        }
        assert!(Role::Read < Role::Run && Role::Run < Role::Admin);
    }

    #[test]
    fn what_is_wrong_with_a_file_of_tokens_is_said_by_line() {
        for (text, said) in [
            ("", "no token"),
            ("lab run", "line 1: it has 2 words"),
            ("a b/c x\n", "role"),
            (&format!("lab run {SECRET}\nlab read {SECRET}"), "line 2: the name lab is there already"),
            (&format!("lab boss {SECRET}"), "expected read, run or admin"),
            ("lab run abc", "64 hexadecimal digits"),
            (&format!("la/b run {SECRET}"), "other letters"),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.contains(said), "{text}: {error}");
        }
    }
}

//! A store as Google's, with its token server: it gives an object to those who have a token that it gave, and tokens to those
//! who prove who they are.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{SystemTime, UNIX_EPOCH},
};

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use ring::signature::{RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents};
use serde_json::{Value, json};

use super::range_server::{Keeper, Other, RangeServer, Request};

/// The key of the appendix A.2 of RFC 7515, which everybody knows.
pub fn private_key() -> String {
    let mut text = format!("-----BEGIN {KIND}-----\n");
    for line in PRIVATE.as_bytes().chunks(64) {
        text += &String::from_utf8_lossy(line);
        text.push('\n');
    }
    text + &format!("-----END {KIND}-----\n")
}

const KIND: &str = "PRIVATE KEY";
const PRIVATE: &str = "\
    MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQCh+BYK4uPJtGXOjS1lYmM2K5J9vinh8CR3/BYlzJChNuOL2TSXxbbqY913Ee\
    Z8dCn5VrD7io8ImtxLaYk8wTM/U+3QGbh3hCUv7JFP5IV3aVlL6kKA0ywPVb9ilE8TA5a8bpvfbr3SvaNnjuygxmj3AbONv/s4yDQs4v5tJ/re\
    SlpIdJed1LnPmt7Ex1sFhSwsD174pcF1A5L5ROjtZMEQxrZHYJqkeDrrnGya11UxMFBji4NmXG9veoKjlnAqH2QbgtPr8jkiGUkftoaHLFcW9Q\
    r4NY2ai50Xw0Byj3+H2JoY2PyrZ62EWQwuz3WTOTY8BwNNb2BvniHgVFbK5emhAgMBAAECggEAEq5xpGnNCivDflJsRQBXHx1hdR1k6Ulwe2JZ\
    D50LpXyWPEAeP88vLNO97IjlA7/GQ5sLKMgvfTeXZx9SE+7YwVol2NXOoAJe46sui395IW/GO+pWJ1O0BkTGoVEn2bKVRUCgu+GjBVaYLU6f3l\
    9kJfFNS3E0QbVdxzubSu3Mkqzjkn439X0M/V51gfpRLI9JYanrC4D4qAdGcopV/0ZHHzQlBjudU2QvXt4ehNYTCBr6XCLQUShb1juUO1ZdiYoF\
    aFQT5Tw8bGUl/x/jTj3ccPDVZFD9pIuhLhBOneufuBiB4cS98l2SR/RQyGWSeWjnczT0QU91p1DhOVRuOopznQKBgQDgHMQQ60imZV1URk0KpL\
    ttoLhyt3SmqdEf/kgHePDdtzEafpAu+cS191R2JiuoF2yzWXnwFDcqGigp5BNr0AHQfD8/Lk8l1Mk09jxxCfui5nYooNyac8YFjm3vItzVCVDn\
    Ed3BbVWG8qf6deqElMGAg+C2V0L4oNXnP7LZcPAZRwKBgQC5A8R+CZW2MvRTLLHzwZkUXV866cff7tx6kqa0finGG0KgeqlaZPxgCZnFp7AeAc\
    CMtiynVlJ7vMVgePsLq6XtON4tB5kP9jAPrq3rbAOal78eUH5OcED6eNuCV8ixEu1eWcPNCS/l1OW1EnXUEoEHKl54Xrrz2uNwkgMTP1FZ1wKB\
    gAcCn1dwJKufzBWQxWQp1vsM5fggqPN1qGb5y0MAk3g7/Ls5bkUp5u9SN0Ai3Ya6hNnvWJMb7sXQX6U/zyO2M/hTip7tUeh7CXgwo59dkpN75g\
    JLVds29+DAncu3KXU4f2Fa+7bLNrur53k8KwPOq2bbuTG69QtV7Jr5MR0AHWKNAoGBAIf/evpitUf+4JYbLpvNXWcY052Mpz22aR84mY3nh3F2\
    LF2mjMJDpTg7FmuyPcVw6EcGyoAe9fa65iNqCq+jdw6PVNGo2hxfjSiZ8IIzHdsPXI89//pMjZcQK9r+CCoRjaZjOYiIDktVWZzmevJuv6WywU\
    qd57LE3Zar3dLSIkx1AoGAIYd7DHOhrWvxkwPQsRM2tOgrjbcrfvtQJipd+DlcxyVuuM9sQLdgjVk2oy26F0EmpScGLq2MowX7fhd/QJQ3ydy5\
    cY7YIBi87w93IKLEdfnbJtoOPLUW0ITrJReOgo1cq9SbsxYawBgfp/gh6A5603k2+ZQwVK0JKSHuLFkuQ3U=";
const MODULUS: &str = "\
    ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZ\
    S-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2\
    R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcD\
    TW9gb54h4FRWyuXpoQ";

const ACCOUNT: &str = "reader@hospital.example.org";
const REFRESH: &str = "1//sesame+";
/// The only object.
const PATH: &str = "/hospital/slides/case%201%20%28%C3%BC%29.tif";

/// A running store with `gs://hospital/slides/case 1 (ü).tif`; gone with it.
pub struct GoogleStore {
    server: RangeServer,
    desk: Arc<Mutex<Desk>>,
}

/// The desk where tokens are given.
#[derive(Debug)]
struct Desk {
    url: String,
    /// Number of tokens that were given; the last one holds.
    given: u32,
    /// Seconds that are said of each.
    lasts: u64,
    is_taken_back: bool,
    /// What its clock shows, if it is wrong.
    clock: Option<u64>,
    /// Other answers to the next requests for tokens.
    next: Vec<u16>,
}

#[allow(dead_code, reason = "each test uses some")]
impl GoogleStore {
    pub fn new(object: Vec<u8>) -> Self {
        let server = RangeServer::new(object);
        let desk = Desk {
            url: format!("{}/token", server.endpoint()),
            given: 0,
            lasts: 3600,
            is_taken_back: false,
            clock: None,
            next: Vec::new(),
        };
        let desk = Arc::new(Mutex::new(desk));
        Self { server: server.kept_by(Keys(Arc::clone(&desk))), desk }
    }

    pub fn endpoint(&self) -> String {
        self.server.endpoint()
    }

    /// The file of a service account.
    pub fn account(&self) -> String {
        let file = json!({
            "type": "service_account",
            "client_email": ACCOUNT,
            "private_key": private_key(),
            "private_key_id": "k1",
            "token_uri": self.desk().url,
        });
        file.to_string()
    }

    /// The file of a user who has logged in; `refresh` is the right token in the place of `None`.
    pub fn person(&self, refresh: Option<&str>) -> String {
        let file = json!({
            "type": "authorized_user",
            "client_id": "id",
            "client_secret": "sesame",
            "refresh_token": refresh.unwrap_or(REFRESH),
            "token_uri": self.desk().url,
        });
        file.to_string()
    }

    /// The token that holds.
    pub fn token(&self) -> String {
        self.desk().token()
    }

    /// Number of tokens that were given.
    pub fn given(&self) -> u32 {
        self.desk().given
    }

    /// Takes back the token that it gave last.
    pub fn take_back(&self) {
        self.desk().is_taken_back = true;
    }

    /// The tokens that are given from now on last for so many seconds, as is said of them.
    pub fn give_for(&self, secs: u64) {
        self.desk().lasts = secs;
    }

    /// Sets its clock wrong.
    pub fn set_clock(&self, secs: u64) {
        self.desk().clock = Some(secs);
    }

    /// Answers the next requests for tokens with these statuses.
    pub fn refuse_tokens(&self, statuses: &[u16]) {
        self.desk().next = statuses.iter().rev().copied().collect();
    }

    /// The server of the object, to have it do wrong.
    pub fn server(&self) -> &RangeServer {
        &self.server
    }

    fn desk(&self) -> MutexGuard<'_, Desk> {
        self.desk.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Debug)]
struct Keys(Arc<Mutex<Desk>>);

impl Keeper for Keys {
    fn other(&mut self, request: &Request) -> Option<Other> {
        let mut desk = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if request.path == "/token" {
            return Some(desk.serve(request));
        }
        let (status, code) = match request.headers.get("authorization") {
            _ if !request.path.starts_with("/hospital/") => (404, "NoSuchBucket"),
            None => (403, "AccessDenied"),
            Some(given) if desk.is_taken_back || *given != format!("Bearer {}", desk.token()) => {
                (401, "AuthenticationRequired")
            }
            Some(_) if request.path != PATH => (404, "NoSuchKey"),
            Some(_) => return None,
        };
        let body = format!("<?xml version='1.0' encoding='UTF-8'?><Error><Code>{code}</Code></Error>");
        Some(Other { status, headers: String::new(), body })
    }
}

impl Desk {
    fn token(&self) -> String {
        format!("ya29.sesame-{}", self.given)
    }

    fn serve(&mut self, request: &Request) -> Other {
        let values: BTreeMap<String, String> = request.body.split('&').filter_map(decoded).collect();
        let [kind, secret, refresh, assertion] =
            ["grant_type", "client_secret", "refresh_token", "assertion"]
                .map(|name| values.get(name).map_or("", String::as_str));
        let is_right = match kind {
            "refresh_token" => (secret, refresh) == ("sesame", REFRESH),
            "urn:ietf:params:oauth:grant-type:jwt-bearer" => self.accepts(assertion).is_some(),
            _ => false,
        };
        let (status, body) = match (self.next.pop(), is_right && request.method == "POST") {
            (Some(status), _) => (status, json!({"error": "sesame/1"})),
            (None, false) => (400, json!({"error": "invalid_grant", "error_description": "sesame"})),
            (None, true) => {
                self.given += 1;
                self.is_taken_back = false;
                let (token, lasts) = (self.token(), self.lasts);
                (200, json!({"access_token": token, "expires_in": lasts, "token_type": "Bearer"}))
            }
        };
        let mut headers = String::new();
        if status / 100 == 3 {
            headers += &format!("Location: {}\r\n", self.url);
        }
        if self.clock.is_some() {
            headers += "Date: Thu, 01 Jan 1970 00:00:00 GMT\r\n";
        }
        Other { status, headers, body: body.to_string() }
    }

    /// Says whether a signed request for a token is accepted.
    fn accepts(&self, jwt: &str) -> Option<()> {
        let (text, signature) = jwt.rsplit_once('.')?;
        let (header, claims) = text.split_once('.')?;
        let [signature, header, claims, n, e] = [signature, header, claims, MODULUS, "AQAB"]
            .map(|part| BASE64_URL_SAFE_NO_PAD.decode(part).unwrap_or_default());
        let key = RsaPublicKeyComponents { n, e };
        key.verify(&RSA_PKCS1_2048_8192_SHA256, text.as_bytes(), &signature).ok()?;
        let [header, claims] = [header, claims].map(|part| serde_json::from_slice::<Value>(&part).ok());
        let (header, claims) = (header?, claims?);
        let shown = SystemTime::now().duration_since(UNIX_EPOCH).ok()?.as_secs();
        let now = self.clock.unwrap_or(shown);
        let (iat, exp) = (claims["iat"].as_u64()?, claims["exp"].as_u64()?);
        let is_right = header["alg"] == "RS256"
            && claims["iss"] == ACCOUNT
            && claims["aud"] == self.url.as_str()
            && claims["scope"] == "https://www.googleapis.com/auth/devstorage.read_only"
            && now.abs_diff(iat) < 300
            && (1..=3600).contains(&(exp - iat));
        is_right.then_some(())
    }
}

/// A value of a form, `%XX` understood.
fn decoded(part: &str) -> Option<(String, String)> {
    let (name, value) = part.split_once('=')?;
    let mut bytes = Vec::new();
    let mut rest = value.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'%' => {
                let digits = [rest.next()?, rest.next()?];
                u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?
            }
            b'+' => b' ',
            byte => byte,
        });
    }
    Some((name.to_owned(), String::from_utf8(bytes).ok()?))
}

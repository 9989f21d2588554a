//! What a store says when it does not give an object.

use roxmltree::Document;
use ureq::http::{HeaderMap, StatusCode, header};

use super::{super::fault::StoreFault, S3Object};

/// The reason that a store gives, as far as it is plain.
#[derive(Debug, Default, PartialEq, Eq)]
struct Said {
    /// Such as `NoSuchKey`.
    code: Option<String>,
    /// The region that the bucket is in.
    region: Option<String>,
    /// What the clock of the store shows.
    time: Option<String>,
}

impl Said {
    fn new(headers: &HeaderMap, body: &str) -> Self {
        let xml = Document::parse(body).ok();
        let xml = xml.as_ref();
        Self {
            code: element(xml, "Code"),
            region: in_header(headers, "x-amz-bucket-region").or_else(|| element(xml, "Region")),
            time: element(xml, "ServerTime").or_else(|| in_header(headers, header::DATE.as_str())),
        }
    }
}

fn in_header(headers: &HeaderMap, name: &str) -> Option<String> {
    plain(headers.get(name)?.to_str().ok()?)
}

fn element(xml: Option<&Document<'_>>, name: &str) -> Option<String> {
    let found = xml?.root_element().children().find(|node| node.tag_name().name() == name);
    plain(found?.text()?)
}

/// A word or a time of a server; nothing else of what it says is repeated, as it may repeat keys.
fn plain(text: &str) -> Option<String> {
    const MOST: usize = 48;
    let is_plain = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-:,. ".contains(&byte));
    (is_plain && (1..=MOST).contains(&text.len())).then(|| text.to_owned())
}

impl S3Object {
    /// Says why an object was not given, where a store says more than other servers; `None` where it does not.
    pub(in super::super) fn refused(
        &self,
        status: StatusCode,
        headers: &HeaderMap,
        body: &str,
    ) -> Option<StoreFault> {
        let said = Said::new(headers, body);
        let number = status.as_u16();
        let (code, answers) = match said.code {
            Some(code) => (code.clone(), format!("the store answers {number}, {code}")),
            None => (String::new(), format!("the store answers {number}")),
        };
        let credentials = format!("the credentials used are {}", self.credentials.source);
        let what = match (code.as_str(), number) {
            (_, 412 | 416 | 408 | 429 | 500..) => return None,
            ("NoSuchBucket", _) => format!(
                "the store has no bucket of this name ({answers}); check the name, and AWS_ENDPOINT_URL if the store is \
                 not Amazon's"
            ),
            ("NoSuchKey", _) => {
                format!("the bucket has no object of this name ({answers}); small and large letters differ")
            }
            ("RequestTimeTooSkewed", _) => format!(
                "the clocks differ too much ({answers}): that of the store shows {}; set the clock of this machine",
                said.time.as_deref().unwrap_or("another time")
            ),
            ("InvalidObjectState", _) => {
                format!(
                    "the object is archived ({answers}): have the store restore it first, or copy the slide to a disk"
                )
            }
            ("InvalidAccessKeyId", _) => {
                format!("the store does not know the access key ({answers}); {credentials}")
            }
            ("SignatureDoesNotMatch", _) => {
                format!("the secret does not belong to the access key ({answers}); {credentials}")
            }
            ("ExpiredToken" | "InvalidToken" | "TokenRefreshRequired", _) => {
                format!("the session token has expired or is not valid ({answers}); {credentials}")
            }
            (_, 300..=400) if said.region.as_ref().is_some_and(|region| *region != self.region) => {
                let region = said.region.unwrap_or_default();
                format!(
                    "the bucket is in the region {region} and was asked for in {} ({answers}); set AWS_REGION={region}",
                    self.region
                )
            }
            (_, 300..=399) => format!(
                "the store sends to another address ({answers}), which is not followed with a signature; name the right one \
                 by AWS_REGION or AWS_ENDPOINT_URL"
            ),
            (_, 401 | 403) => format!(
                "the store refuses it, or has no such object and does not say so ({answers}); {credentials}"
            ),
            (_, 400) => format!("{answers}, expected 206; {credentials}, the region is {}", self.region),
            _ => return None,
        };
        Some(StoreFault::lasting(what))
    }
}

#[cfg(test)]
mod tests {
    use super::{super::Environment, *};

    fn refused(status: u16, headers: &[(&'static str, &'static str)], body: &str) -> Option<String> {
        let variables = [("AWS_ACCESS_KEY_ID", "AKIDsesame"), ("AWS_SECRET_ACCESS_KEY", "open sesame")];
        let variables = variables.map(|(name, value)| (name, value.replace(' ', ""))).into();
        let object = S3Object::new("bkt/k", &Environment { variables, home: None }).unwrap();
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.insert(*name, value.parse().unwrap());
        }
        let fault = object.refused(StatusCode::from_u16(status).unwrap(), &map, body)?;
        assert!(!fault.is_passing && !fault.what.contains("sesame"), "{fault}");
        Some(fault.what)
    }

    fn error(code: &str, more: &str) -> String {
        format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>{code}</Code><Message>AKIDsesame</Message>\
             <AWSAccessKeyId>AKIDsesame</AWSAccessKeyId>{more}</Error>"
        )
    }

    #[test]
    fn reasons_are_told_with_what_to_do_and_without_keys() {
        let used = "the credentials used are those of the environment";
        for (status, code, more, expected) in [
            (
                404,
                "NoSuchBucket",
                "",
                "the store has no bucket of this name (the store answers 404, NoSuchBucket)",
            ),
            (404, "NoSuchKey", "", "the bucket has no object of this name"),
            (403, "AccessDenied", "", used),
            (403, "InvalidAccessKeyId", "", used),
            (403, "SignatureDoesNotMatch", "", "the secret does not belong to the access key"),
            (400, "ExpiredToken", "", "the session token has expired"),
            (403, "InvalidObjectState", "", "the object is archived"),
            (
                403,
                "RequestTimeTooSkewed",
                "<ServerTime>2026-11-27T07:00:00Z</ServerTime>",
                "that of the store shows 2026-11-27T07:00:00Z",
            ),
            (
                400,
                "AuthorizationHeaderMalformed",
                "<Region>eu-west-3</Region>",
                "the bucket is in the region eu-west-3 and was asked for in us-east-1 (the store answers 400, \
                 AuthorizationHeaderMalformed); set AWS_REGION=eu-west-3",
            ),
            (
                400,
                "InvalidRequest",
                "",
                "the store answers 400, InvalidRequest, expected 206; the credentials",
            ),
        ] {
            let told = refused(status, &[], &error(code, more)).unwrap();
            assert!(told.contains(expected), "{told}");
        }
        let told = refused(301, &[("x-amz-bucket-region", "eu-west-3")], "").unwrap();
        assert!(told.contains("set AWS_REGION=eu-west-3"), "{told}");
        let told = refused(307, &[], &error("TemporaryRedirect", "")).unwrap();
        assert!(told.contains("sends to another address"), "{told}");
        let told =
            refused(403, &[("date", "Fri, 27 Nov 2026 07:00:00 GMT")], &error("RequestTimeTooSkewed", ""));
        assert!(told.unwrap().contains("shows Fri, 27 Nov 2026 07:00:00 GMT"));
    }

    #[test]
    fn what_every_server_says_is_left_to_others_and_nonsense_is_not_repeated() {
        for status in [404, 412, 416, 429, 503] {
            assert_eq!(refused(status, &[], &error("Sesame!", "")), None, "{status}");
        }
        for body in ["", "not XML", "<a/>", &error("<b/>", ""), &error("open/sesame?", "")] {
            let told = refused(403, &[], body).unwrap();
            assert!(told.contains("(the store answers 403)"), "{told}");
        }
    }
}

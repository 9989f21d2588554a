//! What stores that speak S3 say when they do not give an object.

use super::super::said::Said;

/// Says why an object was not given, where a store that speaks S3 says more than others; `None` where it does not.
pub(super) fn in_words(said: &Said<'_>, region: &str, credentials: &str) -> Option<String> {
    let (code, number, answers) = (said.code(), said.number(), said.answers());
    let of_bucket = said.header("x-amz-bucket-region").or_else(|| said.element("Region"));
    Some(match code.as_str() {
        "NoSuchBucket" => said.no_bucket("bucket", "AWS_ENDPOINT_URL if the store is not Amazon's"),
        "NoSuchKey" => said.no_object("bucket"),
        "RequestTimeTooSkewed" => format!(
            "the clocks differ too much ({answers}): that of the store shows {}; set the clock of this machine",
            said.time().as_deref().unwrap_or("another time")
        ),
        "InvalidObjectState" => said.archived(),
        "InvalidAccessKeyId" => said.with_credentials("the store does not know the access key", credentials),
        "SignatureDoesNotMatch" => {
            said.with_credentials("the secret does not belong to the access key", credentials)
        }
        "ExpiredToken" | "InvalidToken" | "TokenRefreshRequired" => {
            said.with_credentials("the session token has expired or is not valid", credentials)
        }
        _ => match of_bucket.filter(|other| other != region) {
            Some(other) if (300..=400).contains(&number) => format!(
                "the bucket is in the region {other} and was asked for in {region} ({answers}); set AWS_REGION={other}"
            ),
            _ if number == 400 => format!(
                "{answers}, expected 206; the credentials used are {credentials}, the region is {region}"
            ),
            _ => return None,
        },
    })
}

#[cfg(test)]
mod tests {
    use ureq::http::{HeaderMap, StatusCode};

    use super::{
        super::{
            super::{environment::Environment, stored},
            S3Object,
        },
        *,
    };

    fn refused(status: u16, headers: &[(&'static str, &'static str)], body: &str) -> Option<String> {
        let variables = [("AWS_ACCESS_KEY_ID", "AKIDsesame"), ("AWS_SECRET_ACCESS_KEY", "open sesame")];
        let variables = variables.map(|(name, value)| (name, value.replace(' ', ""))).into();
        let object = S3Object::new("bkt/k", &Environment { variables, home: None }).unwrap();
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.insert(*name, value.parse().unwrap());
        }
        let said = Said::new(StatusCode::from_u16(status).unwrap(), &map, body);
        let fault = stored::refused(&object, &said)?;
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

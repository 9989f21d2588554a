//! Objects of stores that speak S3 (`s3://BUCKET/KEY`): where they are, how requests are signed, what refusals mean.

mod credentials;
mod refusal;
mod signature;

use ureq::Agent;
use wsi_types::UtcTime;

pub(super) use self::credentials::VARIABLES;
use self::{
    credentials::{Credentials, ENDPOINTS, REGIONS},
    refusal::in_words,
    signature::{NO_BODY, Scope, date_and_time},
};
use super::{
    environment::Environment,
    fault::StoreFault,
    naming::{Form, encoded},
    said::Said,
    site::Site,
    stored::{Headers, Stored},
};

const FORM: Form = Form { shape: "s3://BUCKET/KEY", settings: "the variables AWS_…" };
/// Amazon's region where none is named.
const USUAL_REGION: &str = "us-east-1";

/// An object of a store that speaks S3, and what its requests are signed with.
#[derive(Debug)]
pub(super) struct S3Object {
    site: Site,
    /// Encoded, from the root of the site on.
    path: String,
    region: String,
    credentials: Credentials,
}

impl S3Object {
    /// Finds out how the object called `BUCKET/KEY` is asked for.
    pub(super) fn new(name: &str, environment: &Environment) -> Result<Self, StoreFault> {
        let (bucket, key) = FORM.split(name)?;
        let region = region(environment)?;
        let (site, path) = place(environment, bucket, key, region)?;
        Ok(Self {
            site,
            path: encoded(&path),
            region: region.to_owned(),
            credentials: Credentials::find(environment)?,
        })
    }
}

impl Stored for S3Object {
    fn url(&self) -> String {
        self.site.url(&self.path)
    }

    fn signed(&self, mut headers: Headers, at: UtcTime, _agent: &Agent) -> Result<Headers, StoreFault> {
        let Some(keys) = &self.credentials.keys else { return Ok(headers) };
        headers.insert("host", self.site.host.clone());
        headers.insert("x-amz-content-sha256", NO_BODY.to_owned());
        headers.insert("x-amz-date", date_and_time(at));
        headers.extend(keys.token.as_ref().map(|token| ("x-amz-security-token", token.tell().to_owned())));
        let scope = Scope { at, region: &self.region, service: "s3" };
        let authorization = scope.authorization(keys, &self.path, &headers);
        headers.insert("authorization", authorization);
        Ok(headers)
    }

    fn credentials(&self) -> &str {
        &self.credentials.source
    }

    fn elsewhere(&self) -> &'static str {
        "name the right one by AWS_REGION or AWS_ENDPOINT_URL"
    }

    fn refused(&self, said: &Said<'_>) -> Option<String> {
        in_words(said, &self.region, &self.credentials.source)
    }
}

fn region(environment: &Environment) -> Result<&str, StoreFault> {
    let Some((variable, region)) = environment.first(&REGIONS) else { return Ok(USUAL_REGION) };
    if region.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte)) {
        return Ok(region);
    }
    Err(StoreFault::lasting(format!("{variable} is no region, expected letters, digits and hyphens")))
}

/// The site of an object, and the path that it has there.
fn place(
    environment: &Environment,
    bucket: &str,
    key: &str,
    region: &str,
) -> Result<(Site, String), StoreFault> {
    if let Some((variable, endpoint)) = environment.first(&ENDPOINTS) {
        let (site, prefix) = Site::of_endpoint(endpoint, variable)?;
        return Ok((site, format!("{prefix}/{bucket}/{key}")));
    }
    let amazon = amazon(region);
    if is_host_name(bucket) {
        let host = format!("{bucket}.{}", amazon.host);
        return Ok((Site { host, ..amazon }, format!("/{key}")));
    }
    Ok((amazon, format!("/{bucket}/{key}")))
}

/// `true` for names of buckets that stand in front of Amazon's host. One with a dot has no certificate there.
fn is_host_name(bucket: &str) -> bool {
    (3..=63).contains(&bucket.len())
        && bucket.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
}

fn amazon(region: &str) -> Site {
    let domain = if region.starts_with("cn-") { "amazonaws.com.cn" } else { "amazonaws.com" };
    Site::secure(format!("s3.{region}.{domain}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(name: &str, variables: &[(&'static str, &str)]) -> String {
        S3Object::new(name, &Environment::of(variables)).unwrap().url()
    }

    #[test]
    fn objects_are_asked_for_at_amazon_or_at_the_endpoint() {
        let local = ("AWS_ENDPOINT_URL", "http://localhost:9000/");
        for (name, variables, expected) in [
            ("bucket/a b.svs", vec![], "https://bucket.s3.us-east-1.amazonaws.com/a%20b.svs"),
            ("b.c/k", vec![("AWS_REGION", "eu-west-1")], "https://s3.eu-west-1.amazonaws.com/b.c/k"),
            (
                "bkt/k",
                vec![("AWS_DEFAULT_REGION", "cn-north-1")],
                "https://bkt.s3.cn-north-1.amazonaws.com.cn/k",
            ),
            ("bkt/d/k", vec![local], "http://localhost:9000/bkt/d/k"),
            ("bkt//k", vec![("AWS_ENDPOINT_URL_S3", "https://h:443/at"), local], "https://h/at/bkt//k"),
            ("My_bkt/k", vec![("AWS_ENDPOINT_URL", "https://[::1]:9")], "https://[::1]:9/My_bkt/k"),
        ] {
            assert_eq!(url(name, &variables), expected);
        }
    }

    #[test]
    fn what_names_no_object_or_no_store_is_refused_in_words() {
        for (name, variables, expected) in [
            ("bucket", vec![], "the address is malformed, expected s3://BUCKET/KEY"),
            ("bucket/", vec![], "folders of a store are not listed"),
            ("/key", vec![], "the address is malformed"),
            ("buck et/key", vec![], "the address is malformed"),
            ("me:sesame@bucket/key", vec![], "neither settings nor a user"),
            ("bucket/key?secret=sesame", vec![], "neither settings nor a user"),
            ("bkt/k", vec![("AWS_REGION", "eu/west")], "AWS_REGION is no region"),
            ("bkt/k", vec![("AWS_ENDPOINT_URL", "localhost:9000")], "AWS_ENDPOINT_URL is no address"),
            (
                "bkt/k",
                vec![("AWS_ENDPOINT_URL_S3", "http://me:sesame@h")],
                "AWS_ENDPOINT_URL_S3 is no address",
            ),
            ("bkt/k", vec![("AWS_ENDPOINT_URL", "ftp://h")], "AWS_ENDPOINT_URL is no address"),
            ("bkt/k", vec![("AWS_ENDPOINT_URL", "https://h/?x=sesame")], "AWS_ENDPOINT_URL is no address"),
        ] {
            let fault = S3Object::new(name, &Environment::of(&variables)).unwrap_err();
            assert!(!fault.is_passing && fault.what.contains(expected), "{name}: {fault}");
            assert!(!fault.what.contains("sesame"), "{fault}");
        }
    }

    fn signed(object: &S3Object, headers: Headers) -> Headers {
        object.signed(headers, UtcTime::from_secs(0), &Agent::new_with_defaults()).unwrap()
    }

    #[test]
    fn requests_are_signed_with_keys_and_else_not() {
        let range = Headers::from([("range", "bytes=0-9".to_owned())]);
        let object = S3Object::new("bkt/k", &Environment::of(&[])).unwrap();
        assert_eq!(signed(&object, range.clone()), range);
        let keys = [("AWS_ACCESS_KEY_ID", "AK"), ("AWS_SECRET_ACCESS_KEY", "s"), ("AWS_SESSION_TOKEN", "t")];
        let object = S3Object::new("bkt/k", &Environment::of(&keys)).unwrap();
        let signed = signed(&object, range);
        assert_eq!(signed["host"], "bkt.s3.us-east-1.amazonaws.com");
        assert_eq!(
            (signed["x-amz-security-token"].as_str(), signed["x-amz-date"].as_str()),
            ("t", "19700101T000000Z")
        );
        let all = "SignedHeaders=host;range;x-amz-content-sha256;x-amz-date;x-amz-security-token, ";
        assert!(signed["authorization"].contains(all), "{signed:?}");
    }
}

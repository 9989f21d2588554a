use std::{fs, io, slice, time::Duration};

use super::{
    azure::AzureObject,
    azure_store::AzureStore,
    environment::Environment,
    google::GoogleObject,
    google_store::GoogleStore,
    range_server::{RangeServer, Wrong},
    s3::S3Object,
    s3_store::S3Store,
    *,
};

const SOON: Patience =
    Patience { tries: 3, first_pause: Duration::from_millis(1), silence: Duration::from_secs(30) };

fn object() -> Vec<u8> {
    (0..1_000_000_u32).map(|place| (place % 251) as u8).collect()
}

fn opened(server: &RangeServer) -> Arc<Remote> {
    open(server, SOON).unwrap()
}

fn open(server: &RangeServer, patience: Patience) -> Result<Arc<Remote>, StoreFault> {
    let address = server.url("a.svs");
    Remote::open_with(&address, Place::of(&address)?, patience).map(Arc::new)
}

fn read(remote: &Arc<Remote>, at: u64, count: usize) -> io::Result<Vec<u8>> {
    let mut out = vec![0; count];
    remote.read_at(at, &mut out)?;
    Ok(out)
}

/// A fault is told without the address, which holds a secret.
fn told(result: Result<impl Sized, impl ToString>) -> String {
    let told = result.map(|_| ()).map_err(|error| error.to_string()).unwrap_err();
    assert!(!told.contains("sesame") && !told.contains("127.0.0.1"), "{told}");
    told
}

#[test]
fn bytes_are_those_of_the_object_wherever_they_are_asked_for() {
    let (server, object) = (RangeServer::new(object()), object());
    let remote = opened(&server);
    assert_eq!(remote.len(), 1_000_000);
    for (at, count) in [(0, 10), (65_530, 20), (65_000, 300_000), (999_990, 10), (500_000, 70_000)] {
        let expected = &object[at..at + count];
        assert_eq!(read(&remote, at as u64, count).unwrap(), expected, "{at}");
    }
}

#[test]
fn what_was_fetched_is_not_fetched_again() {
    let server = RangeServer::new(object());
    let remote = opened(&server);
    for at in 0..60_000 / 12 {
        read(&remote, at * 12, 12).unwrap();
    }
    assert_eq!(server.asked().requests, 1);
    for _ in 0..2 {
        read(&remote, 700_000, 12).unwrap();
        read(&remote, 655_370, 12).unwrap();
    }
    assert_eq!(server.asked().requests, 1);
}

#[test]
fn what_will_be_read_comes_in_few_requests() {
    let (server, object) = (RangeServer::new(object()), object());
    let remote = opened(&server);
    server.asked();
    let tiles: Vec<Range<u64>> = (10..90).map(|tile| tile * 10_000..tile * 10_000 + 9_900).collect();
    let cost = remote.cost(tiles.iter().cloned());
    remote.will_read(tiles.iter().cloned());
    for tile in &tiles {
        let bytes = read(&remote, tile.start, 9_900).unwrap();
        assert_eq!(bytes, object[tile.start as usize..tile.end as usize]);
    }
    let asked = server.asked();
    assert_eq!((asked.requests, asked.bytes), (cost.requests, cost.bytes));
    assert_eq!(asked.requests, 1);
    assert!(asked.bytes * 10 <= 80 * 9_900 * 11, "{}", asked.bytes);
}

#[test]
fn while_one_batch_is_read_the_next_comes_and_no_more() {
    const MIB: u64 = 1 << 20;
    let object: Vec<u8> = (0..40 * MIB).map(|place| (place / MIB) as u8).collect();
    let server = RangeServer::new(object);
    let remote = opened(&server);
    remote.will_read((0..40).map(|tile| tile * MIB..(tile + 1) * MIB));
    for tile in [0, 1] {
        assert_eq!(read(&remote, tile * MIB + 70_000, 3).unwrap(), [tile as u8; 3]);
    }
    // Nobody reads these, and they come.
    while remote.pieces.copy(15 * MIB, &mut [0]) == 0 {
        thread::yield_now();
    }
    assert_eq!(remote.pieces.copy(16 * MIB, &mut [0]), 0);
    assert_eq!(read(&remote, 8 * MIB, 1).unwrap(), [8]);
    while remote.pieces.copy(23 * MIB, &mut [0]) == 0 {
        thread::yield_now();
    }
    for tile in 2..40 {
        assert_eq!(read(&remote, tile * MIB, 3).unwrap(), [tile as u8; 3]);
    }
    assert_eq!(server.asked().bytes, 40 * MIB, "each byte once");
}

/// Once a thread that was refused would have left others waiting for what it was to fetch.
#[test]
fn what_nobody_fetched_is_on_its_way_no_more() {
    let server = RangeServer::new(object());
    let remote = opened(&server);
    let claimed = remote.pieces.claim(&[200_000..300_000, 400_000..500_000]);
    drop(Errand { remote: Arc::clone(&remote), left: Mutex::new(claimed.into()) });
    assert_eq!(read(&remote, 200_000, 3).unwrap(), object()[200_000..200_003]);
}

#[test]
fn threads_that_want_the_same_share_one_request() {
    let server = RangeServer::new(object());
    let remote = opened(&server);
    remote.will_read(slice::from_ref(&(100_000..900_000)).iter().cloned());
    thread::scope(|scope| {
        for thread in 0..8 {
            let remote = &remote;
            scope.spawn(move || read(remote, 100_000 + thread * 90_000, 90_000).unwrap());
        }
    });
    assert_eq!(server.asked().requests, 2);
}

#[test]
fn a_server_that_fails_for_a_moment_costs_nothing() {
    let (server, object) = (RangeServer::new(object()), object());
    server.next(&[Wrong::Status(503), Wrong::Dropped]);
    let remote = opened(&server);
    for (at, wrongs) in [
        (200_000, [Wrong::Status(500), Wrong::Status(503)]),
        (400_000, [Wrong::CutShort; 2]),
        (600_000, [Wrong::Dropped, Wrong::Status(429)]),
    ] {
        server.next(&wrongs);
        server.asked();
        assert_eq!(read(&remote, at, 100_000).unwrap(), object[at as usize..at as usize + 100_000]);
        assert_eq!(server.asked().requests, 3, "{wrongs:?}");
    }
}

#[test]
fn a_server_that_goes_on_failing_is_named_and_the_object_is_not_blamed() {
    for (wrong, expected) in [
        (Wrong::Status(503), "the server answers 503, at each of 3 tries"),
        (Wrong::CutShort, "the connection was lost after 50000 of 100000 bytes"),
        (Wrong::Dropped, "at each of 3 tries; the slide itself may be sound"),
    ] {
        let server = RangeServer::new(object());
        let remote = opened(&server);
        server.always(Some(wrong));
        let error = read(&remote, 200_000, 100_000).unwrap_err();
        assert!(StoreFault::in_error(&error).is_some_and(|fault| fault.is_passing), "{error}");
        assert!(told(Err::<(), _>(&error)).contains(expected), "{error}");
        server.always(None);
        assert!(read(&remote, 200_000, 100_000).is_ok(), "it is asked again later");
    }
}

#[test]
fn a_server_that_does_not_answer_is_given_up() {
    let server = RangeServer::new(object());
    server.always(Some(Wrong::Never));
    let patience = Patience { tries: 1, silence: Duration::from_millis(50), ..SOON };
    let fault = open(&server, patience).unwrap_err();
    assert!(fault.is_passing && told(Err::<(), _>(&fault)).contains("did not answer in time"), "{fault}");
}

#[test]
fn what_lasts_is_named_and_asked_once() {
    for (wrong, expected) in [
        (Wrong::Whole, "the server sends whole files only (it answers 200, expected 206)"),
        (Wrong::Shifted, "and sent "),
        (Wrong::Nonsense, "says Content-Range \"all of it\", expected \"bytes FIRST-LAST/LENGTH\""),
        (Wrong::Status(401), "the server refuses it (it answers 401)"),
        (Wrong::Status(403), "the server refuses it (it answers 403)"),
        (Wrong::Status(404), "nothing is at this address (the server answers 404)"),
        (Wrong::Status(418), "the server answers 418, expected 206"),
    ] {
        let server = RangeServer::new(object());
        server.next(&[wrong]);
        assert!(told(open(&server, SOON)).contains(expected), "{wrong:?}");
        let remote = opened(&server);
        server.asked();
        server.next(&[wrong]);
        for _ in 0..2 {
            let error = read(&remote, 200_000, 100_000).unwrap_err();
            assert!(StoreFault::in_error(&error).is_some_and(|fault| !fault.is_passing), "{error}");
            assert!(told(Err::<(), _>(&error)).contains(expected), "{error}");
        }
        assert_eq!(server.asked().requests, 1, "{wrong:?}");
    }
}

#[test]
fn an_object_that_changes_is_read_no_further() {
    for (len, etag, expected) in [
        (1_000_000, Some("\"two\""), "(the server answers 412); run it again"),
        (900_000, Some("\"one\""), "(its size was 1000000 and is 900000)"),
        (1_000_000, Some("W/\"one\""), "(the server answers 412)"),
    ] {
        let server = RangeServer::new(object());
        let remote = opened(&server);
        server.replace(vec![0; len], etag);
        for _ in 0..2 {
            let told = told(read(&remote, 200_000, 100));
            assert!(
                told.contains("replaced or changed while it was read") && told.contains(expected),
                "{told}"
            );
        }
        assert_eq!(read(&remote, 100, 100).unwrap(), object()[100..200], "what came before stays");
    }
}

#[test]
fn weak_tags_are_compared_here_because_no_server_does() {
    let server = RangeServer::new(object());
    server.replace(object(), Some("W/\"one\""));
    let remote = opened(&server);
    assert!(read(&remote, 200_000, 100).is_ok());
    server.replace(object(), Some("W/\"two\""));
    let told = told(read(&remote, 600_000, 100));
    assert!(told.contains("its ETag was W/\"one\" and is W/\"two\""), "{told}");
}

#[test]
fn an_object_opened_again_keeps_its_bytes_as_long_as_it_is_the_same() {
    let server = RangeServer::new(object());
    let url = server.url("kept.svs");
    let first = Remote::open(Path::new(&url)).unwrap();
    read(&first, 300_000, 100).unwrap();
    let again = Remote::open(Path::new(&url)).unwrap();
    assert!(Arc::ptr_eq(&first, &again));
    server.replace(object(), Some("\"two\""));
    let other = Remote::open(Path::new(&url)).unwrap();
    assert!(!Arc::ptr_eq(&first, &other));
}

#[test]
fn small_objects_and_none_at_all() {
    let server = RangeServer::new(vec![7; 10]);
    assert_eq!(read(&opened(&server), 3, 7).unwrap(), [7; 7]);
    let empty = RangeServer::new(Vec::new());
    assert!(told(open(&empty, SOON)).contains("has no bytes"));
    for (address, expected) in [
        (
            "wasbs://c@a/b.svs",
            "slides are not read from wasbs:// here, expected https://, http://, s3://, gs:// or az://",
        ),
        ("wasbs://c@a/b.svs", "give az://CONTAINER/BLOB"),
        ("gcs://bucket/a.svs", "give gs://BUCKET/OBJECT"),
        ("ftp://h/a.svs", "not read from ftp:// here"),
        ("http:///a.svs", "the address is malformed"),
    ] {
        assert!(told(Remote::open(Path::new(address))).contains(expected), "{address}");
    }
}

/// The object `s3://…` of a store at an endpoint, asked for with these keys: an id, a secret and a token.
fn stored(name: &str, endpoint: &str, keys: &[&str]) -> Result<Arc<Remote>, StoreFault> {
    let names = ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"];
    let keys = names.into_iter().zip(keys.iter().map(|&key| key.to_owned()));
    let variables = keys.chain([("AWS_ENDPOINT_URL", endpoint.to_owned())]).collect();
    let place = Place::Store(Box::new(S3Object::new(name, &Environment { variables, home: None })?));
    Remote::open_with(&format!("s3://{name}"), place, SOON).map(Arc::new)
}

/// A store with the object of these tests as `hospital/slides/case 1 (ü).svs`.
fn store(folder: &Path) -> Option<S3Store> {
    let file = folder.join("case 1 (ü).svs");
    fs::write(&file, object()).unwrap();
    S3Store::of(&Path::new(env!("CARGO_MANIFEST_DIR")).join(".."), &[&file])
}

const STORED: &str = "hospital/slides/case 1 (ü).svs";

#[test]
fn bytes_of_a_store_are_those_of_the_object() {
    let folder = tempfile::tempdir().unwrap();
    let Some(store) = store(folder.path()) else { return };
    let user = ["/user/id", "/user/secret"].map(|at| store.text(at));
    let role = ["/role/id", "/role/secret", "/role/token"].map(|at| store.text(at));
    for keys in [&user[..], &role[..]] {
        let remote = stored(STORED, store.endpoint(), keys).unwrap();
        assert_eq!(remote.len(), 1_000_000);
        for (at, count) in [(0, 10), (65_530, 20), (65_000, 300_000), (999_990, 10), (500_000, 70_000)] {
            assert_eq!(read(&remote, at as u64, count).unwrap(), object()[at..at + count], "{at}");
        }
    }
}

#[test]
fn what_a_store_refuses_is_told_with_what_was_found_and_no_key() {
    let folder = tempfile::tempdir().unwrap();
    let Some(store) = store(folder.path()) else { return };
    let [id, secret] = ["/user/id", "/user/secret"].map(|at| store.text(at));
    let used = "the credentials used are those of the environment";
    for (name, keys, expected) in [
        (STORED, vec![id, "wrong"], ["the secret does not belong to the access key", used]),
        (STORED, vec!["AKNONE", "wrong"], ["the store does not know the access key", used]),
        (STORED, vec![], ["the store refuses it", "the credentials used are none"]),
        (
            "hospital/slides/Case 1.svs",
            vec![id, secret],
            ["the bucket has no object of this name", "NoSuchKey"],
        ),
        ("elsewhere/a.svs", vec![id, secret], ["the store has no bucket of this name", "NoSuchBucket"]),
    ] {
        let fault = stored(name, store.endpoint(), &keys).unwrap_err();
        let told = fault.to_string();
        assert!(!fault.is_passing && expected.iter().all(|part| told.contains(part)), "{told}");
        assert!(store.secrets().iter().all(|secret| !told.contains(secret)), "{told}");
    }
}

#[test]
fn a_store_is_asked_as_patiently_and_for_one_version_as_other_servers() {
    let server = RangeServer::new(object());
    let endpoint = server.endpoint();
    server.next(&[Wrong::Status(503), Wrong::Dropped]);
    let remote = stored("any/a.svs", &endpoint, &["AK", "sesame"]).unwrap();
    server.next(&[Wrong::CutShort, Wrong::Status(500)]);
    assert_eq!(read(&remote, 200_000, 10).unwrap(), object()[200_000..200_010]);
    server.replace(object(), Some("\"two\""));
    let told = told(read(&remote, 600_000, 10));
    assert!(told.contains("replaced or changed while it was read"), "{told}");
}

const AT_GOOGLE: &str = "hospital/slides/case 1 (ü).tif";

/// An object of the store at Google, asked for with the text of a file of credentials, or without.
fn at_google(name: &str, store: &GoogleStore, credentials: Option<&str>) -> Result<Arc<Remote>, StoreFault> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("credentials.json");
    let mut variables = vec![("STORAGE_EMULATOR_HOST", store.endpoint())];
    if let Some(text) = credentials {
        fs::write(&file, text).unwrap();
        variables.push(("GOOGLE_APPLICATION_CREDENTIALS", file.to_str().unwrap().to_owned()));
    }
    at_google_with(name, variables)
}

fn at_google_with(name: &str, variables: Vec<(&'static str, String)>) -> Result<Arc<Remote>, StoreFault> {
    let environment = Environment { variables: variables.into_iter().collect(), home: None };
    let place = Place::Store(Box::new(GoogleObject::new(name, &environment)?));
    Remote::open_with(&format!("gs://{name}"), place, SOON).map(Arc::new)
}

#[test]
fn bytes_at_google_are_those_of_the_object_and_all_share_one_token() {
    let store = GoogleStore::new(object());
    for (credentials, given) in [(store.account(), 1), (store.person(None), 2)] {
        for _ in 0..2 {
            let remote = at_google(AT_GOOGLE, &store, Some(&credentials)).unwrap();
            assert_eq!(remote.len(), 1_000_000);
            thread::scope(|scope| {
                for at in [0, 65_530, 200_000, 400_000, 999_990] {
                    let remote = &remote;
                    scope.spawn(move || {
                        assert_eq!(read(remote, at, 10).unwrap(), object()[at as usize..at as usize + 10]);
                    });
                }
            });
        }
        assert_eq!(store.given(), given);
    }
    let token =
        vec![("STORAGE_EMULATOR_HOST", store.endpoint()), ("GOOGLE_OAUTH_ACCESS_TOKEN", store.token())];
    assert!(at_google_with(AT_GOOGLE, token).is_ok());
}

#[test]
fn a_token_that_was_taken_back_or_is_old_is_renewed_once() {
    let store = GoogleStore::new(object());
    let remote = at_google(AT_GOOGLE, &store, Some(&store.account())).unwrap();
    store.take_back();
    assert_eq!(read(&remote, 200_000, 10).unwrap(), object()[200_000..200_010]);
    assert_eq!(store.given(), 2);
    // It is old at once.
    store.give_for(0);
    store.take_back();
    assert!(read(&remote, 400_000, 10).is_ok());
    let given = store.given();
    assert!(read(&remote, 600_000, 10).is_ok());
    assert_eq!(store.given(), given + 1);
}

#[test]
fn threads_whose_token_was_taken_back_ask_for_one() {
    let store = GoogleStore::new(object());
    let remote = at_google(AT_GOOGLE, &store, Some(&store.account())).unwrap();
    store.take_back();
    thread::scope(|scope| {
        for at in (1..9).map(|part| part * 100_000) {
            let remote = &remote;
            scope.spawn(move || assert!(read(remote, at, 10).is_ok()));
        }
    });
    assert_eq!(store.given(), 2);
}

#[test]
fn what_google_refuses_is_told_with_what_was_found_and_no_secret() {
    let store = GoogleStore::new(object());
    let (account, person) = (store.account(), store.person(Some("other")));
    let other_key = account.replace("reader@", "nobody@");
    for (name, credentials, expected) in [
        (
            AT_GOOGLE,
            None,
            ["the store refuses it, or has no such", "credentials used are none: neither GOOGLE_OAUTH"],
        ),
        ("hospital/slides/Case.tif", Some(&account), ["the bucket has no object of this name", "NoSuchKey"]),
        ("elsewhere/a.tif", Some(&account), ["the store has no bucket of this name", "NoSuchBucket"]),
        (AT_GOOGLE, Some(&other_key), ["answers 400, invalid_grant", "the key may have been taken back"]),
        (AT_GOOGLE, Some(&person), ["answers 400, invalid_grant", "gcloud auth application-default login"]),
    ] {
        let fault = at_google(name, &store, credentials.map(String::as_str)).unwrap_err();
        let told = told(Err::<(), _>(&fault));
        assert!(!fault.is_passing && expected.iter().all(|part| told.contains(part)), "{told}");
    }
    let token =
        vec![("STORAGE_EMULATOR_HOST", store.endpoint()), ("CLOUDSDK_AUTH_ACCESS_TOKEN", "sesame".into())];
    let told = told(at_google_with(AT_GOOGLE, token));
    assert!(
        told.contains("does not accept the token") && told.contains("of CLOUDSDK_AUTH_ACCESS_TOKEN"),
        "{told}"
    );
}

#[test]
fn clocks_that_differ_are_told_where_a_token_is_refused() {
    let store = GoogleStore::new(object());
    store.set_clock(0);
    let told = told(at_google(AT_GOOGLE, &store, Some(&store.account())));
    assert!(told.contains("the clock of this machine is wrong"), "{told}");
    assert!(told.contains("its clock shows Thu, 01 Jan 1970 00:00:00 GMT, that of this machine "), "{told}");
}

#[test]
fn a_token_server_is_asked_patiently_and_what_proves_who_asks_is_sent_to_it_alone() {
    let store = GoogleStore::new(object());
    store.refuse_tokens(&[503, 429]);
    assert!(at_google(AT_GOOGLE, &store, Some(&store.account())).is_ok());
    let person = store.person(None);
    store.refuse_tokens(&[500; 3]);
    let fault = at_google(AT_GOOGLE, &store, Some(&person)).unwrap_err();
    let passing = told(Err::<(), _>(&fault));
    assert!(
        fault.is_passing && passing.contains("token server answers 500, at each of 3 tries"),
        "{passing}"
    );
    for status in [302, 307] {
        store.refuse_tokens(&[status]);
        let given = store.given();
        let told = told(at_google(AT_GOOGLE, &store, Some(&person)));
        assert!(
            told.contains(&format!("token server answers {status}: it sends to another address")),
            "{told}"
        );
        assert_eq!(store.given(), given, "it is not asked there");
    }
}

#[test]
fn an_object_at_google_is_asked_for_as_patiently_and_in_one_version() {
    let store = GoogleStore::new(object());
    store.server().next(&[Wrong::Status(503), Wrong::Dropped]);
    let remote = at_google(AT_GOOGLE, &store, Some(&store.account())).unwrap();
    store.server().replace(object(), Some("\"two\""));
    let told = told(read(&remote, 600_000, 10));
    assert!(told.contains("replaced or changed while it was read"), "{told}");
}

/// A store with the object of these tests as `hospital/slides/case 1 (ü).svs`.
fn azure(folder: &Path) -> Option<AzureStore> {
    let file = folder.join("case 1 (ü).svs");
    fs::write(&file, object()).unwrap();
    AzureStore::of(&Path::new(env!("CARGO_MANIFEST_DIR")).join(".."), &[&file])
}

fn at_azure(name: &str, variables: &[(&'static str, &str)]) -> Result<Arc<Remote>, StoreFault> {
    let place = Place::Store(Box::new(AzureObject::new(name, &Environment::of(variables))?));
    Remote::open_with(&format!("az://{name}"), place, SOON).map(Arc::new)
}

#[test]
fn bytes_at_azure_are_those_of_the_object() {
    let folder = tempfile::tempdir().unwrap();
    let Some(store) = azure(folder.path()) else { return };
    let [account, key, signature] = ["/account", "/key", "/signature"].map(|at| store.text(at));
    let endpoint = store.connection("");
    let whole = store.connection(&format!("AccountName={account};AccountKey={key}"));
    let shared = store.connection(&format!("SharedAccessSignature={signature}"));
    for variables in [
        vec![("AZURE_STORAGE_CONNECTION_STRING", whole.as_str())],
        vec![("AZURE_STORAGE_CONNECTION_STRING", shared.as_str())],
        vec![
            ("AZURE_STORAGE_CONNECTION_STRING", endpoint.as_str()),
            ("AZURE_STORAGE_ACCOUNT", account),
            ("AZURE_STORAGE_KEY", key),
        ],
        vec![
            ("AZURE_STORAGE_CONNECTION_STRING", endpoint.as_str()),
            ("AZURE_STORAGE_ACCOUNT", account),
            ("AZURE_STORAGE_SAS_TOKEN", signature),
        ],
    ] {
        let remote = at_azure(STORED, &variables).unwrap();
        assert_eq!(remote.len(), 1_000_000);
        for (at, count) in [(0, 10), (65_530, 20), (65_000, 300_000), (999_990, 10), (500_000, 70_000)] {
            assert_eq!(read(&remote, at as u64, count).unwrap(), object()[at..at + count], "{at}");
        }
    }
}

#[test]
fn what_azure_refuses_is_told_with_what_was_found_and_no_secret() {
    let folder = tempfile::tempdir().unwrap();
    let Some(store) = azure(folder.path()) else { return };
    let [account, key, expired] = ["/account", "/key", "/expired"].map(|at| store.text(at));
    let whole = store.connection(&format!("AccountName={account};AccountKey={key}"));
    let wrong = store.connection(&format!("AccountName={account};AccountKey=d3Jvbmc="));
    let late = store.connection(&format!("SharedAccessSignature={expired}"));
    let nobody = store.connection("");
    for (name, connection, expected) in [
        (
            STORED,
            &wrong,
            ["the store refuses it (the store answers 403, AuthorizationFailure)", "used are the key of"],
        ),
        (STORED, &late, ["AuthorizationFailure", "used are the shared access signature of"]),
        (STORED, &nobody, ["AuthorizationFailure", "used are none"]),
        ("hospital/slides/Case 1.svs", &whole, ["the container has no object of this name", "BlobNotFound"]),
        ("elsewhere/a.svs", &whole, ["the store has no container of this name", "ContainerNotFound"]),
    ] {
        let fault = at_azure(name, &[("AZURE_STORAGE_CONNECTION_STRING", connection)]).unwrap_err();
        let told = fault.to_string();
        assert!(!fault.is_passing && expected.iter().all(|part| told.contains(part)), "{told}");
        assert!(store.secrets().iter().all(|secret| !told.contains(secret)), "{told}");
    }
}

#[test]
fn a_blob_is_asked_for_as_patiently_and_in_one_version() {
    let server = RangeServer::new(object());
    let connection =
        format!("BlobEndpoint={};AccountName=lab;AccountKey=b3BlbiBzZXNhbWU=", server.endpoint());
    server.next(&[Wrong::Status(503), Wrong::Dropped]);
    let remote = at_azure("any/a.svs", &[("AZURE_STORAGE_CONNECTION_STRING", &connection)]).unwrap();
    assert_eq!(read(&remote, 200_000, 10).unwrap(), object()[200_000..200_010]);
    server.replace(object(), Some("\"two\""));
    let told = told(read(&remote, 600_000, 10));
    assert!(told.contains("replaced or changed while it was read"), "{told}");
}

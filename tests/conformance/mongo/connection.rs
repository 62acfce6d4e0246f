//! Starts that are refused: by name and reason, and without a word of the credentials.

use std::error::Error;
use std::fmt::Write as _;
use std::num::NonZeroU32;

use mongodb::bson::doc;
use test_servers::FerretDb;
use test_servers::certificates::{Authority, Pair, Tls};
use tollgate::adapters::mongo::connect::{ConnectError, MongoStore};
use tollgate::adapters::mongo::settings::Settings;

use super::{config, connect, impostor, port};

/// A password that may stand nowhere.
const CANARY: &str = "canary-7f3a91";

fn at(address: &str) -> Settings {
    Settings {
        uri: Some(format!("mongodb://somebody:{CANARY}@{address}").into()),
        selection_timeout_ms: NonZeroU32::new(300).expect("it is not zero"),
        ..Settings::default()
    }
}

async fn refused(config: &Settings) -> ConnectError {
    MongoStore::connect(config).await.expect_err("it cannot be used")
}

/// All that could be said of an error.
fn all_words(error: &ConnectError) -> String {
    let mut words = format!("{error:?} {error:#?} {error}");
    let mut source = error.source();
    while let Some(cause) = source {
        write!(words, " {cause} {cause:?}").expect("text takes more");
        source = cause.source();
    }
    words
}

#[track_caller]
fn check(error: &ConnectError, expected: &str, is_passing: bool) {
    let words = all_words(error);
    assert!(error.to_string().contains(expected), "`{error}` does not say `{expected}`: {words}");
    assert_eq!(error.is_passing(), is_passing, "{words}");
    assert!(!words.contains(CANARY), "{words}");
}

#[tokio::test]
async fn what_is_set_wrong_is_refused_by_name() {
    check(&refused(&Settings::default()).await, "`uri`", false);
    for wrong in ["127.0.0.1:1/?nonsense=1", "127.0.0.1:port/", "127.0.0.1/?w=-1&readPreference=x"] {
        check(&refused(&at(wrong)).await, "`uri`", false);
    }
    let plain = Settings { uri: Some(format!("http://{CANARY}/").into()), ..Settings::default() };
    check(&refused(&plain).await, "`uri`", false);

    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("ca.pem");
    let with_file = Settings { ca_file: Some(file.clone()), ..at("127.0.0.1:1/") };
    check(&refused(&with_file).await, "ca.pem", false);
    std::fs::write(&file, "no certificate").unwrap();
    check(&refused(&with_file).await, "ca.pem", false);
}

#[tokio::test]
async fn who_does_not_answer_may_do_so_later() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    // It takes connections, and says nothing.
    check(&refused(&at(&format!("127.0.0.1:{port}/"))).await, "reached", true);
    drop(listener);
    check(&refused(&at(&format!("127.0.0.1:{port}/"))).await, "reached", true);
    check(&refused(&at(&format!("127.0.0.1:{port}/?tls=true"))).await, "reached", true);
}

#[tokio::test]
async fn server_without_tls_is_not_spoken_to_in_the_clear() {
    let Some(config) = config() else { return };
    let error = refused(&at(&format!("127.0.0.1:{}/?tls=true", port(&config)))).await;
    check(&error, "reached", true);
}

#[tokio::test]
async fn tls_is_spoken_with_whom_the_certificates_vouch_for() {
    let directory = tempfile::tempdir().unwrap();
    let [ours, other] = ["ours", "other"].map(|name| Authority::new(directory.path(), name));
    let Pair { certificate, key } = ours.server("server");
    let Some(server) = FerretDb::start_with_tls(&Tls { certificate, key, clients: None }) else { return };
    let trusting = |authority: Option<&Authority>| Settings {
        uri: Some(server.uri().into()),
        ca_file: authority.map(|authority| authority.certificate().to_owned()),
        selection_timeout_ms: NonZeroU32::new(1_000).unwrap(),
        ..Settings::default()
    };
    drop(connect(&trusting(Some(&ours))).await);
    for wrong in [Some(&other), None] {
        check(&refused(&trusting(wrong)).await, "reached", true);
    }
}

#[tokio::test]
async fn credentials_that_are_refused_are_not_tried_for_ever() {
    let port = impostor::start(21).await;
    check(&refused(&at(&format!("127.0.0.1:{port}/"))).await, "credentials", false);
}

#[tokio::test]
async fn server_that_is_too_old_is_refused() {
    let port = impostor::start(6).await;
    let config = Settings { uri: Some(format!("mongodb://127.0.0.1:{port}/").into()), ..at("127.0.0.1/") };
    check(&refused(&config).await, "too old", false);
}

#[tokio::test]
async fn database_of_a_newer_program_is_refused_and_left_as_it_is() {
    let Some(config) = config() else { return };
    drop(connect(&config).await);
    drop(connect(&config).await);
    let client =
        mongodb::Client::with_uri_str(format!("mongodb://127.0.0.1:{}/", port(&config))).await.unwrap();
    let schema = client.database(&config.database).collection::<mongodb::bson::Document>("schema");
    let newer = doc! { "$set": { "version": 2_i64 } };
    assert_eq!(schema.update_one(doc! { "version": 1_i64 }, newer).await.unwrap().modified_count, 1);
    let error = refused(&config).await;
    check(&error, &config.database, false);
    check(&error, "layout 2", false);
    assert_eq!(schema.find_one(doc! {}).await.unwrap().unwrap().get_i64("version").unwrap(), 2);
}

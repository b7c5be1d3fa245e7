//! TLS from files, and another certificate without a restart.

use std::time::Duration;

use stint_api::{ApiConfig, TlsFiles};
use stint_model::time::Span;
use stint_wire::client::{Client, ClientConfig, Credentials};

use crate::house::House;

const ONE: (&[u8], &[u8]) =
    (include_bytes!("fixtures/one.crt"), include_bytes!("fixtures/one.key"));
const TWO: (&[u8], &[u8]) =
    (include_bytes!("fixtures/two.crt"), include_bytes!("fixtures/two.key"));

fn trusting(house: &House, certificate: &[u8]) -> Client {
    let clock = house.clock.clone();
    Client::new(ClientConfig {
        endpoint: format!("https://{}", house.address),
        credentials: Credentials::Anonymous,
        timeout: Duration::from_secs(10),
        ca_pem: Some(certificate.to_vec()),
        now: std::sync::Arc::new(move || clock.wall_now()),
    })
    .expect("a client")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_certificate_is_taken_without_a_restart_and_a_bad_one_is_not() {
    let directory = tempfile::tempdir().unwrap();
    let (certificate, key) = (directory.path().join("a.crt"), directory.path().join("a.key"));
    std::fs::write(&certificate, ONE.0).unwrap();
    std::fs::write(&key, ONE.1).unwrap();
    let tls = TlsFiles {
        certificate: certificate.clone(),
        key: key.clone(),
        reload_every: Span::from_millis(20),
    };
    let house = House::build_with(ApiConfig { tls: Some(tls), ..ApiConfig::for_tests() }).await;
    assert_eq!(house.admin.who_am_i().await.unwrap().role, "admin");
    assert!(trusting(&house, TWO.0).ready().await.is_err(), "another certificate is not served");
    // A file that is no certificate changes nothing.
    std::fs::write(&certificate, b"nonsense").unwrap();
    house.clock.sleep(Span::from_millis(100)).await;
    assert!(trusting(&house, ONE.0).ready().await.is_ok());
    std::fs::write(&certificate, TWO.0).unwrap();
    std::fs::write(&key, TWO.1).unwrap();
    house
        .until("the new certificate is served", async || {
            trusting(&house, TWO.0).ready().await.is_ok()
        })
        .await;
    assert!(trusting(&house, ONE.0).ready().await.is_err());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_that_is_none_keeps_the_doors_shut() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("none");
    let tls = TlsFiles { certificate: path.clone(), key: path, reload_every: Span::from_secs(1) };
    let config = ApiConfig { tls: Some(tls), ..ApiConfig::for_tests() };
    let house = House::build().await;
    let (logs, _writer) = stint_watch::Logs::new(
        std::sync::Arc::new(stint_store::memory::MemoryJournal::new()),
        stint_watch::LogsConfig::for_tests(),
        house.clock.clone(),
    );
    let journal = std::sync::Arc::new(stint_store::memory::MemoryJournal::new());
    let usage = stint_watch::UsageBook::open(journal, Span::from_secs(86_400), house.clock.clone())
        .await
        .unwrap();
    let opened = stint_api::Api::open(stint_api::ApiParts {
        config,
        engine: house.engine.clone(),
        logs,
        usage,
        metrics: std::sync::Arc::new(String::new),
        ready: std::sync::Arc::new(|| true),
        settings: Vec::new(),
        version: String::new(),
    })
    .await;
    assert!(opened.unwrap_err().to_string().contains("read "));
}

//! Promise: the operator's receiver is told of what a human must know, when it begins and when it ends, also when it was away itself.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::Response;
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use rustls_pki_types::PrivateKeyDer;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use crate::processes::{run, until};
use crate::site::Site;
use crate::uplinks;

/// Some looks of ten seconds each, and what must last.
const PATIENCE: Duration = Duration::from_secs(90);

/// A receiver that does not take the first reports that it gets.
#[derive(Clone, Debug)]
struct Receiver {
    port: u16,
    ca_pem: String,
    /// What it took, each once by its id, in the order in which it came.
    taken: Arc<Mutex<Vec<Value>>>,
    /// What it answers before it takes anything, last first.
    troubles: Arc<Mutex<Vec<u16>>>,
}

impl Receiver {
    async fn start(troubles: &[u16]) -> Self {
        let (ca_pem, acceptor) = certificate();
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let port = listener.local_addr().expect("it is bound").port();
        let troubles = Arc::new(Mutex::new(troubles.to_vec()));
        let receiver = Self { port, ca_pem, taken: Arc::default(), troubles };
        let of = receiver.clone();
        tokio::spawn(async move {
            while let Ok((tcp, _)) = listener.accept().await {
                let (acceptor, receiver) = (acceptor.clone(), of.clone());
                tokio::spawn(async move {
                    let Ok(tls) = acceptor.accept(tcp).await else { return };
                    let service = hyper::service::service_fn(move |request| receiver.clone().answer(request));
                    let io = TokioIo::new(tls);
                    let _ = hyper::server::conn::http1::Builder::new().serve_connection(io, service).await;
                });
            }
        });
        receiver
    }

    async fn answer(self, request: hyper::Request<Incoming>) -> Result<Response<Full<Bytes>>, hyper::Error> {
        let (head, body) = request.into_parts();
        let body = body.collect().await?.to_bytes();
        let with = |status: u16| Response::builder().status(status).header("location", "/elsewhere");
        let answer = |status| with(status).body(Full::default()).expect("an answer");
        let is_ours = head.uri.path() == "/hook/canary" && head.headers["authorization"] == "Bearer the-token";
        if !is_ours {
            return Ok(answer(404));
        }
        let trouble = self.troubles.lock().expect("no request panics").pop();
        if let Some(trouble) = trouble {
            return Ok(answer(trouble));
        }
        let report: Value = serde_json::from_slice(&body).expect("a report is JSON");
        let mut taken = self.taken.lock().expect("no request panics");
        if taken.iter().all(|other| other["id"] != report["id"]) {
            taken.push(report);
        }
        Ok(answer(204))
    }

    /// Waits for a report of this alarm.
    async fn is_told(&self, state: &str, alarm: &str, subject: &str) -> Value {
        until(&format!("{alarm} {subject} {state}"), PATIENCE, async || {
            let taken = self.taken.lock().expect("no request panics");
            let is_it = |report: &&Value| report["state"] == state && report["alarm"] == alarm;
            let found = taken
                .iter()
                .filter(is_it)
                .find(|report| report["subject"].as_str() == Some(subject) || subject.is_empty());
            found.cloned()
        })
        .await
    }

    /// The site's bridge knows it and trusts it.
    fn is_of(&self, site: &mut Site, more: &str) {
        let theirs = std::fs::read_to_string(site.azure["ca_file"].as_str().expect("a file")).expect("it is there");
        let ca_file = site.dir.join("azure.both.pem");
        std::fs::write(&ca_file, format!("{theirs}\n{}", self.ca_pem)).expect("it can be written");
        site.azure["ca_file"] = ca_file.to_str().expect("a path of ours").into();
        site.settings.more.push_str(&format!(
            "[alarms]\nwebhook = \"https://localhost:{}/hook/canary\"\ntoken = \"the-token\"\nbridge = \"site-1\"\n{more}",
            self.port
        ));
    }
}

fn certificate() -> (String, TlsAcceptor) {
    let key = rcgen::KeyPair::generate().expect("a key");
    let params = rcgen::CertificateParams::new(["localhost".to_owned()]).expect("a name");
    let own = params.self_signed(&key).expect("a certificate");
    let config = rustls::ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(vec![own.der().clone()], PrivateKeyDer::try_from(key.serialize_der()).expect("a key"))
        .expect("they belong together");
    (own.pem(), TlsAcceptor::from(Arc::new(config)))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_silent_device_and_a_hub_that_is_away_are_told_and_so_is_their_end() {
    let mut site = Site::empty("alarms");
    site.start_simulator().await;
    let receiver = Receiver::start(&[503, 302, 500]).await;
    receiver.is_of(&mut site, "device_silent_min = \"6s\"\ndevice_silent_intervals = 2\nhub_down_min = \"2s\"\n");
    site.start_bridge().await;

    let silent = Arc::new(Mutex::new(false));
    let posting = tokio::spawn(post(site.ports.webhook, silent.clone()));
    // It has to be known before it can be missed: some uplinks, a second and more apart.
    tokio::time::sleep(Duration::from_secs(10)).await;
    *silent.lock().expect("nobody panics") = true;
    let raised = receiver.is_told("raised", "device_silent", "ttn/hall/dev-1").await;
    assert_eq!((&raised["severity"], &raised["bridge"]), (&"warn".into(), &"site-1".into()), "{raised}");
    assert!(raised["text"].as_str().is_some_and(|text| text.contains("usually sends every")), "{raised}");

    let picture = site.admin("/api/v1/alarms").await.json();
    assert_eq!(picture["active"][0]["subject"], "ttn/hall/dev-1", "{picture}");
    until("it is noted that the receiver took it", PATIENCE, async || {
        site.admin("/api/v1/alarms").await.json()["active"][0]["told_at"].as_i64()
    })
    .await;
    let (code, listed, _) = run(&site.dir, &["alarms", "list"], PATIENCE).await;
    assert!(code == 0 && listed.contains("device_silent") && listed.contains("mend: "), "{listed}");

    site.simulator().kill();
    let down = receiver.is_told("raised", "hub_down", "").await;
    assert_eq!(down["severity"], "page", "{down}");
    *silent.lock().expect("nobody panics") = false;
    receiver.is_told("ended", "device_silent", "ttn/hall/dev-1").await;
    let ca_file = site.azure["ca_file"].clone();
    site.start_simulator().await;
    site.azure["ca_file"] = ca_file;
    let ended = receiver.is_told("ended", "hub_down", down["subject"].as_str().expect("a hub")).await;
    assert!(ended["ended_at"].as_i64() > ended["since"].as_i64(), "{ended}");
    posting.abort();

    let metrics = site.admin("/metrics").await.text();
    for line in [
        "longhaul_alarms_active{alarm=\"hub_down\"} 0",
        "longhaul_alarms_raised_total{alarm=\"device_silent\"} 1",
        "longhaul_alarm_reports_failed_total 3",
    ] {
        assert!(metrics.contains(line), "{line} is not among\n{metrics}");
    }
    assert!(!site.bridge().stderr().contains("canary"), "the address is a secret");
}

/// Three devices, each some more than once a second apart; the first is silent when it is told to be.
async fn post(port: u16, silent: Arc<Mutex<bool>>) {
    for counter in 1.. {
        for device in ["dev-1", "dev-2", "dev-3"] {
            if device == "dev-1" && *silent.lock().expect("nobody panics") {
                continue;
            }
            let body = uplinks::tts("hall", device, counter);
            let _ = crate::http::post(port, "/tts", &[], &body).await;
        }
        tokio::time::sleep(Duration::from_millis(1_200)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_that_ends_in_five_days_is_told_until_it_is_renewed() {
    let mut site = Site::empty("alarms-certificate");
    site.start_simulator().await;
    let receiver = Receiver::start(&[]).await;
    receiver.is_of(&mut site, "");
    door_certificate(&site, 5);
    site.settings.webhook = "cert_file = \"door.pem\"\nkey_file = \"door.key\"\n".to_owned();
    site.start_bridge().await;
    let raised = receiver.is_told("raised", "certificate_ending", "").await;
    assert!(raised["subject"].as_str().is_some_and(|subject| subject.ends_with("door.pem")), "{raised}");
    door_certificate(&site, 90);
    receiver.is_told("ended", "certificate_ending", "").await;
}

fn door_certificate(site: &Site, days: i64) {
    let end = jiff::Timestamp::now() + jiff::SignedDuration::from_hours(24 * days);
    let end = end.to_zoned(jiff::tz::TimeZone::UTC);
    let part = |number: i8| u8::try_from(number).expect("of a date");
    let key = rcgen::KeyPair::generate().expect("a key");
    let mut params = rcgen::CertificateParams::new(["localhost".to_owned()]).expect("a name");
    params.not_after = rcgen::date_time_ymd(end.year().into(), part(end.month()), part(end.day()));
    let own = params.self_signed(&key).expect("a certificate");
    for (file, text) in [("door.pem", own.pem()), ("door.key", key.serialize_pem())] {
        std::fs::write(site.dir.join(file), text).expect("it can be written");
    }
}

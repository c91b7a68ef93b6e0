//! Nothing that is said of a secret repeats it: not an error of a parser, not a debug line of a value, not the word of a
//! service that sent our own token back.

use azure::key::{DeviceKey, Signer};
use azure::net::Endpoint;
use azure::service_error::ServiceError;
use azure::{connection_string, device_id, key, registration_id, sas};
use http::{HeaderMap, HeaderValue};
use proptest::prelude::*;

/// Stands where a secret stands. Valid base64 of 30 bytes.
const CANARY: &str = "C4n4ryC4n4ryC4n4ryC4n4ryC4n4ryC4n4ryC4n4";
const MARK: &str = "c4n4ry";

/// In both ways in which a value comes into a line of a log.
fn shown(value: &(impl std::fmt::Debug + ?Sized)) -> String {
    format!("{value:?} {value:#?}").to_lowercase()
}

/// An error with its causes, in all ways; a value that was understood shows nothing here.
fn said<T, E: std::error::Error>(result: Result<T, E>) -> String {
    let Err(error) = result else { return String::new() };
    let mut text = format!("{} {error}", shown(&error));
    let mut cause = error.source();
    while let Some(next) = cause {
        text.push_str(&format!(" {next} {}", shown(next)));
        cause = next.source();
    }
    text.to_lowercase()
}

/// What every parser says to one text.
fn all_say(text: &str) -> String {
    let errors = [
        said(connection_string::parse(text)),
        said(key::decode(text)),
        said(Endpoint::parse(text, 443)),
        said(device_id::check(text)),
        said(registration_id::check(text)),
        said(registration_id::check_central(text)),
    ];
    errors.join("\n")
}

#[test]
fn no_error_and_no_debug_line_repeats_what_was_pasted() {
    let mut texts = vec![
        CANARY.to_owned(),
        format!("{CANARY}!"),
        format!("https://user:{CANARY}@hub/{CANARY}"),
        format!("[{CANARY}]:{CANARY}"),
        format!("hub:{CANARY}"),
        format!("Endpoint=sb://{CANARY}/;SharedAccessKeyName=p;SharedAccessKey={CANARY};EntityPath=e"),
        format!("SharedAccessSignature sr={CANARY}&sig={CANARY}&se=1&skn={CANARY}"),
        format!("HostName=h;DeviceId=d;SharedAccessKey={CANARY}!"),
        format!("HostName=h;DeviceId=d;x509=true;{CANARY}={CANARY}"),
    ];
    // A member is spoilt by a secret that slipped there, is there twice, or has lost its '='.
    for spoilt in
        ["HostName", "DeviceId", "ModuleId", "SharedAccessKeyName", "SharedAccessKey", "SharedAccessSignature"]
    {
        for secret in [format!("{CANARY}/"), format!("{CANARY} {CANARY}"), CANARY.repeat(200)] {
            texts.push(format!("{spoilt}={secret};HostName=h;DeviceId=d;SharedAccessKey={CANARY}"));
        }
        texts.push(format!("HostName=h;DeviceId=d;SharedAccessKey={CANARY};{spoilt}{CANARY}"));
    }
    let mut errors = 0;
    for text in texts {
        let said = all_say(&text);
        assert!(!said.contains(MARK), "{text}\n{said}");
        errors += said.lines().filter(|line| !line.is_empty()).count();
    }
    assert!(errors > 50, "{errors} errors were looked at");
}

#[test]
fn no_connection_string_key_signer_or_token_shows_itself() {
    let bytes = key::decode(CANARY).expect("30 bytes are a key");
    let device = connection_string::parse(&format!("HostName=h;DeviceId=d;SharedAccessKey={CANARY}"));
    let policy = connection_string::parse(&format!("HostName=h;SharedAccessKeyName=p;SharedAccessKey={CANARY}"));
    let token = sas::policy_token("hub", "p", &bytes, 1);
    let signature = token.reveal().split("sig=").nth(1).and_then(|rest| rest.split('&').next()).expect("it has one");
    let signature = signature.to_lowercase();
    let signer = Signer::Policy { policy: "p".to_owned(), key: DeviceKey::from_bytes(bytes.clone()) };
    let in_decimal = format!("{}, {}", bytes[0], bytes[1]);
    for said in [
        shown(&device.expect("it is one")),
        shown(&policy.expect("it is one")),
        shown(&Signer::device(bytes.clone())),
        shown(&signer),
        shown(&token),
        shown(token.as_header()),
    ] {
        let is_clean = !said.contains(MARK) && !said.contains(&in_decimal) && !said.contains(&signature);
        assert!(is_clean, "{said}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_service_that_sends_our_token_back_is_not_repeated(
        before in "[ -~]{0,20}", after in "[ -~]{0,20}", shape in 0..5_usize,
    ) {
        let token = format!("SharedAccessSignature sr=h%2Fdevices%2Fd&sig={CANARY}%3D&se=1");
        let text = format!("{before} {token} {after}");
        let quoted = serde_json::Value::String(text.clone());
        let parts = format!(
            r#"{{"Message":"ErrorCode:Name;x sig={CANARY}","ExceptionMessage":"Tracking ID:a&sig={CANARY}-TimeStamp:x"}}"#
        );
        let body = [
            text,
            format!(r#"{{"errorCode":401002,"trackingId":{quoted},"message":{quoted}}}"#),
            format!(r#"{{"Message":{quoted},"ExceptionMessage":{quoted}}}"#),
            parts,
            String::new(),
        ][shape].clone();
        let mut headers = HeaderMap::new();
        for name in ["x-ms-error-code", "iothub-errorcode", "x-ms-request-id"] {
            headers.insert(name, HeaderValue::from_str(&token).expect("visible ASCII"));
        }
        let error = ServiceError::read(&headers, body.as_bytes());
        let said = format!("{error} {}", shown(&error)).to_lowercase();
        prop_assert!(!said.contains(MARK), "{}\n{}", body, said);
    }
}

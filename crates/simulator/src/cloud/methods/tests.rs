use bytes::Bytes;

use super::*;
use crate::cloud::tests::cloud_with;
use crate::directory::Ears;
use crate::endpoint::HubId;
use crate::faults::Faults;
use crate::registry::Status;

const WITHIN: Duration = Duration::from_secs(5);

fn d(id: &str) -> Endpoint {
    Endpoint::device(HubId(0), id)
}

fn reboot() -> Invocation {
    Invocation::parse(br#"{"methodName":"reboot","payload":{"in":5}}"#).unwrap()
}

fn done() -> Answer {
    Answer::new(200, Bytes::from_static(b"{}")).unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_call_reaches_who_listens_and_the_answer_who_asked() {
    let (cloud, _) = cloud_with(&["d1", "d2"], Faults::default());
    let (me, mailbox) = cloud.directory().join();
    cloud.directory().own(&d("d1"), me);
    cloud.directory().listen(&d("d1"), me, Ears { methods: true, ..Ears::default() });
    let asked = cloud.invoke(&d("d1"), reboot()).unwrap();
    let (to, call) = mailbox.notes().await.calls.pop_front().unwrap();
    assert_eq!((to, call.name.as_str(), &call.payload[..]), (d("d1"), "reboot", &br#"{"in":5}"#[..]));
    assert_eq!((call.request_id[6] >> 4, call.request_id[8] >> 6), (4, 2), "what Node takes for a uuid");
    assert!(!cloud.answer_method(&d("d2"), call.request_id, done()), "it was not asked");
    assert!(cloud.answer_method(&d("d1"), call.request_id, done()));
    assert!(!cloud.answer_method(&d("d1"), call.request_id, done()), "it has answered");
    assert_eq!(asked.answer(WITHIN).await, Ok(done()));
}

#[tokio::test(start_paused = true)]
async fn a_call_that_is_not_answered_in_time_is_forgotten() {
    let (cloud, _) = cloud_with(&["d1"], Faults::default());
    let (me, mailbox) = cloud.directory().join();
    cloud.directory().own(&d("d1"), me);
    cloud.directory().listen(&d("d1"), me, Ears { methods: true, ..Ears::default() });
    for _ in 0..100 {
        let refusal = cloud.invoke(&d("d1"), reboot()).unwrap().answer(WITHIN).await.unwrap_err();
        assert_eq!((refusal.status, refusal.code), (504, 504_101), "not one too many");
        let (_, call) = mailbox.notes().await.calls.pop_front().unwrap();
        assert!(!cloud.answer_method(&d("d1"), call.request_id, done()), "too late");
    }
}

#[test]
fn who_is_not_there_or_does_not_listen_is_not_asked() {
    let (cloud, _) = cloud_with(&["d1", "off"], Faults::default());
    let code = |id| cloud.invoke(&d(id), reboot()).map(drop).unwrap_err().code;
    assert_eq!(code("nobody"), 404_001);
    cloud.set_status("off", Status::Disabled).unwrap();
    assert_eq!(code("off"), 404_001);
    let (me, _mailbox) = cloud.directory().join();
    assert_eq!(code("d1"), 404_103);
    cloud.directory().own(&d("d1"), me);
    for _ in 0..100 {
        assert_eq!(code("d1"), 404_103, "it does not listen");
    }
    assert_eq!(cloud.counts().hub_refused.get("DeviceNotOnline"), Some(&101));
}

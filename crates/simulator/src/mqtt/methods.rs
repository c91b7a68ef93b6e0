//! Direct methods over MQTT: a device is called on a topic, and publishes what it answers.
//!
//! Promises: an answer to what was not asked, or not by us, or too late is let pass without a word; one that is no JSON
//! ends the connection, as everything does that the hub does not take.

use std::fmt::Write as _;
use std::time::Duration;

use super::packet::Publish;
use super::session::Session;
use super::subscriptions::Family;
use super::topic;
use crate::directory::Call;
use crate::driver::Scene;
use crate::hub::method::{Answer, RequestId};

impl Session {
    /// Somebody calls.
    pub(super) fn call(&mut self, call: &Call, scene: Scene<'_>) {
        let topic = topic::method(&call.name, &written(call.request_id));
        self.send(Family::Methods, &topic, &call.payload, Duration::ZERO, scene);
    }

    pub(super) fn answered_call(
        &mut self,
        (status, request_id): (i32, &str),
        publish: &Publish,
        delay: Duration,
        scene: Scene<'_>,
    ) {
        let Some(device) = self.device() else { return };
        match Answer::new(status, publish.payload.clone()) {
            Err(refusal) => return self.end(&refusal.name, scene),
            Ok(answer) => {
                if let Some(id) = read(request_id) {
                    scene.cloud.answer_method(&device.endpoint, id, answer);
                }
            }
        }
        self.put_puback(publish, delay, scene);
    }
}

fn written(id: RequestId) -> String {
    id.iter().fold(String::with_capacity(32), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn read(text: &str) -> Option<RequestId> {
    let is_ours = text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_ours.then(|| u128::from_str_radix(text, 16).ok()).flatten().map(u128::to_be_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_id_of_a_call_comes_back_as_it_went() {
        let id = [0x0f, 1, 2, 3, 4, 5, 0x46, 7, 0x88, 9, 10, 11, 12, 13, 14, 0xff];
        assert_eq!(written(id), "0f0102030405460788090a0b0c0d0eff");
        assert_eq!(read(&written(id)), Some(id));
        for other in ["", "1", "+f0102030405460788090a0b0c0d0eff", "0f0102030405460788090a0b0c0d0eff0"] {
            assert_eq!(read(other), None);
        }
    }
}

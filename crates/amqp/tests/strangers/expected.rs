//! What both sides are to see in each scene.

use serde_json::{Value, json};

use crate::words::{BIG_BYTES, NUMBERS, big, sum};
use crate::{Party, Scene};

pub(crate) struct Expected {
    pub(crate) client: Value,
    /// A report for each connection that was let in.
    pub(crate) server: Vec<Value>,
}

const NO: &str = "rejected longhaul:no not this one";
const MODIFIED: &str = "modified failed undeliverable";
const GONE: &str = "longhaul:gone the room is closed";
const BYE: &str = "longhaul:bye so long";

pub(crate) fn of(scene: Scene, client: Party, server: Party) -> Expected {
    match scene {
        Scene::Work => work(server),
        Scene::Errors => errors(client, server),
        Scene::Quiet => quiet(client, server),
        Scene::Doors => doors(server),
    }
}

/// A connection on which nothing happened, with what did.
fn report(what: Value) -> Value {
    let mut report = json!({
        "mechanism": "ANONYMOUS", "announced": null, "sessions": 1,
        "judged": {"messages": 1, "bytes": 1, "in_order": true},
        "overrun": false, "fates": {}, "links": [], "ended": [], "closed": null,
    });
    let Value::Object(what) = what else { panic!("an object") };
    report.as_object_mut().expect("an object").extend(what);
    report
}

fn work(server: Party) -> Expected {
    // It gives all credit back as soon as it is asked to drain, messages or not.
    let (drained, three) = if server == Party::Fe2o3 { (0, json!({})) } else { (3, json!({"accepted": 3})) };
    let digits = |count: usize| (0..count).map(|n| n.to_string().len()).sum::<usize>();
    let bytes = 2 * digits(1000) + BIG_BYTES + ["accepted", "rejected", "released", "modified"].concat().len();
    let quarter = NUMBERS / 4;
    let fates = json!({
        "numbers": {"accepted": quarter, NO: quarter, "released": quarter, MODIFIED: quarter},
        "big": {"accepted": 1}, "three": three,
    });
    Expected {
        client: json!({
            "small": {"accepted": 2000}, "verdicts": ["accepted", NO, "released", MODIFIED], "big": {"accepted": 1},
            "numbers": {"count": NUMBERS, "in_order": true},
            "big_received": {"bytes": BIG_BYTES, "sum": sum(&big())},
            "drained": drained,
        }),
        server: vec![report(json!({
            "sessions": 2, "judged": {"messages": 2005, "bytes": bytes, "in_order": true}, "fates": fates,
        }))],
    }
}

fn errors(client: Party, server: Party) -> Expected {
    // Its `detach` has no place for an error.
    let detached = |by: Party, words: &str| match by {
        Party::Proton => "detached".to_owned(),
        _ => format!("detached {words}"),
    };
    // It has one more, to be refused in.
    let sessions = if client == Party::Fe2o3 { 4 } else { 3 };
    Expected {
        client: json!({
            "close": format!("closed {GONE}"), "detach": detached(server, GONE),
            "refuse": "closed longhaul:refused no such room",
            "end": GONE, "after": {"accepted": 1}, "shut": GONE,
        }),
        server: vec![
            report(json!({
                "sessions": sessions, "links": [format!("closed {BYE}"), detached(client, BYE)], "ended": [BYE], "closed": BYE,
            })),
            report(json!({"judged": {"messages": 0, "bytes": 0, "in_order": true}})),
        ],
    }
}

fn quiet(client: Party, server: Party) -> Expected {
    // It does not show what its peer announced.
    let announced = |to: Party| (to != Party::Fe2o3).then_some(1000);
    Expected {
        client: json!({"announced": announced(client), "after": {"accepted": 1}}),
        server: vec![report(json!({"announced": announced(server)}))],
    }
}

fn doors(server: Party) -> Expected {
    // Debian's Proton is built without a server's PLAIN.
    let knows_plain = server != Party::Proton;
    let one = json!({"accepted": 1});
    let plain = if knows_plain { one.clone() } else { json!("refused") };
    let mut mechanisms = vec!["none", "ANONYMOUS"];
    mechanisms.extend(knows_plain.then_some("PLAIN device"));
    Expected {
        client: json!({"none": one, "anonymous": one, "plain": plain, "wrong": "refused"}),
        server: mechanisms.into_iter().map(|mechanism| report(json!({"mechanism": mechanism}))).collect(),
    }
}

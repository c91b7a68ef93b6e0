//! Errors, as an answer and within `downlink_failed`.
//!
//! Source: google.rpc.Status with The Things Stack's own details (api/concepts/errors in its documentation); names,
//! sentences and codes from `pkg/applicationserver` and `pkg/networkserver`.

use serde_json::{Map, Value, json};

/// Why something was not done.
#[derive(Clone, Debug, PartialEq)]
pub struct Refusal {
    /// gRPC's code; the status follows from it.
    pub code: u16,
    /// The package that says so.
    pub namespace: String,
    /// What to decide by.
    pub name: String,
    /// The sentence, with `{attribute}` where attributes go.
    pub message_format: String,
    /// What goes there.
    pub attributes: Map<String, Value>,
    /// For the operator's log, written as 32 hexadecimal digits; 0: none was given yet.
    pub correlation_id: u64,
    /// Instead of what follows from the code.
    pub status: Option<u16>,
    /// Seconds until it is worth another try.
    pub retry_after_s: Option<u32>,
    /// The server, or one before it, says nothing but the status.
    pub is_bare: bool,
}

const APPLICATION_SERVER: &str = "pkg/applicationserver";
const NETWORK_SERVER: &str = "pkg/networkserver";
const WEB: &str = "pkg/applicationserver/io/web";
const RIGHTS: &str = "pkg/auth/rights";

impl Refusal {
    /// Without attributes.
    pub fn new(code: u16, namespace: &str, name: &str, message_format: &str) -> Self {
        Self {
            code,
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            message_format: message_format.to_owned(),
            attributes: Map::new(),
            correlation_id: 0,
            status: None,
            retry_after_s: None,
            is_bare: false,
        }
    }

    fn with(mut self, attribute: &str, value: impl Into<Value>) -> Self {
        self.attributes.insert(attribute.to_owned(), value.into());
        self
    }

    pub(crate) fn device_not_found(application: &str, device: &str) -> Self {
        Self::new(5, APPLICATION_SERVER, "device_not_found", "device `{device_uid}` not found")
            .with("device_uid", format!("{application}.{device}"))
    }

    pub(crate) fn no_device_session() -> Self {
        let text = "no device session; check device activation";
        Self::new(9, APPLICATION_SERVER, "no_device_session", text)
    }

    pub(crate) fn no_payload() -> Self {
        Self::new(3, APPLICATION_SERVER, "no_payload", "no payload")
    }

    pub(crate) fn no_f_port() -> Self {
        Self::new(3, APPLICATION_SERVER, "no_f_port", "no FPort")
    }

    pub(crate) fn too_many_attempts(max: u32) -> Self {
        let text = "downlink maximum retries exceed configured maximum of {max}";
        Self::new(3, APPLICATION_SERVER, "downlink_max_retries_invalid", text).with("max", max)
    }

    pub(crate) fn max_retries_reached(max: u32) -> Self {
        let text = "maximum number of retries ({max_retries}) reached";
        Self::new(10, APPLICATION_SERVER, "max_retries_reached", text).with("max_retries", max)
    }

    pub(crate) fn too_long(length: usize, max: usize) -> Self {
        let text = "application downlink payload length `{length}` exceeds maximum '{max}'";
        Self::new(3, NETWORK_SERVER, "application_downlink_too_long", text).with("length", length).with("max", max)
    }

    pub(crate) fn expired() -> Self {
        Self::new(9, NETWORK_SERVER, "downlink_expired", "queued downlink is expired")
    }

    pub(crate) fn queue_full() -> Self {
        Self::new(8, NETWORK_SERVER, "downlink_queue_capacity", "downlink queue capacity exceeded")
    }

    pub(crate) fn undecodable(why: &str) -> Self {
        let mut refusal = Self::new(3, WEB, "decode_body", "decode body");
        refusal.attributes.insert("cause".to_owned(), why.into());
        refusal
    }

    pub(crate) fn invalid(why: &str) -> Self {
        let mut refusal = Self::new(3, WEB, "validate_body", "validate body");
        refusal.attributes.insert("cause".to_owned(), why.into());
        refusal
    }

    pub(crate) fn route_not_found(route: &str) -> Self {
        Self::new(5, "pkg/webhandlers", "route_not_found", "route `{route}` not found").with("route", route)
    }

    pub(crate) fn webhook_not_found() -> Self {
        Self::new(5, WEB, "webhook_not_found", "webhook not found")
    }

    pub(crate) fn unauthenticated() -> Self {
        Self::new(16, "pkg/rpcmetadata", "unauthenticated", "the context is not authenticated")
    }

    pub(crate) fn key_not_found() -> Self {
        Self::new(16, "pkg/identityserver", "api_key_not_found", "API key not found")
    }

    pub(crate) fn no_rights(application: &str) -> Self {
        Self::new(7, RIGHTS, "no_application_rights", "no rights for application `{uid}`").with("uid", application)
    }

    pub(crate) fn few_rights(application: &str) -> Self {
        let text = "insufficient rights for application `{uid}`";
        Self::new(7, RIGHTS, "insufficient_application_rights", text)
            .with("uid", application)
            .with("missing", "RIGHT_APPLICATION_TRAFFIC_DOWN_WRITE")
    }

    /// What a server in trouble, or one before it, says with this status.
    pub(crate) fn of_status(status: u16, retry_after_s: Option<u32>) -> Self {
        let (code, namespace, name, text) = match status {
            401 => (16, "pkg/auth/rights", "unauthenticated", "unauthenticated"),
            403 => (7, RIGHTS, "no_application_rights", "no rights for application"),
            404 => (5, APPLICATION_SERVER, "device_not_found", "device not found"),
            409 => (10, "pkg/redis", "transaction_failed", "transaction failed"),
            429 => (8, WEB, "rate_limit_exceeded", "rate limit exceeded"),
            400..=428 | 430..=498 => (3, WEB, "validate_body", "validate body"),
            499 => (1, "pkg/errors", "context_canceled", "context canceled"),
            501 => (12, "pkg/rpcserver", "unimplemented", "unimplemented"),
            503 => (14, "pkg/cluster", "peer_unavailable", "cluster peer unavailable"),
            504 => (4, "pkg/errors", "context_deadline_exceeded", "context deadline exceeded"),
            _ => (13, "pkg/errors", "internal", "internal error"),
        };
        // A paused webhook says nothing but 406; 502 is a load balancer's.
        let is_bare = matches!(status, 406 | 502);
        Self { status: Some(status), retry_after_s, is_bare, ..Self::new(code, namespace, name, text) }
    }

    /// By gRPC's code, as `pkg/errors/http.go` has it.
    pub fn status(&self) -> u16 {
        self.status.unwrap_or(match self.code {
            3 | 9 | 11 => 400,
            16 => 401,
            7 => 403,
            5 => 404,
            6 | 10 => 409,
            8 => 429,
            1 => 499,
            12 => 501,
            14 => 503,
            4 => 504,
            _ => 500,
        })
    }

    /// The answer's body: empty where nothing but the status is said.
    pub fn body(&self) -> Vec<u8> {
        if self.is_bare {
            return Vec::new();
        }
        let mut detail = self.details();
        detail.insert("@type".to_owned(), "type.googleapis.com/ttn.lorawan.v3.ErrorDetails".into());
        let message = format!("error:{}:{} ({})", self.namespace, self.name, self.sentence());
        json!({"code": self.code, "message": message, "details": [detail]}).to_string().into_bytes()
    }

    /// `ErrorDetails`, as a `downlink_failed` has them.
    pub fn details(&self) -> Map<String, Value> {
        let mut detail = Map::new();
        detail.insert("namespace".to_owned(), self.namespace.as_str().into());
        detail.insert("name".to_owned(), self.name.as_str().into());
        detail.insert("message_format".to_owned(), self.message_format.as_str().into());
        if !self.attributes.is_empty() {
            detail.insert("attributes".to_owned(), Value::Object(self.attributes.clone()));
        }
        detail.insert("correlation_id".to_owned(), format!("{:032x}", self.correlation_id).into());
        detail.insert("code".to_owned(), self.code.into());
        detail
    }

    fn sentence(&self) -> String {
        self.attributes.iter().fold(self.message_format.clone(), |text, (name, value)| {
            let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            text.replace(&format!("{{{name}}}"), &value)
        })
    }
}

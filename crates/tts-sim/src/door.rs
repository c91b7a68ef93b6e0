//! The Stack's own addresses: who may hand in downlinks, and for what.
//!
//! Source: `pkg/applicationserver/io/web/{webhooks,middleware}.go`: rights are looked at first, then the webhook, then
//! the body.

use http::{Method, StatusCode, header};

use crate::application::Input;
use crate::downlink::read;
use crate::refusal::Refusal;
use crate::server::{Answer, Ask, Shared, bare};

pub(crate) fn answer(shared: &Shared, ask: &Ask) -> Result<Answer, Refusal> {
    let path: Vec<&str> = ask.path.iter().map(String::as_str).collect();
    let ["api", "v3", "as", "applications", application, "webhooks", webhook, "devices", device, "down", verb] =
        path[..]
    else {
        return Err(Refusal::route_not_found(ask.parts.uri.path()));
    };
    if !matches!(verb, "push" | "replace") {
        return Err(Refusal::route_not_found(ask.parts.uri.path()));
    }
    if ask.parts.method != Method::POST {
        return Ok(bare(StatusCode::METHOD_NOT_ALLOWED));
    }
    authorized(shared, ask, application)?;
    if webhook != shared.config.webhook {
        return Err(Refusal::webhook_not_found());
    }
    let Some(body) = &ask.body else { return Ok(bare(StatusCode::PAYLOAD_TOO_LARGE)) };
    let (device, downlinks) = (device.to_owned(), read(body)?);
    shared.step(match verb {
        "push" => Input::Push { device, downlinks },
        _ => Input::Replace { device, downlinks },
    })?;
    Ok(bare(StatusCode::OK))
}

fn authorized(shared: &Shared, ask: &Ask, application: &str) -> Result<(), Refusal> {
    let given = ask.parts.headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let Some((scheme, key)) = given.split_once(' ').map(|(scheme, key)| (scheme, key.trim())) else {
        return Err(Refusal::unauthenticated());
    };
    let config = &shared.config;
    let is_weak = config.weak_api_key.as_deref() == Some(key);
    if key.is_empty() {
        Err(Refusal::unauthenticated())
    } else if !scheme.eq_ignore_ascii_case("bearer") || (key != config.api_key && !is_weak) {
        Err(Refusal::key_not_found())
    } else if application != config.application {
        Err(Refusal::no_rights(application))
    } else if is_weak {
        Err(Refusal::few_rights(application))
    } else {
        Ok(())
    }
}

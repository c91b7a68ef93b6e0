//! The page for people: files out of the binary, told by their tags.

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use http_body_util::Full;
use page::Asset;

use super::problem;
use crate::connections::Ask;

/// What only this page has; the rest is the kit's.
const OWN: &[Asset] = &[
    Asset::new("/", include_bytes!("page/index.html")),
    Asset::new("/page/device.js", include_bytes!("page/device.js")),
    Asset::new("/page/devices.js", include_bytes!("page/devices.js")),
    Asset::new("/page/main.js", include_bytes!("page/main.js")),
    Asset::new("/page/overview.js", include_bytes!("page/overview.js")),
    Asset::new("/page/page.css", include_bytes!("page/page.css")),
    Asset::new("/page/telemetry.js", include_bytes!("page/telemetry.js")),
];

pub(super) fn file(ask: &Ask) -> Response<Full<Bytes>> {
    let Some(asset) = page::find(OWN, ask.parts.uri.path()) else {
        return problem(StatusCode::NOT_FOUND, "path: no such file of the page");
    };
    let known = ask.parts.headers.get(header::IF_NONE_MATCH).and_then(|tags| tags.to_str().ok());
    let mut response = Response::new(Full::new(Bytes::from_static(asset.bytes)));
    if asset.is_known(known) {
        response = Response::new(Full::default());
        *response.status_mut() = StatusCode::NOT_MODIFIED;
    }
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(asset.content_type()));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(page::CACHE_CONTROL));
    if let Ok(tag) = HeaderValue::try_from(asset.etag()) {
        headers.insert(header::ETAG, tag);
    }
    response
}

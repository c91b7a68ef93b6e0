//! The page for people: files out of the binary, told by their tags, so that a browser that has one gets nothing again.

use axum::body::Bytes;
use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use page::Asset;

/// What only this page has; the rest is the kit's.
const OWN: &[Asset] = &[
    Asset::new("/", include_bytes!("page/index.html")),
    Asset::new("/page/alarms.js", include_bytes!("page/alarms.js")),
    Asset::new("/page/configuration.js", include_bytes!("page/configuration.js")),
    Asset::new("/page/dead-letter.js", include_bytes!("page/dead-letter.js")),
    Asset::new("/page/dead-letters.js", include_bytes!("page/dead-letters.js")),
    Asset::new("/page/device.js", include_bytes!("page/device.js")),
    Asset::new("/page/devices.js", include_bytes!("page/devices.js")),
    Asset::new("/page/main.js", include_bytes!("page/main.js")),
    Asset::new("/page/map.js", include_bytes!("page/map.js")),
    Asset::new("/page/message.js", include_bytes!("page/message.js")),
    Asset::new("/page/messages.js", include_bytes!("page/messages.js")),
    Asset::new("/page/names.js", include_bytes!("page/names.js")),
    Asset::new("/page/overview.js", include_bytes!("page/overview.js")),
    Asset::new("/page/page.css", include_bytes!("page/page.css")),
    Asset::new("/page/path.js", include_bytes!("page/path.js")),
    Asset::new("/page/pulse.js", include_bytes!("page/pulse.js")),
    Asset::new("/page/targets.js", include_bytes!("page/targets.js")),
];

/// `GET /`, `/kit/…` and `/page/…`.
pub(super) async fn file(uri: Uri, headers: HeaderMap) -> Response {
    let Some(asset) = page::find(OWN, uri.path()) else { return StatusCode::NOT_FOUND.into_response() };
    let told = [(header::ETAG, asset.etag()), (header::CACHE_CONTROL, page::CACHE_CONTROL.to_owned())];
    let known = headers.get(header::IF_NONE_MATCH).and_then(|tags| tags.to_str().ok());
    if asset.is_known(known) {
        return (StatusCode::NOT_MODIFIED, told).into_response();
    }
    (told, [(header::CONTENT_TYPE, asset.content_type())], Bytes::from_static(asset.bytes)).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a person waits for over a slow line, before compression that nobody needs on this machine.
    const BYTES_MAX: usize = 120 * 1024;

    #[test]
    fn the_whole_page_is_small() {
        let bytes: usize = OWN.iter().chain(page::KIT).map(|asset| asset.bytes.len()).sum();
        assert!(bytes <= BYTES_MAX, "{bytes} bytes");
    }

    #[test]
    fn no_file_makes_markup_of_text_or_leads_elsewhere() {
        for asset in OWN {
            let text = std::str::from_utf8(asset.bytes).expect("files are UTF-8");
            for word in
                ["innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "http://", "https://"]
            {
                assert!(!text.contains(word), "{}: {word}", asset.path);
            }
        }
    }

    #[tokio::test]
    async fn a_browser_that_has_a_file_gets_it_not_again() {
        let answer = file(Uri::from_static("/page/main.js"), HeaderMap::new()).await;
        assert_eq!(answer.status(), StatusCode::OK);
        assert_eq!(answer.headers()[header::CONTENT_TYPE], "text/javascript; charset=utf-8");
        let mut headers = HeaderMap::new();
        headers.insert(header::IF_NONE_MATCH, answer.headers()[header::ETAG].clone());
        assert_eq!(file(Uri::from_static("/page/main.js"), headers.clone()).await.status(), StatusCode::NOT_MODIFIED);
        assert_eq!(file(Uri::from_static("/page/map.js"), headers).await.status(), StatusCode::OK);
        assert_eq!(file(Uri::from_static("/page/none.js"), HeaderMap::new()).await.status(), StatusCode::NOT_FOUND);
    }
}

//! The page: one document and one script, compiled in. The script writes text nodes only.

use axum::http::header;
use axum::response::{Html, IntoResponse};

pub(super) async fn page() -> Html<&'static str> {
    Html(include_str!("page.html"))
}

pub(super) async fn script() -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "text/javascript; charset=utf-8")], include_str!("page.js"))
}

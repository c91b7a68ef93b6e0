//! Who may ask: under which name of this machine, with which token, and from which page.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::Admin;
use super::problem::Problem;

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Without a token we are on loopback, where any page in a browser on this machine can reach us under a name that its
/// owner made up (DNS rebinding): only names of this machine are answered.
pub(super) async fn require_local_name(State(admin): State<Arc<Admin>>, request: Request, next: Next) -> Response {
    let host = request.headers().get(header::HOST).and_then(|v| v.to_str().ok()).unwrap_or_default();
    if !admin.token.get().is_open() || is_local_name(host) {
        return next.run(request).await;
    }
    (StatusCode::FORBIDDEN, "without admin.token only localhost is answered\n").into_response()
}

fn is_local_name(host: &str) -> bool {
    let name =
        host.rsplit_once(':').filter(|(_, port)| port.bytes().all(|b| b.is_ascii_digit())).map_or(host, |(n, _)| n);
    let address = name.trim_start_matches('[').trim_end_matches(']').parse::<std::net::IpAddr>();
    name.eq_ignore_ascii_case("localhost") || address.is_ok_and(|ip| ip.is_loopback())
}

/// The token comes in the forms in which a webhook key comes; as the password of Basic a browser can give it.
pub(super) async fn require_token(State(admin): State<Arc<Admin>>, request: Request, next: Next) -> Response {
    if admin.token.get().admit(request.headers(), None).is_some() {
        return next.run(request).await;
    }
    let ask = [(header::WWW_AUTHENTICATE, "Basic realm=\"longhaul: the password is admin.token\"")];
    (StatusCode::UNAUTHORIZED, ask, "admin.token is required\n").into_response()
}

/// The page shows strings that devices made up: nothing but our own files may run, and nobody may frame it. What the API says is not kept.
pub(super) async fn harden(mut response: Response) -> Response {
    let headers = response.headers_mut();
    for (name, value) in page::HEADERS {
        headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
    }
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}

/// A browser sends what any page tells it to, with the password that it remembers. What changes something must therefore say
/// that it is JSON, which no page can make it say to another site unasked; and where the browser tells whose page it is,
/// it must be ours. Programs that are no browsers send neither header.
pub(super) async fn require_own_page(request: Request, next: Next) -> Response {
    if request.method().is_safe() || is_own_page(request.headers()) {
        return next.run(request).await;
    }
    let mend = if *request.method() == Method::POST {
        "send it as `content-type: application/json`, and from no page of another site"
    } else {
        "only GET and POST are known here"
    };
    Problem::new(StatusCode::FORBIDDEN, "cross_site", mend).into_response()
}

fn is_own_page(headers: &HeaderMap) -> bool {
    let text = |name: HeaderName| headers.get(name).map(|value| value.to_str().unwrap_or_default());
    let kind = text(header::CONTENT_TYPE).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim();
    let site = text(SEC_FETCH_SITE).is_none_or(|site| site == "same-origin" || site == "none");
    let host = text(header::HOST).unwrap_or_default();
    let origin = text(header::ORIGIN).is_none_or(|origin| {
        origin.split_once("://").is_some_and(|(_, authority)| authority.eq_ignore_ascii_case(host))
    });
    kind.eq_ignore_ascii_case("application/json") && site && origin
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_of_this_machine_are_local() {
        for local in ["localhost", "LOCALHOST:8081", "127.0.0.1:8081", "127.0.0.2", "[::1]:8081", "[::1]"] {
            assert!(is_local_name(local), "{local}");
        }
        for other in ["", "evil.example", "localhost.evil.example", "127.0.0.1.evil.example:80", "10.0.0.1", "[::2]:1"]
        {
            assert!(!is_local_name(other), "{other}");
        }
    }

    #[test]
    fn what_another_sites_page_can_send_changes_nothing() {
        let with = |headers: &[(&'static str, &'static str)]| {
            let mut map = HeaderMap::new();
            map.insert(header::HOST, HeaderValue::from_static("localhost:8081"));
            for (name, value) in headers {
                map.insert(*name, HeaderValue::from_static(value));
            }
            is_own_page(&map)
        };
        let json = ("content-type", "application/json");
        assert!(with(&[json]), "a program");
        assert!(with(&[("content-type", "Application/JSON; charset=utf-8")]));
        assert!(with(&[json, ("origin", "http://localhost:8081"), ("sec-fetch-site", "same-origin")]), "our page");
        assert!(with(&[json, ("sec-fetch-site", "none")]), "typed by a person");
        for refused in [
            &[][..],
            &[("content-type", "text/plain")],
            &[("content-type", "application/x-www-form-urlencoded")],
            &[("content-type", "text/plain; application/json")],
            &[json, ("origin", "http://evil.example")],
            &[json, ("origin", "null")],
            &[json, ("origin", "http://localhost:3000")],
            &[json, ("sec-fetch-site", "cross-site")],
            &[json, ("sec-fetch-site", "same-site")],
        ] {
            assert!(!with(refused), "{refused:?}");
        }
    }
}

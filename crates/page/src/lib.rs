//! What the pages of the bridge and of the simulator are made of: files that a browser reads as they are, inside the binary.
//!
//! Promises: nothing is built, fetched or written; an asset is its path, its type, its bytes and a tag that changes with them. Whoever serves
//! a page adds its own assets to the [`KIT`] and the headers of [`HEADERS`], under which nothing but files of the page itself can run.
//! Knows no web framework, so that both servers can use it.

/// A file of a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asset {
    /// As it is asked for, such as `/kit/style.css`.
    pub path: &'static str,
    /// What is sent.
    pub bytes: &'static [u8],
}

/// For `Content-Security-Policy`: only files of the page itself, no script or style inside of others, no text that becomes markup (Trusted
/// Types), nobody frames it, and no form leaves it.
pub const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
     img-src 'self' data:; frame-ancestors 'none'; base-uri 'none'; form-action 'none'; \
     require-trusted-types-for 'script'; trusted-types 'none'";

/// What each answer of a server with a page says, names in lower case.
pub const HEADERS: [(&str, &str); 4] = [
    ("content-security-policy", CONTENT_SECURITY_POLICY),
    ("x-content-type-options", "nosniff"),
    ("referrer-policy", "no-referrer"),
    ("cross-origin-resource-policy", "same-origin"),
];

/// For `Cache-Control` of an asset: asked for each time, sent only when its tag is another. What an API says is never kept.
pub const CACHE_CONTROL: &str = "no-cache";

/// What both pages share, below `/kit/`.
pub const KIT: &[Asset] = &[
    Asset::new("/kit/api.js", include_bytes!("kit/api.js")),
    Asset::new("/kit/dialog.js", include_bytes!("kit/dialog.js")),
    Asset::new("/kit/element.js", include_bytes!("kit/element.js")),
    Asset::new("/kit/icon.svg", include_bytes!("kit/icon.svg")),
    Asset::new("/kit/live.js", include_bytes!("kit/live.js")),
    Asset::new("/kit/parts.js", include_bytes!("kit/parts.js")),
    Asset::new("/kit/plot.js", include_bytes!("kit/plot.js")),
    Asset::new("/kit/route.js", include_bytes!("kit/route.js")),
    Asset::new("/kit/shell.js", include_bytes!("kit/shell.js")),
    Asset::new("/kit/style.css", include_bytes!("kit/style.css")),
    Asset::new("/kit/table.js", include_bytes!("kit/table.js")),
    Asset::new("/kit/theme.js", include_bytes!("kit/theme.js")),
    Asset::new("/kit/words.js", include_bytes!("kit/words.js")),
];

impl Asset {
    /// The file that is asked for as `path`.
    pub const fn new(path: &'static str, bytes: &'static [u8]) -> Self {
        Self { path, bytes }
    }

    /// For `Content-Type`, by the path's end; a path without an end is a page.
    pub fn content_type(&self) -> &'static str {
        match self.path.rsplit_once('.').map(|(_, end)| end) {
            Some("js") => "text/javascript; charset=utf-8",
            Some("css") => "text/css; charset=utf-8",
            Some("svg") => "image/svg+xml",
            _ => "text/html; charset=utf-8",
        }
    }

    /// For `ETag`, with its quotes.
    pub fn etag(&self) -> String {
        format!("\"{:x}-{:08x}\"", self.bytes.len(), crc32fast::hash(self.bytes))
    }

    /// Whether a browser that says this in `If-None-Match` has it.
    pub fn is_known(&self, if_none_match: Option<&str>) -> bool {
        let tag = self.etag();
        if_none_match.is_some_and(|known| known.split(',').any(|known| known.trim().trim_start_matches("W/") == tag))
    }
}

/// What is asked for as `path`, of the kit or of the page's own.
pub fn find(own: &'static [Asset], path: &str) -> Option<&'static Asset> {
    own.iter().chain(KIT).find(|asset| asset.path == path)
}

#[cfg(test)]
mod tests;

//! What a browser is told of the files, and what the files may not have.

use super::*;

#[test]
fn a_browser_is_told_what_each_file_is() {
    let kind = |path| find(&[], path).expect(path).content_type();
    assert_eq!(kind("/kit/style.css"), "text/css; charset=utf-8");
    assert_eq!(kind("/kit/element.js"), "text/javascript; charset=utf-8");
    assert_eq!(kind("/kit/icon.svg"), "image/svg+xml");
    assert_eq!(Asset::new("/", b"").content_type(), "text/html; charset=utf-8");
    assert_eq!(find(&[], "/kit/../lib.rs"), None);
}

#[test]
fn a_file_is_sent_again_only_when_it_is_another() {
    let (one, other) = (Asset::new("/a.js", b"one"), Asset::new("/a.js", b"two"));
    assert!(one.is_known(Some(&one.etag())));
    assert!(one.is_known(Some(&format!("\"x\", W/{}", one.etag()))));
    assert!(!one.is_known(Some(&other.etag())));
    assert!(!one.is_known(None));
}

/// Under the policy such a file would be broken, and where somebody eases the policy it would be a hole.
#[test]
fn no_file_makes_markup_of_text() {
    for asset in KIT.iter().filter(|asset| asset.path.ends_with(".js")) {
        let text = std::str::from_utf8(asset.bytes).expect("files are UTF-8");
        for word in ["innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "new Function"] {
            assert!(!text.contains(word), "{}: {word}", asset.path);
        }
    }
}

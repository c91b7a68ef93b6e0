//! What is taken and what is refused.

use std::path::Path;

use super::*;
use crate::world::{Random, SystemClock};

const KEY: &str = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA==";

fn config(more: &str) -> Config {
    let text = format!(
        "{more}\n[targets.main]\nkind = \"dps\"\nid_scope = \"0ne00ABCDEF\"\ngroup_key = \"{KEY}\"\n[[routes]]\ntarget = \"main\"\n"
    );
    let no_files = |_: &Path| Err(std::io::ErrorKind::NotFound.into());
    crate::config::read(&text, &[], Path::new(""), &no_files).expect("usable").config
}

fn reload(config: Config) -> Reload {
    Reload {
        webhook_keys: Arc::new(Swap::new(Keys::new(&config.webhook.keys, &config.webhook.network))),
        overlap: Arc::default(),
        admin_token: Arc::new(Swap::new(admin_keys(&config.admin))),
        config: Arc::new(Swap::new(config)),
        loaded_at: Arc::default(),
        provision: None,
        world: World::new(Arc::new(SystemClock), Random::from_seed(1)),
    }
}

#[tokio::test]
async fn keys_and_routes_change_while_running() {
    let reload = reload(config("[webhook]\nkeys = [\"key-number-1\"]"));
    let new = config("[webhook]\nkeys = [\"key-number-2\"]\n[[routes]]\napplication = \"a\"\ndrop = true");
    assert_eq!(reload.take(new.clone()).await, Outcome::Taken(vec!["webhook.keys", "routes"]));
    assert_eq!(*reload.config.get(), new);
    assert_eq!(reload.take(new).await, Outcome::Same);
}

#[tokio::test]
async fn what_is_bound_to_open_things_is_refused_by_name_and_nothing_is_taken() {
    let old = config("[webhook]\nkeys = [\"key-number-1\"]");
    let reload = reload(old.clone());
    let new = config(
        "[webhook]\nkeys = [\"key-number-2\"]\nlisten = \"127.0.0.1:9\"\n[queue]\ndir = \"elsewhere\"\n[azure]\ntransport = \"https\"",
    );
    let Outcome::Refused(mistakes) = reload.take(new).await else { panic!("it was taken") };
    let keys: Vec<_> = mistakes.iter().map(|mistake| mistake.key.as_str()).collect();
    assert_eq!(keys, ["webhook.listen", "queue.dir", "azure.transport"]);
    assert_eq!(*reload.config.get(), old);
    let keys = reload.webhook_keys.get();
    let with = |key: &'static str| {
        http::HeaderMap::from_iter([(http::HeaderName::from_static("x-api-key"), http::HeaderValue::from_static(key))])
    };
    assert!(keys.admit(&with("key-number-1"), None).is_some() && keys.admit(&with("key-number-2"), None).is_none());
}

#[tokio::test]
async fn who_took_a_configuration_keeps_the_whole_of_it() {
    let reload = reload(config(""));
    let before = reload.config.get();
    reload.take(config("[[routes]]\napplication = \"a\"\ndrop = true")).await;
    assert_eq!((before.routes.len(), reload.config.get().routes.len()), (1, 2));
}

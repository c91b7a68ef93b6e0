//! What nobody wants ends on purpose, and everything else goes on.

use crate::site::{MINUTE, Site, configuration};

#[test]
fn a_route_drops_on_purpose_and_holds_up_nobody() {
    let mut site = Site::new(1);
    site.config = configuration("") + "[[routes]]\napplication = \"noise\"\ndrop = true\n";
    site.live(async |life| {
        life.uplinks("noise", "dev", 1..=3).await;
        life.uplinks("building", "dev", 1..=3).await;
        life.until_empty(MINUTE).await;
        assert!(life.dead_letters().await.is_empty());
    });
    let state = site.cloud.state();
    assert!(state.hub.attempts.iter().all(|attempt| attempt.application == "building"));
    assert_eq!(state.hub.check_order(), (3, 0), "and the name was still free");
}

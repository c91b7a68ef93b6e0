//! Promises of the two pages, looked at through a browser: Debian's Chromium, driven by scripts beside this file. Real processes serve them:
//! `longhaul demo` with a thousand devices and the simulator behind it, or `longhaul run` where a role or a token matters.
//!
//! `LONGHAUL_SCREENSHOTS=DIR` writes a picture of each view as well.

mod site;

use std::time::Duration;

use crate::site::{Demo, Run, campaign};

/// A demo of a thousand devices in which nothing has to wait.
const DEVICES: u32 = 1000;

#[tokio::test]
async fn every_view_is_without_fault_in_light_dark_and_on_a_phone() {
    let demo = Demo::start("views", DEVICES).await;
    campaign("views", &demo.told(), Duration::from_secs(200)).await;
}

#[tokio::test]
async fn a_person_finds_devices_follows_messages_and_deals_with_dead_letters() {
    let demo = Demo::start("work", DEVICES).await;
    campaign("work", &demo.told(), Duration::from_secs(90)).await;
}

#[tokio::test]
async fn the_simulators_page_sends_calls_and_patches() {
    let demo = Demo::start("hand", 20).await;
    campaign("hand", &demo.told(), Duration::from_secs(90)).await;
}

#[tokio::test]
async fn strings_that_others_made_up_do_nothing() {
    let demo = Demo::start_at("hostile", 20, 1).await;
    campaign("hostile", &demo.told(), Duration::from_secs(90)).await;
}

#[tokio::test]
async fn everything_is_reached_with_the_keyboard_alone() {
    let demo = Demo::start("keyboard", 50).await;
    campaign("keyboard", &demo.told(), Duration::from_secs(90)).await;
}

#[tokio::test]
async fn a_lost_connection_is_shown_and_comes_back() {
    let mut run = Run::start("lost", "all", None).await;
    let told = run.told();
    let watched = campaign("lost", &told, Duration::from_secs(60));
    let restarts = async {
        run.until_told("listening").await;
        run.kill();
        run.until_told("lost").await;
        run.start_again().await;
    };
    tokio::join!(watched, restarts);
}

/// Also with a token, which a browser gives as the password of Basic.
#[tokio::test]
async fn a_process_that_only_takes_messages_has_its_page() {
    let run = Run::start("webhook", "webhook", Some("page-token")).await;
    campaign("webhook", &run.told(), Duration::from_secs(60)).await;
}

/// Two thousand of them; in the long form a hundred thousand, whose figures are in docs/page.md.
#[tokio::test]
async fn the_first_paint_does_not_wait_for_a_crowd_of_devices() {
    let is_long = std::env::var_os("LONGHAUL_TEST_LONG").is_some();
    let crowd = if is_long { 100_000 } else { 2_000 };
    let demo = Demo::start_at("crowd", 20, 1).await;
    demo.feed(crowd, 400).await;
    let mut told = demo.told();
    told["crowd"] = crowd.into();
    println!("{}", campaign("crowd", &told, Duration::from_secs(600)).await);
}

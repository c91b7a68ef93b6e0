//! Promise: each operation that Microsoft's SDKs export works on each transport that they export, or its cell says why not.
//!
//! The list comes from the SDKs (`cells/`), not from here: one that they export and nobody checks fails this test. What was seen
//! stands in `docs/wire/sdk-matrix.md`, which the test compares; with `LONGHAUL_BLESS` set it writes the file anew, to be read
//! line by line in the change.

use serde::Deserialize;

use crate::namespace::alone;
use crate::page::keep;
use crate::sdk::{Language, cells, simulator_named, told};

mod page; // the tables of the page

const HUB: &str = "hub1.azure-devices.net";
const OTHER_HUB: &str = "hub2.azure-devices.net";
const DPS: &str = "global.azure-devices-provisioning.net";
/// What a script says of a cell.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Cell {
    sdk: String,
    version: String,
    transport: String,
    operation: String,
    result: String,
    detail: String,
}

impl Cell {
    fn line(&self) -> String {
        let Self { sdk, transport, operation, result, detail, .. } = self;
        format!("{sdk} | {transport} | {operation} | {result} | {detail}")
    }

    fn stands(&self) -> bool {
        matches!(self.result.as_str(), "ok" | "sdk cannot" | "not offered")
    }
}

#[test]
fn each_cell_of_the_sdks_for_node_is_as_the_page_says() {
    alone("matrix::each_cell_of_the_sdks_for_node_is_as_the_page_says", each_cell(Language::Node));
}

#[test]
fn each_cell_of_the_sdks_for_python_is_as_the_page_says() {
    alone("matrix::each_cell_of_the_sdks_for_python_is_as_the_page_says", each_cell(Language::Python));
}

/// Each language has a simulator of its own: feedback goes to whoever asks first.
async fn each_cell(language: Language) {
    let simulator = simulator_named(&[HUB, DPS], &[]).await;
    let seen = run(&cells("cells", language, &simulator, &told(&simulator, DPS, 0), None).await);
    keep("sdk-matrix.md", &format!("{language:?}"), &page::tables(&seen));
}

#[test]
fn all_works_under_localhost_alone() {
    alone("matrix::all_works_under_localhost_alone", async {
        let simulator = simulator_named(&[], &[]).await;
        let at = told(&simulator, "localhost", 0);
        for (language, only) in ONE_OF_EACH_KIND {
            run(&cells("cells", language, &simulator, &at, Some(only)).await);
        }
    });
}

#[test]
fn all_works_at_several_hubs_with_names_of_their_own() {
    alone("matrix::all_works_at_several_hubs_with_names_of_their_own", async {
        let simulator = simulator_named(&[HUB, DPS], &[OTHER_HUB]).await;
        let [one, other] = [told(&simulator, DPS, 0), told(&simulator, DPS, 1)];
        assert_eq!([&one["hub"], &other["hub"]], [HUB, OTHER_HUB]);
        let recorded = |hub: &str| simulator.messages(200).iter().filter(|message| message.hub == hub).count();
        for (language, only) in ONE_OF_EACH_KIND {
            let before = [HUB, OTHER_HUB].map(recorded);
            // The same devices' ids, but registering is no matter of one hub.
            let only_hub = REGISTER.into_iter().fold(only.to_owned(), |only, register| only.replace(register, "None"));
            let (seen, seen_there) = tokio::join!(
                cells("cells", language, &simulator, &one, Some(only)),
                cells("cells", language, &simulator, &other, Some(&only_hub)),
            );
            run(&seen);
            run(&seen_there);
            let after = [HUB, OTHER_HUB].map(recorded);
            assert!(
                before[0] < after[0] && before[1] < after[1],
                "{language:?}: {before:?} and {after:?} in the record"
            );
        }
    });
}

/// With the names what could go wrong is which service answers: one cell of each kind tells.
const ONE_OF_EACH_KIND: [(Language, &str); 2] = [
    (
        Language::Node,
        r" Client\.(open|send|sendEvent|onDeviceMethod|complete|getTwin)$|KeyRegistration\.register$|Registry\.get$|\.subscribe$",
    ),
    (
        Language::Python,
        r" (IoTHubDeviceClient\.(send_message|on_method_request_received|receive_message|get_twin)|ProvisioningDeviceClient\.register|IoTHubRegistryManager\.(get_device|send_c2d_message)|EventHubConsumerClient\.receive)$",
    ),
];
const REGISTER: [&str; 2] = ["KeyRegistration", "ProvisioningDeviceClient"];

/// Reads the lines and prints them; none may have failed.
fn run(lines: &str) -> Vec<Cell> {
    let parse = |line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
    let cells: Vec<Cell> = lines.lines().map(parse).collect();
    cells.iter().for_each(|cell| println!("{}", cell.line()));
    assert!(!cells.is_empty(), "NOT PROVED: no cell ran");
    let wrong: Vec<_> = cells.iter().filter(|cell| !cell.stands()).map(Cell::line).collect();
    assert!(wrong.is_empty(), "of {} cells {} do not stand:\n{}", cells.len(), wrong.len(), wrong.join("\n"));
    cells
}

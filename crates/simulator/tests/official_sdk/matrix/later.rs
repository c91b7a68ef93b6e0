//! What the simulator has not got yet: a cell that fails for it says so. A line goes when its cells are ok.

use super::Cell;

/// What a cell waits for, and what stands in its "SDK|transport|operation"; the first that fits counts.
const LATER: [(&str, &[&str]); 1] = [(
    "messages to devices from the service's SDK for Python",
    &["DeviceClient.on_message_received", "DeviceClient.receive_message", "send_c2d_message", "feedback_notification"],
)];

/// Says of a cell that failed what it waits for.
pub(super) fn excuse(mut cell: Cell) -> Cell {
    let place = format!("{}|{}|{}", cell.sdk, cell.transport, cell.operation);
    let awaited = LATER.iter().find(|(_, marks)| marks.iter().any(|mark| place.contains(mark)));
    if let (false, Some((what, _))) = (cell.stands(), awaited) {
        cell.result = "not offered".to_owned();
        cell.detail = format!("not here yet: {what}");
    }
    cell
}

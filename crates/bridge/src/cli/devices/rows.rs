//! PURE: a list of devices as people have it: CSV with a header, separated by commas, semicolons or tabs.
//!
//! The Things Stack's own lists of end devices read as they are: what else stands in them is passed over. Every mistake is
//! told at once, each with its line.

use std::collections::HashSet;

use csv::{ReaderBuilder, StringRecord, Trim};

use crate::ahead::Wanted;

/// Devices in one list: as many as an IoT Central application holds. About 200 bytes each in memory: 40 MB.
pub(super) const ROWS_MAX: usize = 200_000;
/// Mistakes told; the first ones tell what is wrong with the list.
const MISTAKES_MAX: usize = 20;

/// Names of columns, in the order of [`Column`].
const COLUMNS: [(&str, &[&str]); 5] = [
    ("device_id", &["device_id", "id", "end_device_id", "dev_id"]),
    ("application", &["application", "application_id", "app_id"]),
    ("dev_eui", &["dev_eui", "deveui"]),
    ("port", &["port", "f_port"]),
    ("network", &["network"]),
];

/// What is known of all rows from elsewhere.
#[derive(Clone, Debug, Default)]
pub(super) struct Given {
    /// `--application`.
    pub(super) application: Option<String>,
    /// `--network`.
    pub(super) network: Option<String>,
    /// `--port`.
    pub(super) port: Option<u8>,
}

/// Reads a list; each device once, in the order of the list.
///
/// # Errors
/// Every mistake, with its line.
pub(super) fn read(text: &str, given: &Given) -> Result<Vec<Wanted>, Vec<String>> {
    let text = text.trim_start_matches('\u{feff}'); // as spreadsheets begin a file
    let mut reader =
        ReaderBuilder::new().delimiter(delimiter(text)).trim(Trim::All).flexible(true).from_reader(text.as_bytes());
    let header = reader.headers().map_err(|e| vec![format!("line 1: {e}")])?.clone();
    let columns = Columns::of(&header, given)?;
    let (mut rows, mut known, mut mistakes) = (Vec::new(), HashSet::new(), Vec::new());
    for record in reader.records() {
        let row = record.map_err(|e| e.to_string()).and_then(|record| {
            let line = record.position().map_or(0, csv::Position::line);
            columns.row(&record, given).map_err(|mistake| format!("line {line}: {mistake}"))
        });
        match row {
            Ok(row) if known.contains(&row) => {}
            Ok(row) => {
                known.insert(row.clone());
                rows.push(row);
            }
            Err(mistake) => mistakes.push(mistake),
        }
        if rows.len() > ROWS_MAX {
            return Err(vec![format!("more than {ROWS_MAX} devices; split the list")]);
        }
        if mistakes.len() >= MISTAKES_MAX {
            mistakes.push("and maybe more".to_owned());
            break;
        }
    }
    if mistakes.is_empty() { Ok(rows) } else { Err(mistakes) }
}

/// Where each column stands.
struct Columns([Option<usize>; 5]);

impl Columns {
    fn of(header: &StringRecord, given: &Given) -> Result<Self, Vec<String>> {
        let find = |names: &[&str]| header.iter().position(|cell| names.iter().any(|n| cell.eq_ignore_ascii_case(n)));
        let columns = COLUMNS.map(|(_, names)| find(names));
        let mut missing = Vec::new();
        if columns[0].is_none() {
            missing.push("line 1: has no column device_id (or id); the first line names the columns".to_owned());
        }
        if columns[1].is_none() && given.application.is_none() {
            missing.push("line 1: has no column application; add it, or say --application NAME".to_owned());
        }
        if missing.is_empty() { Ok(Self(columns)) } else { Err(missing) }
    }

    fn row(&self, record: &StringRecord, given: &Given) -> Result<Wanted, String> {
        let cell = |column: usize| {
            let text = self.0[column].and_then(|at| record.get(at)).unwrap_or_default();
            (!text.is_empty()).then(|| text.to_owned())
        };
        let port = cell(3).map(|port| {
            port.parse().map_err(|_| format!("`{}` is no port; write a number from 1 to 255", port.escape_debug()))
        });
        let row = Wanted {
            device_id: cell(0).unwrap_or_default(),
            application: cell(1).or_else(|| given.application.clone()).unwrap_or_default(),
            dev_eui: cell(2),
            port: port.transpose()?.or(given.port),
            network: cell(4).or_else(|| given.network.clone()),
        };
        row.check().map(|()| row)
    }
}

/// The separator that the header has most of.
fn delimiter(text: &str) -> u8 {
    let header = text.lines().next().unwrap_or_default();
    let count = |separator: &u8| header.bytes().filter(|byte| byte == separator).count();
    // Of equals the last counts: a header of one column has none of any.
    [b'\t', b';', b','].into_iter().max_by_key(count).unwrap_or(b',')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given(application: &str) -> Given {
        Given { application: Some(application.to_owned()), ..Given::default() }
    }

    #[test]
    fn lists_read_as_people_have_them() {
        let plain = "application,device_id,dev_eui,port\nvehicles,van-1,70B3D57ED0001234,10\nbuilding,room-1,,\n";
        let spreadsheet =
            "\u{feff}application;device_id;dev_eui;port\r\nvehicles;van-1;70B3D57ED0001234;10\r\nbuilding;room-1\r\n";
        let padded = "port\tdevice_id\tapplication\tdev_eui\n10\t van-1 \tvehicles\t70B3D57ED0001234\n\n\"\"\troom-1\tbuilding\t\n";
        let expected = [
            Wanted {
                network: None,
                application: "vehicles".to_owned(),
                device_id: "van-1".to_owned(),
                dev_eui: Some("70B3D57ED0001234".to_owned()),
                port: Some(10),
            },
            Wanted {
                network: None,
                application: "building".to_owned(),
                device_id: "room-1".to_owned(),
                dev_eui: None,
                port: None,
            },
        ];
        for text in [plain, spreadsheet, padded] {
            assert_eq!(read(text, &Given::default()).as_deref(), Ok(&expected[..]), "{text:?}");
        }
    }

    #[test]
    fn a_list_of_the_things_stack_reads_with_an_application_named() {
        let text = "id;dev_eui;join_eui;name;lorawan_version;frequency_plan_id\n\
                    room-1;70B3D57ED0001234;0000000000000000;\"Room; one\";MAC_V1_0_3;EU_863_870\n\
                    room-1;70B3D57ED0001234;0000000000000000;again;MAC_V1_0_3;EU_863_870\n";
        let rows = read(text, &given("building")).expect("it reads");
        assert_eq!(rows.len(), 1, "each once");
        assert_eq!((rows[0].application.as_str(), rows[0].device_id.as_str()), ("building", "room-1"));
    }

    #[test]
    fn every_mistake_is_told_with_its_line() {
        let text = "device_id,dev_eui,port\nroom-1,12,\n,,\nroom-3,,256\nroom-4,,\nroom-5,,0\n";
        let mistakes = read(text, &given("building")).expect_err("four of them");
        let lines: Vec<_> = mistakes.iter().map(|mistake| mistake.split(':').next().unwrap_or_default()).collect();
        assert_eq!(lines, ["line 2", "line 3", "line 4", "line 6"], "{mistakes:?}");
        for (text, says) in [("", "device_id"), ("name\nx\n", "device_id"), ("device_id\nx\n", "application")] {
            let mistakes = read(text, &Given::default()).expect_err(text);
            assert!(mistakes[0].contains(says), "{mistakes:?}");
        }
        let many = format!("device_id\n{}", ",x\n".repeat(100));
        assert_eq!(read(&many, &given("a")).expect_err("all of them").len(), MISTAKES_MAX + 1);
    }
}

//! `longhaul dead-letters import`

use std::fs::File;
use std::io::{BufRead, BufReader, Read as _};

use serde_json::json;

use super::super::admin_api::{AdminApi, BridgeArguments};
use super::super::say;
use crate::admin::dead_letters::view::{Imported, Letter};
use crate::admin::dead_letters::{IMPORT_BYTES_MAX, IMPORT_MAX};

/// Bytes of a line: a body of 1 MiB twice over in JSON, and what stands beside it.
const LINE_MAX: u64 = 4 << 20;

/// `longhaul dead-letters import`
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// What `export` wrote; `-` is standard input
    file: String,
    #[command(flatten)]
    pub(super) bridge: BridgeArguments,
}

/// In the order of the lines; those before a bad one are kept.
///
/// # Errors
/// The line and what is wrong with it, and how many are kept.
pub(super) async fn import(arguments: &Arguments, bridge: &AdminApi) -> Result<(), String> {
    let mut lines: Box<dyn BufRead> = match arguments.file.as_str() {
        "-" => Box::new(std::io::stdin().lock()),
        file => Box::new(BufReader::new(File::open(file).map_err(|e| format!("failed to open {file}: {e}"))?)),
    };
    let (mut kept, mut number) = (0, 0);
    let mut batch: Batch = Batch::default();
    let outcome = loop {
        let read = match next(&mut lines) {
            Ok(line) => line,
            Err(e) => break Err(format!("line {}: {e}", number + 1)),
        };
        let Some(line) = read else { break batch.send(bridge, &mut kept).await };
        number += 1;
        if line.trim().is_empty() {
            continue;
        }
        let letter = match serde_json::from_str::<Letter>(&line) {
            Ok(letter) => letter,
            Err(e) => break batch.send(bridge, &mut kept).await.and(Err(format!("line {number}: {e}"))),
        };
        if batch.is_full_with(line.len())
            && let Err(e) = batch.send(bridge, &mut kept).await
        {
            break Err(format!("before line {number}: {e}"));
        }
        batch.add(letter, line.len());
    };
    say(&format!("imported: {kept}"));
    outcome
}

#[derive(Default)]
struct Batch {
    letters: Vec<Letter>,
    bytes: usize,
}

impl Batch {
    /// Half of what the bridge takes: nothing that it says twice comes near the other half.
    fn is_full_with(&self, bytes: usize) -> bool {
        self.letters.len() == IMPORT_MAX || (!self.letters.is_empty() && self.bytes + bytes > IMPORT_BYTES_MAX / 2)
    }

    fn add(&mut self, letter: Letter, bytes: usize) {
        self.letters.push(letter);
        self.bytes += bytes;
    }

    async fn send(&mut self, bridge: &AdminApi, kept: &mut usize) -> Result<(), String> {
        let Self { letters, .. } = std::mem::take(self);
        if letters.is_empty() {
            return Ok(());
        }
        let Imported { imported } = bridge.post("/api/v1/dead-letters/import", &json!({ "letters": letters })).await?;
        *kept += imported;
        Ok(())
    }
}

fn next(lines: &mut dyn BufRead) -> Result<Option<String>, String> {
    let mut line = String::new();
    let read = lines.take(LINE_MAX).read_line(&mut line).map_err(|e| e.to_string())?;
    if read as u64 == LINE_MAX && !line.ends_with('\n') {
        return Err(format!("is longer than {LINE_MAX} bytes, which no export writes"));
    }
    Ok((read > 0).then_some(line))
}

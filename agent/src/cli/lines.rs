//! Files of one JSON object a line.

use std::{
    fs,
    io::{BufRead as _, BufReader, Read as _},
    path::Path,
};

use anyhow::{Context as _, bail};

use super::Usage;

/// Longest line that is read: what a collector exports at once is far shorter.
const LINE: usize = 64 << 20;

/// Hands over the lines of a file that are not empty; returns how many lines it has.
pub(super) fn each(path: &Path, take: &mut dyn FnMut(&str) -> anyhow::Result<()>) -> anyhow::Result<u64> {
    let file =
        fs::File::open(path).map_err(|error| Usage(format!("{} can't be read: {error}", path.display())))?;
    let mut reader = BufReader::new(file);
    let mut line = Vec::new();
    let mut count = 0;
    loop {
        line.clear();
        let place = || format!("{}, line {}", path.display(), count + 1);
        let read = reader.by_ref().take(LINE as u64 + 1).read_until(b'\n', &mut line);
        if read.with_context(place)? == 0 {
            return Ok(count);
        }
        if line.len() > LINE {
            bail!("{} is longer than 64 MiB", place());
        }
        let text = std::str::from_utf8(&line).with_context(place)?;
        if !text.trim().is_empty() {
            take(text).with_context(place)?;
        }
        count += 1;
    }
}

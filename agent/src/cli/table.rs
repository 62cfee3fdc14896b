//! The result of a query, as a table or as JSON.

use std::{
    io::{self, Write},
    time::Duration,
};

use serde_json::{Map, Value as Json, json};

use crate::{
    export::visible,
    journal::{Cell, History},
    text::hex,
};

/// Rows that the widths of the columns are made of; those that come later keep to them.
const MEASURED: usize = 1000;
/// Widest column, in characters; what is longer pushes the others on.
const WIDEST: usize = 60;
/// Bytes of a blob that are shown.
const BLOB: usize = 32;

/// Prints what a `SELECT` gives, as it comes.
pub(super) fn query(history: &History, sql: &str, time: Duration, as_json: bool) -> anyhow::Result<()> {
    let mut out = io::BufWriter::new(io::stdout().lock());
    let mut table = Table::default();
    let mut failure: Option<io::Error> = None;
    history.query(sql, time, &mut |columns, cells| {
        let printed = if as_json {
            writeln!(out, "{}", object(columns, cells))
        } else {
            table.row(&mut out, columns, &cells)
        };
        failure = printed.err();
        failure.is_none()
    })?;
    match failure {
        Some(error) => Err(error.into()),
        None => Ok(table.end(&mut out).and_then(|()| out.flush())?),
    }
}

fn object(columns: &[String], cells: Vec<Cell>) -> Json {
    let value = |cell| match cell {
        Cell::Null => Json::Null,
        Cell::Int(number) => json!(number),
        Cell::Real(number) => json!(number),
        Cell::Text(text) => json!(text),
        Cell::Blob(bytes) => json!(hex(&bytes)),
    };
    let object: Map<String, Json> = columns.iter().cloned().zip(cells.into_iter().map(value)).collect();
    Json::Object(object)
}

/// A table whose widths are made of its first rows.
#[derive(Default)]
struct Table {
    /// Those that wait until the widths are known, the heading first.
    held: Vec<Vec<String>>,
    widths: Option<Vec<usize>>,
}

impl Table {
    fn row(&mut self, out: &mut impl Write, columns: &[String], cells: &[Cell]) -> io::Result<()> {
        let cells: Vec<String> = cells.iter().map(shown).collect();
        if let Some(widths) = &self.widths {
            return line(out, &cells, widths);
        }
        if self.held.is_empty() {
            self.held.push(columns.iter().map(|column| visible(column).into_owned()).collect());
        }
        self.held.push(cells);
        if self.held.len() > MEASURED { self.end(out) } else { Ok(()) }
    }

    fn end(&mut self, out: &mut impl Write) -> io::Result<()> {
        let mut widths = Vec::new();
        for row in &self.held {
            widths.resize(row.len(), 0);
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = cell.chars().count().min(WIDEST).max(*width);
            }
        }
        for row in self.held.drain(..) {
            line(out, &row, &widths)?;
        }
        self.widths.get_or_insert(widths);
        Ok(())
    }
}

fn line(out: &mut impl Write, cells: &[String], widths: &[usize]) -> io::Result<()> {
    let padded = cells.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}"));
    let text = padded.collect::<Vec<_>>().join("  ");
    writeln!(out, "{}", text.trim_end())
}

fn shown(cell: &Cell) -> String {
    match cell {
        Cell::Null => "-".to_owned(),
        Cell::Int(number) => number.to_string(),
        Cell::Real(number) => number.to_string(),
        Cell::Text(text) => visible(text).into_owned(),
        Cell::Blob(bytes) if bytes.len() > BLOB => {
            format!("x'{}…' ({} bytes)", hex(&bytes[..BLOB]), bytes.len())
        }
        Cell::Blob(bytes) => format!("x'{}'", hex(bytes)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_stand_below_each_other() {
        let (mut table, mut out) = (Table::default(), Vec::new());
        let columns = ["model".to_owned(), "n".to_owned()];
        for (model, n) in
            [("gpt-4o", Cell::Int(12)), ("a\x1b[2J", Cell::Null), ("b", Cell::Blob(vec![1, 0xab]))]
        {
            table.row(&mut out, &columns, &[Cell::Text(model.into()), n]).unwrap();
        }
        table.end(&mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        assert_eq!(text, "model       n\ngpt-4o      12\na\\u{1b}[2J  -\nb           x'01ab'\n");
    }

    #[test]
    fn a_long_result_is_not_held() {
        let (mut table, mut out) = (Table::default(), Vec::new());
        let columns = ["n".to_owned()];
        for n in 0..3 * MEASURED as i64 {
            table.row(&mut out, &columns, &[Cell::Int(n)]).unwrap();
            assert!(table.held.len() <= MEASURED);
        }
        table.end(&mut out).unwrap();
        assert_eq!(String::from_utf8(out).unwrap().lines().count(), 3 * MEASURED + 1);
    }
}

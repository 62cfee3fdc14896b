//! A user's own `SELECT` over the journal: it can read, and not for ever.

use std::time::{Duration, Instant};

use rusqlite::{
    Batch,
    fallible_iterator::FallibleIterator as _,
    functions::FunctionFlags,
    hooks::{AuthAction, AuthContext, Authorization},
    limits::Limit,
    types::ValueRef,
};
use thiserror::Error;

use super::History;
use crate::contract::{Value, otlp};

/// Instructions of SQLite's machine between two looks at the clock.
const INSTRUCTIONS: i32 = 10_000;
/// Longest value that a query may make, in bytes.
const LONGEST: i32 = 64 << 20;
/// Most memory that a query may take, in bytes.
const MEMORY: i64 = 256 << 20;

/// A value of a result.
#[derive(Clone, Debug, PartialEq)]
pub enum Cell {
    /// `NULL`.
    Null,
    /// An integer.
    Int(i64),
    /// A floating point number.
    Real(f64),
    /// Text; what is no UTF-8 in it is replaced.
    Text(String),
    /// Bytes.
    Blob(Vec<u8>),
}

/// Takes the rows of a result: the names of its columns, and a row. Says whether it wants more.
pub type Rows<'a> = dyn FnMut(&[String], Vec<Cell>) -> bool + 'a;

/// Why a query gave no result, or not all of it.
#[derive(Debug, Error)]
pub enum QueryError {
    /// It would do something else than read.
    #[error("--sql takes one SELECT over the journal, and that alone: {0}")]
    Refused(String),
    /// It took too long.
    #[error("the query was ended after {0:?}: ask for less, or give it longer with --sql-timeout")]
    TooLong(Duration),
    /// SQLite does not understand it, or failed.
    #[error("{0}; `SELECT sql FROM sqlite_schema` shows the tables")]
    Sql(String),
}

impl History {
    /// Runs a `SELECT`, for at most `time`. The function `attribute(otlp, key)` gives an attribute of a span or its resource.
    pub fn query(&self, sql: &str, time: Duration, rows: &mut Rows<'_>) -> Result<(), QueryError> {
        self.restrict(time).map_err(|error| QueryError::Sql(error.to_string()))?;
        let failed = |error: rusqlite::Error| match error.sqlite_error_code() {
            Some(rusqlite::ErrorCode::OperationInterrupted) => QueryError::TooLong(time),
            Some(rusqlite::ErrorCode::AuthorizationForStatementDenied | rusqlite::ErrorCode::ReadOnly) => {
                QueryError::Refused(said(&error))
            }
            _ => match said(&error) {
                // Of a function it has no code of its own.
                text if text.starts_with("not authorized") => QueryError::Refused(text),
                text => QueryError::Sql(text),
            },
        };
        let mut batch = Batch::new(&self.db, sql);
        let first = batch.next().map_err(failed)?;
        let mut statement = first.ok_or_else(|| QueryError::Refused("this is empty".to_owned()))?;
        if !matches!(batch.next(), Ok(None)) {
            return Err(QueryError::Refused("these are several statements".to_owned()));
        }
        let columns: Vec<String> = statement.column_names().into_iter().map(str::to_owned).collect();
        if statement.parameter_count() > 0 {
            return Err(QueryError::Refused("it has parameters, which nobody sets".to_owned()));
        }
        let mut result = statement.raw_query();
        while let Some(row) = result.next().map_err(failed)? {
            let cells: Result<Vec<Cell>, _> =
                (0..columns.len()).map(|column| Ok(cell(row.get_ref(column)?))).collect();
            if !rows(&columns, cells.map_err(failed)?) {
                break;
            }
        }
        Ok(())
    }

    fn restrict(&self, time: Duration) -> rusqlite::Result<()> {
        let db = &self.db;
        db.execute_batch(&format!("PRAGMA hard_heap_limit = {MEMORY}; PRAGMA temp_store = MEMORY"))?;
        db.set_limit(Limit::SQLITE_LIMIT_LENGTH, LONGEST)?;
        db.set_limit(Limit::SQLITE_LIMIT_ATTACHED, 0)?;
        db.create_scalar_function(
            "attribute",
            2,
            FunctionFlags::SQLITE_UTF8 | FunctionFlags::SQLITE_DETERMINISTIC,
            |context| {
                let (ValueRef::Blob(bytes), ValueRef::Text(key)) = (context.get_raw(0), context.get_raw(1))
                else {
                    return Ok(rusqlite::types::Value::Null);
                };
                Ok(attribute(bytes, &String::from_utf8_lossy(key)))
            },
        )?;
        db.authorizer(Some(|context: AuthContext<'_>| match context.action {
            AuthAction::Select | AuthAction::Read { .. } | AuthAction::Recursive => Authorization::Allow,
            AuthAction::Function { function_name }
                if !function_name.eq_ignore_ascii_case("load_extension") =>
            {
                Authorization::Allow
            }
            _ => Authorization::Deny,
        }));
        let end = Instant::now() + time;
        db.progress_handler(INSTRUCTIONS, Some(move || Instant::now() >= end));
        Ok(())
    }
}

/// An attribute of the span in `bytes`, else of its resource.
fn attribute(bytes: &[u8], key: &str) -> rusqlite::types::Value {
    use rusqlite::types::Value as Sql;
    let Ok(delivery) = otlp::decode(bytes) else { return Sql::Null };
    match delivery.get(key).as_deref() {
        None => Sql::Null,
        Some(Value::String(text)) => Sql::Text(text.clone()),
        Some(Value::Int(number)) => Sql::Integer(*number),
        Some(Value::Double(number)) => Sql::Real(*number),
        Some(Value::Bool(flag)) => Sql::Integer(i64::from(*flag)),
        Some(Value::Strings(texts)) => Sql::Text(serde_json::Value::from(texts.clone()).to_string()),
    }
}

/// SQLite's own words, without the statement that rusqlite quotes.
fn said(error: &rusqlite::Error) -> String {
    match error {
        rusqlite::Error::SqliteFailure(_, Some(message)) => message.clone(),
        rusqlite::Error::SqlInputError { msg, .. } => msg.clone(),
        other => other.to_string(),
    }
}

fn cell(value: ValueRef<'_>) -> Cell {
    match value {
        ValueRef::Null => Cell::Null,
        ValueRef::Integer(number) => Cell::Int(number),
        ValueRef::Real(number) => Cell::Real(number),
        ValueRef::Text(text) => Cell::Text(String::from_utf8_lossy(text).into_owned()),
        ValueRef::Blob(bytes) => Cell::Blob(bytes.to_owned()),
    }
}

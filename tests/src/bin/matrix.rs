//! The capture matrix at work, for `cargo xtask` and the tests; NAMEs are those of clients or of their tests.
//!
//! `matrix packages NAME...` prints the Debian packages that are missing, `install` makes what else the clients need, `run NAME` runs
//! one client and keeps its row, `table` prints the page of all rows, and `check PAGE` says in what they differ from it.

use std::{error::Error, fs, io::Write as _, path::PathBuf, process::ExitCode};

use plainspan_tests::matrix::{Client, Row, Shop, clients, differences, markdown, missing_packages, run};

const USAGE: &str = "usage: matrix packages|install|run|table|check [--dir DIR] [--newest] [NAME...|PAGE]";

fn main() -> ExitCode {
    match work() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "matrix: {error}");
            ExitCode::FAILURE
        }
    }
}

fn work() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let verb = args.next().ok_or(USAGE)?;
    let (mut dir, mut newest, mut names) = (PathBuf::from("target/matrix"), false, Vec::new());
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--dir" => dir = args.next().ok_or(USAGE)?.into(),
            "--newest" => newest = true,
            option if option.starts_with('-') => return Err(USAGE.into()),
            _ => names.push(arg),
        }
    }
    // Programs run in directories of their own.
    let shop = Shop::new(std::path::absolute(dir)?, newest);
    let mut out = std::io::stdout();
    match verb.as_str() {
        "packages" => {
            let missing = missing_packages(named(&names)?.into_iter().map(|client| client.install));
            writeln!(out, "{}", missing.join("\n"))?;
        }
        "install" => {
            for client in named(&names)? {
                shop.make(client.install)?;
            }
        }
        "run" => {
            fs::create_dir_all(shop.rows())?;
            for client in named(&names)? {
                let path = shop.rows().join(client.name);
                // Of a run that fails no row is left, not even an older one.
                let _ = fs::remove_file(&path);
                let (row, report) = run(client, &shop);
                fs::write(&path, row.to_json())?;
                writeln!(out, "{}", row.to_json())?;
                if row.verdict < client.floor {
                    let (is, floor) = (row.verdict.name(), client.floor.name());
                    return Err(
                        format!("{} is `{is}` and should be `{floor}`: {report:#?}", client.name).into()
                    );
                }
            }
        }
        "table" => write!(out, "{}", markdown(&rows(&shop)))?,
        "check" => {
            let page = names.first().ok_or(USAGE)?;
            let page = fs::read_to_string(page).map_err(|e| format!("{page}: {e}"))?;
            let differences = differences(&page, &rows(&shop));
            if !differences.is_empty() {
                let differences = differences.join("\n");
                return Err(
                    format!("the page is stale, `cargo xtask matrix` renews it:\n{differences}").into()
                );
            }
        }
        _ => return Err(USAGE.into()),
    }
    Ok(())
}

fn named(names: &[String]) -> Result<Vec<&'static Client>, String> {
    let find = |name: &String| {
        let found = clients().into_iter().find(|client| client.name == name || client.test() == *name);
        found.ok_or_else(|| format!("there is no client {name}"))
    };
    names.iter().map(find).collect()
}

/// The rows of the clients that were run.
fn rows(shop: &Shop) -> Vec<Row> {
    let read = |client: &Client| Row::from_json(&fs::read_to_string(shop.rows().join(client.name)).ok()?);
    clients().into_iter().filter_map(read).collect()
}

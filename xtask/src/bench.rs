//! `cargo xtask bench`: what a record costs on its way from the ring buffer to a span, and what each parser costs.

use crate::workspace::{Workspace, must};
use anyhow::Result;

/// The verb. Arguments are Criterion's: a part of names, `--save-baseline NAME`, `--baseline NAME`.
pub fn run(workspace: &Workspace, args: &[String]) -> Result<()> {
    let benches = ["--bench", "hot_path", "--bench", "journal", "--bench", "parsers"];
    must(workspace.cargo().args(["bench", "--package", "plainspan"]).args(benches).arg("--").args(args))
}

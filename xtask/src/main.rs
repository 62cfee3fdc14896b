//! plainspan's habits of development, each a verb: `cargo xtask help`.

mod contract;

fn main() -> anyhow::Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match args.split_first() {
        Some((verb, rest)) if verb == "contract" => contract::run(rest),
        _ => anyhow::bail!("usage: cargo xtask contract [--check]"),
    }
}

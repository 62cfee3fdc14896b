//! The `plainspan` command.

fn main() -> std::process::ExitCode {
    plainspan::cli::main()
}

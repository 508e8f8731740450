//! The shim alone, for this crate's tests; users get it as a hidden command of `llmisvc`.

use std::process::ExitCode;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match args.split_first() {
        Some((command, rest)) if command == "pod-shim" => local::node::shim::main(rest),
        _ => ExitCode::FAILURE,
    }
}

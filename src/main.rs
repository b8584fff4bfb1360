//! `perpring`: parse the arguments, run one command, exit with its code.

use clap::Parser;
use perpring::cli::{Cli, run};
use std::io::Write;
use std::process::ExitCode;

fn main() -> ExitCode {
    match run(Cli::parse()) {
        Ok(code) => ExitCode::from(code),
        Err(failure) => {
            // Nobody may be listening any more.
            let _ = writeln!(std::io::stderr(), "perpring: {failure}");
            ExitCode::from(2)
        }
    }
}

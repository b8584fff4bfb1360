//! Why a command could not run, and the exit codes. The words are for people: what, where, what to do.

use std::path::PathBuf;

/// Exit code: nothing to complain about.
pub const EXIT_CLEAN: u8 = 0;
/// Exit code: something was found (errors, gaps).
pub const EXIT_FINDING: u8 = 1;
/// Exit code: could not run.
pub const EXIT_CANNOT: u8 = 2;

/// Why a command could not run (exit code 2).
#[derive(Debug, thiserror::Error)]
pub enum CliError {
    /// A file could not be opened or read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Output could not be written.
    #[error("cannot write the output: {0}")]
    Write(#[from] std::io::Error),
    /// No such dialect.
    #[error("unknown venue `{name}`; known are: {known}")]
    Venue {
        /// As given.
        name: String,
        /// What there is.
        known: String,
    },
    /// Nothing to read.
    #[error("no input: name one or more files, or `-` for standard input")]
    NoInput,
    /// An argument does not make sense.
    #[error("{0}")]
    Argument(String),
}

/// Full dialect names for what people type.
pub fn full_name(name: &str) -> &str {
    match name {
        "binance" => "binance-usdm",
        "coinm" => "binance-coinm",
        other => other,
    }
}

/// The help of an argument that names dialects: what it means, and every name that there is.
pub fn naming(what: &str) -> String {
    let names: Vec<&str> = crate::venue::DIALECTS.iter().map(|dialect| dialect.name()).collect();
    format!("{what}: {} (short: binance, coinm)", names.join(", "))
}

/// The dialect of that name, or an error that lists what there is.
///
/// # Errors
/// [`CliError::Venue`].
pub fn dialect(name: &str) -> Result<&'static dyn crate::venue::Dialect, CliError> {
    crate::venue::dialect(full_name(name)).ok_or_else(|| CliError::Venue {
        name: name.to_owned(),
        known: crate::venue::DIALECTS.iter().map(|dialect| dialect.name()).collect::<Vec<_>>().join(", "),
    })
}

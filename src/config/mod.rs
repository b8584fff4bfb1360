//! The configuration of `perpring run`: a TOML file of venues, instruments, the scanner and limits.
//!
//! Written for people: basis points, milliseconds and percents, with the unit last in every key. Unknown
//! keys, contradictions and secrets are refused with the line and what to do; nothing is guessed. Holds no
//! secret itself, only where to find one (see [`secrets`]).

mod build;
pub mod names;
pub mod secrets;
mod tables;
#[cfg(test)]
mod tests;
mod written;

pub use build::{Settings, VenueSettings};
pub use tables::{
    Config, EngineTable, InstrumentTable, PaperTable, QuotesTable, RiskTable, ScanTable, VenueTable,
};

pub use written::written;

use std::path::Path;

/// Why a configuration cannot be used at all.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read the configuration {path}: {source}")]
    Read {
        /// The file.
        path: String,
        /// Why.
        source: std::io::Error,
    },
    /// Not TOML, an unknown key, a wrong type.
    #[error("{origin}, line {line}, column {column}: {what}")]
    Syntax {
        /// The file.
        origin: String,
        /// From 1.
        line: usize,
        /// From 1.
        column: usize,
        /// What is wrong.
        what: String,
    },
    /// A secret stands in the file.
    #[error(
        "{origin}, line {line}: `{key}` looks like a secret; a configuration must not hold any. Remove it (and \
         renew the key at the venue), then set `credentials_env` or `credentials_file`"
    )]
    Secret {
        /// The file.
        origin: String,
        /// From 1.
        line: usize,
        /// The key.
        key: String,
    },
}

impl Config {
    /// Reads and parses a file; contradictions show in [`Config::settings`].
    ///
    /// # Errors
    /// [`ConfigError`].
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let origin = path.display().to_string();
        let text = std::fs::read_to_string(path)
            .map_err(|source| ConfigError::Read { path: origin.clone(), source })?;
        Self::parse(&origin, &text)
    }

    /// Parses `text`; `origin` names it in errors.
    ///
    /// # Errors
    /// [`ConfigError`] but for [`ConfigError::Read`].
    pub fn parse(origin: &str, text: &str) -> Result<Self, ConfigError> {
        // The parser's own display quotes the line, which may hold a secret: only its sentence is used.
        let syntax = |error: toml::de::Error| {
            let at = error.span().map_or(0, |span| span.start);
            let (line, column) = position(text, at);
            let mut what = error.message().trim().to_owned();
            if what.starts_with("invalid type: string") || what.starts_with("invalid value: string") {
                what = format!(
                    "a text where {} belongs",
                    what.rsplit("expected ").next().unwrap_or("another type")
                );
            }
            if let Some(key) = key_at(text, at).filter(|key| !what.contains(&format!("`{key}`"))) {
                what = format!("`{key}`: {what}");
            }
            ConfigError::Syntax { origin: origin.to_owned(), line, column, what }
        };
        let table: toml::Table = toml::from_str(text).map_err(syntax)?;
        if let Some(key) = secret_key(&table) {
            let holds = |line: &str| line.split('#').next().is_some_and(|code| code.contains(&key));
            let line = text.lines().position(holds).map_or(1, |index| index + 1);
            return Err(ConfigError::Secret { origin: origin.to_owned(), line, key });
        }
        toml::from_str(text).map_err(syntax)
    }
}

/// Line and column, from 1, of a byte offset.
fn position(text: &str, offset: usize) -> (usize, usize) {
    let before = text.get(..offset).unwrap_or(text);
    let line_start = before.rfind('\n').map_or(0, |at| at + 1);
    (before.matches('\n').count() + 1, before[line_start..].chars().count() + 1)
}

/// The key whose value stands at a byte offset. Never a piece of a value: only what stands bare before a `=`
/// with no quotation mark in front of it.
fn key_at(text: &str, offset: usize) -> Option<&str> {
    let before = text.get(..offset)?;
    let line = &before[before.rfind('\n').map_or(0, |at| at + 1)..];
    let quoted = line.contains(['"', '\'']);
    let (head, _) = if quoted { line.split_once('=') } else { line.rsplit_once('=') }?;
    let bare = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    let key = head.trim_end().rsplit(|c| !bare(c)).next().filter(|key| !key.is_empty())?;
    (!head.contains(['"', '\''])).then_some(key)
}

/// The first key that names a secret, at any depth.
fn secret_key(table: &toml::Table) -> Option<String> {
    fn within(value: &toml::Value) -> Option<String> {
        match value {
            toml::Value::Table(table) => secret_key(table),
            toml::Value::Array(items) => items.iter().find_map(within),
            _ => None,
        }
    }
    table.iter().find_map(|(key, value)| {
        let name = key.to_ascii_lowercase().replace(['-', '_'], "");
        let secret = ["secret", "apikey", "passphrase", "password", "privatekey", "token"]
            .iter()
            .any(|word| name.contains(word));
        if secret { Some(key.clone()) } else { within(value) }
    })
}

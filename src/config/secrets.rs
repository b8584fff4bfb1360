//! Where credentials come from: environment variables or a file that only its owner may read.
//!
//! Never from the configuration, and no message ever shows a value.

use super::VenueTable;
use crate::domain::params::SessionKind;
use crate::net::proxy::Proxy;
use crate::stage::egress::Credentials;
use crate::stage::signer;
use serde::Deserialize;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct KeyFile {
    api_key: String,
    api_secret: String,
    #[serde(default)]
    passphrase: String,
}

/// The credentials of a venue; `lookup` reads an environment variable.
///
/// # Errors
/// A sentence that says what is missing and what to do.
pub fn load(venue: &VenueTable, lookup: &dyn Fn(&str) -> Option<String>) -> Result<Credentials, String> {
    let credentials = match (&venue.credentials_env, &venue.credentials_file) {
        (Some(prefix), None) => from_environment(prefix, lookup)?,
        (None, Some(path)) => from_file(path)?,
        (Some(_), Some(_)) => {
            return Err(format!(
                "venue {}: both credentials_env and credentials_file are set: keep one",
                venue.dialect
            ));
        }
        (None, None) => {
            return Err(format!(
                "venue {} has no credentials: set credentials_env or credentials_file",
                venue.dialect
            ));
        }
    };
    let private = signer::is_ed25519(&credentials.secret);
    if private != (venue.session == SessionKind::Logon) {
        return Err(format!(
            "venue {}: session = \"logon\" and an Ed25519 private key (PEM, or ed25519: and the seed in hex) belong \
             together: set both or none",
            venue.dialect
        ));
    }
    if !signer::is_usable(&credentials.secret) {
        return Err(format!(
            "venue {}: its Ed25519 private key cannot be read: check its form",
            venue.dialect
        ));
    }
    if venue.dialect.starts_with("okx") && credentials.passphrase.is_empty() {
        return Err(format!(
            "venue {}: its API keys have a passphrase too: set it beside key and secret",
            venue.dialect
        ));
    }
    if venue.dialect.starts_with("hyperliquid") {
        check_wallet(&venue.dialect, &credentials)?;
    }
    Ok(credentials)
}

/// The proxy of a venue; `lookup` reads an environment variable.
///
/// # Errors
/// A sentence that shows no address.
pub fn proxy(
    venue: &VenueTable,
    lookup: &dyn Fn(&str) -> Option<String>,
) -> Result<Option<Arc<Proxy>>, String> {
    let name = &venue.dialect;
    let (text, key) = match (&venue.proxy, &venue.proxy_env) {
        (None, None) => return Ok(None),
        (Some(_), Some(_)) => {
            return Err(format!("venue {name}: both proxy and proxy_env are set: keep one"));
        }
        (Some(text), None) => (text.clone(), "proxy"),
        (None, Some(variable)) => {
            let value = lookup(variable).filter(|value| !value.trim().is_empty());
            let missing =
                || format!("venue {name}: the environment variable of proxy_env is not set or empty: set it");
            (value.ok_or_else(missing)?.trim().to_owned(), "proxy_env")
        }
    };
    let proxy = Proxy::parse(&text).map_err(|error| format!("venue {name}: {key}: {error}"))?;
    if key == "proxy" && proxy.has_login() {
        return Err(format!(
            "venue {name}: proxy holds credentials; a configuration must not hold any. Put the whole address into an \
             environment variable and name it by proxy_env"
        ));
    }
    Ok(Some(Arc::new(proxy)))
}

/// The key is the account's address, the secret an agent's private key.
fn check_wallet(dialect: &str, credentials: &Credentials) -> Result<(), String> {
    let hex = |text: &str, len: usize| text.len() == len && text.bytes().all(|b| b.is_ascii_hexdigit());
    let address = credentials.api_key.strip_prefix("0x").unwrap_or_default();
    if !hex(address, 40) || address.bytes().any(|byte| byte.is_ascii_uppercase()) {
        return Err(format!(
            "venue {dialect}: its API key is the account's address (of the master account, not of the agent): 0x and \
             40 lower-case hex digits"
        ));
    }
    let key = credentials.secret.strip_prefix("0x").unwrap_or(&credentials.secret);
    if !hex(key, 64) {
        return Err(format!(
            "venue {dialect}: its API secret is the private key of an approved agent wallet: 64 hex digits"
        ));
    }
    Ok(())
}

fn from_environment(prefix: &str, lookup: &dyn Fn(&str) -> Option<String>) -> Result<Credentials, String> {
    let get = |name: &str| lookup(&format!("{prefix}_{name}")).filter(|value| !value.trim().is_empty());
    let need = |name: &str| {
        get(name)
            .ok_or_else(|| format!("the environment variable {prefix}_{name} is not set or empty: set it"))
    };
    Ok(Credentials {
        api_key: need("API_KEY")?.trim().to_owned(),
        secret: need("API_SECRET")?.trim().to_owned(),
        passphrase: get("PASSPHRASE").unwrap_or_default().trim().to_owned(),
    })
}

fn from_file(path: &Path) -> Result<Credentials, String> {
    let shown = path.display();
    let fail = |error: std::io::Error| format!("cannot read the key file {shown}: {error}");
    // Checked on the open file, so that what was checked is what is read.
    let mut file = std::fs::File::open(path).map_err(fail)?;
    let about = file.metadata().map_err(fail)?;
    if !about.is_file() {
        return Err(format!("the key file {shown} is not a regular file"));
    }
    if about.mode() & 0o077 != 0 {
        return Err(format!(
            "the key file {shown} can be read by others (mode {:03o}): run chmod 600 on it, and renew the keys if \
             this host has other users",
            about.mode() & 0o777
        ));
    }
    let mut text = String::new();
    std::io::Read::read_to_string(&mut file, &mut text).map_err(fail)?;
    // The parser's words could quote a secret.
    let keys: KeyFile = toml::from_str(&text).map_err(|_| {
        format!("the key file {shown} must hold api_key = \"…\", api_secret = \"…\" and, where there is one, passphrase = \"…\"")
    })?;
    if keys.api_key.is_empty() || keys.api_secret.is_empty() {
        return Err(format!("the key file {shown}: api_key or api_secret is empty"));
    }
    Ok(Credentials { api_key: keys.api_key, secret: keys.api_secret, passphrase: keys.passphrase })
}

//! `perpring check-config`: everything that is wrong with a configuration, or what it says in short.

use super::Failure;
use super::demo::plan;
use super::error::{EXIT_CLEAN, EXIT_FINDING};
use crate::config::{Config, ConfigError, Settings, secrets};
use crate::domain::intent::BPS;
use crate::net::tls::Trust;
use crate::runtime::profile::Profile;
use clap::Args;
use rustix::fs::Access;
use std::fmt::Write;
use std::path::{Path, PathBuf};

/// Arguments of `check-config`.
#[derive(Args, Debug)]
pub struct CheckConfigArgs {
    /// The configuration.
    pub file: PathBuf,
}

/// Runs the command.
pub fn run(args: &CheckConfigArgs) -> Result<u8, Failure> {
    let lookup = |name: &str| std::env::var(name).ok();
    let config = match Config::load(&args.file) {
        Ok(config) => config,
        Err(unreadable @ ConfigError::Read { .. }) => return Err(unreadable.into()),
        Err(wrong) => {
            say!("{wrong}")?;
            return Ok(EXIT_FINDING);
        }
    };
    match check(&config, &lookup) {
        Ok(settings) => {
            say!("{}", summary(&config, &settings))?;
            Ok(EXIT_CLEAN)
        }
        Err(findings) => {
            for finding in &findings {
                say!("{finding}")?;
            }
            say!("{}: {} finding(s)", args.file.display(), findings.len())?;
            Ok(EXIT_FINDING)
        }
    }
}

/// The settings that the configuration asks for, or every finding. Credentials are looked for where they
/// will be needed (live), and key files wherever they are named. What depends on this host (cores, files,
/// directories) is checked too; nothing is created.
pub fn check(config: &Config, lookup: &dyn Fn(&str) -> Option<String>) -> Result<Settings, Vec<String>> {
    let live = config.engine.live;
    let settings = config.settings(live);
    let mut missing: Vec<String> = host_findings(config);
    missing.extend(config.venues.iter().filter_map(|venue| secrets::proxy(venue, lookup).err()));
    for venue in config.venues.iter().filter(|venue| live || venue.credentials_file.is_some()) {
        missing.extend(secrets::load(venue, lookup).err());
    }
    match settings {
        Ok(settings) if missing.is_empty() => Ok(settings),
        Ok(_) => Err(missing),
        Err(mut findings) => {
            findings.append(&mut missing);
            Err(findings)
        }
    }
}

/// What this host cannot give.
fn host_findings(config: &Config) -> Vec<String> {
    let engine = &config.engine;
    let mut findings = Vec::new();
    // A profile that cannot be read is a finding of the settings already.
    if engine.pinning.as_deref().is_none_or(|name| Profile::load(name).is_ok())
        && let Err(unfit) = plan(engine.pinning.as_deref(), engine.idle)
    {
        findings.push(format!("[engine] pinning: {unfit}"));
    }
    if let Some(Err(unusable)) = engine.ca_file.as_deref().map(|file| Trust::nobody().add_pem_file(file)) {
        findings.push(format!("[engine] ca_file: {unusable}"));
    }
    findings.extend(engine.journal_dir.as_deref().and_then(unwritable));
    findings
}

/// Why no run could be recorded below `dir`, which may be absent where it can be created.
fn unwritable(dir: &Path) -> Option<String> {
    let absolute = std::path::absolute(dir).ok()?;
    let nearest = absolute.ancestors().find(|path| path.exists())?;
    let shown = nearest.display();
    let what = if !nearest.is_dir() {
        format!("{shown} is not a directory")
    } else if rustix::fs::access(nearest, Access::WRITE_OK | Access::EXEC_OK).is_err() {
        format!("{shown} cannot be written to")
    } else {
        return None;
    };
    Some(format!("[engine] journal_dir {}: {what}; choose another directory", dir.display()))
}

/// What the configuration says, in short.
pub fn summary(config: &Config, settings: &Settings) -> String {
    let bps = |ppb: i64| ppb as f64 / BPS as f64;
    let params = &settings.params;
    let mut text = String::new();
    let mode = match &params.paper {
        Some(paper) => format!(
            "paper only: {} per venue and currency, {} ms latency",
            paper.balance,
            paper.latency_ns as f64 / 1e6
        ),
        None => "live orders allowed (with --live)".to_owned(),
    };
    // Writing to a string cannot fail.
    let _ = writeln!(text, "mode: {mode}");
    for (venue, at) in params.venues.iter().zip(&settings.venues) {
        let _ = writeln!(
            text,
            "venue {}: taker {} bps, maker {} bps, margin {:.2} %, {} orders per 10 s, {} and {}",
            venue.dialect,
            bps(venue.taker_fee_ppb),
            bps(venue.maker_fee_ppb),
            venue.margin_ppb as f64 / 1e7,
            venue.orders_per_10s_max,
            at.sockets.first().map_or("-", String::as_str),
            at.http
        );
    }
    for (index, canonical) in params.canonicals.iter().enumerate() {
        let listings: Vec<String> = params
            .listings
            .iter()
            .filter(|listing| listing.canonical.index() == index)
            .map(|listing| format!("{} at {}", listing.symbol, params.venues[listing.venue.index()].dialect))
            .collect();
        let _ = writeln!(text, "instrument {}: {}", canonical.name, listings.join(", "));
    }
    let (scan, risk) = (&params.scan, &params.risk);
    let _ = writeln!(
        text,
        "entries: {} per leg from {} bps net, at most {} trades, held at most {} s",
        scan.notional_usd,
        bps(scan.threshold_ppb),
        scan.trades_open_max,
        scan.hold_max_ns as f64 / 1e9
    );
    let _ = writeln!(
        text,
        "limits: order {}, listing {}, venue {}, everywhere {}, loss a day {}, drawdown {}",
        risk.order_notional_max_usd,
        risk.instrument_position_max_usd,
        risk.venue_position_max_usd,
        risk.gross_exposure_max_usd,
        risk.daily_loss_max_usd,
        risk.drawdown_max_usd
    );
    let journal =
        config.engine.journal_dir.as_ref().map_or("none".to_owned(), |dir| dir.display().to_string());
    let _ = write!(text, "journal: {journal}");
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_passes_and_is_summed_up() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/config.example.toml");
        assert_eq!(run(&CheckConfigArgs { file: path.into() }).unwrap(), EXIT_CLEAN);
        let config = Config::load(path.as_ref()).unwrap();
        let text = summary(&config, &check(&config, &|_| None).unwrap());
        assert!(text.contains("paper only: 100000") && text.contains("BTC-USDT-SWAP at okx"), "{text}");
    }

    #[test]
    fn what_the_host_cannot_give_is_found_and_nothing_is_created() {
        let dir = crate::cli::demo::tempdir().unwrap();
        let file = dir.join("file");
        std::fs::write(&file, b"no certificate").unwrap();
        let mut config = Config::default();
        config.engine.journal_dir = Some(dir.join("a/b"));
        assert_eq!(host_findings(&config), Vec::<String>::new());
        assert!(!dir.join("a").exists());
        config.engine.journal_dir = Some(file.join("journals"));
        config.engine.ca_file = Some(file);
        let found = host_findings(&config).join("\n");
        assert!(found.contains("is not a directory") && found.contains("ca_file"), "{found}");
    }

    #[test]
    fn findings_exit_1_and_a_missing_file_cannot_run() {
        let dir = crate::cli::demo::tempdir().unwrap();
        assert!(run(&CheckConfigArgs { file: dir.join("absent.toml") }).is_err());
        for text in ["[engine]\n", "[engine", "[engine]\nspeed = 1\n"] {
            let file = dir.join("x.toml");
            std::fs::write(&file, text).unwrap();
            assert_eq!(run(&CheckConfigArgs { file }).unwrap(), EXIT_FINDING, "{text}");
        }
    }
}

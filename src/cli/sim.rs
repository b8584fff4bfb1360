//! `perpring sim`: simulated venues behind real sockets, for this engine or any other client.
//!
//! Prints one JSON line per venue with its addresses, serves until told to stop, and writes the venues' own ledgers.
#![allow(clippy::disallowed_methods)] // the command's own pace and duration

use super::error::{full_name, naming};
use crate::domain::time::Nanos;
use crate::sim::socket::{HostError, HostOptions, SimHost, TlsIdentity, TlsIdentityError, WallClock};
use crate::sim::{ConfigError, FaultError, FaultPlan, LedgerServer, SimConfig, server_with};
use clap::Args;
use serde_json::json;
use std::io::{self, Write};
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Arguments of `sim`.
#[derive(Args, Clone, Debug)]
pub struct SimArgs {
    /// Venues, separated by commas. The first leads, the others follow its prices late.
    #[arg(long, value_delimiter = ',', default_value = "binance,okx", help = naming("Venues; the first leads, the others follow its prices late"))]
    pub venues: Vec<String>,
    /// Seed of the market.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Instruments listed on every venue.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..=500))]
    pub instruments: u16,
    /// Address to listen at.
    #[arg(long, default_value = "127.0.0.1")]
    pub bind: IpAddr,
    /// Port of the first venue, the others follow; 0: any free ports.
    #[arg(long, default_value_t = 0)]
    pub port_base: u16,
    /// Serve TLS with a generated certificate; the authority to trust is in the printed line.
    #[arg(long)]
    pub tls: bool,
    /// At the end write each venue's ledger to DIR/VENUE.
    #[arg(long, value_name = "DIR")]
    pub ledger: Option<PathBuf>,
    /// Let the venues misbehave as this file says (see docs/faults.example.toml).
    #[arg(long, value_name = "FILE")]
    pub faults: Option<PathBuf>,
    /// Stop after this long (such as 60s, 5m); without it: when interrupted.
    #[arg(long = "for", value_name = "DURATION", value_parser = super::parse_duration)]
    pub duration: Option<Duration>,
}

/// Why the venues could not be served.
#[derive(Debug, thiserror::Error)]
pub enum SimError {
    /// The world cannot be built.
    #[error("{0}")]
    Config(#[from] ConfigError),
    /// The file of faults is wrong.
    #[error("{0}")]
    Faults(#[from] FaultError),
    /// No certificate.
    #[error("{0}")]
    Tls(#[from] TlsIdentityError),
    /// A venue could not be started or ended early.
    #[error("{0}")]
    Host(#[from] HostError),
    /// Ports run out above 65535.
    #[error("port base {base} leaves no port for venue number {number}; choose a lower one")]
    Port {
        /// The first port.
        base: u16,
        /// Which venue.
        number: usize,
    },
    /// The directory for the ledgers cannot be made.
    #[error("cannot write ledgers to {dir}: {source}; choose a directory that can be written")]
    Ledger {
        /// The directory.
        dir: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Standard output is gone.
    #[error("cannot print the addresses: {0}")]
    Output(io::Error),
}

/// Serves until `stop` is set, the time is over or a venue fails. Exit code 0.
pub fn run(args: &SimArgs, stop: &AtomicBool) -> Result<u8, SimError> {
    if let Some(dir) = &args.ledger {
        // Found out now rather than after an hour of trading.
        std::fs::create_dir_all(dir).map_err(|source| SimError::Ledger { dir: dir.clone(), source })?;
    }
    let clock = WallClock::start();
    let dialects: Vec<&str> = args.venues.iter().map(|name| full_name(name)).collect();
    let mut config = SimConfig::demo(args.seed, &dialects, usize::from(args.instruments))?;
    config.start_wall_ns = clock.now();
    let plan =
        args.faults.as_ref().map(|file| FaultPlan::load(file, &config)).transpose()?.unwrap_or_default();
    let tls = args.tls.then(TlsIdentity::generate).transpose()?;
    let mut hosts = Vec::new();
    for (number, venue) in config.venues.iter().enumerate() {
        let port = match args.port_base {
            0 => 0,
            base => u16::try_from(number)
                .ok()
                .and_then(|n| base.checked_add(n))
                .ok_or(SimError::Port { base, number })?,
        };
        let options = HostOptions { tls: tls.clone(), clock, ..HostOptions::new(&venue.name) };
        let server = server_with(&config, number, &plan)?;
        let host = SimHost::start(server, SocketAddr::new(args.bind, port), options)?;
        hosts.push((venue.name.clone(), host));
    }
    // All or none: whoever reads a line may connect at once and find every venue.
    for (venue, (name, host)) in config.venues.iter().zip(&hosts) {
        announce(name, &venue.dialect, host.addr(), tls.as_ref()).map_err(SimError::Output)?;
    }
    let duration_ns =
        args.duration.map_or(Nanos::MAX, |time| Nanos::try_from(time.as_nanos()).unwrap_or(Nanos::MAX));
    let until = clock.now().saturating_add(duration_ns);
    while !stop.load(Ordering::Relaxed)
        && clock.now() < until
        && hosts.iter().all(|(_, host)| host.is_running())
    {
        std::thread::park_timeout(Duration::from_millis(20)); // a signal handler sets a flag, it cannot wake us
    }
    let mut outcome = Ok(0);
    for (name, host) in hosts {
        let written = match host.stop() {
            Ok(server) => {
                if args.faults.is_some() {
                    tell!("faults of {name}: {}", server.faults());
                }
                write_ledger(server, args.ledger.as_deref(), &name)
            }
            Err(error) => Err(error.into()),
        };
        if let Err(error) = written {
            outcome = Err(error); // the other ledgers are written all the same
        }
    }
    outcome
}

fn write_ledger(mut server: Box<dyn LedgerServer>, dir: Option<&Path>, name: &str) -> Result<(), SimError> {
    let Some(dir) = dir.map(|dir| dir.join(name)) else { return Ok(()) };
    server.write_ledger(&dir).map_err(|source| SimError::Ledger { dir, source })
}

fn announce(name: &str, dialect: &str, addr: SocketAddr, tls: Option<&TlsIdentity>) -> io::Result<()> {
    let secure = if tls.is_some() { "s" } else { "" };
    let mut line = json!({
        "venue": name,
        "dialect": dialect,
        "addr": addr.to_string(),
        "http": format!("http{secure}://{addr}"),
        "ws": format!("ws{secure}://{addr}"),
    });
    if let Some(tls) = tls {
        line["ca_pem"] = tls.ca_pem().into();
    }
    let mut out = io::stdout().lock();
    writeln!(out, "{line}")?;
    out.flush()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::time::MILLI;

    fn args(ledger: Option<PathBuf>) -> SimArgs {
        SimArgs {
            venues: vec!["okx".into()],
            seed: 7,
            instruments: 1,
            bind: IpAddr::from([127, 0, 0, 1]),
            port_base: 0,
            tls: true,
            ledger,
            faults: None,
            duration: Some(Duration::from_millis(300)),
        }
    }

    #[test]
    fn it_serves_for_the_time_asked_and_writes_the_ledger() {
        let dir = std::env::temp_dir().join(format!("perpring-sim-{}", std::process::id()));
        let clock = WallClock::start();
        let begun = clock.now();
        assert_eq!(run(&args(Some(dir.clone())), &AtomicBool::new(false)).unwrap(), 0);
        assert!(clock.now() - begun >= 300 * MILLI);
        let balances: serde_json::Value =
            serde_json::from_slice(&std::fs::read(dir.join("okx/balances.json")).unwrap()).unwrap();
        assert_eq!(balances["accounts"][1]["wallet"], "100000");
        std::fs::remove_dir_all(dir).unwrap();
    }

    #[test]
    fn a_set_flag_stops_it_and_bad_arguments_are_explained() {
        let forever = SimArgs { duration: None, ..args(None) };
        assert_eq!(run(&forever, &AtomicBool::new(true)).unwrap(), 0);
        let unknown = SimArgs { venues: vec!["nasdaq".into()], ..args(None) };
        assert!(run(&unknown, &AtomicBool::new(true)).unwrap_err().to_string().contains("nasdaq"));
        let file = std::env::temp_dir().join(format!("perpring-file-{}", std::process::id()));
        std::fs::write(&file, b"").unwrap();
        let error = run(&args(Some(file.clone())), &AtomicBool::new(true)).unwrap_err().to_string();
        assert!(error.contains(&file.display().to_string()), "{error}");
        std::fs::remove_file(file).unwrap();
    }
}

//! Secrets of a run are in nothing that it leaves behind or shows: searched for in the program's output, its
//! files and its metrics.

use crate::simulated::TempDir;
use perpring::sim::SimAccount;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// Every file below `dir` with its bytes.
fn files(dir: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).expect("it was written") {
        let path = entry.expect("readable").path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            found.push((path.clone(), std::fs::read(&path).expect("readable")));
        }
    }
    found
}

fn get(address: SocketAddr, path: &str) -> std::io::Result<Vec<u8>> {
    let mut tcp = TcpStream::connect(address)?;
    write!(tcp, "GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n")?;
    let mut answer = Vec::new();
    tcp.read_to_end(&mut answer)?;
    Ok(answer)
}

/// The last answer before the program ended.
fn metrics_until_the_end(address: SocketAddr, child: &mut Child) -> Vec<u8> {
    let mut last = Vec::new();
    while child.try_wait().expect("our child").is_none() {
        if let Ok(answer) = get(address, "/metrics") {
            last = answer;
        }
        std::thread::park_timeout(Duration::from_millis(50));
    }
    last
}

#[test]
fn the_programs_output_files_and_metrics_hold_no_secret() {
    let dir = TempDir::new();
    std::fs::create_dir_all(dir.path()).expect("temporary disk");
    let free = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("loopback");
    let mut command = Command::new(env!("CARGO_BIN_EXE_perpring"));
    command.args([
        "demo",
        "--for",
        "8s",
        "--json",
        "--instruments",
        "2",
        "--pinning",
        "fused",
        "--idle",
        "yield",
    ]);
    command.arg("--journal").arg(dir.path().join("journal")).arg("--ledger").arg(dir.path().join("ledger"));
    command.arg("--picture").arg(dir.path().join("picture.svg")).arg("--metrics").arg(free.to_string());
    let output = |name: &str| std::fs::File::create(dir.path().join(name)).expect("temporary disk");
    let mut child = command
        .stdout(output("stdout"))
        .stderr(output("stderr"))
        .stdin(Stdio::null())
        .spawn()
        .expect("it starts");
    let metrics = metrics_until_the_end(free, &mut child);
    child.wait().expect("our child");
    std::fs::write(dir.path().join("metrics"), &metrics).expect("temporary disk");

    let files = files(dir.path());
    let stdout = &files.iter().find(|(path, _)| path.ends_with("stdout")).expect("created").1;
    let report: serde_json::Value = serde_json::from_slice(stdout).expect("a report");
    assert!(report["orders_sent"].as_u64() > Some(0), "the secrets were used: {report}");
    assert!(metrics.starts_with(b"HTTP/1.1 200") && metrics.len() > 1_000, "metrics were served");
    for wanted in ["stderr", "manifest.json", "fills.ndjson", "frames.json", "picture.svg"] {
        assert!(files.iter().any(|(path, bytes)| path.ends_with(wanted) && !bytes.is_empty()), "no {wanted}");
    }
    let account = SimAccount::default();
    for (path, bytes) in &files {
        for secret in [&account.api_key, &account.secret, &account.passphrase] {
            let found = memchr::memmem::find(bytes, secret.as_bytes());
            assert_eq!(found, None, "{} holds {secret}", path.display());
        }
    }
}

//! Restore drills against a local S3 server, by the program itself.

use crate::backup::{finished, relative};
use crate::simulated::TempDir;
use perpring::net::http::{HttpCall, HttpClient};
use perpring::net::tls::Trust;
use serde_json::Value;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// What may stand in nothing that the program says.
const SECRETS: [(&str, &str); 3] = [
    ("AWS_ACCESS_KEY_ID", "CANARYKEYNAME"),
    ("AWS_SECRET_ACCESS_KEY", "canary-secret-key"),
    ("AWS_SESSION_TOKEN", "canary-session-token"),
];

/// The program in an environment without `AWS_*` but these; its exit code and all that it says.
fn perpring(environment: &[(&str, &str)], args: &[&str]) -> (Option<i32>, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_perpring"));
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("AWS_")) {
        command.env_remove(name);
    }
    let output = command.args(args).envs(environment.iter().copied()).output().expect("the program");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let said = text(&output.stdout) + &text(&output.stderr);
    assert!(!said.to_lowercase().contains("canary"), "{said}");
    (output.status.code(), said)
}

/// A local server with an empty bucket `drill`, ended with the value.
struct Server {
    child: Child,
    endpoint: String,
    client: HttpClient,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Server {
    /// Starts one on a free port; `None` (and said so) when it is not installed.
    fn start() -> Option<Self> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let venv = std::env::var_os("CARGO_TARGET_DIR")
            .map_or_else(|| root.join("target"), PathBuf::from)
            .join("venv");
        if !venv.join("moto").exists() {
            println!("skipped: no S3 server; run tests/setup-python.sh");
            return None;
        }
        let mut child = Command::new(venv.join("bin/python"))
            .arg(root.join("tests/py/s3_server.py"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("Python");
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("a pipe")).read_line(&mut line).expect("its port");
        let client = HttpClient::new(&Trust::nobody(), Duration::from_secs(20));
        let server = Self { child, endpoint: format!("http://127.0.0.1:{}", line.trim()), client };
        server.call("PUT", "/drill", b"");
        Some(server)
    }

    /// A request past the program, which must succeed.
    fn call(&self, method: &str, path_and_query: &str, body: &[u8]) -> Vec<u8> {
        let headers =
            [("authorization", "AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/s3/aws4_request")];
        let call = HttpCall { method, base: &self.endpoint, path_and_query, headers: &headers, body };
        let reply = self.client.request(&call).expect("a server");
        assert!((200..300).contains(&reply.status), "{method} {path_and_query}: {}", reply.status);
        reply.body
    }

    fn perpring(&self, args: &[&str]) -> (Option<i32>, String) {
        let mut environment = SECRETS.to_vec();
        environment.extend([("AWS_REGION", "us-east-1"), ("AWS_ALLOW_HTTP", "true")]);
        environment.push(("AWS_ENDPOINT", &self.endpoint));
        perpring(&environment, args)
    }

    /// Backs `dir` up and returns what was done.
    fn back_up(&self, dir: &Path, place: &str, more: &[&str]) -> Value {
        let dir = dir.display().to_string();
        let (code, said) = self.perpring(&[&["backup", &dir, "--to", place, "--json"], more].concat());
        assert_eq!(code, Some(0), "{said}");
        serde_json::from_str(&said).expect("one JSON object")
    }

    fn restore(&self, place: &str, dir: &Path) -> (Option<i32>, String) {
        self.perpring(&["restore", place, "--to", &dir.display().to_string()])
    }

    /// The listings of a place.
    fn list(&self, place: &str) -> Vec<Value> {
        let (code, said) = self.perpring(&["restore", place, "--list", "--json"]);
        assert_eq!(code, Some(0), "{said}");
        serde_json::from_str(&said).expect("an array")
    }

    /// How many objects lie below a prefix.
    fn count(&self, prefix: &str) -> u64 {
        let body = self.call("GET", &format!("/drill?list-type=2&prefix={prefix}"), b"");
        String::from_utf8_lossy(&body).matches("<Key>").count() as u64
    }
}

fn number(taken: &Value, name: &str) -> u64 {
    taken[name].as_u64().unwrap_or_else(|| panic!("{name} in {taken}"))
}

/// Sent in three parts.
fn large() -> Vec<u8> {
    (0..18_000_000_u32).map(|n| (n / 7) as u8).collect()
}

#[test]
fn a_bucket_gives_back_every_byte_and_is_sent_only_what_is_new() {
    let Some(server) = Server::start() else { return };
    let (journal, there, place) = (TempDir::new(), TempDir::new(), "s3://drill/desk/one");
    finished(journal.path(), 300);
    fs::write(journal.path().join("large.bin"), large()).expect("temporary disk");
    let first = server.back_up(journal.path(), place, &[]);
    assert!(number(&first, "sent_bytes") > 18_000_000, "{first}");
    let again = server.back_up(journal.path(), place, &[]);
    assert_eq!((number(&again, "files"), number(&again, "sent_files")), (number(&first, "files"), 0));
    let note = journal.path().join("kill.jsonl");
    fs::write(&note, "{}\n").expect("temporary disk");
    let third = server.back_up(journal.path(), place, &[]);
    assert_eq!((number(&third, "sent_files"), number(&third, "sent_bytes")), (1, 3));
    let (code, said) = server.restore(place, there.path());
    assert!(code == Some(0) && said.contains("every hash checked"), "{said}");
    assert_eq!(relative(there.path()), relative(journal.path()));
    let (code, said) = server.restore("s3://drill/desk", there.path());
    assert!(code == Some(2) && said.contains("no backup"), "{said}");

    // Retention: what only the older ones name goes with them, once it is old enough.
    server.call("PUT", "/-/age?hours=2", b"");
    let objects = server.count("desk/one/objects/");
    fs::write(&note, "{\"n\":2}\n").expect("temporary disk");
    let fourth = server.back_up(journal.path(), place, &["--keep", "1"]);
    assert_eq!((number(&fourth, "removed_backups"), number(&fourth, "removed_objects")), (3, 1), "{fourth}");
    assert_eq!((server.list(place).len(), server.count("desk/one/objects/")), (1, objects));
    let again = TempDir::new();
    assert_eq!(server.restore(place, again.path()).0, Some(0));
    assert_eq!(relative(again.path()), relative(journal.path()));
}

#[test]
fn a_bucket_with_a_damaged_or_missing_object_is_refused_before_anything_is_touched() {
    let Some(server) = Server::start() else { return };
    let (journal, place) = (TempDir::new(), "s3://drill/desk");
    finished(journal.path(), 100);
    server.back_up(journal.path(), place, &[]);
    let before = relative(journal.path());
    let listing = &server.list(place)[0];
    let files = listing["files"].as_array().expect("files");
    let victim = files.iter().find(|file| file["path"].as_str().is_some_and(|path| path.ends_with(".zst")));
    let victim = victim.expect("a segment");
    let key = format!("/drill/desk/objects/{}", victim["sha256"].as_str().expect("a hash"));
    let good = server.call("GET", &key, b"");
    let refused = |what: &str| {
        let (code, said) = server.restore(place, journal.path());
        assert!(code == Some(2) && said.contains(what), "{said}");
        assert!(said.contains(victim["path"].as_str().expect("a path")), "{said}");
        assert_eq!(relative(journal.path()), before, "{what}");
    };
    let mut bad = good.clone();
    bad[good.len() / 2] ^= 1;
    server.call("PUT", &key, &bad);
    refused("damaged");
    server.call("PUT", &key, &good[1..]);
    refused("bytes instead of");
    server.call("DELETE", &key, b"");
    refused("missing");
    // The next backup sees it by its size, and mends it.
    assert_eq!(number(&server.back_up(journal.path(), place, &[]), "sent_files"), 1);
    let (code, said) = server.restore(place, journal.path());
    assert_eq!(code, Some(0), "{said}");
    assert_eq!(relative(journal.path()), before);
    let id = server.list(place).last().expect("a backup")["id"].as_str().expect("an id").to_owned();
    let mut aside = journal.path().as_os_str().to_owned();
    aside.push(format!(".before-{id}"));
    assert_eq!(relative(Path::new(&aside)), before, "what was there before");
    fs::remove_dir_all(aside).expect("clean up");
}

#[test]
fn an_upload_that_was_interrupted_leaves_no_backup_and_is_gone_on_with() {
    let Some(server) = Server::start() else { return };
    let (journal, there) = (TempDir::new(), TempDir::new());
    finished(journal.path(), 300);
    let whole = number(&server.back_up(journal.path(), "s3://drill/whole", &[]), "sent_files");
    let back_up = |dir: &Path, place: &str| {
        let (code, said) = server.perpring(&["backup", &dir.display().to_string(), "--to", place]);
        assert!(code == Some(2) && said.contains("AccessDenied"), "{said}");
    };
    // Between two files. The server quotes the request in its refusal; the canaries stay unseen.
    server.call("PUT", "/-/refuse?after=3", b"");
    back_up(journal.path(), "s3://drill/cut");
    assert_eq!((server.count("cut/objects/"), server.count("cut/backups/")), (3, 0));
    let (code, said) = server.restore("s3://drill/cut", there.path());
    assert!(code == Some(2) && said.contains("no backup"), "{said}");
    // Within a file: the parts that were sent take no space.
    let other = TempDir::new();
    finished(other.path(), 10);
    fs::write(other.path().join("epoch"), large()).expect("temporary disk");
    server.call("PUT", "/-/refuse?after=1", b"");
    back_up(other.path(), "s3://drill/parts");
    assert_eq!(server.count("parts/"), 0);
    let uploads = server.call("GET", "/drill?uploads", b"");
    assert!(!String::from_utf8_lossy(&uploads).contains("<Upload>"), "an upload is left open");

    server.call("PUT", "/-/refuse", b"");
    assert_eq!(number(&server.back_up(journal.path(), "s3://drill/cut", &[]), "sent_files"), whole - 3);
    let (code, said) = server.restore("s3://drill/cut", there.path());
    assert_eq!(code, Some(0), "{said}");
    assert_eq!(relative(there.path()), relative(journal.path()));
}

#[test]
fn a_bucket_without_credentials_or_with_an_unsafe_endpoint_is_refused_at_once() {
    let with = |more: &[(&'static str, &'static str)]| {
        let environment = [&SECRETS[..], more].concat();
        perpring(&environment, &["restore", "s3://drill/desk", "--list"])
    };
    let without = perpring(&SECRETS[..1], &["restore", "s3://drill/desk", "--list"]);
    let plain = with(&[("AWS_ENDPOINT", "http://127.0.0.1:1")]);
    let named = with(&[("AWS_ENDPOINT", "https://user:canary@127.0.0.1:1")]);
    for ((code, said), what) in [
        (without, "AWS_SECRET_ACCESS_KEY is not set"),
        (plain, "AWS_ALLOW_HTTP"),
        (named, "no user, password or query"),
    ] {
        assert!(code == Some(2) && said.contains(what), "{said}");
    }
}

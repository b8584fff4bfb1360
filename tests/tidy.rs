//! Lints the tree itself: layering, banned calls, file length, dead files, leftovers.
//!
//! Works on the text of the sources with comments, strings and test code blanked out, not on a parse; what
//! it knows of Rust is in [`blank`]. Every rule is also shown to catch a planted fault.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// The rooms of `src/`, from the top down: a room imports only rooms below it.
const LAYERS: [&str; 18] = [
    "cli",
    "config",
    "topology",
    "export",
    "backup",
    "replay",
    "stage",
    "sim",
    "ops",
    "core",
    "venue",
    "net",
    "journal",
    "telemetry",
    "ring",
    "runtime",
    "domain",
    "",
];

/// Rooms that import less than the layers below them: the room and all that it may import.
const NARROW: [(&str, &[&str]); 5] = [
    ("core", &["domain"]),
    ("venue", &["domain"]),
    // Shares no encoder or decoder with venue: one's mistake must not hide the other's.
    ("sim", &["domain", "net", "runtime", "ring"]),
    ("net", &[]),
    ("domain", &[]),
];

/// What deterministic code may not name: clocks, maps in random order, output.
const UNDETERMINED: [&str; 9] = [
    "Instant",
    "SystemTime",
    "UNIX_EPOCH",
    "thread_local",
    "HashMap",
    "HashSet",
    "RandomState",
    "DefaultHasher",
    "println",
];
/// Modules and crates that deterministic code may not use; their names are ordinary words otherwise.
const UNDETERMINED_MODULES: [&str; 8] =
    ["thread", "fs", "net", "io", "env", "process", "rand", "rand_chacha"];
/// What `core` may not name besides.
const FLOATS: [&str; 2] = ["f32", "f64"];
/// The only rooms with `unsafe`.
const UNSAFE_ROOMS: [&str; 4] = ["ring", "journal", "telemetry", "runtime"];
/// Marks of unfinished work.
const LEFTOVERS: [&str; 3] = ["todo", "unimplemented", "dbg"];
/// A file is one concept; this is the hard end.
const LINES_MAX: usize = 800;
/// The same for test modules, which are lists of cases.
const TEST_LINES_MAX: usize = 1_200;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// A source file: path relative to the package, text, and the text with only code left.
struct Source {
    path: String,
    text: String,
    code: String,
}

impl Source {
    fn new(path: &str, text: String) -> Self {
        let code = without_tests(&blank(&text));
        Self { path: path.to_owned(), text, code }
    }

    /// The room under `src/`; empty for files that stand directly in it.
    fn room(&self) -> &str {
        let inside = self.path.strip_prefix("src/").unwrap_or("");
        inside.split_once('/').map_or("", |(room, _)| room)
    }

    /// Line number of a byte of the code (blanking keeps positions).
    fn line_at(&self, at: usize) -> usize {
        self.code[..at].matches('\n').count() + 1
    }
}

fn files_under(folder: &str) -> Vec<String> {
    fn walk(folder: &Path, found: &mut Vec<PathBuf>) {
        let Ok(entries) = fs::read_dir(folder) else { return };
        for entry in entries.flatten() {
            let path = entry.path();
            if path.is_dir() {
                walk(&path, found);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(path);
            }
        }
    }
    let mut found = Vec::new();
    walk(&root().join(folder), &mut found);
    let mut names: Vec<String> = found
        .iter()
        .map(|path| {
            path.strip_prefix(root()).expect("walked from the root").to_string_lossy().replace('\\', "/")
        })
        .collect();
    names.sort();
    names
}

/// The sources of `src/` without the files that are test modules.
fn production() -> Vec<Source> {
    let tree = Tree::read(&["src/lib.rs", "src/main.rs"]);
    let sources: Vec<Source> = files_under("src")
        .into_iter()
        .filter(|path| !tree.tests.contains(path))
        .map(|path| Source::new(&path, read(&path)))
        .collect();
    assert!(sources.len() > 20, "the sources were not found");
    sources
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Replaces comments and the insides of literals by blanks, keeping every position and line.
fn blank(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = bytes.to_vec();
    let mut wipe = |from: usize, to: usize| {
        for byte in &mut out[from..to.min(bytes.len())] {
            if *byte != b'\n' {
                *byte = b' ';
            }
        }
    };
    let mut at = 0;
    while at < bytes.len() {
        let rest = &bytes[at..];
        let after_word = at > 0 && (bytes[at - 1].is_ascii_alphanumeric() || bytes[at - 1] == b'_');
        let end = if rest.starts_with(b"//") {
            at + rest.iter().position(|&byte| byte == b'\n').unwrap_or(rest.len())
        } else if rest.starts_with(b"/*") {
            at + block_comment(rest)
        } else if rest[0] == b'"' {
            at + quoted(rest)
        } else if let Some(length) = if after_word { None } else { raw_string(rest) } {
            at + length
        } else if rest[0] == b'\'' {
            match char_literal(rest) {
                Some(length) => at + length,
                None => {
                    at += 1; // a lifetime
                    continue;
                }
            }
        } else {
            at += 1;
            continue;
        };
        wipe(at, end);
        at = end;
    }
    String::from_utf8(out).expect("blanks replace whole literals")
}

fn block_comment(rest: &[u8]) -> usize {
    let mut depth = 0;
    let mut at = 0;
    while at < rest.len() {
        if rest[at..].starts_with(b"/*") {
            depth += 1;
            at += 2;
        } else if rest[at..].starts_with(b"*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += 1;
        }
    }
    at
}

fn quoted(rest: &[u8]) -> usize {
    let mut at = 1;
    while at < rest.len() && rest[at] != b'"' {
        at += if rest[at] == b'\\' { 2 } else { 1 };
    }
    at + 1
}

/// Length of `r"…"`, `br##"…"##` and the like.
fn raw_string(rest: &[u8]) -> Option<usize> {
    let prefix = [&b"br"[..], b"cr", b"r"].into_iter().find(|prefix| rest.starts_with(prefix))?.len();
    let hashes = rest[prefix..].iter().take_while(|&&byte| byte == b'#').count();
    if rest.get(prefix + hashes) != Some(&b'"') {
        return None;
    }
    let begin = prefix + hashes + 1;
    let closing: Vec<u8> = std::iter::once(b'"').chain(std::iter::repeat_n(b'#', hashes)).collect();
    let length = rest[begin..].windows(closing.len()).position(|window| window == closing)?;
    Some(begin + length + closing.len())
}

/// Length of `'x'`, `'\n'`, `'é'`; `None` for a lifetime.
fn char_literal(rest: &[u8]) -> Option<usize> {
    if rest.get(1) == Some(&b'\\') {
        return rest[3..].iter().position(|&byte| byte == b'\'').map(|length| length + 4);
    }
    let text = std::str::from_utf8(&rest[1..rest.len().min(6)]);
    let valid = match &text {
        Ok(text) => text,
        Err(error) => std::str::from_utf8(&rest[1..1 + error.valid_up_to()]).expect("valid up to there"),
    };
    let width = valid.chars().next()?.len_utf8();
    (rest.get(1 + width) == Some(&b'\'')).then_some(width + 2)
}

/// Blanks items under `#[cfg(test)]` (and modules that are compiled out) in blanked code.
fn without_tests(code: &str) -> String {
    let mut out = code.as_bytes().to_vec();
    let mut from = 0;
    while let Some(found) = code[from..].find("#[cfg(test)]") {
        let begin = from + found;
        let rest = &code[begin..];
        let end = match (rest.find('{'), rest.find(';')) {
            (Some(brace), semicolon) if semicolon.is_none_or(|semicolon| brace < semicolon) => {
                begin + brace + braced(&rest[brace..])
            }
            (_, Some(semicolon)) => begin + semicolon + 1,
            _ => code.len(),
        };
        for byte in &mut out[begin..end] {
            if *byte != b'\n' {
                *byte = b' ';
            }
        }
        from = end;
    }
    String::from_utf8(out).expect("blanks replace whole items")
}

/// Length of a block from its opening to its closing brace.
fn braced(rest: &str) -> usize {
    let mut depth = 0;
    for (at, byte) in rest.bytes().enumerate() {
        match byte {
            b'{' => depth += 1,
            b'}' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return at + 1;
        }
    }
    rest.len()
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

/// Where `word` stands as a whole word.
fn words<'a>(code: &'a str, word: &'a str) -> impl Iterator<Item = usize> + 'a {
    code.match_indices(word).map(|(at, _)| at).filter(move |&at| {
        let bytes = code.as_bytes();
        let before = at.checked_sub(1).is_some_and(|before| is_word(bytes[before]));
        let after = bytes.get(at + word.len()).is_some_and(|&byte| is_word(byte));
        !before && !after
    })
}

/// The rooms that a file imports, with the position: `crate::room`, `crate::{room, …}`, and chains of
/// `super::` that climb to the root.
fn imports(source: &Source) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    let root_path = "crate::";
    for (at, _) in source.code.match_indices(root_path) {
        if at > 0 && is_word(source.code.as_bytes()[at - 1]) {
            continue; // `other_crate::`
        }
        found.extend(names_after(&source.code, at + root_path.len()).into_iter().map(|name| (at, name)));
    }
    let inside = source.path.trim_start_matches("src/").trim_end_matches(".rs").trim_end_matches("/mod");
    let climb = "super::".repeat(inside.split('/').count());
    for (at, _) in source.code.match_indices(&climb) {
        if source.code[..at].ends_with("super::") {
            continue; // the middle of a longer chain, which the first match has judged
        }
        found.extend(names_after(&source.code, at + climb.len()).into_iter().map(|name| (at, name)));
    }
    found
}

/// The first names of a path or of a group in braces.
fn names_after(code: &str, at: usize) -> Vec<String> {
    let rest = &code[at..];
    let word =
        |text: &str| text.bytes().take_while(|&byte| is_word(byte)).map(char::from).collect::<String>();
    if !rest.starts_with('{') {
        return vec![word(rest)];
    }
    let group = &rest[1..braced(rest) - 1];
    let mut depth = 0;
    let mut names = Vec::new();
    let mut begin = 0;
    for (index, byte) in group.bytes().enumerate() {
        match byte {
            b'{' => depth += 1,
            b'}' => depth -= 1,
            b',' if depth == 0 => {
                names.push(word(group[begin..index].trim()));
                begin = index + 1;
            }
            _ => {}
        }
    }
    names.push(word(group[begin..].trim()));
    names.retain(|name| !name.is_empty());
    names
}

fn layering(source: &Source) -> Vec<String> {
    let room = source.room();
    if room.is_empty() {
        return Vec::new(); // lib.rs is the map, main.rs the entry
    }
    let Some(level) = LAYERS.iter().position(|&layer| layer == room) else {
        return vec![format!(
            "{}: the room {room:?} has no place in the layers; give it one here",
            source.path
        )];
    };
    let narrow = NARROW.iter().find(|(narrow, _)| *narrow == room).map(|(_, allowed)| *allowed);
    imports(source)
        .into_iter()
        .filter(|(_, to)| to != room)
        .filter(|(_, to)| match (narrow, LAYERS.iter().position(|layer| layer == to)) {
            (_, None) => false, // an item of lib.rs or a macro
            (Some(allowed), Some(_)) => !allowed.contains(&to.as_str()),
            (None, Some(below)) => below < level,
        })
        .map(|(at, to)| format!("{}:{}: {room} may not import {to}", source.path, source.line_at(at)))
        .collect()
}

fn banned(source: &Source) -> Vec<String> {
    let mut faults = Vec::new();
    let mut ban = |list: &[&str], why: &str| {
        for word in list {
            for at in words(&source.code, word) {
                faults.push(format!("{}:{}: `{word}`: {why}", source.path, source.line_at(at)));
            }
        }
    };
    if matches!(source.room(), "core" | "venue") {
        ban(
            &UNDETERMINED,
            "core and venue are deterministic: no clock, I/O, thread, randomness or random order",
        );
    }
    if source.room() == "core" {
        ban(&FLOATS, "core computes in fixed point");
    }
    if !UNSAFE_ROOMS.contains(&source.room()) {
        ban(&["unsafe"], "unsafe is confined to ring, journal, telemetry and runtime");
    }
    if matches!(source.room(), "core" | "venue") {
        // One fault a line and name: a group of imports shows a module in both forms.
        let uses: BTreeSet<_> =
            module_uses(&source.code).into_iter().map(|(at, name)| (source.line_at(at), name)).collect();
        faults.extend(uses.into_iter().map(|(line, name)| {
            format!(
                "{}:{line}: `{name}`: core and venue do no I/O, start no thread, know no randomness",
                source.path
            )
        }));
    }
    faults
}

/// Where a banned module is used: `std::fs`, `std::{fs, …}`, `fs::read`.
fn module_uses(code: &str) -> Vec<(usize, &'static str)> {
    let mut found = Vec::new();
    for name in UNDETERMINED_MODULES {
        let of_std = code
            .match_indices("std::")
            .filter(|&(at, _)| names_after(code, at + 5).iter().any(|first| first == name));
        let alone = words(code, name)
            .filter(|&at| code[at + name.len()..].starts_with("::") && !code[..at].ends_with("::"));
        found.extend(of_std.map(|(at, _)| at).chain(alone).map(|at| (at, name)));
    }
    found
}

fn leftovers(source: &Source) -> Vec<String> {
    let code = blank(&source.text);
    let mut faults = Vec::new();
    for word in LEFTOVERS {
        for at in words(&code, word).filter(|at| code[at + word.len()..].starts_with('!')) {
            faults.push(format!(
                "{}:{}: {word}! is not finished work",
                source.path,
                code[..at].matches('\n').count() + 1
            ));
        }
    }
    faults
}

fn length(source: &Source, limit: usize) -> Option<String> {
    let lines = source.text.lines().count();
    (lines > limit)
        .then(|| format!("{}: {lines} lines; a file is one concept, split it below {limit}", source.path))
}

fn introduction(source: &Source) -> Option<String> {
    (!source.text.starts_with("//!"))
        .then(|| format!("{}: must open with //!: what it is for, what it may not do", source.path))
}

/// The files that are reached by `mod` lines from some roots.
#[derive(Default)]
struct Tree {
    reached: BTreeSet<String>,
    /// Those of them that are compiled for tests only.
    tests: BTreeSet<String>,
    missing: Vec<String>,
}

impl Tree {
    fn read(roots: &[&str]) -> Self {
        let mut tree = Self::default();
        for root in roots {
            tree.visit(root, false, true);
        }
        tree
    }

    fn visit(&mut self, path: &str, test: bool, is_root: bool) {
        if !root().join(path).is_file() {
            self.missing.push(path.to_owned());
            return;
        }
        if !self.reached.insert(path.to_owned()) {
            return;
        }
        if test {
            self.tests.insert(path.to_owned());
        }
        let (folder, file) = path.rsplit_once('/').expect("files stand in folders");
        let own_folder = if is_root || file == "mod.rs" {
            folder.to_owned()
        } else {
            path.trim_end_matches(".rs").to_owned()
        };
        for module in modules(&read(path)) {
            let test = test || module.test;
            match module.path {
                Some(given) => self.visit(&format!("{folder}/{given}"), test, false),
                None => {
                    let flat = format!("{own_folder}/{}.rs", module.name);
                    let nested = format!("{own_folder}/{}/mod.rs", module.name);
                    let exists = root().join(&flat).is_file();
                    self.visit(if exists { &flat } else { &nested }, test, false);
                }
            }
        }
    }
}

struct Module {
    name: String,
    path: Option<String>,
    test: bool,
}

/// The `mod name;` lines of a file with the attributes above them.
fn modules(text: &str) -> Vec<Module> {
    let code = blank(text);
    let mut found = Vec::new();
    let mut attributes = String::new();
    for (line, original) in code.lines().zip(text.lines()) {
        let line = line.trim();
        if line.starts_with("#[") {
            attributes.push_str(original.trim());
            continue;
        }
        let declared = ["mod ", "pub mod ", "pub(crate) mod ", "pub(super) mod "]
            .iter()
            .find_map(|start| line.strip_prefix(start));
        if let Some(name) = declared.and_then(|rest| rest.strip_suffix(';')) {
            let path = attributes
                .split_once("#[path = \"")
                .and_then(|(_, rest)| rest.split_once('"'))
                .map(|(path, _)| path.to_owned());
            found.push(Module { name: name.to_owned(), path, test: attributes.contains("#[cfg(test)]") });
        }
        if !line.is_empty() {
            attributes.clear();
        }
    }
    found
}

fn report(faults: Vec<String>) {
    assert!(faults.is_empty(), "{} fault(s):\n{}", faults.len(), faults.join("\n"));
}

#[test]
fn dependencies_point_only_downward() {
    report(production().iter().flat_map(layering).collect());
}

#[test]
fn deterministic_code_names_no_clock_io_thread_or_randomness() {
    report(production().iter().flat_map(banned).collect());
}

#[test]
fn no_unfinished_work_and_no_endless_file() {
    let everything = ["src", "tests", "bench"].into_iter().flat_map(files_under);
    let sources: Vec<Source> = everything.map(|path| Source::new(&path, read(&path))).collect();
    let tests = Tree::read(&["src/lib.rs", "src/main.rs"]).tests;
    let too_long = sources.iter().filter_map(|source| {
        let test = tests.contains(&source.path) || source.path.starts_with("tests/");
        length(source, if test { TEST_LINES_MAX } else { LINES_MAX })
    });
    report(sources.iter().flat_map(leftovers).chain(too_long).collect());
}

#[test]
fn every_module_introduces_itself() {
    report(production().iter().filter_map(introduction).collect());
}

#[test]
fn no_file_is_dead() {
    let mut roots = vec!["src/lib.rs".to_owned(), "src/main.rs".to_owned()];
    let manifest = read("Cargo.toml");
    // Roots of tests and benches are named in the manifest, as nothing is discovered automatically.
    roots.extend(
        manifest
            .lines()
            .filter_map(|line| Some(line.strip_prefix("path = \"")?.strip_suffix('"')?.to_owned())),
    );
    let tree = Tree::read(&roots.iter().map(String::as_str).collect::<Vec<_>>());
    let dead = ["src", "tests", "bench"]
        .into_iter()
        .flat_map(files_under)
        .filter(|path| !tree.reached.contains(path));
    let mut faults: Vec<String> = dead.map(|path| format!("{path}: no `mod` line leads here")).collect();
    faults.extend(
        tree.missing.iter().map(|path| format!("{path}: a `mod` line leads here, but there is no such file")),
    );
    report(faults);
}

#[test]
fn the_map_lists_every_room() {
    let rooms: BTreeSet<String> =
        files_under("src").iter().map(|path| Source::new(path, String::new()).room().to_owned()).collect();
    let declared: BTreeMap<String, ()> =
        modules(&read("src/lib.rs")).into_iter().map(|module| (module.name, ())).collect();
    let missing: Vec<String> = rooms
        .into_iter()
        .filter(|room| !room.is_empty() && !declared.contains_key(room))
        .map(|room| format!("src/{room}: not in src/lib.rs"))
        .collect();
    report(missing);
}

mod the_rules_catch_planted_faults {
    use super::*;

    fn source(path: &str, text: &str) -> Source {
        Source::new(path, text.to_owned())
    }

    #[test]
    fn upward_imports() {
        let faulty = [
            ("src/core/book.rs", "use crate::venue::Out;"),
            ("src/core/order/mod.rs", "use crate::{domain::time::Nanos, journal::{Writer, stage}};"),
            ("src/net/dial.rs", "fn f() -> super::super::domain::time::Nanos { 0 }"),
            ("src/net/mod.rs", "use super::domain::time;"),
            ("src/ring/slab.rs", "use crate::journal;"),
            ("src/sim/venue.rs", "use crate::venue::json;"),
            ("src/domain/time.rs", "use crate::core;"),
            ("src/attic/x.rs", ""),
        ];
        for (path, text) in faulty {
            assert_eq!(layering(&source(path, text)).len(), 1, "{path}: {text}");
        }
        let fine = [
            ("src/core/book.rs", "use crate::domain::time::Nanos; use crate::core::edge; // crate::venue"),
            ("src/core/book.rs", "#[cfg(test)]\nmod tests { use crate::journal::Writer; }"),
            ("src/net/dial.rs", "use super::stream::Stream; const X: &str = \"crate::domain\";"),
            ("src/stage/decode.rs", "use crate::{venue::Out, core::order, domain};"),
            ("src/lib.rs", "use crate::cli;"),
        ];
        for (path, text) in fine {
            assert_eq!(layering(&source(path, text)), [""; 0], "{path}: {text}");
        }
    }

    #[test]
    fn banned_names() {
        for text in [
            "let t = std::time::Instant::now();",
            "std::thread::spawn(f)",
            "use std::collections::HashMap;",
            "std::fs::read(x)",
            "use std::{collections::BTreeMap, net::{TcpStream, UdpSocket}};",
            "fs::read(x)",
            "rand::random()",
            "let x: f64 = 0.0;",
            "unsafe { x }",
        ] {
            assert_eq!(banned(&source("src/core/book.rs", text)).len(), 1, "{text}");
        }
        assert!(
            banned(&source(
                "src/venue/okx/mod.rs",
                "fn net(io: &[u8], process: u8) -> f64 { let env = io; super::net::f() } // Instant"
            ))
            .is_empty()
        );
        assert!(banned(&source("src/ring/slab.rs", "unsafe { x } std::thread::spawn(f)")).is_empty());
        assert_eq!(banned(&source("src/stage/route.rs", "unsafe { x }")).len(), 1);
        assert_eq!(
            banned(&source("src/core/book.rs", "let a = '\"'; Instant::now(); let b = '\"';")).len(),
            1
        );
        assert!(
            banned(&source("src/core/book.rs", "let a = r#\"Instant \"# ; fn f<'a>(x: &'a str) {}"))
                .is_empty()
        );
    }

    #[test]
    fn leftovers_length_and_silence() {
        for word in LEFTOVERS {
            let text = format!("//! x\nfn f() {{ {word}!() }}");
            assert_eq!(leftovers(&source("src/core/book.rs", &text)).len(), 1, "{word}");
        }
        assert!(leftovers(&source("tests/x.rs", "// a comment may say it\nlet method = 1;")).is_empty());
        let long = source("src/core/book.rs", &"\n".repeat(LINES_MAX + 1));
        assert!(length(&long, LINES_MAX).is_some() && length(&long, LINES_MAX + 1).is_none());
        assert!(introduction(&source("src/core/book.rs", "use x;")).is_some());
    }

    #[test]
    fn module_lines_with_their_attributes() {
        let text =
            "pub mod a;\n#[cfg(test)]\n#[path = \"b_tests.rs\"]\nmod b;\n// mod c;\nmod d { mod e; }\n";
        let found: Vec<(String, Option<String>, bool)> =
            modules(text).into_iter().map(|module| (module.name, module.path, module.test)).collect();
        let expected = [("a", None, false), ("b", Some("b_tests.rs"), true)];
        assert_eq!(
            found,
            expected.map(|(name, path, test)| (name.to_owned(), path.map(str::to_owned), test))
        );
    }
}

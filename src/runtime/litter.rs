//! What processes that ended abruptly left behind. What is not whole yet bears the number of the process that makes it,
//! and goes when the next one of the kind begins.

use rustix::process::{Pid, test_kill_process};
use std::fs;
use std::path::Path;

/// Removes the files and directories in `dir` whose name says, by `process_of`, that a process made them which is gone.
/// What cannot be removed stays. The numbers are this machine's: a place that several machines share is for one at a time.
pub fn sweep(dir: &Path, process_of: impl Fn(&str) -> Option<u32>) {
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        let name = entry.file_name();
        if !name.to_str().and_then(&process_of).is_some_and(is_gone) {
            continue;
        }
        let path = entry.path();
        let _ = match entry.file_type() {
            Ok(kind) if kind.is_dir() => fs::remove_dir_all(path),
            _ => fs::remove_file(path),
        };
    }
}

/// No process of this machine has the number.
fn is_gone(process: u32) -> bool {
    let pid = i32::try_from(process).ok().and_then(Pid::from_raw);
    pid.is_some_and(|pid| test_kill_process(pid) == Err(rustix::io::Errno::SRCH))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_processes_that_are_gone_left_is_removed() {
        let dir = std::env::temp_dir().join(format!("perpring-litter-{}", std::process::id()));
        fs::create_dir_all(&dir).expect("temporary disk");
        let mut child = std::process::Command::new("true").spawn().expect("a process");
        let gone = child.id();
        child.wait().expect("its end");
        let here = std::process::id();
        for name in [format!("part-{gone}"), format!("part-{here}"), "part-".to_owned(), "whole".to_owned()] {
            fs::write(dir.join(name), "x").expect("temporary disk");
        }
        fs::create_dir_all(dir.join(format!("parts-{gone}")).join("below")).expect("temporary disk");
        sweep(&dir, |name| name.split_once('-')?.1.parse().ok());
        let mut left: Vec<_> = fs::read_dir(&dir).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        left.sort();
        assert_eq!(left, ["part-".into(), format!("part-{here}").into(), std::ffi::OsString::from("whole")]);
        fs::remove_dir_all(dir).expect("clean up");
    }
}

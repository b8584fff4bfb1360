//! Which cores the process may use, and putting the current thread on one of them.
//!
//! A thread's mask narrows when it is pinned and its children inherit it, so the process's cores are
//! captured once, before anything is pinned. Setting is by number, even outside the mask (isolated cores
//! are not in it); the kernel's answer is read back and reported. Never panics: an unpinned run is slower,
//! not wrong.

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use std::fmt;

/// The cores that the process may use, captured before any pinning.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AllowedCpus(Vec<usize>);

impl AllowedCpus {
    /// Asks the kernel for the main thread's mask. When it does not say, the number of cores that the
    /// standard library knows is taken instead.
    pub fn capture() -> Self {
        let main_thread = rustix::process::getpid();
        let cpus = sched_getaffinity(Some(main_thread)).map(|set| members(&set)).unwrap_or_default();
        if !cpus.is_empty() {
            return Self(cpus);
        }
        Self((0..std::thread::available_parallelism().map_or(1, usize::from)).collect())
    }

    /// A given list, for tests and `--cpus`; sorted, without repetition.
    pub fn from_list(mut cpus: Vec<usize>) -> Self {
        cpus.sort_unstable();
        cpus.dedup();
        Self(cpus)
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// Their numbers, rising.
    pub fn as_slice(&self) -> &[usize] {
        &self.0
    }

    /// Whether this core is among them.
    pub fn contains(&self, cpu: usize) -> bool {
        self.0.binary_search(&cpu).is_ok()
    }
}

impl fmt::Display for AllowedCpus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_list(f, &self.0)
    }
}

/// What became of a wish to run on one core.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PinReport {
    /// The core that was asked for; `None` = the thread may run anywhere.
    pub wanted: Option<usize>,
    /// The thread's mask afterwards, as the kernel reports it.
    pub actual: Vec<usize>,
    /// Why it could not be set.
    pub error: Option<String>,
}

impl PinReport {
    /// Whether the thread is where it was asked to be.
    pub fn as_wanted(&self) -> bool {
        self.wanted.is_none_or(|cpu| self.actual == [cpu])
    }
}

impl fmt::Display for PinReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.wanted, &self.error) {
            (None, _) => f.write_str("not pinned, may run on cores ")?,
            (Some(cpu), None) if self.as_wanted() => return write!(f, "pinned to core {cpu}"),
            (Some(cpu), None) => write!(f, "asked for core {cpu}, but runs on cores ")?,
            (Some(cpu), Some(error)) => {
                write!(f, "could not be pinned to core {cpu} ({error}), runs on cores ")?;
            }
        }
        write_list(f, &self.actual)
    }
}

/// Puts the calling thread on `cpu` (or leaves it where it is) and reads the mask back.
pub fn pin_current_thread(cpu: Option<usize>) -> PinReport {
    let error = cpu.and_then(|cpu| set_mask(&[cpu]).err());
    PinReport { wanted: cpu, actual: current_mask(), error }
}

/// Gives the calling thread these cores, such as those that no pinned thread has.
pub fn allow_current_thread(cpus: &[usize]) -> PinReport {
    let error = set_mask(cpus).err();
    PinReport { wanted: None, actual: current_mask(), error }
}

/// The calling thread's mask; empty when the kernel does not say.
pub fn current_mask() -> Vec<usize> {
    sched_getaffinity(None).map(|set| members(&set)).unwrap_or_default()
}

fn set_mask(cpus: &[usize]) -> Result<(), String> {
    let mut set = CpuSet::new();
    for &cpu in cpus {
        if cpu >= CpuSet::MAX_CPU {
            return Err(format!("core numbers end at {}", CpuSet::MAX_CPU - 1));
        }
        set.set(cpu);
    }
    sched_setaffinity(None, &set).map_err(|error| match error {
        rustix::io::Errno::INVAL => "there is no such core, or the cpuset excludes it".to_owned(),
        other => other.to_string(),
    })
}

fn members(set: &CpuSet) -> Vec<usize> {
    (0..CpuSet::MAX_CPU).filter(|&cpu| set.is_set(cpu)).collect()
}

/// Writes `0-3,6`.
fn write_list(f: &mut fmt::Formatter<'_>, cpus: &[usize]) -> fmt::Result {
    let mut rest = cpus;
    let mut first = true;
    while let Some(&begin) = rest.first() {
        let run = rest.iter().enumerate().take_while(|&(offset, &cpu)| cpu == begin + offset).count();
        if !first {
            f.write_str(",")?;
        }
        first = false;
        match run {
            1 => write!(f, "{begin}")?,
            run => write!(f, "{begin}-{}", begin + run - 1)?,
        }
        rest = &rest[run..];
    }
    if cpus.is_empty() { f.write_str("unknown") } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pinned_thread_reads_its_core_back_and_the_process_keeps_its_cores() {
        let before = AllowedCpus::capture();
        let cpu = *before.as_slice().last().unwrap();
        let pinned = std::thread::spawn(move || {
            let report = pin_current_thread(Some(cpu));
            (report, AllowedCpus::capture())
        });
        let (report, seen_inside) = pinned.join().unwrap();
        assert!(report.as_wanted(), "{report}");
        assert_eq!(report.to_string(), format!("pinned to core {cpu}"));
        assert_eq!(seen_inside, before, "the process's cores are not the pinned thread's");
    }

    #[test]
    fn impossible_cores_are_reported_not_fatal() {
        for cpu in [CpuSet::MAX_CPU - 1, CpuSet::MAX_CPU, usize::MAX] {
            let report = std::thread::spawn(move || pin_current_thread(Some(cpu))).join().unwrap();
            assert!(!report.as_wanted() && report.error.is_some() && !report.actual.is_empty(), "{report}");
            assert!(report.to_string().starts_with("could not be pinned"), "{report}");
        }
    }

    #[test]
    fn lists_read_like_the_kernels() {
        assert_eq!(AllowedCpus::from_list(vec![6, 0, 1, 2, 3, 3]).to_string(), "0-3,6");
        assert_eq!(AllowedCpus::from_list(vec![]).to_string(), "unknown");
        assert_eq!(pin_current_thread(None).error, None);
    }
}

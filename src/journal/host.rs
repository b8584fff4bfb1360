//! What a run ran on: the machine, how it is tuned, and the program itself.

use super::manifest::Hash256;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::sync::OnceLock;

/// Files of one value that latencies depend on.
const TUNING: [(&str, &str); 9] = [
    ("governor", "/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"),
    ("isolated", "/sys/devices/system/cpu/isolated"),
    ("nohz_full", "/sys/devices/system/cpu/nohz_full"),
    ("smt", "/sys/devices/system/cpu/smt/active"),
    ("no_turbo", "/sys/devices/system/cpu/intel_pstate/no_turbo"),
    ("clocksource", "/sys/devices/system/clocksource/clocksource0/current_clocksource"),
    ("thp", "/sys/kernel/mm/transparent_hugepage/enabled"),
    ("swappiness", "/proc/sys/vm/swappiness"),
    ("busy_poll", "/proc/sys/net/core/busy_poll"),
];
/// Parts of the kernel's command line that are kept; the others are nobody's business.
const KERNEL_WORDS: [&str; 16] = [
    "isolcpus",
    "nohz_full",
    "rcu_nocbs",
    "irqaffinity",
    "idle",
    "intel_idle.max_cstate",
    "processor.max_cstate",
    "intel_pstate",
    "amd_pstate",
    "mitigations",
    "transparent_hugepage",
    "hugepages",
    "nosmt",
    "skew_tick",
    "tsc",
    "preempt",
];

/// What the run ran on. Latencies are comparable only within one fingerprint.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Host {
    /// CPU model.
    pub cpu: String,
    /// Kernel release.
    pub kernel: String,
    /// Processors that the process could use.
    pub cores: u32,
    /// How it is tuned: frequency governor, isolated processors, huge pages, parts of the kernel's command line.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tuning: BTreeMap<String, String>,
}

impl Host {
    /// Describes this host; parts that the system does not tell stay empty.
    pub fn detect() -> Self {
        let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let cpu = cpuinfo
            .lines()
            .find_map(|l| l.strip_prefix("model name").and_then(|l| l.split_once(':')))
            .map(|(_, model)| model.trim().to_owned())
            .unwrap_or_default();
        let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default().trim().to_owned();
        let cores = std::thread::available_parallelism().map_or(0, |n| n.get() as u32);
        let files = TUNING.iter().filter_map(|(name, path)| {
            let value = chosen(fs::read_to_string(path).ok()?.trim()).to_owned();
            (!value.is_empty()).then(|| ((*name).to_owned(), value))
        });
        let words = kernel_words(&fs::read_to_string("/proc/cmdline").unwrap_or_default());
        Self { cpu, kernel, cores, tuning: files.chain(words).collect() }
    }

    /// Hash of the description.
    pub fn fingerprint(&self) -> Hash256 {
        let mut text = format!("{}\n{}\n{}", self.cpu, self.kernel, self.cores);
        for (name, value) in &self.tuning {
            text.push_str(&format!("\n{name}={value}"));
        }
        Hash256::of(text.as_bytes())
    }
}

/// `madvise` of `always [madvise] never`; a plain value itself.
fn chosen(value: &str) -> &str {
    value.split_once('[').and_then(|(_, rest)| rest.split_once(']')).map_or(value, |(chosen, _)| chosen)
}

fn kernel_words(line: &str) -> Vec<(String, String)> {
    let known = |word: &str| {
        let (name, value) = word.split_once('=').unwrap_or((word, "on"));
        KERNEL_WORDS.contains(&name).then(|| (format!("kernel.{name}"), value.to_owned()))
    };
    line.split_whitespace().filter_map(known).collect()
}

/// The SHA-256 of the running program, read once; `None` when the system does not show it.
pub fn program_hash() -> Option<Hash256> {
    static HASH: OnceLock<Option<Hash256>> = OnceLock::new();
    *HASH.get_or_init(|| {
        let file = File::open("/proc/self/exe").ok()?;
        Hash256::of_reader(file).ok()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_the_kernels_command_line_only_what_latency_depends_on_is_kept() {
        let line = "BOOT_IMAGE=/vmlinuz root=UUID=s3cret isolcpus=2-5 nosmt token=hunter2 nohz_full=2-5\n";
        let words = kernel_words(line);
        let expected = [("kernel.isolcpus", "2-5"), ("kernel.nosmt", "on"), ("kernel.nohz_full", "2-5")];
        assert_eq!(words, expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
        assert_eq!((chosen("always [madvise] never"), chosen("tsc")), ("madvise", "tsc"));
    }

    #[test]
    fn tuning_is_part_of_the_fingerprint() {
        let plain = Host { cpu: "x".into(), kernel: "6".into(), cores: 2, ..Host::default() };
        let tuned = Host { tuning: [("governor".into(), "performance".into())].into(), ..plain.clone() };
        assert_ne!(plain.fingerprint(), tuned.fingerprint());
    }
}

//! Pinning profiles: which stages share a thread, on which core, and how threads wait.
//!
//! Reads and checks `pinning/*.toml` and gives out cores; starts nothing. A layout changes timing only: a
//! run recorded under one profile replays identically under every other.

use super::affinity::AllowedCpus;
use super::idle::IdleMode;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::path::Path;
use thiserror::Error;

/// The stages, in the order of the flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StageName {
    /// Sockets.
    Gateway,
    /// Sequence, decoders, sessions, order ledger.
    Decode,
    /// Books and edges.
    Scan,
    /// Limits and capital.
    Risk,
    /// Encoding and budgets.
    Route,
    /// Journal.
    Record,
}

impl StageName {
    /// All of them, in the order of the flow.
    pub const ALL: [Self; 6] =
        [Self::Gateway, Self::Decode, Self::Scan, Self::Risk, Self::Route, Self::Record];

    /// Its name in profiles and thread names.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Gateway => "gateway",
            Self::Decode => "decode",
            Self::Scan => "scan",
            Self::Risk => "risk",
            Self::Route => "route",
            Self::Record => "record",
        }
    }
}

/// The three ways in which stages may share threads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Layout {
    /// All on one thread, without rings.
    Fused,
    /// gateway + decode, scan + risk + route, record.
    Split,
    /// One thread each.
    Dedicated,
}

impl Layout {
    /// Its threads, as groups of stages.
    pub const fn groups(self) -> &'static [&'static [StageName]] {
        use StageName::{Decode, Gateway, Record, Risk, Route, Scan};
        match self {
            Self::Fused => &[&StageName::ALL],
            Self::Split => &[&[Gateway, Decode], &[Scan, Risk, Route], &[Record]],
            Self::Dedicated => &[&[Gateway], &[Decode], &[Scan], &[Risk], &[Route], &[Record]],
        }
    }
}

/// Where a thread goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CpuChoice {
    /// A free core when it spins, else wherever the scheduler likes.
    #[default]
    Auto,
    /// This core.
    Cpu(usize),
}

/// One thread of a profile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ThreadSpec {
    /// Thread name.
    pub name: String,
    /// Its stages, in the order of the flow.
    pub stages: Vec<StageName>,
    /// Its core.
    pub cpu: CpuChoice,
}

/// A checked profile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Profile {
    /// Its name in reports.
    pub name: String,
    /// How its threads wait.
    pub idle: IdleMode,
    /// Which of the three layouts it is.
    pub layout: Layout,
    /// Threads, in the order of the flow.
    pub threads: Vec<ThreadSpec>,
}

/// A profile that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ProfileError {
    /// Neither a known name nor a readable file.
    #[error(
        "no pinning profile {name:?}: it is none of fused, split and dedicated, and as a file it fails: {what}"
    )]
    NotFound {
        /// Name or path.
        name: String,
        /// The I/O error.
        what: String,
    },
    /// Not the right TOML.
    #[error("pinning profile {name} cannot be read: {what}")]
    Syntax {
        /// Name or path.
        name: String,
        /// What the parser says, with line and column.
        what: String,
    },
    /// A stage is missing or twice.
    #[error(
        "pinning profile {name}: stage {stage} stands in {count} threads, but each stage must stand in exactly one"
    )]
    StageCount {
        /// Profile.
        name: String,
        /// Stage.
        stage: &'static str,
        /// How often it stands there.
        count: usize,
    },
    /// Stages share threads in a way that there are no rings for.
    #[error(
        "pinning profile {name}: stages may share threads in three ways only: all in one (fused), \
         gateway+decode | scan+risk+route | record (split), or one each (dedicated)"
    )]
    Grouping {
        /// Profile.
        name: String,
    },
    /// Two spinning threads on one core.
    #[error(
        "pinning profile {name}: two threads that spin are pinned to core {cpu}; give each its own or use idle = \"yield\""
    )]
    SharedCpu {
        /// Profile.
        name: String,
        /// Core.
        cpu: usize,
    },
    /// More spinning threads than cores.
    #[error(
        "pinning profile {name} spins on {threads} threads, but this process may use {cpus} core(s) ({list}): they would \
         take turns by milliseconds. Use --pinning fused, --idle yield or --idle park, or allow more cores"
    )]
    TooFewCpus {
        /// Profile.
        name: String,
        /// Spinning threads.
        threads: usize,
        /// Cores.
        cpus: usize,
        /// Which cores.
        list: String,
    },
}

/// A thread with its core.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlannedThread {
    /// Thread name.
    pub name: String,
    /// Its stages.
    pub stages: Vec<StageName>,
    /// Its core; `None` = any.
    pub cpu: Option<usize>,
}

/// A profile with cores given out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Profile name.
    pub profile: String,
    /// Layout.
    pub layout: Layout,
    /// How the threads wait.
    pub idle: IdleMode,
    /// Threads.
    pub threads: Vec<PlannedThread>,
    /// Cores for housekeeping: those that no thread is pinned to, or all when none is left.
    pub housekeeping: Vec<usize>,
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.profile, self.idle.name())?;
        for thread in &self.threads {
            let stages: Vec<&str> = thread.stages.iter().map(|stage| stage.name()).collect();
            match thread.cpu {
                Some(cpu) => write!(f, " | {} on core {cpu}", stages.join("+"))?,
                None => write!(f, " | {}", stages.join("+"))?,
            }
        }
        Ok(())
    }
}

impl Profile {
    /// A built-in profile by name, else a file by path.
    ///
    /// # Errors
    /// [`ProfileError`].
    pub fn load(name_or_path: &str) -> Result<Self, ProfileError> {
        let built_in = BUILT_IN.iter().find(|(name, _)| *name == name_or_path);
        if let Some((name, text)) = built_in {
            return Self::parse(name, text);
        }
        let text = std::fs::read_to_string(Path::new(name_or_path)).map_err(|error| {
            ProfileError::NotFound { name: name_or_path.to_owned(), what: error.to_string() }
        })?;
        Self::parse(name_or_path, &text)
    }

    /// Reads and checks a profile's TOML; `origin` names it in errors.
    ///
    /// # Errors
    /// [`ProfileError`] but for the checks that need the host, which [`Profile::plan`] does.
    pub fn parse(origin: &str, text: &str) -> Result<Self, ProfileError> {
        let file: File = toml::from_str(text)
            .map_err(|error| ProfileError::Syntax { name: origin.to_owned(), what: error.to_string() })?;
        for stage in StageName::ALL {
            let count =
                file.threads.iter().flat_map(|thread| &thread.stages).filter(|&&at| at == stage).count();
            if count != 1 {
                return Err(ProfileError::StageCount { name: file.name, stage: stage.name(), count });
            }
        }
        let mut threads: Vec<ThreadSpec> = file
            .threads
            .into_iter()
            .map(|mut thread| {
                thread.stages.sort_unstable();
                ThreadSpec { name: thread.name, stages: thread.stages, cpu: thread.cpu.into() }
            })
            .collect();
        threads.sort_by_key(|thread| thread.stages.first().copied());
        let groups: Vec<&[StageName]> = threads.iter().map(|thread| thread.stages.as_slice()).collect();
        let layout = [Layout::Fused, Layout::Split, Layout::Dedicated]
            .into_iter()
            .find(|layout| layout.groups() == groups);
        let Some(layout) = layout else { return Err(ProfileError::Grouping { name: file.name }) };
        Ok(Self { name: file.name, idle: file.idle, layout, threads })
    }

    /// The built-in profile that suits these cores: each spinning thread gets its own, and one is left
    /// for housekeeping. On a single core the fused profile yields.
    pub fn choose(allowed: &AllowedCpus) -> Self {
        let (_, text) = match allowed.count() {
            0..=3 => BUILT_IN[0],
            4..=6 => BUILT_IN[1],
            _ => BUILT_IN[2],
        };
        #[allow(clippy::expect_used)] // the three built-in files are parsed by a test
        let profile = Self::parse("built-in", text).expect("built-in profiles are valid");
        if allowed.count() < 2 { profile.with_idle(IdleMode::Yield) } else { profile }
    }

    /// The same layout with another way of waiting.
    #[must_use]
    pub fn with_idle(mut self, idle: IdleMode) -> Self {
        self.idle = idle;
        self
    }

    /// Gives out cores. Threads that spin get one each, from the highest number down (the lowest serve
    /// interrupts on most hosts); others stay where the scheduler puts them, unless a number is given. A given
    /// number may lie outside the allowed cores (isolated cores do).
    ///
    /// # Errors
    /// [`ProfileError::SharedCpu`] and [`ProfileError::TooFewCpus`], for spinning threads only.
    pub fn plan(&self, allowed: &AllowedCpus) -> Result<Plan, ProfileError> {
        let spins = self.idle == IdleMode::Spin;
        let fixed = |thread: &ThreadSpec| match thread.cpu {
            CpuChoice::Cpu(cpu) => Some(cpu),
            CpuChoice::Auto => None,
        };
        let mut taken: Vec<usize> = self.threads.iter().filter_map(fixed).collect();
        taken.sort_unstable();
        if spins && let Some(twice) = taken.windows(2).find(|pair| pair[0] == pair[1]) {
            return Err(ProfileError::SharedCpu { name: self.name.clone(), cpu: twice[0] });
        }
        let mut free: Vec<usize> =
            allowed.as_slice().iter().copied().filter(|cpu| !taken.contains(cpu)).collect();
        let wanting = self.threads.len() - taken.len();
        if spins && free.len() < wanting {
            return Err(ProfileError::TooFewCpus {
                name: self.name.clone(),
                threads: self.threads.len(),
                cpus: allowed.count(),
                list: allowed.to_string(),
            });
        }
        let threads: Vec<PlannedThread> = self
            .threads
            .iter()
            .map(|thread| PlannedThread {
                name: thread.name.clone(),
                stages: thread.stages.clone(),
                cpu: fixed(thread).or_else(|| if spins { free.pop() } else { None }),
            })
            .collect();
        let housekeeping = if free.is_empty() { allowed.as_slice().to_vec() } else { free };
        Ok(Plan { profile: self.name.clone(), layout: self.layout, idle: self.idle, threads, housekeeping })
    }
}

/// The profiles that come with the program.
const BUILT_IN: [(&str, &str); 3] = [
    ("fused", include_str!("../../pinning/fused.toml")),
    ("split", include_str!("../../pinning/split.toml")),
    ("dedicated", include_str!("../../pinning/dedicated.toml")),
];

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    name: String,
    #[serde(default)]
    idle: IdleMode,
    threads: Vec<FileThread>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FileThread {
    name: String,
    stages: Vec<StageName>,
    #[serde(default)]
    cpu: FileCpu,
}

#[derive(Deserialize)]
#[serde(untagged, expecting = "a core number or \"auto\"")]
enum FileCpu {
    Number(usize),
    Word(Auto),
}

#[derive(Deserialize)]
enum Auto {
    #[serde(rename = "auto")]
    Auto,
}

impl Default for FileCpu {
    fn default() -> Self {
        Self::Word(Auto::Auto)
    }
}

impl From<FileCpu> for CpuChoice {
    fn from(cpu: FileCpu) -> Self {
        match cpu {
            FileCpu::Number(cpu) => Self::Cpu(cpu),
            FileCpu::Word(Auto::Auto) => Self::Auto,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cpus(count: usize) -> AllowedCpus {
        AllowedCpus::from_list((0..count).collect())
    }

    #[test]
    fn the_built_in_profiles_are_what_they_are_called() {
        for (name, layout) in
            [("fused", Layout::Fused), ("split", Layout::Split), ("dedicated", Layout::Dedicated)]
        {
            let profile = Profile::load(name).unwrap();
            assert_eq!((profile.name.as_str(), profile.layout, profile.idle), (name, layout, IdleMode::Spin));
        }
    }

    #[test]
    fn the_host_chooses_a_profile_that_it_can_run() {
        for (count, layout) in [
            (1, Layout::Fused),
            (2, Layout::Fused),
            (3, Layout::Fused),
            (4, Layout::Split),
            (6, Layout::Split),
            (7, Layout::Dedicated),
            (64, Layout::Dedicated),
        ] {
            let profile = Profile::choose(&cpus(count));
            assert_eq!(profile.layout, layout, "{count} cores");
            assert_eq!(profile.idle == IdleMode::Spin, count > 1);
            let plan = profile.plan(&cpus(count)).unwrap();
            assert!(!plan.housekeeping.is_empty());
        }
    }

    #[test]
    fn spinning_threads_get_distinct_cores_and_housekeeping_the_rest() {
        let plan = Profile::load("split").unwrap().plan(&cpus(4)).unwrap();
        let given: Vec<Option<usize>> = plan.threads.iter().map(|thread| thread.cpu).collect();
        assert_eq!(given, [Some(3), Some(2), Some(1)]);
        assert_eq!(plan.housekeeping, [0]);
        assert_eq!(
            plan.to_string(),
            "split (spin) | gateway+decode on core 3 | scan+risk+route on core 2 | record on core 1"
        );
    }

    #[test]
    fn too_many_spinning_threads_are_refused_with_advice_and_yielding_ones_are_not() {
        let profile = Profile::load("dedicated").unwrap();
        let refusal = profile.plan(&cpus(2)).unwrap_err();
        assert!(matches!(refusal, ProfileError::TooFewCpus { threads: 6, cpus: 2, .. }));
        let text = refusal.to_string();
        assert!(text.contains("--idle yield") && text.contains("2 core(s) (0-1)"), "{text}");
        for idle in [IdleMode::Yield, IdleMode::Park] {
            let plan = profile.clone().with_idle(idle).plan(&cpus(2)).unwrap();
            assert!(plan.threads.iter().all(|thread| thread.cpu.is_none()));
            assert_eq!(plan.housekeeping, [0, 1]);
        }
    }

    fn text_of(threads: &[(&str, &str)]) -> String {
        let mut text = "name = \"mine\"\nidle = \"spin\"\n".to_owned();
        for (index, (stages, cpu)) in threads.iter().enumerate() {
            let list: Vec<String> = stages.split('+').map(|stage| format!("{stage:?}")).collect();
            text +=
                &format!("[[threads]]\nname = \"t{index}\"\nstages = [{}]\ncpu = {cpu}\n", list.join(", "));
        }
        text
    }

    #[test]
    fn given_cores_are_kept_even_outside_the_mask_but_not_shared() {
        let text = text_of(&[("record", "\"auto\""), ("scan+route+risk", "9"), ("decode+gateway", "1")]);
        let profile = Profile::parse("mine.toml", &text).unwrap();
        assert_eq!(profile.layout, Layout::Split, "order within the file does not matter");
        let plan = profile.plan(&cpus(2)).unwrap();
        assert_eq!(
            plan.threads.iter().map(|thread| thread.cpu).collect::<Vec<_>>(),
            [Some(1), Some(9), Some(0)]
        );
        let text = text_of(&[("record", "1"), ("scan+route+risk", "0"), ("decode+gateway", "1")]);
        let refusal = Profile::parse("mine.toml", &text).unwrap().plan(&cpus(8)).unwrap_err();
        assert_eq!(refusal, ProfileError::SharedCpu { name: "mine".to_owned(), cpu: 1 });
    }

    #[test]
    fn faulty_profiles_are_refused_by_name() {
        let parse = |text: &str| Profile::parse("mine.toml", text).unwrap_err();
        let missing = parse(&text_of(&[("gateway+decode+scan+risk+route", "0")]));
        assert_eq!(missing, ProfileError::StageCount { name: "mine".to_owned(), stage: "record", count: 0 });
        let twice = parse(&text_of(&[("gateway+decode+scan+risk+route+record", "0"), ("scan", "1")]));
        assert!(matches!(twice, ProfileError::StageCount { stage: "scan", count: 2, .. }));
        let grouping = parse(&text_of(&[("gateway+decode+scan", "0"), ("risk+route+record", "1")]));
        assert!(matches!(grouping, ProfileError::Grouping { .. }));
        let unknown = parse(&text_of(&[("gateway+decoder", "0")]));
        assert!(
            unknown.to_string().contains("decoder") && unknown.to_string().contains("line 5"),
            "{unknown}"
        );
        assert!(matches!(parse(&text_of(&[("gateway", "\"first\"")])), ProfileError::Syntax { .. }));
        assert!(matches!(parse("name = \"x\"\nthread = []"), ProfileError::Syntax { .. }));
        let nowhere = Profile::load("no/such/profile.toml").unwrap_err();
        assert!(nowhere.to_string().contains("fused, split and dedicated"), "{nowhere}");
    }
}

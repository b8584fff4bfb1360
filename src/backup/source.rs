//! What a backup is of. A store may hold the backups of several directories; each keeps its own.

use super::listing::Listing;
use super::survey::Found;
use super::{BackupError, Listings};
use crate::journal::{MANIFEST_FILE, Manifest, RunId};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::fmt;
use std::path::Path;

/// Fewest digits by which a run is named.
const DIGITS_MIN: usize = 4;

/// A directory of which there are backups.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Source {
    /// The last part of its path.
    pub name: String,
    /// The runs whose journals it held.
    pub runs: BTreeSet<RunId>,
}

impl Source {
    /// Of what was found below `dir`.
    ///
    /// # Errors
    /// There is no journal.
    pub fn of(dir: &Path, found: &[Found]) -> Result<Self, BackupError> {
        let is_manifest = |file: &&Found| file.at.file_name().is_some_and(|name| name == MANIFEST_FILE);
        let mut manifests = found.iter().filter(is_manifest).peekable();
        if manifests.peek().is_none() {
            return Err(BackupError::NoJournal { dir: dir.to_owned(), empty: found.is_empty() });
        }
        // A run that does not say which it is, is taken along all the same.
        let run = |file: &Found| Manifest::read(file.at.parent()?).ok().map(|manifest| manifest.run_id);
        let real = dir.canonicalize().map_err(|e| BackupError::io("look at", dir, e))?;
        let name = real.file_name().unwrap_or(real.as_os_str()).to_string_lossy().into_owned();
        Ok(Self { name, runs: manifests.filter_map(run).collect() })
    }

    /// Of the same directory: a name alone is borne by many, and a run may lie in a directory of its own, too.
    pub fn is_same(&self, other: &Self) -> bool {
        self.name == other.name && !self.runs.is_disjoint(&other.runs)
    }

    /// Whether somebody may mean it by `word`: its name, or the beginning of a run.
    fn is_meant(&self, word: &str) -> bool {
        let begins = |run: &RunId| run.to_string().starts_with(word);
        self.name == word || (word.len() >= DIGITS_MIN && self.runs.iter().any(begins))
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.name)?;
        match (self.runs.first(), self.runs.len()) {
            (Some(run), 1) => write!(f, " (run {run})"),
            (Some(run), count) => write!(f, " (run {run} and {} more)", count - 1),
            (None, _) => Ok(()),
        }
    }
}

/// The backups of one source.
#[derive(Debug)]
pub struct Group<'a> {
    /// What they are of, with the runs of all of them.
    pub source: Source,
    /// They, the newest first.
    pub backups: Vec<&'a Listing>,
}

/// Backups (the oldest first) by what they are of, the one with the newest first. Runs come and go in a directory of
/// journals: each backup shares one with the next. Those of programs that wrote down no source belong to none.
pub fn groups(listings: &[Listing]) -> Vec<Group<'_>> {
    let mut found: Vec<Group<'_>> = Vec::new();
    for listing in listings.iter().rev() {
        let Some(source) = &listing.source else { continue };
        match found.iter_mut().find(|group| group.source.is_same(source)) {
            Some(group) => {
                group.source.runs.extend(&source.runs);
                group.backups.push(listing);
            }
            None => found.push(Group { source: source.clone(), backups: vec![listing] }),
        }
    }
    found
}

/// Which backup is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Choice<'a> {
    /// The newest, where all are of one source.
    Newest,
    /// The newest of the source that is named: by its name, or the beginning of a run.
    Of(&'a str),
    /// The one of this name.
    Backup(&'a str),
}

impl Choice<'_> {
    /// The backup that is meant.
    ///
    /// # Errors
    /// There is none, there are several sources, or one that may be meant is damaged.
    pub fn pick(self, listings: Listings) -> Result<Listing, BackupError> {
        let Listings { good, damaged } = listings;
        let groups = groups(&good);
        let said = |groups: &[&Group<'_>]| -> String {
            let line = |group: &&Group<'_>| {
                let newest = group.backups.first().map_or("", |listing| listing.id.as_str());
                format!("\n  {}: {} in all, the newest {newest}", group.source, group.backups.len())
            };
            groups.iter().map(line).collect()
        };
        let all: Vec<&Group<'_>> = groups.iter().collect();
        let picked = match self {
            Self::Newest if all.len() > 1 => return Err(BackupError::Several { list: said(&all) }),
            Self::Newest => good.last(),
            Self::Of(word) => {
                let meant: Vec<&Group<'_>> =
                    groups.iter().filter(|group| group.source.is_meant(word)).collect();
                match meant.as_slice() {
                    [] => return Err(BackupError::NoneOf { of: word.to_owned(), list: said(&all) }),
                    [one] => one.backups.first().copied(),
                    several => return Err(BackupError::Several { list: said(several) }),
                }
            }
            Self::Backup(id) => good.iter().find(|listing| listing.id == id),
        };
        let picked = picked.cloned();
        // Of what a damaged one is, and whether it is the one that is wanted, nobody knows.
        let after = picked.as_ref().map_or("", |listing| listing.id.as_str());
        let is_in_question = |id: &str| match self {
            Self::Backup(wanted) => id == wanted,
            _ => id > after,
        };
        if let Some((_, why)) = damaged.into_iter().rev().find(|(id, _)| is_in_question(id)) {
            return Err(why);
        }
        let id = if let Self::Backup(id) = self { Some(id.to_owned()) } else { None };
        picked.ok_or(BackupError::Absent { id })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn backup(at: i64, source: Option<(&str, &[u128])>) -> Listing {
        let source = source.map(|(name, runs)| Source {
            name: name.to_owned(),
            runs: runs.iter().map(|run| RunId(*run)).collect(),
        });
        Listing { source, ..Listing::begin(at * 1_000_000_000) }
    }

    #[test]
    fn backups_are_of_one_source_where_they_share_name_and_a_run() {
        let listings = [
            backup(1, None),
            backup(2, Some(("journals", &[1, 2]))),
            backup(3, Some(("journals", &[9]))),
            backup(4, Some(("one", &[2]))),
            backup(5, Some(("journals", &[2, 3]))),
            backup(6, Some(("journals", &[3, 4]))),
        ];
        let found: Vec<Vec<i64>> = groups(&listings)
            .iter()
            .map(|group| group.backups.iter().map(|one| one.created_wall_ns / 1_000_000_000).collect())
            .collect();
        assert_eq!(found, [vec![6, 5, 2], vec![4], vec![3]]);
    }

    #[test]
    fn a_name_that_several_bear_needs_a_run_and_a_damaged_listing_is_passed_over_by_nobody() {
        let good = vec![
            backup(1, Some(("j", &[0xaaaa << 112]))),
            backup(2, Some(("j", &[0xbbbb << 112]))),
            backup(3, Some(("k", &[0xcccc << 112]))),
        ];
        let pick = |choice: Choice<'_>, damaged: Vec<(String, BackupError)>| {
            let picked = choice.pick(Listings { good: good.clone(), damaged });
            picked.map(|one| one.created_wall_ns / 1_000_000_000).map_err(|why| why.to_string())
        };
        assert_eq!(pick(Choice::Of("k"), vec![]), Ok(3));
        assert_eq!(pick(Choice::Of("aaaa"), vec![]), Ok(1));
        assert_eq!(pick(Choice::Backup(&good[1].id), vec![]), Ok(2));
        for (choice, what) in
            [(Choice::Newest, "aaaa"), (Choice::Of("j"), "--of"), (Choice::Of("l"), "no backup of l")]
        {
            let said = pick(choice, vec![]).expect_err("not clear");
            assert!(said.contains(what) && said.contains("the newest 1970"), "{said}");
        }
        let newer = Listing::begin(9_000_000_000).id;
        let damaged = || {
            let why = BackupError::Listing { id: newer.clone(), what: "torn".to_owned() };
            vec![(newer.clone(), why)]
        };
        assert!(pick(Choice::Of("k"), damaged()).is_err_and(|said| said.contains("torn")));
        assert!(pick(Choice::Backup(&newer), damaged()).is_err_and(|said| said.contains("torn")));
        assert_eq!(pick(Choice::Backup(&good[2].id), damaged()), Ok(3));
    }
}

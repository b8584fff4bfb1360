//! Tables as CSV: a header line, decimals as exact text, nothing where nothing is known.

use super::table::{Cell, Kind};
use super::{ExportError, Taker};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

/// A file per table.
pub struct Tables {
    files: BTreeMap<Kind, (PathBuf, BufWriter<File>)>,
}

impl Tables {
    /// Begins the files in `folder` with their headers.
    pub fn begin(folder: &Path, kinds: &BTreeSet<Kind>) -> Result<Self, ExportError> {
        let mut files = BTreeMap::new();
        for kind in kinds {
            let path = folder.join(format!("{}.csv", kind.name()));
            let begin = || {
                let mut file = BufWriter::new(File::create_new(&path)?);
                let names: Vec<&str> = kind.all_columns().map(|(name, _)| name).collect();
                writeln!(file, "{}", names.join(","))?;
                Ok(file)
            };
            let file = begin().map_err(|source: io::Error| ExportError::write(&path, source))?;
            files.insert(*kind, (path, file));
        }
        Ok(Self { files })
    }

    /// Ends the files.
    pub fn finish(self) -> Result<(), ExportError> {
        self.files
            .into_values()
            .try_for_each(|(path, mut file)| file.flush().map_err(|source| ExportError::write(&path, source)))
    }
}

impl Taker for Tables {
    fn row(&mut self, kind: Kind, cells: &[Cell<'_>]) -> Result<(), ExportError> {
        let Some((path, file)) = self.files.get_mut(&kind) else { return Ok(()) };
        line(file, cells).map_err(|source| ExportError::write(path, source))
    }
}

fn line(to: &mut impl Write, cells: &[Cell<'_>]) -> io::Result<()> {
    for (at, cell) in cells.iter().enumerate() {
        if at > 0 {
            to.write_all(b",")?;
        }
        match cell {
            Cell::Null => {}
            Cell::Int(value) => write!(to, "{value}")?,
            Cell::Count(value) => write!(to, "{value}")?,
            Cell::Flag(value) => write!(to, "{value}")?,
            Cell::Decimal(value) => write!(to, "{value}")?,
            Cell::Text(text) if text.is_empty() || text.contains(['"', ',', '\n', '\r']) => {
                write!(to, "\"{}\"", text.replace('"', "\"\""))?;
            }
            Cell::Text(text) => to.write_all(text.as_bytes())?,
        }
    }
    to.write_all(b"\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::number::Num;

    #[test]
    fn text_that_would_break_a_line_is_quoted_and_empty_text_is_not_nothing() {
        let mut out = Vec::new();
        let cells = [
            Cell::text("a,\"b\"\n"),
            Cell::Null,
            Cell::text(""),
            Cell::exact(Num::new(-150, 3)),
            Cell::Flag(true),
        ];
        line(&mut out, &cells).unwrap();
        assert_eq!(String::from_utf8(out).unwrap(), "\"a,\"\"b\"\"\n\",,\"\",-0.15,true\n");
    }
}

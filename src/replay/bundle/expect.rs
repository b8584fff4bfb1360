//! `expect.toml`: what must hold when a bundle is replayed. Predicates are those of `perpring step`.
//!
//! ```toml
//! violations = 0                        # of the independent checker
//! identical = true                      # outputs as recorded: not for a bug whose fix changes them
//!
//! [[expect]]
//! name = "nothing is left over at the end"
//! never = "residual != 0"               # or always, eventually, count = "fills <= 4"
//! at = "end"                            # one place; or from = "+2s" and until = "+9s"
//! ```

use crate::replay::place::Place;
use crate::replay::step::expression::{Predicate, Scope};
use serde::Deserialize;
use std::ops::Range;
use std::str::FromStr as _;
use toml::Spanned;

/// All of it, as it is written.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Expect {
    /// Violations that the independent checker finds, up to where outputs first differ from the recorded ones.
    pub violations: Option<u64>,
    /// Whether all outputs are the recorded ones.
    pub identical: Option<bool>,
    /// Statements.
    #[serde(default)]
    expect: Vec<Entry>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    name: Spanned<String>,
    always: Option<Spanned<String>>,
    never: Option<Spanned<String>>,
    eventually: Option<Spanned<String>>,
    count: Option<Spanned<String>>,
    at: Option<Spanned<String>>,
    from: Option<Spanned<String>>,
    until: Option<Spanned<String>>,
}

/// A statement.
pub struct Statement {
    /// Its name.
    pub name: String,
    /// What it says, as it is written.
    pub text: String,
    /// Where it is looked at; `None` = everywhere.
    pub window: Window,
    /// What is to hold.
    pub what: What,
}

/// Places between which a statement is looked at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Window {
    /// Not before.
    pub from: Option<Spot>,
    /// Not after.
    pub until: Option<Spot>,
}

/// A place, or the end of the stretch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spot {
    /// The first input there or after it.
    Place(Place),
    /// The last input.
    End,
}

/// What is to hold.
pub enum What {
    /// Never false, and true at least once.
    Always(Predicate),
    /// Never true.
    Never(Predicate),
    /// True at least once.
    Eventually(Predicate),
    /// A count over the whole stretch.
    Count(Counted, Comparison, u64),
}

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // named as they are written
pub enum Counted {
    Inputs,
    Intents,
    Entries,
    Approved,
    Denials,
    Messages,
    Orders,
    Fills,
    Foreign,
}

impl Counted {
    /// All, with their names.
    pub const ALL: [(&'static str, Self); 9] = [
        ("inputs", Self::Inputs),
        ("intents", Self::Intents),
        ("entries", Self::Entries),
        ("approved", Self::Approved),
        ("denials", Self::Denials),
        ("messages", Self::Messages),
        ("orders", Self::Orders),
        ("fills", Self::Fills),
        ("foreign_fills", Self::Foreign),
    ];
}

/// How a count is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // named as they are read
pub enum Comparison {
    Equal,
    AtMost,
    AtLeast,
}

impl Comparison {
    /// Whether `count` is as it is to be.
    pub const fn holds(self, count: u64, wanted: u64) -> bool {
        match self {
            Self::Equal => count == wanted,
            Self::AtMost => count <= wanted,
            Self::AtLeast => count >= wanted,
        }
    }
}

/// Where something stands in the text, as `line 3, column 9`.
fn place(text: &str, at: usize) -> String {
    let before = &text[..at.min(text.len())];
    let line = before.matches('\n').count() + 1;
    let column = before.chars().rev().take_while(|c| *c != '\n').count() + 1;
    format!("line {line}, column {column}")
}

/// Bytes of the quotes before a string's content.
fn quotes(text: &str, span: &Range<usize>) -> usize {
    let written = &text[span.clone()];
    if written.starts_with("\"\"\"") || written.starts_with("'''") { 3 } else { 1 }
}

impl Expect {
    /// Reads the text; its statements are read by [`Expect::statements`], which needs the names of the run.
    ///
    /// # Errors
    /// What is wrong, with line and column.
    pub fn parse(text: &str) -> Result<Self, String> {
        toml::from_str(text).map_err(|why| {
            let at = why.span().map_or(String::new(), |span| format!("{}: ", place(text, span.start)));
            format!("{at}{}", why.message())
        })
    }

    /// Whether it says nothing at all.
    pub fn is_empty(&self) -> bool {
        self.violations.is_none() && self.identical.is_none() && self.expect.is_empty()
    }

    /// The statements; `text` is what was parsed.
    ///
    /// # Errors
    /// What is wrong, with line and column.
    pub fn statements(&self, text: &str, scope: &Scope<'_>) -> Result<Vec<Statement>, String> {
        self.expect.iter().map(|entry| statement(entry, text, scope)).collect()
    }
}

fn statement(entry: &Entry, text: &str, scope: &Scope<'_>) -> Result<Statement, String> {
    let name = entry.name.get_ref();
    let kinds = [
        ("always", &entry.always),
        ("never", &entry.never),
        ("eventually", &entry.eventually),
        ("count", &entry.count),
    ];
    let mut given = kinds.iter().filter_map(|(kind, value)| Some((*kind, value.as_ref()?)));
    let (Some((kind, value)), None) = (given.next(), given.next()) else {
        let at = place(text, entry.name.span().start);
        return Err(format!("{at}: `{name}` needs one of always, never, eventually and count"));
    };
    let span = value.span();
    let begin = span.start + quotes(text, &span);
    let predicate = || {
        Predicate::parse(value.get_ref(), scope).map_err(|why| {
            let column = value.get_ref().char_indices().nth(why.column.saturating_sub(1));
            let at = begin + column.map_or(value.get_ref().len(), |(at, _)| at);
            format!("{}: {}", place(text, at), why.what)
        })
    };
    let what = match kind {
        "always" => What::Always(predicate()?),
        "never" => What::Never(predicate()?),
        "eventually" => What::Eventually(predicate()?),
        _ => count(value.get_ref()).map_err(|why| format!("{}: {why}", place(text, begin)))?,
    };
    let window = window(entry, text)?;
    if matches!(what, What::Count(..)) && window != Window::default() {
        let at = place(text, begin);
        return Err(format!("{at}: a count is over the whole stretch: leave out at, from and until"));
    }
    Ok(Statement { name: name.clone(), text: format!("{kind} {}", value.get_ref()), window, what })
}

fn window(entry: &Entry, text: &str) -> Result<Window, String> {
    let spot = |value: &Option<Spanned<String>>| {
        let Some(value) = value else { return Ok(None) };
        if value.get_ref() == "end" {
            return Ok(Some(Spot::End));
        }
        let read = Place::from_str(value.get_ref());
        read.map(|place| Some(Spot::Place(place)))
            .map_err(|why| format!("{}: {why}, or `end`", place(text, value.span().start)))
    };
    match (&entry.at, &entry.from, &entry.until) {
        (None, from, until) => Ok(Window { from: spot(from)?, until: spot(until)? }),
        (at, None, None) => Ok(Window { from: spot(at)?, until: spot(at)? }),
        (Some(at), ..) => Err(format!("{}: give at, or from and until", place(text, at.span().start))),
    }
}

/// `fills <= 4`.
fn count(text: &str) -> Result<What, String> {
    let words: Vec<&str> = text.split_whitespace().collect();
    let [name, operator, number] = words[..] else {
        return Err(format!("`{text}` is no count: write it as `fills <= 4`"));
    };
    let Some((_, counted)) = Counted::ALL.into_iter().find(|(known, _)| *known == name) else {
        let known = Counted::ALL.map(|(name, _)| name).join(", ");
        return Err(format!("`{name}` is not counted; there are {known}"));
    };
    let comparison = match operator {
        "==" => Comparison::Equal,
        "<=" => Comparison::AtMost,
        ">=" => Comparison::AtLeast,
        other => return Err(format!("`{other}` compares no counts: use ==, <= or >=")),
    };
    let number = number.parse().map_err(|_| format!("`{number}` is no count"))?;
    Ok(What::Count(counted, comparison, number))
}

/// What a bundle expects unless somebody says more.
pub const DEFAULT: &str = r#"# What must hold when this bundle is replayed: `perpring replay FILE --expect`.
# Write down here what the bug broke, so that the bundle fails with it and passes with the fix.

# Broken rules that the independent checker finds (up to where outputs first differ from the recorded ones).
violations = 0

# Outputs as recorded. Leave it out when the fix changes them.
# identical = true

# Predicates are those of `perpring step` (its `help quantities` lists what they are made of):
# never, always or eventually, everywhere, at = PLACE, or from = PLACE and until = PLACE.
# Places: the number of an input, a time, +2.5s after the first input of the bundle, end.

# [[expect]]
# name = "books are never crossed when they are priced from"
# never = "book.served and book.crossed"

# [[expect]]
# name = "two orders at most"
# count = "orders <= 2"
"#;

/// Added to [`DEFAULT`] where nothing is left over at the end of the stretch.
pub const HEDGED: &str = r#"
[[expect]]
name = "nothing is left over at the end"
never = "residual != 0"
at = "end"
"#;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::params::EngineParams;
    use crate::replay::step::filter::Book;

    fn read(text: &str) -> Result<Vec<Statement>, String> {
        let book = Book::new(&EngineParams::default());
        let scope = Scope { book: &book, start: 0, epoch: 1 };
        Expect::parse(text)?.statements(text, &scope)
    }

    #[test]
    fn what_is_written_by_default_is_read() {
        let text = format!("{DEFAULT}{HEDGED}");
        assert_eq!(Expect::parse(&text).expect("reads").violations, Some(0));
        let statements = read(&text).expect("reads");
        assert_eq!(statements.len(), 1);
        assert_eq!(statements[0].window, Window { from: Some(Spot::End), until: Some(Spot::End) });
    }

    #[test]
    fn every_error_names_line_and_column() {
        for (text, at, why) in [
            ("violation = 0", "line 1, column 1", "unknown field `violation`"),
            ("violations = 'x'", "line 1, column 14", "invalid type"),
            ("violations = ", "line 1, column", ""),
            ("[[expect]]\nname = 'a'\nnever = 'residual = 0'\n", "line 3, column 19", "write `==`"),
            ("[[expect]]\nname = 'a'\nnever = \"\"\"resi == 0\"\"\"\n", "line 3, column 12", "resi"),
            ("[[expect]]\nname = 'a'\n", "line 2, column 8", "needs one of always"),
            (
                "[[expect]]\nname = 'a'\nnever = 'seq == 0'\nalways = 'seq == 0'\n",
                "line 2, column 8",
                "one of",
            ),
            ("[[expect]]\nname = 'a'\ncount = 'fill <= 3'\n", "line 3, column 10", "foreign_fills"),
            ("[[expect]]\nname = 'a'\ncount = 'fills < 3'\n", "line 3, column 10", "<="),
            (
                "[[expect]]\nname = 'a'\ncount = 'fills <= 3'\nat = 'end'\n",
                "line 3, column 10",
                "whole stretch",
            ),
            ("[[expect]]\nname = 'a'\nnever = 'seq == 0'\nat = 'noon'\n", "line 4, column 6", "+12.5s"),
            (
                "[[expect]]\nname = 'a'\nnever = 'seq == 0'\nat = 'end'\nfrom = '7'\n",
                "line 4, column 6",
                "give at, or",
            ),
        ] {
            let said = read(text).map(|_| ()).expect_err(text);
            assert!(said.starts_with(at) && said.contains(why), "{text}: {said}");
        }
    }

    #[test]
    fn counts_are_compared_as_they_are_written() {
        for (operator, holds) in
            [("==", [false, true, false]), ("<=", [true, true, false]), (">=", [false, true, true])]
        {
            let Ok(What::Count(Counted::Fills, comparison, 3)) = count(&format!("fills {operator} 3")) else {
                panic!("{operator}");
            };
            assert_eq!([2, 3, 4].map(|count| comparison.holds(count, 3)), holds, "{operator}");
        }
    }
}

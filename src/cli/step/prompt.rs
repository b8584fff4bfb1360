//! The prompt of `perpring step` at a terminal: line editing, completion, and a history that outlives the session.

use crate::cli::CliError;
use crate::replay::step::complete::complete;
use crate::replay::step::filter::Book;
use rustyline::completion::Completer;
use rustyline::config::{Builder, CompletionType};
use rustyline::error::ReadlineError;
use rustyline::highlight::Highlighter;
use rustyline::hint::Hinter;
use rustyline::history::FileHistory;
use rustyline::validate::Validator;
use rustyline::{Context, Editor, Helper};
use std::fs;
use std::io;
use std::path::PathBuf;

/// Lines that the history keeps.
const HISTORY_MAX: usize = 1_000;

/// A terminal that is asked for lines.
pub(super) struct Prompt {
    editor: Editor<Words, FileHistory>,
    /// Where the history is kept; `None` where there is no home.
    history: Option<PathBuf>,
}

impl Prompt {
    /// Completes the names of `book`.
    pub(super) fn open(book: Book) -> Result<Self, CliError> {
        let config = Builder::new().completion_type(CompletionType::List).auto_add_history(true);
        let config = config.max_history_size(HISTORY_MAX).map_err(unread)?.build();
        let mut editor = Editor::with_config(config).map_err(unread)?;
        editor.set_helper(Some(Words(book)));
        let history = history_file();
        if let Some(file) = &history {
            // There is none before the first session.
            let _ = editor.load_history(file);
        }
        Ok(Self { editor, history })
    }

    /// The next line; `None` when no more will come. Ctrl-C empties the line.
    pub(super) fn line(&mut self) -> Result<Option<String>, CliError> {
        match self.editor.readline("(step) ") {
            Ok(line) => Ok(Some(line)),
            Err(ReadlineError::Interrupted) => Ok(Some(String::new())),
            Err(ReadlineError::Eof) => Ok(None),
            Err(why) => Err(unread(why)),
        }
    }
}

impl Drop for Prompt {
    fn drop(&mut self) {
        if let Some(file) = &self.history {
            // The history is for convenience: a home that cannot be written is no failure of the session.
            let _ = file.parent().map_or(Ok(()), fs::create_dir_all);
            let _ = self.editor.append_history(file);
        }
    }
}

/// `perpring/step-history` where programs keep their state.
fn history_file() -> Option<PathBuf> {
    let set = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let state = set("XDG_STATE_HOME").or_else(|| Some(set("HOME")?.join(".local/state")))?;
    Some(state.join("perpring/step-history"))
}

fn unread(why: ReadlineError) -> CliError {
    let source = match why {
        ReadlineError::Io(source) => source,
        other => io::Error::other(other),
    };
    CliError::Read { path: "the terminal".into(), source }
}

/// Knows the words of commands and the names of the run.
struct Words(Book);

impl Completer for Words {
    type Candidate = String;

    fn complete(
        &self,
        line: &str,
        at: usize,
        _: &Context<'_>,
    ) -> Result<(usize, Vec<String>), ReadlineError> {
        Ok(complete(line.get(..at).unwrap_or_default(), &self.0))
    }
}

impl Hinter for Words {
    type Hint = String;
}

impl Highlighter for Words {}

impl Validator for Words {}

impl Helper for Words {}

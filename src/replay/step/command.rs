//! Commands of the debugger as they are typed.

use super::show::What;
use crate::replay::place::Place;

/// One command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Where we are.
    Where,
    /// Goes to a place.
    Goto(Option<Place>),
    /// Passes so many inputs.
    Step(u64),
    /// Goes back so many inputs.
    Back(u64),
    /// Runs until an expression holds.
    Until(String),
    /// Shows something, of what the names choose.
    Print(What, String),
    /// Shows an expression or quantity once.
    Show(String),
    /// Shows it after every stop.
    Watch(String),
    /// Forgets a watch by its number, from 1; without one, all.
    Unwatch(Option<usize>),
    /// Explains commands, or quantities.
    Help(String),
    /// Ends.
    Quit,
}

/// Commands: names with their short forms, arguments, and what they do.
pub const COMMANDS: &[(&str, &str, &str)] = &[
    (
        "goto, g PLACE",
        "a sequence, +12.5s, 2026-11-27T13:40:00Z, 13:40:00.5, ns since the epoch, or end",
        "g +12.5s",
    ),
    ("step, s [N]", "pass N inputs (1)", "s 10"),
    ("back, b [N]", "go back N inputs (1)", "b"),
    ("until, u EXPRESSION", "run until it holds; Ctrl-C stops there", "u residual != 0"),
    (
        "print, p WHAT [NAMES]",
        "books, depth, positions, orders, limits, trades, pairs, sessions, budgets, accounts, event, outputs",
        "p books BTC okx",
    ),
    ("show, e EXPRESSION", "show an expression or the values of a quantity", "e position[okx]"),
    ("watch, w EXPRESSION", "show it after every stop", "w edge_bps[BTC]"),
    ("unwatch [N]", "forget watch N, or all", "unwatch 1"),
    ("where", "where we are", "where"),
    ("help, h [quantities]", "this, or what expressions are made of", "h quantities"),
    ("quit, q", "end", "q"),
];

/// Reads a command; `None` for an empty line or a comment (`#`).
///
/// # Errors
/// What is wrong, with what there is.
pub fn parse(line: &str) -> Result<Option<Command>, String> {
    let line = line.trim();
    if line.is_empty() || line.starts_with('#') {
        return Ok(None);
    }
    let (verb, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
    let rest = rest.trim();
    let count = || match rest {
        "" => Ok(1),
        text => text.parse().map_err(|_| format!("`{text}` is no number of inputs")),
    };
    let expression = || match rest {
        "" => Err(format!(
            "{verb} what? Give an expression such as residual != 0; `help quantities` lists them"
        )),
        text => Ok(text.to_owned()),
    };
    let command = match verb {
        "goto" | "g" if rest == "end" => Command::Goto(None),
        "goto" | "g" => Command::Goto(Some(rest.parse().map_err(|why| format!("{why}, or end"))?)),
        "step" | "s" => Command::Step(count()?),
        "back" | "b" => Command::Back(count()?),
        "until" | "u" => Command::Until(expression()?),
        "print" | "p" => {
            let (what, names) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
            let known = || What::ALL.map(|(name, _)| name).join(", ");
            let what = What::parse(what)
                .ok_or_else(|| format!("`{what}` cannot be printed; there are {}", known()))?;
            Command::Print(what, names.trim().to_owned())
        }
        "show" | "e" => Command::Show(expression()?),
        "watch" | "w" => Command::Watch(expression()?),
        "unwatch" => match rest {
            "" => Command::Unwatch(None),
            text => {
                Command::Unwatch(Some(text.parse().map_err(|_| format!("`{text}` is no number of a watch"))?))
            }
        },
        "where" => Command::Where,
        "help" | "h" | "?" => Command::Help(rest.to_owned()),
        "quit" | "q" | "exit" => Command::Quit,
        other => {
            let known: Vec<&str> =
                COMMANDS.iter().filter_map(|(usage, ..)| usage.split([',', ' ']).next()).collect();
            return Err(format!("there is no command `{other}`; there are {}", known.join(", ")));
        }
    };
    Ok(Some(command))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn commands_have_short_forms_and_errors_say_what_there_is() {
        assert_eq!(parse("g 17"), parse("goto 17"));
        assert_eq!(parse(" s "), Ok(Some(Command::Step(1))));
        assert_eq!(parse("u residual[okx] != 0"), Ok(Some(Command::Until("residual[okx] != 0".to_owned()))));
        assert_eq!(parse("p book BTC okx"), Ok(Some(Command::Print(What::Books, "BTC okx".to_owned()))));
        assert_eq!(parse("p ev"), Ok(Some(Command::Print(What::Event, String::new()))));
        assert_eq!((parse(""), parse("# a note")), (Ok(None), Ok(None)));
        for (line, part) in [
            ("go", "there are goto, step"),
            ("goto", "+12.5s"),
            ("s x", "no number"),
            ("until", "residual != 0"),
            ("p money", "positions, orders"),
            ("unwatch a", "number of a watch"),
        ] {
            let said = parse(line).expect_err(line);
            assert!(said.contains(part), "{line}: {said}");
        }
    }

    #[test]
    fn every_command_that_help_shows_is_one() {
        for (usage, _, example) in COMMANDS {
            assert!(matches!(parse(example), Ok(Some(_))), "{example}");
            for name in usage.split(' ').take_while(|word| word.starts_with(char::is_lowercase)) {
                let name = name.trim_end_matches(',');
                let told = parse(name);
                assert!(!matches!(&told, Err(why) if why.contains("no command")), "{name}: {told:?}");
            }
        }
        for (name, what) in What::ALL {
            assert_eq!(What::parse(name), Some(what));
        }
    }

    proptest! {
        #[test]
        fn any_line_is_a_command_or_an_error(line in "(goto|g|s|b|u|p|w|h|unwatch)? ?\\PC{0,20}") {
            let _ = parse(&line);
        }
    }
}

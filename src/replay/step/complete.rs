//! What may stand where a command is being typed: for a prompt that completes.

use super::command::COMMANDS;
use super::filter::Book;
use super::quantity::{QUANTITIES, Type};
use super::show::What;

/// Where the word begins that `typed` (a line up to the cursor) ends with, and every word that it may become.
pub fn complete(typed: &str, book: &Book) -> (usize, Vec<String>) {
    let line = typed.trim_start();
    let Some((verb, rest)) = line.split_once(char::is_whitespace) else {
        let mut found = beginning(line, verbs());
        // The one that is meant: what comes behind it can be typed at once.
        if let [one] = found.as_mut_slice()
            && takes_more(one)
        {
            one.push(' ');
        }
        return (typed.len() - line.len(), found);
    };
    let rest = rest.trim_start();
    let (word, known) = match verb {
        "goto" | "g" => (rest, vec!["end"]),
        "help" | "h" | "?" => (rest, vec!["quantities"]),
        "print" | "p" => match rest.rfind([' ', ',', '>']) {
            Some(at) => (&rest[at + 1..], book.all_names()),
            None => (rest, What::ALL.map(|(name, _)| name).to_vec()),
        },
        "until" | "u" | "show" | "e" | "watch" | "w" => expression(rest, book),
        _ => (rest, Vec::new()),
    };
    (typed.len() - word.len(), beginning(word, known))
}

fn verbs() -> Vec<&'static str> {
    COMMANDS.iter().filter_map(|(usage, ..)| usage.split([',', ' ']).next()).collect()
}

/// Something may stand behind a command.
fn takes_more(verb: &str) -> bool {
    let usage = COMMANDS.iter().map(|(usage, ..)| *usage).find(|usage| {
        usage.strip_prefix(verb).is_some_and(|rest| rest.is_empty() || rest.starts_with([',', ' ']))
    });
    // Names are separated by commas, arguments come last.
    usage.is_some_and(|usage| usage.rsplit(", ").next().is_some_and(|last| last.contains(' ')))
}

fn beginning<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Vec<String> {
    let fits = |known: &&str| known.get(..word.len()).is_some_and(|head| head.eq_ignore_ascii_case(word));
    let mut found: Vec<String> = Vec::new();
    for one in known.into_iter().filter(fits) {
        if !found.iter().any(|before| before == one) {
            found.push(one.to_owned());
        }
    }
    found
}

/// The last word of an expression, and what may stand there: a name in brackets, a value behind `==`, else a quantity.
fn expression<'a>(text: &'a str, book: &'a Book) -> (&'a str, Vec<&'a str>) {
    if let Some(open) = text.rfind('[').filter(|open| !text[*open..].contains(']')) {
        let word = text[open + 1..].rsplit([' ', ',', '>']).next().unwrap_or_default();
        return (word, book.all_names());
    }
    let word = text.rsplit([' ', '(', ')', '=', '<', '>', '!']).next().unwrap_or_default();
    let before = text[..text.len() - word.len()].trim_end();
    match before.strip_suffix("==").or(before.strip_suffix("!=")) {
        Some(compared) => (word, values(compared.trim_end(), book)),
        None => {
            let quantities = QUANTITIES.iter().map(|quantity| quantity.name);
            (word, quantities.chain(["and", "or", "not"]).collect())
        }
    }
}

/// What the quantity at the end of `text` is compared with.
fn values<'a>(text: &str, book: &'a Book) -> Vec<&'a str> {
    let text = match text.strip_suffix(']') {
        Some(rest) => rest.rsplit_once('[').map_or(rest, |(name, _)| name),
        None => text,
    };
    let name = text.rsplit([' ', '(']).next().unwrap_or_default();
    QUANTITIES
        .iter()
        .filter(|quantity| quantity.name == name)
        .flat_map(|quantity| match quantity.is {
            Type::Word(words) => words.to_vec(),
            Type::Venue => book.names.venues.iter().map(String::as_str).collect(),
            Type::Instrument => book.all_names(),
            Type::Number | Type::Flag | Type::Instant | Type::Duration | Type::Order => Vec::new(),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::filter::tests::book;
    use super::*;

    fn completed(typed: &str) -> Vec<String> {
        let (at, found) = complete(typed, &book());
        found.iter().map(|word| format!("{}{word}", &typed[..at])).collect()
    }

    #[test]
    fn commands_quantities_names_and_values_are_completed_where_they_stand() {
        assert_eq!(completed("un"), ["until", "unwatch"]);
        assert_eq!(completed("  go"), ["  goto "]);
        assert_eq!(completed("unw"), ["unwatch "]);
        assert_eq!(completed("whe"), ["where"], "nothing comes behind it");
        assert_eq!(completed("q"), ["quit"]);
        assert_eq!(completed("goto e"), ["goto end"]);
        assert_eq!(completed("p po"), ["p positions"]);
        assert_eq!(completed("print books bi"), ["print books binance-usdm"]);
        assert_eq!(completed("until book.cr"), ["until book.crossed"]);
        assert_eq!(completed("u not (resi"), ["u not (residual"]);
        assert_eq!(completed("until residual[ok"), ["until residual[okx"]);
        assert_eq!(completed("until edge_bps[BTC okx>bin"), ["until edge_bps[BTC okx>binance-usdm"]);
        assert_eq!(completed("w position[eth] != 0 and book.serv"), ["w position[eth] != 0 and book.served"]);
        assert_eq!(completed("until venue == ok"), ["until venue == okx"]);
        assert_eq!(completed("until event==tra"), ["until event==trade"]);
        assert_eq!(completed("until position[okx] != "), [""; 0], "a number is nobody's to guess");
        assert_eq!(completed("step 1"), [""; 0]);
        assert_eq!(completed("nonsense wo"), [""; 0]);
    }

    proptest::proptest! {
        #[test]
        fn any_line_is_completed_to_lines_that_begin_with_it(line in "(g|p|u|w )?\\PC{0,20}") {
            let (at, found) = complete(&line, &book());
            let word = &line[at..];
            for one in found {
                proptest::prop_assert!(one.len() >= word.len() && one[..word.len()].eq_ignore_ascii_case(word));
            }
        }
    }
}

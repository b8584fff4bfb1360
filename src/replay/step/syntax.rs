//! The shape of an expression: words, comparisons, `and`, `or`, `not`, parentheses. Knows no quantity.
//!
//! ```text
//! or      = and ("or" and)*
//! and     = not ("and" not)*
//! not     = "not" not | "(" or ")" | use [operator use]
//! use     = word ["[" filter "]"]
//! ```

use std::fmt;

/// Deepest nesting that is read.
const DEPTH_MAX: usize = 64;
/// Longest expression that is read, in characters.
const LENGTH_MAX: usize = 4096;

/// What is wrong with an expression, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("column {column}: {what}")]
pub struct ExpressionError {
    /// Character of the text, from 1.
    pub column: usize,
    /// What is wrong, and what there is.
    pub what: String,
}

impl ExpressionError {
    pub(super) fn at<T>(column: usize, what: impl Into<String>) -> Result<T, Self> {
        Err(Self { column, what: what.into() })
    }
}

/// How two values are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // named as they are read
pub enum Operator {
    Equal,
    Unequal,
    Less,
    AtMost,
    Greater,
    AtLeast,
}

impl Operator {
    /// Whether a comparison with that outcome holds.
    pub fn holds(self, outcome: std::cmp::Ordering) -> bool {
        match self {
            Self::Equal => outcome.is_eq(),
            Self::Unequal => outcome.is_ne(),
            Self::Less => outcome.is_lt(),
            Self::AtMost => outcome.is_le(),
            Self::Greater => outcome.is_gt(),
            Self::AtLeast => outcome.is_ge(),
        }
    }

    /// `==` and `!=` only: for what has no order.
    pub const fn is_equality(self) -> bool {
        matches!(self, Self::Equal | Self::Unequal)
    }
}

/// A word with its filter, and where they stand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Use {
    /// The word.
    pub word: String,
    /// Where it begins.
    pub column: usize,
    /// What stands in brackets behind it, and where.
    pub filter: Option<(String, usize)>,
}

/// An expression as it is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Tree {
    /// Either holds.
    Or(Box<Tree>, Box<Tree>),
    /// Both hold.
    And(Box<Tree>, Box<Tree>),
    /// It does not hold.
    Not(Box<Tree>),
    /// A word alone.
    Is(Use),
    /// A comparison.
    Compare(Use, Operator, Use),
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Token {
    Word(String),
    Filter(String),
    Open,
    Close,
    Operator(Operator),
    And,
    Or,
    Not,
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Word(word) => write!(f, "`{word}`"),
            Self::Filter(text) => write!(f, "`[{text}]`"),
            Self::Open => f.write_str("`(`"),
            Self::Close => f.write_str("`)`"),
            Self::Operator(_) => f.write_str("an operator"),
            Self::And => f.write_str("`and`"),
            Self::Or => f.write_str("`or`"),
            Self::Not => f.write_str("`not`"),
        }
    }
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '_' | '.' | ':' | '/' | '-' | '+')
}

/// Tokens with their columns.
fn tokens(text: &str) -> Result<Vec<(Token, usize)>, ExpressionError> {
    let chars: Vec<char> = text.chars().collect();
    if chars.len() > LENGTH_MAX {
        return ExpressionError::at(LENGTH_MAX, format!("longer than {LENGTH_MAX} characters"));
    }
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(&c) = chars.get(at) {
        let column = at + 1;
        let next = chars.get(at + 1).copied();
        let (token, length) = match (c, next) {
            (c, _) if c.is_whitespace() => {
                at += 1;
                continue;
            }
            ('(', _) => (Token::Open, 1),
            (')', _) => (Token::Close, 1),
            ('=', Some('=')) => (Token::Operator(Operator::Equal), 2),
            ('!', Some('=')) => (Token::Operator(Operator::Unequal), 2),
            ('<', Some('=')) => (Token::Operator(Operator::AtMost), 2),
            ('>', Some('=')) => (Token::Operator(Operator::AtLeast), 2),
            ('<', _) => (Token::Operator(Operator::Less), 1),
            ('>', _) => (Token::Operator(Operator::Greater), 1),
            ('=', _) => return ExpressionError::at(column, "`=` compares nothing: write `==`"),
            ('&', Some('&')) => (Token::And, 2),
            ('|', Some('|')) => (Token::Or, 2),
            ('!', _) => (Token::Not, 1),
            ('[', _) => {
                let Some(length) = chars[at..].iter().position(|c| *c == ']') else {
                    return ExpressionError::at(column, "`[` is never closed");
                };
                (Token::Filter(chars[at + 1..at + length].iter().collect()), length + 1)
            }
            (c, _) if is_word(c) => {
                let length = chars[at..].iter().take_while(|c| is_word(**c)).count();
                let word: String = chars[at..at + length].iter().collect();
                let token = match word.as_str() {
                    "and" => Token::And,
                    "or" => Token::Or,
                    "not" => Token::Not,
                    _ => Token::Word(word),
                };
                (token, length)
            }
            (c, _) => {
                return ExpressionError::at(column, format!("`{}` has no meaning here", c.escape_debug()));
            }
        };
        found.push((token, column));
        at += length;
    }
    Ok(found)
}

struct Parser {
    tokens: std::iter::Peekable<std::vec::IntoIter<(Token, usize)>>,
    end: usize,
    depth: usize,
}

/// Reads an expression.
///
/// # Errors
/// Where it makes no sense.
pub fn parse(text: &str) -> Result<Tree, ExpressionError> {
    let end = text.chars().count() + 1;
    let mut parser = Parser { tokens: tokens(text)?.into_iter().peekable(), end, depth: 0 };
    let tree = parser.or()?;
    match parser.tokens.next() {
        None => Ok(tree),
        Some((Token::Close, column)) => ExpressionError::at(column, "this `)` closes nothing"),
        Some((token, column)) => ExpressionError::at(
            column,
            format!("{token} does not belong here: `and`, `or` or the end is expected"),
        ),
    }
}

impl Parser {
    fn takes(&mut self, token: &Token) -> bool {
        self.tokens.next_if(|(next, _)| next == token).is_some()
    }

    fn or(&mut self) -> Result<Tree, ExpressionError> {
        let mut left = self.and()?;
        while self.takes(&Token::Or) {
            left = Tree::Or(Box::new(left), Box::new(self.and()?));
        }
        Ok(left)
    }

    fn and(&mut self) -> Result<Tree, ExpressionError> {
        let mut left = self.not()?;
        while self.takes(&Token::And) {
            left = Tree::And(Box::new(left), Box::new(self.not()?));
        }
        Ok(left)
    }

    fn not(&mut self) -> Result<Tree, ExpressionError> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            let column = self.tokens.peek().map_or(self.end, |(_, column)| *column);
            return ExpressionError::at(column, format!("nested more than {DEPTH_MAX} deep"));
        }
        let tree = if self.takes(&Token::Not) {
            Tree::Not(Box::new(self.not()?))
        } else if self.takes(&Token::Open) {
            let inner = self.or()?;
            match self.tokens.next() {
                Some((Token::Close, _)) => inner,
                Some((token, column)) => {
                    return ExpressionError::at(
                        column,
                        format!("{token} does not belong here: `)` is expected"),
                    );
                }
                None => return ExpressionError::at(self.end, "a `(` is never closed"),
            }
        } else {
            self.comparison()?
        };
        self.depth -= 1;
        Ok(tree)
    }

    fn comparison(&mut self) -> Result<Tree, ExpressionError> {
        let left = self.one("a quantity")?;
        let operator = match self.tokens.peek() {
            Some((Token::Operator(operator), _)) => *operator,
            _ => return Ok(Tree::Is(left)),
        };
        self.tokens.next();
        let right = self.one("what to compare with")?;
        if let Some((Token::Operator(_), column)) = self.tokens.peek() {
            return ExpressionError::at(*column, "comparisons do not chain: join two with `and`");
        }
        Ok(Tree::Compare(left, operator, right))
    }

    fn one(&mut self, wanted: &str) -> Result<Use, ExpressionError> {
        let (word, column) = match self.tokens.next() {
            Some((Token::Word(word), column)) => (word, column),
            Some((token, column)) => {
                return ExpressionError::at(
                    column,
                    format!("{token} does not belong here: {wanted} is expected"),
                );
            }
            None => return ExpressionError::at(self.end, format!("{wanted} is expected")),
        };
        let filter = match self.tokens.next_if(|(token, _)| matches!(token, Token::Filter(_))) {
            Some((Token::Filter(text), column)) => Some((text, column)),
            _ => None,
        };
        Ok(Use { word, column, filter })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn shown(text: &str) -> String {
        fn show(tree: &Tree) -> String {
            let one = |of: &Use| match &of.filter {
                Some((filter, _)) => format!("{}[{filter}]", of.word),
                None => of.word.clone(),
            };
            match tree {
                Tree::Or(a, b) => format!("({} or {})", show(a), show(b)),
                Tree::And(a, b) => format!("({} and {})", show(a), show(b)),
                Tree::Not(a) => format!("(not {})", show(a)),
                Tree::Is(a) => one(a),
                Tree::Compare(a, op, b) => format!("{} {op:?} {}", one(a), one(b)),
            }
        }
        parse(text).map_or_else(|why| why.to_string(), |tree| show(&tree))
    }

    #[test]
    fn and_binds_closer_than_or_and_not_closest() {
        assert_eq!(shown("a or b and not c"), "(a or (b and (not c)))");
        assert_eq!(shown("(a || b) && !c"), "((a or b) and (not c))");
        assert_eq!(shown("x[BTC okx>binance] >= -8.5"), "x[BTC okx>binance] AtLeast -8.5");
    }

    #[test]
    fn errors_point_at_the_column() {
        for (text, expected) in [
            ("", "column 1: a quantity is expected"),
            ("a = 1", "column 3: `=` compares nothing: write `==`"),
            ("a and", "column 6: a quantity is expected"),
            ("(a", "column 3: a `(` is never closed"),
            ("a)", "column 2: this `)` closes nothing"),
            ("a b", "column 3: `b` does not belong here: `and`, `or` or the end is expected"),
            ("a[b", "column 2: `[` is never closed"),
            ("1 < a < 2", "column 7: comparisons do not chain: join two with `and`"),
            ("ä == %", "column 6: `%` has no meaning here"),
        ] {
            assert_eq!(shown(text), expected, "{text}");
        }
        assert!(shown(&"(".repeat(100)).contains("nested more than 64 deep"));
        assert!(shown(&"not ".repeat(100)).contains("nested more than 64 deep"));
        assert!(shown(&"a".repeat(5000)).contains("longer than"));
        assert_eq!(shown(&vec!["a"; 200].join(" or ")).matches("or").count(), 199, "a chain is not nested");
    }

    proptest! {
        #[test]
        fn any_text_is_an_expression_or_an_error_inside_of_it(text in "[a-c()!<>=&|\\[\\] .0-9é-]{0,40}|(and|or|not|\\(|\\)|a|<|==| ){0,20}") {
            if let Err(why) = parse(&text) {
                prop_assert!((1..=text.chars().count() + 1).contains(&why.column) && !why.what.is_empty());
            }
        }
    }
}

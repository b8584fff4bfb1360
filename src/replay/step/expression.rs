//! Expressions over the quantities of a run: typed when they are read, exact when they are evaluated.
//!
//! An expression holds when there is a choice of a listing, a direction, an event, … for which it does. Quantities of
//! one subject with the same filter speak of the same choice; with different filters, of different ones. What is not
//! known is neither true nor false, and neither is what follows from it alone.

use super::filter::{Book, Filter, Places};
use super::quantity::{Moment, QUANTITIES, Quantity, Row, Subject, Type, Value};
use super::syntax::{ExpressionError, Operator, Tree, Use, parse};
use crate::domain::money::Money;
use crate::domain::number::Num;
use crate::domain::order::ClientId;
use crate::domain::time::Nanos;
use crate::replay::place::{Place, duration, order_named};
use std::cmp::Ordering;

/// Most things that one expression may choose at the same time: the work grows with their product.
const CHOICES_MAX: usize = 3;

/// What the names in an expression refer to.
#[derive(Clone, Copy, Debug)]
pub struct Scope<'a> {
    /// Names of the run.
    pub book: &'a Book,
    /// `mono` of its first input.
    pub start: Nanos,
    /// Its boot epoch: the high half of its orders' ids.
    pub epoch: u64,
}

/// A quantity in its place.
struct Reading {
    /// As it was written.
    text: String,
    quantity: &'static Quantity,
    /// What it chooses from; `None` = nothing.
    choice: Option<usize>,
    /// For counts.
    filter: Filter,
}

enum Right {
    Number(Money),
    Flag(bool),
    Word(&'static str),
    Places(Places),
    Instant(Place),
    Duration(Nanos),
    Order(ClientId),
    Quantity(Reading),
}

enum Node {
    Or(Box<Node>, Box<Node>),
    And(Box<Node>, Box<Node>),
    Not(Box<Node>),
    Is(Reading),
    Compare(Reading, Operator, Right),
}

impl Node {
    /// Every quantity, in the order in which they are written.
    fn readings<'a>(&'a self, see: &mut dyn FnMut(&'a Reading)) {
        match self {
            Self::Or(a, b) | Self::And(a, b) => {
                a.readings(see);
                b.readings(see);
            }
            Self::Not(a) => a.readings(see),
            Self::Is(reading) => see(reading),
            Self::Compare(left, _, right) => {
                see(left);
                if let Right::Quantity(reading) = right {
                    see(reading);
                }
            }
        }
    }
}

struct Choice {
    subject: Subject,
    filter: Filter,
}

/// An expression that is true or not at a moment.
pub struct Predicate {
    text: String,
    root: Node,
    choices: Vec<Choice>,
    start: Nanos,
}

/// Rows that a choice can fall on; one that is empty where there is none.
type Rows<'a> = Vec<Option<Row<'a>>>;

impl Predicate {
    /// Reads an expression.
    ///
    /// # Errors
    /// Where it makes no sense, with what there is.
    pub fn parse(text: &str, scope: &Scope<'_>) -> Result<Self, ExpressionError> {
        let tree = parse(text)?;
        let mut typing = Typing::new(&tree, scope);
        let root = typing.node(&tree)?;
        Ok(Self { text: text.trim().to_owned(), root, choices: typing.choices, start: scope.start })
    }

    /// As it was written.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Whether it holds at this moment; `None` = that depends on what is not known.
    pub fn holds(&self, moment: &Moment<'_>) -> Option<bool> {
        let rows: Vec<Rows<'_>> = self.choices.iter().map(|choice| rows(choice, moment)).collect();
        let mut chosen: Vec<Option<Row<'_>>> = Vec::with_capacity(rows.len());
        self.search(&rows, &mut chosen, moment)
    }

    fn search<'a>(
        &self,
        rows: &[Rows<'a>],
        chosen: &mut Vec<Option<Row<'a>>>,
        moment: &Moment<'_>,
    ) -> Option<bool> {
        let Some(next) = rows.get(chosen.len()) else { return self.eval(&self.root, chosen, moment) };
        let mut found = Some(false);
        for row in next {
            chosen.push(*row);
            let one = self.search(rows, chosen, moment);
            chosen.pop();
            match one {
                Some(true) => return Some(true),
                None => found = None,
                Some(false) => {}
            }
        }
        found
    }

    /// What makes it hold at this moment: each quantity in it as it was written, what it is of there, and its value.
    /// Nothing when it does not hold.
    pub fn found<'a>(&self, moment: &Moment<'a>) -> Vec<(&str, Row<'a>, Option<Value>)> {
        let rows: Vec<Rows<'_>> = self.choices.iter().map(|choice| rows(choice, moment)).collect();
        let mut chosen = Vec::with_capacity(rows.len());
        let mut found: Vec<(&str, Row<'a>, Option<Value>)> = Vec::new();
        if self.choose(&rows, &mut chosen, moment) {
            self.root.readings(&mut |reading| {
                let row = reading.choice.map_or(Some(Row::Run), |at| chosen.get(at).copied().flatten());
                if let Some(row) = row.filter(|_| !found.iter().any(|(text, ..)| *text == reading.text)) {
                    found.push((&reading.text, row, read(reading, &chosen, moment)));
                }
            });
        }
        found
    }

    /// Finds the first choice for which it holds, and leaves it.
    fn choose<'a>(&self, rows: &[Rows<'a>], chosen: &mut Vec<Option<Row<'a>>>, moment: &Moment<'_>) -> bool {
        let Some(next) = rows.get(chosen.len()) else {
            return self.eval(&self.root, chosen, moment) == Some(true);
        };
        next.iter().any(|row| {
            chosen.push(*row);
            let holds = self.choose(rows, chosen, moment);
            if !holds {
                chosen.pop();
            }
            holds
        })
    }

    fn eval(&self, node: &Node, chosen: &[Option<Row<'_>>], moment: &Moment<'_>) -> Option<bool> {
        match node {
            Node::Or(a, b) => match (self.eval(a, chosen, moment), self.eval(b, chosen, moment)) {
                (Some(true), _) | (_, Some(true)) => Some(true),
                (Some(false), Some(false)) => Some(false),
                _ => None,
            },
            Node::And(a, b) => match (self.eval(a, chosen, moment), self.eval(b, chosen, moment)) {
                (Some(false), _) | (_, Some(false)) => Some(false),
                (Some(true), Some(true)) => Some(true),
                _ => None,
            },
            Node::Not(a) => self.eval(a, chosen, moment).map(|holds| !holds),
            Node::Is(reading) => match read(reading, chosen, moment)? {
                Value::Flag(flag) => Some(flag),
                _ => None,
            },
            Node::Compare(left, operator, right) => {
                let left = read(left, chosen, moment)?;
                self.compare(left, right, chosen, moment).map(|outcome| operator.holds(outcome))
            }
        }
    }

    /// How two values lie to each other; of what has no order, only whether they are equal.
    fn compare(
        &self,
        left: Value,
        right: &Right,
        chosen: &[Option<Row<'_>>],
        moment: &Moment<'_>,
    ) -> Option<Ordering> {
        let same = |same: bool| if same { Ordering::Equal } else { Ordering::Less };
        match (left, right) {
            (left, Right::Quantity(reading)) => match (left, read(reading, chosen, moment)?) {
                (Value::Number(a), Value::Number(b)) => Some(a.cmp(&b)),
                (Value::Duration(a), Value::Duration(b)) => Some(a.cmp(&b)),
                (a, b) => Some(same(a == b)),
            },
            (Value::Number(a), Right::Number(b)) => Some(a.cmp(b)),
            (Value::Flag(a), Right::Flag(b)) => Some(same(a == *b)),
            (Value::Word(a), Right::Word(b)) => Some(same(a == *b)),
            (Value::Venue(a), Right::Places(places)) => Some(same(places.has_venue(a))),
            (Value::Instrument(a), Right::Places(places)) => Some(same(places.has_listing(a))),
            (Value::Instant(at), Right::Instant(place)) => place.compare(at, self.start),
            (Value::Duration(a), Right::Duration(b)) => Some(a.cmp(b)),
            (Value::Order(a), Right::Order(b)) => Some(same(a == *b)),
            _ => None,
        }
    }
}

fn read(reading: &Reading, chosen: &[Option<Row<'_>>], moment: &Moment<'_>) -> Option<Value> {
    let row = match reading.choice {
        None => Row::Run,
        Some(at) => (*chosen.get(at)?)?,
    };
    reading.quantity.read(moment, &row, &reading.filter)
}

fn rows<'a>(choice: &Choice, moment: &Moment<'a>) -> Rows<'a> {
    let Choice { subject, filter } = choice;
    let mut found = every(*subject, filter, moment);
    if found.is_empty() {
        found.push(None);
    }
    found
}

/// Everything of a subject that a filter lets through.
fn every<'a>(subject: Subject, filter: &Filter, moment: &Moment<'a>) -> Rows<'a> {
    let scanner = moment.parts.scan.scanner();
    match subject {
        Subject::Run | Subject::Count => vec![Some(Row::Run)],
        Subject::Listing => {
            let ids = (0..moment.parts.scan.listings())
                .map(|at| crate::domain::instrument::InstrumentId(at as u16));
            ids.filter(|id| filter.has_listing(*id)).map(|id| scanner.listing(id).map(Row::Listing)).collect()
        }
        Subject::Pair => {
            let views = scanner.views().filter(|view| filter.has_way(view.buy, view.sell));
            views.map(|view| Some(Row::Pair(view))).collect()
        }
        Subject::Event => {
            let about = |body| super::quantity::about_event(moment.parts, body);
            let events = moment.last.events.iter().filter(|event| {
                let (venue, instrument) = about(&event.body);
                filter.has_about(venue, instrument)
            });
            events.map(|event| Some(Row::Event(event))).collect()
        }
        Subject::Output => {
            let fits = |output: &crate::domain::output::Output| {
                let about = super::quantity::about_output(output);
                if about.is_empty() {
                    filter.has_about(None, None)
                } else {
                    about.iter().any(|id| filter.has_listing(*id))
                }
            };
            moment
                .last
                .outputs
                .iter()
                .filter(|made| fits(&made.1))
                .map(|made| Some(Row::Output(made)))
                .collect()
        }
        Subject::Order => {
            let orders = moment.last.orders();
            orders
                .into_iter()
                .filter(|order| filter.has_listing(order.2))
                .map(|order| Some(Row::Order(order)))
                .collect()
        }
        Subject::Account => {
            let accounts = moment.parts.risk.rules().capital().accounts().iter();
            accounts
                .filter(|account| filter.has_venue(account.venue))
                .map(|one| Some(Row::Account(one)))
                .collect()
        }
    }
}

/// A quantity whose values are shown, or an expression of which is shown whether it holds.
pub enum Watch {
    /// Values by what they are of.
    Quantity {
        /// As it was written.
        text: String,
        /// Which.
        quantity: &'static Quantity,
        /// Of what.
        filter: Filter,
    },
    /// An expression.
    Predicate(Predicate),
}

impl Watch {
    /// Reads a quantity with its filter, or an expression.
    ///
    /// # Errors
    /// As [`Predicate::parse`].
    pub fn parse(text: &str, scope: &Scope<'_>) -> Result<Self, ExpressionError> {
        let tree = parse(text)?;
        let Tree::Is(of) = &tree else { return Predicate::parse(text, scope).map(Self::Predicate) };
        let mut typing = Typing::new(&tree, scope);
        let reading = typing.reading(of)?;
        let filter = match reading.choice {
            Some(choice) => typing.choices.swap_remove(choice).filter,
            None => reading.filter,
        };
        Ok(Self::Quantity { text: text.trim().to_owned(), quantity: reading.quantity, filter })
    }

    /// As it was written.
    pub fn text(&self) -> &str {
        match self {
            Self::Quantity { text, .. } => text,
            Self::Predicate(predicate) => predicate.text(),
        }
    }
}

/// Values of a quantity at a moment: what each is of, and the value where it is known.
pub fn values<'a>(
    quantity: &Quantity,
    filter: &Filter,
    moment: &Moment<'a>,
) -> Vec<(Row<'a>, Option<Value>)> {
    let rows = every(quantity.subject, filter, moment).into_iter().flatten();
    rows.map(|row| (row, quantity.read(moment, &row, filter))).collect()
}

/// Gives every word of a tree its quantity, its choice and its type.
struct Typing<'a> {
    scope: &'a Scope<'a>,
    /// Subjects of the quantities whose names leave no doubt, with their filters.
    plain: Vec<(Subject, Option<String>)>,
    choices: Vec<Choice>,
    keys: Vec<(Subject, Option<String>)>,
}

fn named(word: &str) -> impl Iterator<Item = &'static Quantity> {
    QUANTITIES.iter().filter(move |quantity| quantity.name == word)
}

fn key(of: &Use) -> Option<String> {
    let (text, _) = of.filter.as_ref()?;
    Some(text.split_whitespace().collect::<Vec<_>>().join(" "))
}

impl<'a> Typing<'a> {
    fn new(tree: &Tree, scope: &'a Scope<'a>) -> Self {
        let mut typing = Self { scope, plain: Vec::new(), choices: Vec::new(), keys: Vec::new() };
        typing.collect(tree);
        typing
    }

    fn collect(&mut self, tree: &Tree) {
        match tree {
            Tree::Or(a, b) | Tree::And(a, b) => {
                self.collect(a);
                self.collect(b);
            }
            Tree::Not(a) => self.collect(a),
            Tree::Is(of) => self.note(of),
            Tree::Compare(a, _, b) => {
                self.note(a);
                // The right side is a quantity only where no literal can stand; a wrong guess only widens the choice.
                if !b.word.starts_with(|c: char| c.is_ascii_digit())
                    && named(&a.word).any(|q| q.is == Type::Number)
                {
                    self.note(b);
                }
            }
        }
    }

    fn note(&mut self, of: &Use) {
        let mut found = named(&of.word);
        if let (Some(one), None) = (found.next(), found.next())
            && !matches!(one.subject, Subject::Run | Subject::Count)
        {
            self.plain.push((one.subject, key(of)));
        }
    }

    fn node(&mut self, tree: &Tree) -> Result<Node, ExpressionError> {
        Ok(match tree {
            Tree::Or(a, b) => Node::Or(Box::new(self.node(a)?), Box::new(self.node(b)?)),
            Tree::And(a, b) => Node::And(Box::new(self.node(a)?), Box::new(self.node(b)?)),
            Tree::Not(a) => Node::Not(Box::new(self.node(a)?)),
            Tree::Is(of) => {
                let reading = self.reading(of)?;
                if reading.quantity.is != Type::Flag {
                    let (name, what) = (&of.word, kind(reading.quantity.is));
                    return ExpressionError::at(
                        of.column,
                        format!("`{name}` is {what}: compare it with one"),
                    );
                }
                Node::Is(reading)
            }
            Tree::Compare(left, operator, right) => {
                let reading = self.reading(left)?;
                let is = reading.quantity.is;
                let ordered = matches!(is, Type::Number | Type::Instant | Type::Duration);
                if !ordered && !operator.is_equality() {
                    let (name, what) = (&left.word, kind(is));
                    let why = format!("`{name}` is {what}, which has no order: use `==` or `!=`");
                    return ExpressionError::at(left.column, why);
                }
                let right = self.right(is, right)?;
                Node::Compare(reading, *operator, right)
            }
        })
    }

    /// The quantity that a word names, with its choice.
    fn reading(&mut self, of: &Use) -> Result<Reading, ExpressionError> {
        let quantity = self.quantity(of)?;
        let filter = match &of.filter {
            None => Filter::default(),
            Some((text, column)) => {
                self.scope.book.filter(text).or_else(|why| ExpressionError::at(*column, why.to_string()))?
            }
        };
        let choice = match quantity.subject {
            Subject::Run if of.filter.is_some() => {
                let why = format!("`{}` is of the run as a whole: it takes no filter", of.word);
                return ExpressionError::at(of.filter.as_ref().map_or(of.column, |(_, column)| *column), why);
            }
            Subject::Run | Subject::Count => None,
            subject => Some(self.choice(subject, of, filter.clone())?),
        };
        let text = match &of.filter {
            Some((names, _)) => format!("{}[{}]", of.word, names.trim()),
            None => of.word.clone(),
        };
        Ok(Reading { text, quantity, choice, filter })
    }

    fn quantity(&self, of: &Use) -> Result<&'static Quantity, ExpressionError> {
        let found: Vec<&Quantity> = named(&of.word).collect();
        match found.as_slice() {
            [] => ExpressionError::at(of.column, unknown(&of.word)),
            [one] => Ok(one),
            many => {
                let key = key(of);
                let mut subjects: Vec<Subject> = self
                    .plain
                    .iter()
                    .filter(|(_, other)| *other == key)
                    .map(|(subject, _)| *subject)
                    .collect();
                subjects.sort_unstable();
                subjects.dedup();
                // Alone it speaks of what just happened.
                let subject = match subjects.as_slice() {
                    [] => Subject::Event,
                    [one] => *one,
                    several => {
                        let names: Vec<&str> = several.iter().map(|subject| subject.name()).collect();
                        let why = format!(
                            "`{}` could be that of {}: choose by a filter instead, as in book.crossed[okx]",
                            of.word,
                            names.join(" or ")
                        );
                        return ExpressionError::at(of.column, why);
                    }
                };
                let fits = many.iter().find(|one| one.subject == subject);
                fits.copied().map_or_else(
                    || {
                        let more =
                            if subject == Subject::Pair { "; `buy` and `sell` are its venues" } else { "" };
                        ExpressionError::at(
                            of.column,
                            format!("{} has no `{}`{more}", subject.name(), of.word),
                        )
                    },
                    Ok,
                )
            }
        }
    }

    fn choice(&mut self, subject: Subject, of: &Use, filter: Filter) -> Result<usize, ExpressionError> {
        let key = (subject, key(of));
        if let Some(at) = self.keys.iter().position(|known| *known == key) {
            return Ok(at);
        }
        if self.choices.len() == CHOICES_MAX {
            let why = format!("an expression chooses at most {CHOICES_MAX} things at once");
            return ExpressionError::at(of.column, why);
        }
        self.keys.push(key);
        self.choices.push(Choice { subject, filter });
        Ok(self.choices.len() - 1)
    }

    /// What stands on the right of a quantity of type `is`.
    fn right(&mut self, is: Type, of: &Use) -> Result<Right, ExpressionError> {
        let (word, column) = (of.word.as_str(), of.column);
        let literal = match is {
            Type::Number => {
                // `+5` is a number to people.
                let digits = word.strip_prefix('+').unwrap_or(word);
                Num::parse(digits.as_bytes()).ok().map(|number| Right::Number(Money::from_num(number)))
            }
            Type::Flag => match word {
                "true" => Some(Right::Flag(true)),
                "false" => Some(Right::Flag(false)),
                _ => None,
            },
            Type::Word(words) => words.iter().find(|known| **known == word).map(|known| Right::Word(known)),
            Type::Venue | Type::Instrument => {
                let places = self.scope.book.places(word);
                Some(Right::Places(places.or_else(|why| ExpressionError::at(column, why.to_string()))?))
            }
            Type::Instant => match word.parse() {
                Ok(place @ (Place::Since(_) | Place::Wall(_))) => Some(Right::Instant(place)),
                _ => None,
            },
            Type::Duration => duration(word).map(Right::Duration),
            Type::Order => order_named(word, self.scope.epoch).map(Right::Order),
        };
        match literal {
            Some(_) if of.filter.is_some() => {
                ExpressionError::at(column, format!("`{word}` takes no filter"))
            }
            Some(right) => Ok(right),
            None if named(word).next().is_some() => {
                let reading = self.reading(of)?;
                let other = reading.quantity.is;
                if std::mem::discriminant(&other) != std::mem::discriminant(&is)
                    || matches!(is, Type::Instant)
                {
                    let why = format!("`{word}` is {}; {} belongs here", kind(other), kind(is));
                    return ExpressionError::at(column, why);
                }
                Ok(Right::Quantity(reading))
            }
            None => ExpressionError::at(column, format!("`{word}` is not {}", example(is))),
        }
    }
}

/// A type in words.
fn kind(is: Type) -> &'static str {
    match is {
        Type::Number => "a number",
        Type::Flag => "true or false",
        Type::Word(_) => "a word",
        Type::Venue => "a venue",
        Type::Instrument => "an instrument",
        Type::Instant => "an instant",
        Type::Duration => "a length of time",
        Type::Order => "an order",
    }
}

/// A type in words, with what can be written.
fn example(is: Type) -> String {
    match is {
        Type::Number => "a number such as 8 or -0.25, nor a quantity".to_owned(),
        Type::Flag => "true or false".to_owned(),
        Type::Word(words) => format!("one of {}", words.join(", ")),
        Type::Instant => "an instant such as +12.5s or 2026-11-27T13:40:00Z".to_owned(),
        Type::Duration => "a length of time such as 250ms or 2s".to_owned(),
        Type::Order => "an order: 32 hex digits, or the hex digits of its number in this run".to_owned(),
        Type::Venue | Type::Instrument => kind(is).to_owned(),
    }
}

/// There is no such quantity: the nearest one, or all.
fn unknown(word: &str) -> String {
    let mut names: Vec<&str> = QUANTITIES.iter().map(|quantity| quantity.name).collect();
    names.sort_unstable();
    names.dedup();
    format!("there is no quantity `{word}`; there are {}", names.join(", "))
}

#[cfg(test)]
mod tests;

//! Which faults a simulated venue has, and when: the TOML file of `--faults`.

use crate::domain::time::{MILLI, Nanos, SECOND};
use crate::sim::exchange::{Change, Refusal};
use crate::sim::{SimConfig, SimVenueConfig};
use serde::{Deserialize, Serialize, Serializer};
use std::fmt;
use std::path::Path;

/// What can go wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FaultKind {
    /// The venue hangs up.
    Disconnect,
    /// Nothing more is sent on a connection, which stays open; the venue still hears its client.
    HalfOpen,
    /// A message is not sent.
    Gap,
    /// A message is sent twice.
    Duplicate,
    /// A message changes places with the next of its connection.
    Reorder,
    /// A message and all that follow it on its connection wait, and then come at once.
    Delay,
    /// Connections stay open and answer, but nothing is published on them for a while.
    Stale,
    /// Only the beginning of a message is sent.
    Truncated,
    /// A message is no JSON.
    Malformed,
    /// A message on a connection of orders or account news is not sent, nor a reply to an order over HTTP.
    AckLost,
    /// HTTP requests are answered with 429 for a while.
    #[serde(rename = "http_429")]
    Http429,
    /// HTTP requests are answered with 418 for a while.
    #[serde(rename = "http_418")]
    Http418,
    /// Every connection is closed; for a while HTTP requests are answered with 503 and upgrades refused.
    Maintenance,
    /// The acknowledgement of an order leaves behind the news of its fill.
    FillBeforeAck,
    /// An immediate-or-cancel order gets half of what it could.
    PartialFill,
    /// An order is refused, with a code of the venue's table.
    Reject,
    /// The venue's clock is wrong for a while: what it states, and what it holds requests against.
    ClockSkew,
    /// For a while orders must lie closer to the mark.
    PriceBand,
    /// The venue takes half of a position away: auto-deleveraging.
    Adl,
    /// The venue changes a contract for a while: its tick, its lot, whether it trades.
    Metadata,
    /// The venue takes only reductions on a contract for a while (Binance: its quantitative rules).
    SymbolLock,
    /// Connections are cut after a while, which the venue announces where it announces such things.
    PlannedCut,
    /// From then on the venue cuts every connection that reaches an age, without a word.
    OldAge,
}

impl FaultKind {
    /// Every kind, in the order of the counts.
    pub const ALL: [Self; 23] = [
        Self::Disconnect,
        Self::HalfOpen,
        Self::Gap,
        Self::Duplicate,
        Self::Reorder,
        Self::Delay,
        Self::Stale,
        Self::Truncated,
        Self::Malformed,
        Self::AckLost,
        Self::Http429,
        Self::Http418,
        Self::Maintenance,
        Self::FillBeforeAck,
        Self::PartialFill,
        Self::Reject,
        Self::ClockSkew,
        Self::PriceBand,
        Self::Adl,
        Self::Metadata,
        Self::SymbolLock,
        Self::PlannedCut,
        Self::OldAge,
    ];

    /// As the file and the report write it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Disconnect => "disconnect",
            Self::HalfOpen => "half_open",
            Self::Gap => "gap",
            Self::Duplicate => "duplicate",
            Self::Reorder => "reorder",
            Self::Delay => "delay",
            Self::Stale => "stale",
            Self::Truncated => "truncated",
            Self::Malformed => "malformed",
            Self::AckLost => "ack_lost",
            Self::Http429 => "http_429",
            Self::Http418 => "http_418",
            Self::Maintenance => "maintenance",
            Self::FillBeforeAck => "fill_before_ack",
            Self::PartialFill => "partial_fill",
            Self::Reject => "reject",
            Self::ClockSkew => "clock_skew",
            Self::PriceBand => "price_band",
            Self::Adl => "adl",
            Self::Metadata => "metadata",
            Self::SymbolLock => "symbol_lock",
            Self::PlannedCut => "planned_cut",
            Self::OldAge => "old_age",
        }
    }

    /// It has a duration.
    fn lasts(self) -> bool {
        matches!(
            self,
            Self::Delay
                | Self::Stale
                | Self::Http429
                | Self::Http418
                | Self::Maintenance
                | Self::FillBeforeAck
                | Self::ClockSkew
                | Self::PriceBand
                | Self::Metadata
                | Self::SymbolLock
                | Self::PlannedCut
                | Self::OldAge
        )
    }

    /// The connections that it befalls unless the file says others; `None`: it is not about connections, or
    /// those are its meaning.
    fn usual_side(self) -> Option<Side> {
        match self {
            Self::Disconnect | Self::HalfOpen | Self::PlannedCut | Self::OldAge => Some(Side::Any),
            Self::Gap
            | Self::Duplicate
            | Self::Reorder
            | Self::Delay
            | Self::Stale
            | Self::Truncated
            | Self::Malformed => Some(Side::Market),
            _ => None,
        }
    }
}

/// Connections by what travels on them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Side {
    /// Public market data.
    Market,
    /// Orders, or the news of an account.
    Private,
    /// Both.
    Any,
}

impl Side {
    /// Whether it takes in a connection that is private or not.
    pub fn holds(self, private: bool) -> bool {
        match self {
            Self::Market => !private,
            Self::Private => private,
            Self::Any => true,
        }
    }
}

/// When a fault strikes, ns after the start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum When {
    /// At these instants, in rising order.
    At(Vec<Nanos>),
    /// Again and again, at random: the mean time between two of them.
    Every(Nanos),
}

/// A fault of one venue or of all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// What goes wrong.
    pub kind: FaultKind,
    /// Name of the venue; `None` = every venue.
    pub venue: Option<String>,
    /// On which connections.
    pub side: Side,
    /// When.
    pub when: When,
    /// How long (old age: the age), ns; 0 for kinds without a duration.
    pub for_ns: Nanos,
    /// How far the clock is off, ns (positive = ahead); 0 for other kinds.
    pub by_ns: Nanos,
    /// How far from the mark orders may lie, ppb; 0 for other kinds.
    pub band_ppb: i64,
    /// Why an order is refused; `None` = for every reason that the venue knows, in turn.
    pub class: Option<Refusal>,
    /// What of a contract changes; `None` = all that the venue can change, in turn.
    pub change: Option<Change>,
    /// Which contract changes; `None` = any of the venue's.
    pub symbol: Option<String>,
}

/// The faults of a simulated world.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FaultPlan {
    /// Seed of everything random about them; independent of the market's.
    pub seed: u64,
    /// Nothing begins later than this, ns after the start; `None` = as long as the venue runs.
    pub until_ns: Option<Nanos>,
    /// The faults, each with the line of the file on which it begins.
    faults: Vec<(usize, Fault)>,
    /// The file, for errors.
    origin: String,
}

/// Why a file of faults cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum FaultError {
    /// The file cannot be read.
    #[error("cannot read the faults {path}: {source}")]
    Read {
        /// The file.
        path: String,
        /// Why.
        source: std::io::Error,
    },
    /// Something in it is wrong.
    #[error("{origin}, line {line}: {what}")]
    Wrong {
        /// The file.
        origin: String,
        /// From 1.
        line: usize,
        /// What is wrong, and what would be right.
        what: String,
    },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    seed: u64,
    until_s: Option<f64>,
    #[serde(default)]
    fault: Vec<toml::Spanned<Table>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    kind: FaultKind,
    venue: Option<String>,
    on: Option<Side>,
    per_minute: Option<f64>,
    at_s: Option<Vec<f64>>,
    for_ms: Option<i64>,
    by_ms: Option<i64>,
    band_bps: Option<f64>,
    class: Option<Refusal>,
    change: Option<Change>,
    symbol: Option<String>,
}

impl FaultPlan {
    /// Reads a file; `config` says which venues there are.
    ///
    /// # Errors
    /// [`FaultError`].
    pub fn load(path: &Path, config: &SimConfig) -> Result<Self, FaultError> {
        let origin = path.display().to_string();
        let text = std::fs::read_to_string(path)
            .map_err(|source| FaultError::Read { path: origin.clone(), source })?;
        let plan = Self::parse(&origin, &text)?;
        plan.check_venues(config)?;
        Ok(plan)
    }

    /// Parses `text`; `origin` names it in errors.
    ///
    /// # Errors
    /// [`FaultError::Wrong`].
    pub fn parse(origin: &str, text: &str) -> Result<Self, FaultError> {
        let line_of = |at: usize| text.get(..at).unwrap_or(text).matches('\n').count() + 1;
        let wrong = |line, what: String| FaultError::Wrong { origin: origin.to_owned(), line, what };
        let file: File = toml::from_str(text).map_err(|error| {
            let at = error.span().map_or(0, |span| span.start);
            let line = text.lines().nth(line_of(at) - 1).unwrap_or("");
            let key = line.split_once('=').map_or("", |(key, _)| key.trim());
            let what = error.message().trim();
            let named = key.is_empty() || what.contains(&format!("`{key}`"));
            wrong(line_of(at), if named { what.to_owned() } else { format!("`{key}`: {what}") })
        })?;
        if file.fault.is_empty() {
            return Err(wrong(1, "no `[[fault]]`: nothing would ever go wrong".to_owned()));
        }
        let mut faults = Vec::new();
        for table in file.fault {
            let line = line_of(table.span().start);
            let fault = table.into_inner().fault().map_err(|what| wrong(line, what))?;
            faults.push((line, fault));
        }
        let until_ns = file.until_s.map(|s| (s * SECOND as f64) as Nanos);
        Ok(Self { seed: file.seed, until_ns, faults, origin: origin.to_owned() })
    }

    /// Refuses a fault of a venue that is not there: it would never strike.
    pub(super) fn check_venues(&self, config: &SimConfig) -> Result<(), FaultError> {
        for (line, fault) in &self.faults {
            let Some(name) = &fault.venue else { continue };
            if let Some(venue) = config.venues.iter().find(|venue| venue.name == *name) {
                let Some(what) = fault.misfit(venue) else { continue };
                return Err(FaultError::Wrong { origin: self.origin.clone(), line: *line, what });
            }
            let known: Vec<&str> = config.venues.iter().map(|venue| venue.name.as_str()).collect();
            let what = format!("`venue`: there is no {name:?}; venues are {}", known.join(", "));
            return Err(FaultError::Wrong { origin: self.origin.clone(), line: *line, what });
        }
        Ok(())
    }

    /// The faults of the venue with that name, each with its number in the file.
    pub fn of<'a>(&'a self, venue: &'a str) -> impl Iterator<Item = (usize, &'a Fault)> {
        let named = move |fault: &Fault| fault.venue.as_deref().is_none_or(|name| name == venue);
        self.faults.iter().map(|(_, fault)| fault).enumerate().filter(move |(_, fault)| named(fault))
    }
}

impl Fault {
    /// What it asks of the venue and the venue cannot do.
    fn misfit(&self, venue: &SimVenueConfig) -> Option<String> {
        let (name, dialect) = (&venue.name, venue.dialect.as_str());
        if self.kind == FaultKind::SymbolLock && !locks(dialect) {
            return Some(format!("`kind`: {name} locks no contracts"));
        }
        if let Some(class) = self.class.filter(|class| !class.is_known_to(dialect)) {
            let known: Vec<&str> = classes(dialect).map(Refusal::name).collect();
            let known = known.join(", ");
            return Some(format!(
                "`class`: {name} does not refuse orders as {:?}, but as {known}",
                class.name()
            ));
        }
        if let Some(change) = self.change.filter(|change| !change.is_known_to(dialect)) {
            let known: Vec<&str> = changes(dialect).map(Change::name).collect();
            let known = known.join(", ");
            return Some(format!("`change`: {name} knows no {:?} of contracts, but {known}", change.name()));
        }
        let symbol = self.symbol.as_ref()?;
        let known: Vec<&str> = venue.listings.iter().map(|listing| listing.symbol.as_str()).collect();
        (!known.contains(&symbol.as_str()))
            .then(|| format!("`symbol`: {name} lists no {symbol:?}, but {}", known.join(", ")))
    }
}

/// What a venue of the dialect can change of its contracts.
pub(super) fn changes(dialect: &str) -> impl Iterator<Item = Change> {
    Change::ALL.into_iter().filter(move |change| change.is_known_to(dialect))
}

/// Whether a venue of the dialect locks contracts for an account, and tells it.
pub(super) fn locks(dialect: &str) -> bool {
    dialect == "binance-usdm"
}

/// Why orders can be refused at a venue of the dialect.
pub(super) fn classes(dialect: &str) -> impl Iterator<Item = Refusal> {
    Refusal::ALL.into_iter().filter(move |class| class.is_known_to(dialect))
}

impl Table {
    /// How far a clock is off, ns, and how wide a band is, ppb.
    fn extent(&self) -> Result<(Nanos, i64), String> {
        let by_ns = match (self.kind, self.by_ms) {
            (FaultKind::ClockSkew, None) => return Err("`by_ms` is missing: how far the clock is off".into()),
            (FaultKind::ClockSkew, Some(ms)) if ms == 0 || ms.abs() > 600_000 => {
                return Err(format!("`by_ms` is {ms}, must be -600000 to 600000 and not 0"));
            }
            (FaultKind::ClockSkew, Some(ms)) => ms * MILLI,
            (_, Some(_)) => return Err(format!("`by_ms`: a {} moves no clock", self.kind.name())),
            (_, None) => 0,
        };
        let band_ppb = match (self.kind, self.band_bps) {
            (FaultKind::PriceBand, None) => {
                return Err("`band_bps` is missing: how far from the mark orders may lie".into());
            }
            (FaultKind::PriceBand, Some(bps)) if (0.0..=10_000.0).contains(&bps) => (bps * 1e5) as i64,
            (FaultKind::PriceBand, Some(bps)) => {
                return Err(format!("`band_bps` is {bps}, must be 0 to 10000"));
            }
            (_, Some(_)) => return Err(format!("`band_bps`: a {} moves no band", self.kind.name())),
            (_, None) => 0,
        };
        if self.class.is_some() && self.kind != FaultKind::Reject {
            return Err(format!("`class`: a {} is no refusal of an order", self.kind.name()));
        }
        if self.kind != FaultKind::Metadata && (self.change.is_some() || self.symbol.is_some()) {
            let key = if self.change.is_some() { "change" } else { "symbol" };
            return Err(format!("`{key}`: a {} changes no contract", self.kind.name()));
        }
        Ok((by_ns, band_ppb))
    }

    fn fault(self) -> Result<Fault, String> {
        let name = self.kind.name();
        let for_ns = match self.for_ms {
            None if self.kind.lasts() => return Err(format!("`for_ms` is missing: how long a {name} lasts")),
            Some(_) if !self.kind.lasts() => return Err(format!("`for_ms`: a {name} has no duration")),
            Some(ms) if !(1..=3_600_000).contains(&ms) => {
                return Err(format!("`for_ms` is {ms}, must be 1 to 3600000"));
            }
            ms => ms.unwrap_or(0) * MILLI,
        };
        let (by_ns, band_ppb) = self.extent()?;
        let side = match (self.kind.usual_side(), self.on) {
            (None, Some(_)) => return Err(format!("`on`: the connections of a {name} cannot be chosen")),
            (None, None) => Side::Private,
            (Some(usual), asked) => asked.unwrap_or(usual),
        };
        let when = match (self.per_minute, self.at_s) {
            (None, None) => return Err("`per_minute` or `at_s` is missing: when it strikes".to_owned()),
            (Some(_), Some(_)) => return Err("`per_minute` and `at_s` exclude each other".to_owned()),
            (Some(rate), None) if rate > 0.0 && rate <= 60_000.0 => {
                // A rate of next to nothing is an hour, not never.
                When::Every(((60 * SECOND) as f64 / rate).min(3_600e9) as Nanos)
            }
            (Some(rate), None) => {
                return Err(format!("`per_minute` is {rate}, must be above 0 and at most 60000"));
            }
            (None, Some(at)) if at.iter().all(|s| (0.0..=1e8).contains(s)) && !at.is_empty() => {
                let mut at: Vec<Nanos> = at.iter().map(|s| (s * SECOND as f64) as Nanos).collect();
                at.sort_unstable();
                When::At(at)
            }
            (None, Some(_)) => return Err("`at_s` must be seconds after the start, at least one".to_owned()),
        };
        let Self { kind, venue, class, change, symbol, .. } = self;
        Ok(Fault { kind, venue, side, when, for_ns, by_ns, band_ppb, class, change, symbol })
    }
}

/// How many faults there were, by kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FaultCounts([u64; FaultKind::ALL.len()]);

impl FaultCounts {
    /// Counts one.
    pub fn count(&mut self, kind: FaultKind) {
        self.0[kind as usize] += 1;
    }

    /// Counts several.
    pub fn count_more(&mut self, kind: FaultKind, times: u64) {
        self.0[kind as usize] += times;
    }

    /// How many of a kind.
    pub fn of(&self, kind: FaultKind) -> u64 {
        self.0[kind as usize]
    }

    /// Of all kinds.
    pub fn total(&self) -> u64 {
        self.0.iter().sum()
    }

    /// Adds those of another venue.
    pub fn add(&mut self, other: &Self) {
        self.0.iter_mut().zip(other.0).for_each(|(ours, theirs)| *ours += theirs);
    }
}

impl Serialize for FaultCounts {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(FaultKind::ALL.iter().map(|kind| (kind.name(), self.of(*kind))))
    }
}

/// The kinds that there were.
impl fmt::Display for FaultCounts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let some = FaultKind::ALL.into_iter().filter(|kind| self.of(*kind) > 0);
        let words: Vec<String> = some.map(|kind| format!("{} {}", kind.name(), self.of(kind))).collect();
        if words.is_empty() { f.write_str("none") } else { f.write_str(&words.join(", ")) }
    }
}

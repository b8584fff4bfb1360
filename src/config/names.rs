//! Names of instruments: the unified one (`BTC/USDT:USDT`, `BTC/USD:BTC`, dated `BTC/USD:BTC-270326`), the
//! `SYMBOL.VENUE` form (`BTCUSDT-PERP.BINANCE`), and the venues' own. All mean one [`Name`].
//!
//! Nothing is guessed: a name that means different contracts at the configured venues is refused, and so is a
//! contract on 1000 coins where one on a single coin is meant. Contracts on 1000 coins have one name, whatever
//! the venue calls them: `1000PEPE` is Hyperliquid's `kPEPE`, `1000SHIB` is Bybit's `SHIB1000`.

use std::fmt;

/// What a name means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Name {
    /// Base asset; `1000PEPE` is another one than `PEPE`.
    pub base: String,
    /// Quote currency.
    pub quote: String,
    /// Settlement currency.
    pub settle: String,
    /// Delivery date `YYMMDD`; `None` = perpetual.
    pub expiry: Option<String>,
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}:{}", self.base, self.quote, self.settle)?;
        self.expiry.as_ref().map_or(Ok(()), |date| write!(f, "-{date}"))
    }
}

/// Quote currencies of linear contracts that a venue's name may end with, longest first.
const LINEAR_QUOTES: [&str; 5] = ["FDUSD", "USDT", "USDC", "BUSD", "USD1"];

impl Name {
    fn new(base: &str, quote: &str, settle: &str, expiry: Option<&str>) -> Option<Self> {
        let plain = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_alphanumeric());
        let name = Self {
            base: thousand(base).unwrap_or_else(|| base.to_owned()),
            quote: quote.to_owned(),
            settle: settle.to_owned(),
            expiry: expiry.map(str::to_owned),
        };
        (plain(base) && plain(quote) && plain(settle) && expiry.is_none_or(is_date)).then_some(name)
    }

    /// `BASE/QUOTE:SETTLE[-YYMMDD]`.
    pub fn unified(text: &str) -> Option<Self> {
        let (base, rest) = text.split_once('/')?;
        let (quote, rest) = rest.split_once(':')?;
        let (settle, expiry) =
            rest.split_once('-').map_or((rest, None), |(settle, date)| (settle, Some(date)));
        Self::new(base, quote, settle, expiry)
    }

    /// A venue's own name; `None` where it does not follow the dialect's pattern.
    pub fn native(dialect: &str, symbol: &str) -> Option<Self> {
        let linear = |pair: &str, expiry| {
            LINEAR_QUOTES.iter().find_map(|quote| Self::new(pair.strip_suffix(quote)?, quote, quote, expiry))
        };
        let inverse = |pair: &str, expiry| {
            let base = pair.strip_suffix("USD")?;
            Self::new(base, "USD", base, expiry)
        };
        match pattern(dialect) {
            "binance-usdm" => match symbol.split_once('_') {
                Some((pair, date)) => linear(pair, Some(date)),
                None => linear(symbol, None),
            },
            "binance-coinm" => match symbol.split_once('_')? {
                (pair, "PERP") => inverse(pair, None),
                (pair, date) => inverse(pair, Some(date)),
            },
            "okx" => {
                let mut parts = symbol.split('-');
                let (base, quote, last) = (parts.next()?, parts.next()?, parts.next()?);
                let settle = if quote == "USD" { base } else { quote };
                let expiry = (last != "SWAP").then_some(last);
                parts.next().is_none().then(|| Self::new(base, quote, settle, expiry))?
            }
            "bybit" => match symbol.strip_suffix("PERP") {
                Some(base) => Self::new(base, "USDC", "USDC", None),
                None => linear(symbol, None).or_else(|| inverse(symbol, None)).map(Self::thousand_first),
            },
            "deribit" => {
                let pair = symbol.strip_suffix("-PERPETUAL")?;
                match pair.split_once('_') {
                    Some((base, quote)) => Self::new(base, quote, quote, None),
                    None => Self::new(pair, "USD", pair, None),
                }
            }
            "hyperliquid" => Self::new(symbol, "USDC", "USDC", None),
            _ => None,
        }
    }

    /// Bybit writes some of its contracts on 1000 coins with the number behind the coin.
    fn thousand_first(self) -> Self {
        match self.base.strip_suffix("1000").filter(|coin| is_coin(coin)) {
            Some(coin) => Self { base: format!("1000{coin}"), ..self },
            None => self,
        }
    }

    /// The contract that stands for this one at a venue which settles in USDC and counts it as `stands_for`.
    pub fn settled_at_par(&self, dialect: &str, stands_for: Option<&str>) -> Option<Self> {
        let own = matches!(dialect, "deribit" | "hyperliquid").then_some("USDC")?;
        let linear = self.quote == self.settle && Some(self.settle.as_str()) == stands_for;
        linear.then(|| Self { quote: own.to_owned(), settle: own.to_owned(), ..self.clone() })
    }

    /// The dialect's own name, where it follows: none where the venue means another contract by it.
    pub fn at(&self, dialect: &str) -> Option<String> {
        let parts = (self.base.as_str(), self.quote.as_str(), self.settle.as_str());
        let symbol = match &self.expiry {
            None => super::build::native_symbol(dialect, parts),
            Some(date) => Self::dated_symbol(dialect, parts, date),
        }?;
        Self::native(dialect, &symbol).is_none_or(|meaning| meaning == *self).then_some(symbol)
    }

    fn dated_symbol(dialect: &str, (base, quote, settle): (&str, &str, &str), date: &str) -> Option<String> {
        match dialect {
            "binance-usdm" => (settle == quote && quote != "USD").then(|| format!("{base}{quote}_{date}")),
            "binance-coinm" => (settle == base && quote == "USD").then(|| format!("{base}{quote}_{date}")),
            "okx" => Some(format!("{base}-{quote}-{date}")),
            _ => None,
        }
    }

    /// Why `other`, which a venue's symbol means, is not this instrument; `None` when it is.
    pub fn differs(&self, other: &Self) -> Option<String> {
        if self == other {
            return None;
        }
        let ((ours, asset), (theirs, other_asset)) = (units(&self.base), units(&other.base));
        if asset == other_asset && ours != theirs {
            return Some(format!(
                "it is a contract on {theirs} {asset} where {self} is one on {ours}: their prices differ by that factor, \
                 and the engine does not convert. Trade {self} only where it is listed as such"
            ));
        }
        Some(format!("it means {other}, which is another instrument"))
    }
}

/// How many coins a base asset of a venue stands for, and of which: `1000PEPE` → 1000 `PEPE`.
pub fn units(base: &str) -> (u32, &str) {
    for (prefix, count) in
        [("1000000", 1_000_000), ("10000", 10_000), ("1000", 1_000), ("1M", 1_000_000), ("k", 1_000)]
    {
        if let Some(rest) = base.strip_prefix(prefix).filter(|rest| is_coin(rest)) {
            return (count, rest);
        }
    }
    (1, base)
}

fn is_coin(text: &str) -> bool {
    text.len() >= 2 && text.bytes().all(|byte| byte.is_ascii_uppercase())
}

/// `kPEPE` → `1000PEPE`.
fn thousand(base: &str) -> Option<String> {
    let coin = base.strip_prefix('k').filter(|coin| is_coin(coin))?;
    Some(format!("1000{coin}"))
}

/// The dialect whose pattern of names a dialect follows: itself, or the one that it was modelled on.
pub(super) fn pattern(dialect: &str) -> &str {
    if dialect == "aster" { "binance-usdm" } else { dialect }
}

/// Venues that list coins one by one, never by the thousand.
fn lists_single_coins(dialect: &str) -> bool {
    matches!(dialect, "okx" | "deribit")
}

fn is_date(text: &str) -> bool {
    let part = |from: usize| text.get(from..from + 2).and_then(|digits| digits.parse::<u8>().ok());
    text.len() == 6
        && text.bytes().all(|byte| byte.is_ascii_digit())
        && part(2).is_some_and(|month| (1..=12).contains(&month))
        && part(4).is_some_and(|day| (1..=31).contains(&day))
}

/// The `SYMBOL.VENUE` form: every dialect that the venue's name may stand for, and the native symbol there.
fn with_venue(text: &str) -> Option<Vec<(&'static str, String)>> {
    let (symbol, venue) = text.rsplit_once('.')?;
    let perp = || symbol.strip_suffix("-PERP").unwrap_or(symbol).to_owned();
    Some(match venue {
        "BINANCE" | "BINANCE_FUTURES" => vec![("binance-usdm", perp()), ("binance-coinm", symbol.to_owned())],
        "BINANCE_COINM" => vec![("binance-coinm", symbol.to_owned())],
        "ASTER" => vec![("aster", perp())],
        "OKX" => vec![("okx", symbol.to_owned())],
        "BYBIT" => {
            let bare = ["-LINEAR", "-INVERSE"].iter().find_map(|tail| symbol.strip_suffix(tail));
            vec![("bybit", bare.unwrap_or(symbol).to_owned())]
        }
        "DERIBIT" => vec![("deribit", symbol.to_owned())],
        "HYPERLIQUID" => {
            let coin = symbol.strip_suffix("-PERP").unwrap_or(symbol);
            vec![("hyperliquid", coin.strip_suffix("-USD").unwrap_or(coin).to_owned())]
        }
        _ => return None,
    })
}

/// What `text` means at `dialects`.
///
/// # Errors
/// A sentence: no form that is known, or several meanings.
pub fn resolve(text: &str, dialects: &[&str]) -> Result<Name, String> {
    if text.contains('/') {
        return Name::unified(text).ok_or_else(|| unreadable(text));
    }
    let mut meanings: Vec<(&str, Name)> = Vec::new();
    match with_venue(text) {
        Some(places) => meanings.extend(
            places.iter().filter_map(|(dialect, symbol)| Some((*dialect, Name::native(dialect, symbol)?))),
        ),
        // A bare coin could be anything: it needs its venue.
        None => meanings.extend(
            dialects
                .iter()
                .filter(|dialect| **dialect != "hyperliquid")
                .filter_map(|dialect| Some((*dialect, Name::native(dialect, text)?))),
        ),
    }
    let Some((first, name)) = meanings.first() else { return Err(unreadable(text)) };
    match meanings.iter().find(|(_, other)| other != name) {
        None => Ok(name.clone()),
        Some((second, other)) => {
            Err(format!("`{text}` is {name} at {first} and {other} at {second}: write the one that is meant"))
        }
    }
}

fn unreadable(text: &str) -> String {
    format!(
        "instrument `{text}`: write it as BASE/QUOTE:SETTLE, such as BTC/USDT:USDT (dated: BTC/USD:BTC-270326), as \
         SYMBOL.VENUE, such as BTCUSDT-PERP.BINANCE, or as a configured venue's own name"
    )
}

/// The native symbol that `text` means at `dialect`; an unknown pattern is taken as the venue's own name.
///
/// # Errors
/// A sentence.
pub fn symbol_at(dialect: &str, text: &str) -> Result<String, String> {
    if let Some((_, symbol)) =
        with_venue(text).and_then(|places| places.into_iter().find(|(place, _)| *place == dialect))
    {
        return Ok(symbol);
    }
    if with_venue(text).is_some() {
        return Err(format!("`{text}` names another venue than {dialect}"));
    }
    if !text.contains('/') {
        return Ok(text.to_owned());
    }
    let name = resolve(text, &[dialect])?;
    listed(&name, dialect)?
        .ok_or_else(|| format!("{dialect} has no name of its own for {name}: write its native symbol"))
}

/// The native symbol of `name` at a dialect, where it follows.
///
/// # Errors
/// A sentence when the venue would list something else under it.
pub fn listed(name: &Name, dialect: &str) -> Result<Option<String>, String> {
    let (count, asset) = units(&name.base);
    let symbol = name.at(dialect);
    if count > 1 && symbol.is_some() && lists_single_coins(dialect) {
        return Err(format!(
            "{name} is a contract on {count} {asset}, and {dialect} lists {asset} by the single coin: their prices \
             differ by that factor, and the engine does not convert; leave {dialect} out of its venues"
        ));
    }
    Ok(symbol)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [&str; 7] =
        ["binance-usdm", "binance-coinm", "okx", "bybit", "deribit", "hyperliquid", "aster"];

    fn name(text: &str) -> Name {
        Name::unified(text).unwrap()
    }

    #[test]
    fn every_form_means_the_same_instrument() {
        for (text, unified) in [
            ("BTC/USDT:USDT", "BTC/USDT:USDT"),
            ("BTCUSDT-PERP.BINANCE", "BTC/USDT:USDT"),
            ("BTCUSDT", "BTC/USDT:USDT"),
            ("BTC-USDT-SWAP", "BTC/USDT:USDT"),
            ("BTC-USDT-SWAP.OKX", "BTC/USDT:USDT"),
            ("BTCUSDT-LINEAR.BYBIT", "BTC/USDT:USDT"),
            ("BTCUSDT-PERP.ASTER", "BTC/USDT:USDT"),
            ("BTCUSD_PERP", "BTC/USD:BTC"),
            ("BTCUSD_PERP.BINANCE", "BTC/USD:BTC"),
            ("BTCUSD_270326", "BTC/USD:BTC-270326"),
            ("BTC-USD-SWAP", "BTC/USD:BTC"),
            ("BTC-PERPETUAL.DERIBIT", "BTC/USD:BTC"),
            ("BTC_USDC-PERPETUAL", "BTC/USDC:USDC"),
            ("BTCUSDT_270326", "BTC/USDT:USDT-270326"),
            ("ETH-USD-PERP.HYPERLIQUID", "ETH/USDC:USDC"),
            ("1000PEPEUSDT", "1000PEPE/USDT:USDT"),
            ("kPEPE-USD-PERP.HYPERLIQUID", "1000PEPE/USDC:USDC"),
            ("kPEPE/USDC:USDC", "1000PEPE/USDC:USDC"),
            ("SHIB1000USDT.BYBIT", "1000SHIB/USDT:USDT"),
        ] {
            assert_eq!(resolve(text, &ALL).map(|name| name.to_string()), Ok(unified.to_owned()), "{text}");
        }
        for text in ["BTC", "BTC/USDT", "BTC/USDT:", "BTC/USDT:USDT-271326", "x y", "BTC.NASDAQ", "", "USDT"]
        {
            assert!(resolve(text, &ALL).is_err(), "{text}");
        }
        assert!(resolve("BTC", &ALL).unwrap_err().contains("BASE/QUOTE:SETTLE"));
    }

    #[test]
    fn native_names_round_trip() {
        for dialect in ["binance-usdm", "binance-coinm", "okx"] {
            for text in
                ["BTC/USDT:USDT", "BTC/USD:BTC", "ETH/USDC:USDC", "BTC/USD:BTC-270326", "1000PEPE/USDT:USDT"]
            {
                let name = name(text);
                if let Some(symbol) = name.at(dialect) {
                    assert_eq!(Name::native(dialect, &symbol), Some(name), "{dialect} {symbol}");
                }
            }
        }
        assert_eq!(symbol_at("okx", "BTC/USD:BTC"), Ok("BTC-USD-SWAP".to_owned()));
        assert_eq!(symbol_at("binance-usdm", "BTCUSDT-PERP.BINANCE"), Ok("BTCUSDT".to_owned()));
        assert_eq!(symbol_at("okx", "ANY-THING"), Ok("ANY-THING".to_owned()));
        assert!(symbol_at("okx", "BTCUSDT-PERP.BINANCE").is_err());
        assert!(symbol_at("binance-coinm", "BTC/USDT:USDT").is_err());
    }

    #[test]
    fn contracts_on_a_thousand_coins_are_never_taken_for_one() {
        assert_eq!(units("1000PEPE"), (1_000, "PEPE"));
        assert_eq!(units("kPEPE"), (1_000, "PEPE"));
        assert_eq!(units("1MBABYDOGE"), (1_000_000, "BABYDOGE"));
        assert_eq!(units("1000000MOG"), (1_000_000, "MOG"));
        for whole in ["1INCH", "BTC", "KAVA", "1000", "T006"] {
            assert_eq!(units(whole), (1, whole));
        }
        let why = name("PEPE/USDT:USDT").differs(&name("1000PEPE/USDT:USDT")).unwrap();
        assert!(why.contains("1000 PEPE"), "{why}");
        // Hyperliquid's `k` is that factor: the same contract under another name, and never the single coin.
        let twin = name("1000PEPE/USDT:USDT").settled_at_par("hyperliquid", Some("USDT")).unwrap();
        assert_eq!(listed(&twin, "hyperliquid"), Ok(Some("kPEPE".to_owned())));
        assert_eq!(Name::native("hyperliquid", "kPEPE").unwrap().differs(&twin), None);
        let single = Name::native("hyperliquid", "PEPE").unwrap();
        assert!(
            single.differs(&Name::native("hyperliquid", "kPEPE").unwrap()).unwrap().contains("1000 PEPE")
        );
        assert_eq!(Name::native("hyperliquid", "KAVA").unwrap().base, "KAVA");
        assert_eq!(symbol_at("bybit", "SHIB1000USDT"), Ok("SHIB1000USDT".to_owned()));
        assert_eq!(Name::native("bybit", "SHIB1000USDT").unwrap().differs(&name("1000SHIB/USDT:USDT")), None);
        assert!(listed(&name("1000PEPE/USDT:USDT"), "okx").unwrap_err().contains("single coin"));
        assert_eq!(listed(&name("1000PEPE/USDT:USDT"), "binance-usdm"), Ok(Some("1000PEPEUSDT".to_owned())));
    }

    #[test]
    fn every_venue_has_its_own_name_for_a_contract_and_none_for_what_it_does_not_list() {
        // In the order of `ALL`; `-` = none.
        for (text, symbols) in [
            ("BTC/USDT:USDT", ["BTCUSDT", "-", "BTC-USDT-SWAP", "BTCUSDT", "-", "-", "BTCUSDT"]),
            (
                "BTC/USDC:USDC",
                ["BTCUSDC", "-", "BTC-USDC-SWAP", "BTCPERP", "BTC_USDC-PERPETUAL", "BTC", "BTCUSDC"],
            ),
            ("BTC/USD:BTC", ["-", "BTCUSD_PERP", "BTC-USD-SWAP", "-", "BTC-PERPETUAL", "-", "-"]),
            (
                "1000PEPE/USDT:USDT",
                ["1000PEPEUSDT", "-", "1000PEPE-USDT-SWAP", "1000PEPEUSDT", "-", "-", "1000PEPEUSDT"],
            ),
            (
                "1000PEPE/USDC:USDC",
                [
                    "1000PEPEUSDC",
                    "-",
                    "1000PEPE-USDC-SWAP",
                    "1000PEPEPERP",
                    "1000PEPE_USDC-PERPETUAL",
                    "kPEPE",
                    "1000PEPEUSDC",
                ],
            ),
            ("BTC/USDT:USDT-270326", ["BTCUSDT_270326", "-", "BTC-USDT-270326", "-", "-", "-", "-"]),
            ("BTC/USD:BTC-270326", ["-", "BTCUSD_270326", "BTC-USD-270326", "-", "-", "-", "-"]),
            // Quoted in one currency, settled in another: no venue's pattern fits, however alike it looks.
            ("BTC/USDT:BTC", ["-"; 7]),
            ("BTC/USD:USD", ["-"; 7]),
            ("BTC/USDT:USDC", ["-"; 7]),
            ("BTC/USDT:BTC-270326", ["-"; 7]),
            ("BTC/USD:USD-270326", ["-"; 7]),
        ] {
            for (dialect, symbol) in ALL.iter().zip(symbols) {
                let found = name(text).at(dialect);
                assert_eq!(found.as_deref().unwrap_or("-"), symbol, "{text} at {dialect}");
                if let Some(meaning) = found.and_then(|symbol| Name::native(dialect, &symbol)) {
                    assert_eq!(meaning, name(text), "{symbol} at {dialect} leads back");
                }
            }
        }
        assert_eq!(name("BTC/USDT:USDT").at("kraken"), None);
    }

    #[test]
    fn a_contract_in_usdc_stands_for_one_in_another_currency_only_by_the_operators_word() {
        let usdt = name("BTC/USDT:USDT");
        for dialect in ["deribit", "hyperliquid"] {
            assert_eq!(usdt.settled_at_par(dialect, Some("USDT")), Some(name("BTC/USDC:USDC")), "{dialect}");
            for said in [None, Some("USDC"), Some("usdt"), Some("")] {
                assert_eq!(usdt.settled_at_par(dialect, said), None, "{dialect} {said:?}");
            }
            // What settles in its coin, or in two currencies, has no twin.
            for (other, said) in [("BTC/USD:BTC", "BTC"), ("BTC/USD:BTC", "USD"), ("BTC/USDT:BTC", "USDT")] {
                assert_eq!(name(other).settled_at_par(dialect, Some(said)), None, "{dialect} {other}");
            }
        }
        for dialect in ["binance-usdm", "binance-coinm", "okx", "bybit", "kraken"] {
            assert_eq!(usdt.settled_at_par(dialect, Some("USDT")), None, "{dialect} settles in USDT itself");
        }
        let dated = name("BTC/USDT:USDT-270326").settled_at_par("deribit", Some("USDT"));
        assert_eq!(dated, Some(name("BTC/USDC:USDC-270326")), "the date is kept");
    }
}

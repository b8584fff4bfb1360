//! Explanations as text for a terminal.

use super::card::{
    AccountCard, BasketCard, BookCard, CheckCard, DenialCard, EdgeCard, OrderCard, Others, RouteCard,
    Verdict, Why,
};
use super::not::{EntryCard, WayCard, WhyNotReport};
use super::words::{bp, duration};
use crate::domain::money::Money;
use std::fmt::{self, Display, Formatter};

/// Characters of a recorded text that a terminal is shown; all of it is in the JSON.
const RAW_SHOWN: usize = 400;

/// Untrusted text on one line: no control characters reach a terminal.
fn line(text: &str) -> String {
    let mut shown: String =
        text.chars().take(RAW_SHOWN).map(|c| if c.is_control() { ' ' } else { c }).collect();
    if text.chars().nth(RAW_SHOWN).is_some() {
        shown.push('…');
    }
    shown
}

impl Display for Why {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let trade = &self.trade;
        let id = trade.id.map_or_else(String::new, |id| format!("trade {id}, "));
        writeln!(f, "{}: {id}{} {}", self.asked, trade.sort, trade.instrument)?;
        let focused = self.baskets.iter().any(|basket| basket.asked);
        for basket in &self.baskets {
            writeln!(f)?;
            if focused && !basket.asked {
                brief(f, basket)?;
            } else {
                full(f, basket)?;
            }
        }
        writeln!(f, "\nwhat happened, since the trigger")?;
        for moment in &self.moments {
            let venue = moment.venue.as_deref().unwrap_or("");
            writeln!(
                f,
                "  {:>16}  input {:<8} {venue:<16} {}",
                format!("+{}", duration(moment.since_ns)),
                moment.at.seq,
                line(&moment.what)
            )?;
        }
        writeln!(f, "\nresult{}", if trade.closed { "" } else { " (not closed in this record)" })?;
        if let Some(closing) = trade.closing {
            let being = if trade.closed { "" } else { "being " };
            writeln!(f, "  {being}closed because {closing}")?;
        }
        for leg in &trade.legs {
            write!(
                f,
                "  {} {}: bought {} for {}, sold {} for {} {}",
                leg.venue, leg.symbol, leg.bought, leg.bought_value, leg.sold, leg.sold_value, leg.currency
            )?;
            if let Some(others) = &leg.others {
                write!(f, ", by no order of ours {}", taken(others))?;
            }
            write!(f, ", left {}", leg.left)?;
            for (currency, fee) in &leg.fees {
                write!(f, ", fees {fee} {currency}")?;
            }
            writeln!(f, ", funding {}", leg.funding)?;
        }
        for (currency, money) in &trade.result {
            writeln!(f, "  profit {money} {currency}")?;
        }
        notes(f, &self.notes)
    }
}

/// What executions by no order of ours did.
pub fn taken(others: &Others) -> String {
    let side = |word: &str, qty: &String, value: Money| {
        (value != Money::ZERO || qty != "0").then(|| format!("{word} {qty} for {value}"))
    };
    let both =
        [side("bought", &others.bought, others.bought_value), side("sold", &others.sold, others.sold_value)];
    both.into_iter().flatten().collect::<Vec<_>>().join(" and ")
}

fn notes(f: &mut Formatter<'_>, notes: &[String]) -> fmt::Result {
    if !notes.is_empty() {
        writeln!(f, "\nnotes")?;
    }
    notes.iter().try_for_each(|note| writeln!(f, "  - {note}"))
}

fn brief(f: &mut Formatter<'_>, basket: &BasketCard) -> fmt::Result {
    let why = basket.closing.map_or_else(String::new, |why| format!(" ({why})"));
    writeln!(f, "{} {} at input {}{why}", basket.kind, basket.attempt, basket.at.seq)?;
    if let Some(denial) = &basket.denial {
        writeln!(f, "  denied by {}: {}", denial.by, denial.reason)?;
    }
    basket.orders.iter().try_for_each(|order| headline(f, order))
}

fn headline(f: &mut Formatter<'_>, order: &OrderCard) -> fmt::Result {
    writeln!(
        f,
        "  {} {} {} {} at {} on {}: {}, filled {}",
        order.client_id,
        order.side,
        order.qty,
        order.symbol,
        order.price,
        order.venue,
        order.state,
        order.filled
    )
}

fn full(f: &mut Formatter<'_>, basket: &BasketCard) -> fmt::Result {
    let trigger = &basket.trigger;
    writeln!(f, "{} {} at input {}, {}", basket.kind, basket.attempt, basket.at.seq, basket.at.utc)?;
    writeln!(
        f,
        "  trigger: {}{}",
        trigger.kind,
        trigger.connection.as_ref().map_or_else(String::new, |c| format!(" on {c}"))
    )?;
    if !trigger.raw.is_empty() {
        writeln!(f, "    {}", line(&trigger.raw))?;
    }
    trigger.events.iter().try_for_each(|event| writeln!(f, "    → {}", line(event)))?;
    if let Some(closing) = basket.closing {
        writeln!(f, "  closing: {closing}")?;
    }
    if let Some(left) = basket.leaving {
        writeln!(
            f,
            "    exit basis {} bp, converged at {} bp, entered at {} bp, loss limit {} bp beyond it, holding time left {}",
            left.exit_basis_ppb.map_or_else(|| "not known".to_owned(), bp),
            bp(left.converged_at_ppb),
            bp(left.entry_basis_ppb),
            bp(left.loss_max_ppb),
            duration(left.hold_left_ns)
        )?;
    }
    books(f, &basket.books)?;
    if let Some(pair) = &basket.pair {
        writeln!(
            f,
            "  pair: buy {}, sell {}; basis {} bp, median {} bp of {} samples",
            pair.buy,
            pair.sell,
            pair.basis_ppb.map_or_else(|| "?".to_owned(), bp),
            pair.baseline_ppb.map_or_else(|| "?".to_owned(), bp),
            pair.samples
        )?;
    }
    basket.edge.iter().try_for_each(|of| edge(f, of))?;
    accounts(f, &basket.accounts)?;
    checks(f, &basket.checks)?;
    route(f, &basket.route)?;
    if let Some(denial) = &basket.denial {
        writeln!(f, "  {}", denied(denial, &basket.checks))?;
    }
    basket.orders.iter().try_for_each(|of| order(f, of))
}

fn books(f: &mut Formatter<'_>, books: &[BookCard]) -> fmt::Result {
    for book in books {
        let level = |levels: &[(String, String)]| {
            let all: Vec<String> = levels.iter().map(|(price, qty)| format!("{qty} at {price}")).collect();
            all.join(", ")
        };
        writeln!(
            f,
            "  book {} {}: {}, age {} (depth {})",
            book.venue,
            book.symbol,
            book.state,
            duration(book.age_ns),
            duration(book.depth_age_ns)
        )?;
        writeln!(f, "    bids {}", level(&book.bids))?;
        writeln!(f, "    asks {}", level(&book.asks))?;
    }
    Ok(())
}

fn edge(f: &mut Formatter<'_>, edge: &EdgeCard) -> fmt::Result {
    writeln!(f, "  edge, bp")?;
    for term in &edge.terms {
        writeln!(f, "    {:>12}  {}", bp(term.ppb), term.name)?;
    }
    writeln!(
        f,
        "    {:>12}  net, threshold {}: {} {}",
        bp(edge.net_ppb),
        bp(edge.threshold_ppb),
        bp(edge.above_ppb.saturating_abs()),
        if edge.above_ppb < 0 { "short" } else { "above" }
    )
}

fn accounts(f: &mut Formatter<'_>, accounts: &[AccountCard]) -> fmt::Result {
    for account in accounts {
        let known = |money: &Option<crate::domain::money::Money>| {
            money.map_or_else(|| "unknown".to_owned(), |money| money.to_string())
        };
        writeln!(
            f,
            "  capital {} {}: wallet {}, reserved {}, used {}, free {}",
            account.venue,
            account.currency,
            known(&account.wallet),
            account.reserved,
            account.used,
            known(&account.free)
        )?;
    }
    Ok(())
}

fn checks(f: &mut Formatter<'_>, checks: &[CheckCard]) -> fmt::Result {
    if !checks.is_empty() {
        writeln!(f, "  checks of risk")?;
    }
    for check in checks {
        let verdict = match check.verdict {
            Verdict::Passed => "passed",
            Verdict::Denied => "DENIED",
            Verdict::NotReachedWouldPass => "not reached (would pass)",
            Verdict::NotReachedWouldDeny => "not reached (would deny)",
        };
        let of = check.listing.as_ref().map_or_else(String::new, |of| format!(" at {of}"));
        writeln!(f, "    {verdict:<8} {}{of}: {}", check.name, check.shown)?;
    }
    Ok(())
}

/// Who denied and why: by the check that did, where it was one.
pub fn denied(denial: &DenialCard, checks: &[CheckCard]) -> String {
    let figures = match checks.iter().find(|check| check.verdict == Verdict::Denied) {
        Some(check) => format!(": {}: {}", check.name, check.shown),
        None if [denial.value, denial.limit] == [Money::ZERO; 2] => String::new(),
        None => format!(" (value {}, limit {})", denial.value, denial.limit),
    };
    format!("denied by {}: {}{figures}", denial.by, denial.reason)
}

fn route(f: &mut Formatter<'_>, route: &[RouteCard]) -> fmt::Result {
    for card in route {
        let up = |up: bool| if up { "up" } else { "down" };
        writeln!(
            f,
            "  route {}: order session {}, account {}, start gate {}, budget {}, messages out {} of {}, too old after {}",
            card.venue,
            up(card.route.orders_ready),
            up(card.route.account_ready),
            if card.risk.gate_open { "open" } else { "holds" },
            card.route.budget,
            card.route.outstanding,
            card.route.credit,
            if card.route.age_max_ns == 0 { "never".to_owned() } else { duration(card.route.age_max_ns) }
        )?;
    }
    Ok(())
}

fn order(f: &mut Formatter<'_>, order: &OrderCard) -> fmt::Result {
    headline(f, order)?;
    if let Some(id) = &order.venue_order_id {
        writeln!(f, "    the venue calls it {}", line(id))?;
    }
    for message in &order.messages {
        writeln!(f, "    message {} ({}) to {}", message.message, message.what, message.target)?;
        writeln!(f, "      {}", line(&message.text))?;
        if !message.signed.is_empty() {
            writeln!(f, "      signed ({}): {}", message.scheme, line(&message.signed))?;
        }
        writeln!(f, "      {}", message.fate.as_deref().unwrap_or("its fate is not in the record"))?;
    }
    for update in &order.updates {
        let fill = update.fill.as_ref().map_or_else(String::new, |fill| {
            format!(", fill of {} at {}, fee {} {}", fill.qty, fill.price, fill.fee, fill.currency)
        });
        let reject = update.reject.as_ref().map_or_else(String::new, |why| format!(", {why}"));
        writeln!(f, "    input {}: {}{reject}, filled {}{fill}", update.at.seq, update.state, update.filled)?;
        if update.by != "send outcome (loopback)" && !update.raw.is_empty() {
            writeln!(f, "      {}", line(&update.raw))?;
        }
    }
    for hop in &order.hops {
        let ns = hop.ns.map_or_else(|| "-".to_owned(), |ns| format!("{ns} ns"));
        writeln!(f, "    {ns:>16}  {} ({})", hop.what, hop.source)?;
    }
    Ok(())
}

impl Display for WhyNotReport {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} at input {}, {}", self.asked, self.at.seq, self.at.utc)?;
        for way in &self.ways {
            direction(f, way)?;
        }
        writeln!(f)?;
        for (name, entry) in [("last entry", &self.last_entry), ("next entry", &self.next_entry)] {
            match entry {
                Some(entry) => told_entry(f, name, entry)?,
                None => writeln!(f, "{name}: none in this record")?,
            }
        }
        notes(f, &self.notes)
    }
}

fn told_entry(f: &mut Formatter<'_>, name: &str, entry: &EntryCard) -> fmt::Result {
    writeln!(
        f,
        "{name}: trade {} at input {} ({} {}), bought {}, sold {}{}",
        entry.trade,
        entry.at.seq,
        duration(entry.since_ns.abs()),
        if entry.since_ns < 0 { "earlier" } else { "later" },
        entry.buy,
        entry.sell,
        if entry.denied { ", denied" } else { "" }
    )
}

fn direction(f: &mut Formatter<'_>, way: &WayCard) -> fmt::Result {
    writeln!(f, "\nbuy {}, sell {}: {}", way.buy, way.sell, way.why)?;
    writeln!(f, "  {}", way.sentence)?;
    writeln!(f, "  last evaluated at input {}: {}", way.evaluated, way.why_last)?;
    match &way.changes {
        Some(change) => {
            writeln!(f, "  from input {} on ({}): {}", change.at.seq, change.at.utc, change.why)?;
        }
        None => writeln!(f, "  no other reason soon after")?,
    }
    way.findings.iter().try_for_each(|finding| writeln!(f, "  start gate: {finding}"))?;
    way.edge.iter().try_for_each(|of| edge(f, of))?;
    writeln!(f, "  gates")?;
    for gate in &way.gates {
        let of = if gate.about.is_empty() { String::new() } else { format!(" ({})", gate.about) };
        let leg = gate.leg.as_ref().map_or_else(String::new, |leg| format!(" at {leg}"));
        writeln!(f, "    {:<9} {}{of}{leg}: {}", gate.state, gate.gate, gate.shown)?;
    }
    books(f, &way.books)?;
    accounts(f, &way.accounts)?;
    checks(f, &way.checks)?;
    route(f, &way.route)
}

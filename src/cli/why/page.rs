//! Explanations as a page of their own: one file with its styles and its picture, no script, nothing loaded. Whatever
//! comes from a venue, a configuration or a command line is escaped.

use super::timeline::{mark, svg};
use crate::replay::why::{
    AccountCard, BasketCard, BookCard, CheckCard, EdgeCard, OrderCard, RouteCard, Verdict, WayCard, Why,
    WhyNotReport, denied, taken,
};
use std::fmt::{Display, Write};

const STYLE: &str = "
:root{color-scheme:light dark;--text:#1b1f24;--soft:#57606a;--back:#fff;--card:#f6f8fa;--line:#d0d7de;--good:#116329;
--bad:#a40e26;--a:#0550ae;--b:#6639ba;--c:#7d4e00}
@media(prefers-color-scheme:dark){:root{--text:#e6edf3;--soft:#9198a1;--back:#0d1117;--card:#161b22;--line:#3d444d;
--good:#56d364;--bad:#ff7b72;--a:#79c0ff;--b:#d2a8ff;--c:#e3b341}}
body{margin:0 auto;max-width:1120px;padding:1.5rem;font:15px/1.5 system-ui,sans-serif;color:var(--text);background:var(--back)}
h1{font-size:1.4rem}h2{font-size:1.15rem;margin-top:2rem}h3{font-size:1rem}
section{background:var(--card);border:1px solid var(--line);border-radius:8px;padding:.2rem 1rem 1rem;margin:1rem 0}
table{border-collapse:collapse;width:100%;font-size:.9rem;font-variant-numeric:tabular-nums}
th,td{text-align:left;padding:.2rem .6rem .2rem 0;border-bottom:1px solid var(--line);vertical-align:top}
td.n,th.n{text-align:right}pre{white-space:pre-wrap;overflow-wrap:anywhere;font-size:.8rem;margin:.3rem 0}
.scroll{overflow-x:auto}.good{color:var(--good)}.bad{color:var(--bad);font-weight:600}.soft{color:var(--soft)}
svg{width:100%;min-width:760px;height:auto;font:11px system-ui,sans-serif}svg text{fill:var(--text)}
svg .grid{stroke:var(--line)}svg .lane{font-weight:600}svg g text{fill:var(--back);font-size:9px;font-weight:700}
.m-trigger circle,.m-phase circle{fill:var(--soft)}.m-intent circle,.m-message circle{fill:var(--a)}
.m-fate circle,.m-ack circle{fill:var(--b)}.m-fill circle{fill:var(--good)}.m-end circle{fill:var(--c)}
.m-bad circle{fill:var(--bad)}
";

/// Text that stands as it is in HTML, in attributes too; what HTML forbids becomes a mark.
pub(super) fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            '\n' | '\t' => out.push(c),
            // Direction overrides would show a text as another one.
            c if c.is_control() || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}') => {
                out.push('\u{fffd}');
            }
            c => out.push(c),
        }
    }
    out
}

/// A page in the making.
struct Page {
    out: String,
}

impl Page {
    fn new(title: &str) -> Self {
        let title = escaped(title);
        Self {
            out: format!(
                "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
                 <meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\
                 <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\
                 <title>{title}</title><style>{STYLE}</style></head><body><main>\n<h1>{title}</h1>\n"
            ),
        }
    }

    fn end(mut self) -> String {
        self.out.push_str("</main></body></html>\n");
        self.out
    }

    fn html(&mut self, html: &str) {
        self.out.push_str(html);
        self.out.push('\n');
    }

    fn say(&mut self, tag: &str, text: impl Display) {
        let text = escaped(&text.to_string());
        // Writing to a string cannot fail.
        let _ = writeln!(self.out, "<{tag}>{text}</{tag}>");
    }

    fn table(&mut self, caption: &str, head: &[&str], rows: impl Iterator<Item = Vec<Cell>>) {
        let rows: Vec<Vec<Cell>> = rows.collect();
        if rows.is_empty() {
            return;
        }
        self.say("h3", caption);
        self.html("<div class=\"scroll\"><table><thead><tr>");
        head.iter().for_each(|name| self.html(&format!("<th scope=\"col\">{}</th>", escaped(name))));
        self.html("</tr></thead><tbody>");
        for row in rows {
            let cells: String = row.iter().map(Cell::html).collect();
            self.html(&format!("<tr>{cells}</tr>"));
        }
        self.html("</tbody></table></div>");
    }

    fn notes(&mut self, notes: &[String]) {
        if notes.is_empty() {
            return;
        }
        self.say("h2", "Notes");
        self.html("<ul>");
        notes.iter().for_each(|note| self.say("li", note));
        self.html("</ul>");
    }
}

/// A cell and its style.
struct Cell(&'static str, String);

impl Cell {
    fn html(&self) -> String {
        format!("<td class=\"{}\">{}</td>", self.0, escaped(&self.1))
    }
}

fn text(value: impl Display) -> Cell {
    Cell("", value.to_string())
}

fn number(value: impl Display) -> Cell {
    Cell("n", value.to_string())
}

fn known(value: Option<impl Display>) -> Cell {
    number(value.map_or_else(|| "not known".to_owned(), |value| value.to_string()))
}

/// The page of an order.
pub(super) fn of_why(why: &Why) -> String {
    let mut page = Page::new(&format!("Why {}", why.asked));
    let trade = &why.trade;
    let id = trade.id.map_or_else(String::new, |id| format!("Trade {id}, "));
    page.say("p", format!("{id}{} {}; run {}", trade.sort, trade.instrument, why.run.run_id));
    page.say("h2", "Timeline");
    page.html("<section><div class=\"scroll\">");
    page.html(&svg(&why.moments));
    page.html("</div>");
    let moments = why.moments.iter().map(|moment| {
        vec![
            text(mark(moment.kind).1),
            number(moment.since_ns),
            number(moment.at.seq),
            text(moment.venue.as_deref().unwrap_or("engine")),
            text(&moment.what),
        ]
    });
    page.table("In words", &["", "ns since the trigger", "Input", "Where", "What"], moments);
    page.html("</section>");
    why.baskets.iter().for_each(|of| basket(&mut page, of));
    page.say("h2", if trade.closed { "Result" } else { "So far (not closed in this record)" });
    page.html("<section>");
    if let Some(closing) = trade.closing {
        page.say("p", format!("{} because: {closing}", if trade.closed { "Closed" } else { "Being closed" }));
    }
    let legs = trade.legs.iter().map(|leg| {
        let fees: Vec<String> = leg.fees.iter().map(|(currency, fee)| format!("{fee} {currency}")).collect();
        vec![
            text(format!("{} {}", leg.venue, leg.symbol)),
            number(format!("{} for {}", leg.bought, leg.bought_value)),
            number(format!("{} for {}", leg.sold, leg.sold_value)),
            number(leg.others.as_ref().map_or_else(String::new, taken)),
            number(&leg.left),
            number(fees.join(", ")),
            number(leg.funding),
        ]
    });
    let head = ["Listing", "Bought", "Sold", "By no order of ours", "Left", "Fees", "Funding"];
    page.table("Legs", &head, legs);
    let result = trade.result.iter().map(|(currency, money)| vec![text(currency), number(money)]);
    page.table("Profit", &["Currency", "Amount"], result);
    page.html("</section>");
    page.notes(&why.notes);
    page.end()
}

fn basket(page: &mut Page, of: &BasketCard) {
    page.say("h2", format!("{} {} at input {}", of.kind, of.attempt, of.at.seq));
    page.html("<section>");
    page.say("h3", "Trigger");
    let on = of.trigger.connection.as_ref().map_or_else(String::new, |on| format!(" on {on}"));
    page.say("p", format!("{}{on}, received {}", of.trigger.kind, of.at.utc));
    if !of.trigger.raw.is_empty() {
        page.say("pre", &of.trigger.raw);
    }
    page.table("Events", &["What it says"], of.trigger.events.iter().map(|event| vec![text(event)]));
    if let Some(closing) = of.closing {
        page.say("p", format!("Closing: {closing}"));
    }
    if let Some(left) = of.leaving {
        let rows = [
            ("exit basis now", left.exit_basis_ppb),
            ("counts as converged at", Some(left.converged_at_ppb)),
            ("executed entry basis", Some(left.entry_basis_ppb)),
            ("loss limit beyond it", Some(left.loss_max_ppb)),
        ];
        let rows = rows.into_iter().map(|(name, ppb)| vec![text(name), known(ppb)]);
        page.table("Ways of leaving", &["Term", "ppb"], rows);
    }
    books(page, &of.books);
    if let Some(pair) = &of.pair {
        let row = vec![
            text(&pair.buy),
            text(&pair.sell),
            known(pair.basis_ppb),
            known(pair.baseline_ppb),
            number(pair.samples),
        ];
        let head = ["Buys", "Sells", "Basis, ppb", "Median, ppb", "Samples"];
        page.table("Pair", &head, std::iter::once(row));
    }
    of.edge.iter().for_each(|of| edge(page, of));
    accounts(page, &of.accounts);
    checks(page, &of.checks);
    route(page, &of.route);
    if let Some(denial) = &of.denial {
        page.html("<p class=\"bad\">");
        page.say("strong", denied(denial, &of.checks));
        page.html("</p>");
    }
    of.orders.iter().for_each(|of| order(page, of));
    page.html("</section>");
}

fn order(page: &mut Page, of: &OrderCard) {
    page.say("h3", format!("Order {}", of.client_id));
    page.say(
        "p",
        format!(
            "{} {} {} at {} ({}{}) on {}: {}, filled {}; the venue's id: {}",
            of.side,
            of.qty,
            of.symbol,
            of.price,
            of.tif,
            if of.reduce_only { ", reduce-only" } else { "" },
            of.venue,
            of.state,
            of.filled,
            of.venue_order_id.as_deref().unwrap_or("not in the record")
        ),
    );
    for message in &of.messages {
        let fate = message.fate.as_deref().unwrap_or("its fate is not in the record");
        page.say(
            "p",
            format!("Message {} ({}) to {}: {fate}", message.message, message.what, message.target),
        );
        page.say("pre", &message.text);
        if !message.signed.is_empty() {
            page.say("p", format!("Signed ({}):", message.scheme));
            page.say("pre", &message.signed);
        }
    }
    let updates = of.updates.iter().map(|update| {
        let fill = update.fill.as_ref().map_or_else(String::new, |fill| {
            format!("{} at {}, fee {} {}", fill.qty, fill.price, fill.fee, fill.currency)
        });
        let state = match &update.reject {
            Some(reject) => format!("{}: {reject}", update.state),
            None => update.state.clone(),
        };
        vec![
            number(update.at.seq),
            text(update.by),
            text(state),
            number(&update.filled),
            text(fill),
            text(&update.raw),
        ]
    });
    page.table("What became of it", &["Input", "By", "State", "Filled", "Fill", "Text"], updates);
    let hops = of.hops.iter().map(|hop| {
        vec![
            text(hop.what),
            number(hop.ns.map_or_else(|| "–".to_owned(), |ns| ns.to_string())),
            text(hop.source),
        ]
    });
    page.table("Nanoseconds", &["Hop", "ns", "Source"], hops);
}

fn books(page: &mut Page, books: &[BookCard]) {
    for book in books {
        let depth = book.bids.len().max(book.asks.len());
        let cell = |levels: &[(String, String)], at: usize| {
            levels.get(at).map_or_else(String::new, |(price, qty)| format!("{qty} at {price}"))
        };
        let rows = (0..depth).map(|at| vec![number(cell(&book.bids, at)), number(cell(&book.asks, at))]);
        let caption = format!(
            "Book of {} {}: {}, {} ns old (depth {} ns)",
            book.venue, book.symbol, book.state, book.age_ns, book.depth_age_ns
        );
        page.table(&caption, &["Bids", "Asks"], rows);
    }
}

fn edge(page: &mut Page, edge: &EdgeCard) {
    let terms = edge.terms.iter().map(|term| vec![text(term.name), number(term.ppb)]);
    let sums =
        [("net", edge.net_ppb), ("threshold", edge.threshold_ppb), ("net less threshold", edge.above_ppb)];
    let sums = sums.into_iter().map(|(name, ppb)| vec![text(name), number(ppb)]);
    page.table("Edge", &["Term", "ppb"], terms.chain(sums));
}

fn accounts(page: &mut Page, accounts: &[AccountCard]) {
    let rows = accounts.iter().map(|of| {
        vec![
            text(format!("{} {}", of.venue, of.currency)),
            known(of.wallet),
            number(of.reserved),
            number(of.used),
            known(of.free),
        ]
    });
    page.table("Capital before it", &["Account", "Wallet", "Reserved", "Used", "Free"], rows);
}

fn checks(page: &mut Page, checks: &[CheckCard]) {
    let rows = checks.iter().map(|check| {
        let verdict = match check.verdict {
            Verdict::Passed => Cell("good", "passed".to_owned()),
            Verdict::Denied => Cell("bad", "denied".to_owned()),
            Verdict::NotReachedWouldPass => Cell("soft", "not reached (would pass)".to_owned()),
            Verdict::NotReachedWouldDeny => Cell("soft", "not reached (would deny)".to_owned()),
        };
        vec![text(check.name), text(check.listing.as_deref().unwrap_or("")), number(&check.shown), verdict]
    });
    page.table("Checks of risk", &["Check", "Leg", "Found (must be)", "Verdict"], rows);
}

fn route(page: &mut Page, route: &[RouteCard]) {
    let up = |up: bool| if up { Cell("good", "up".to_owned()) } else { Cell("bad", "down".to_owned()) };
    let rows = route.iter().map(|of| {
        vec![
            text(&of.venue),
            up(of.route.orders_ready),
            up(of.route.account_ready),
            text(if of.risk.gate_open { "open" } else { "holds" }),
            number(of.route.budget),
            number(format!("{} of {}", of.route.outstanding, of.route.credit)),
        ]
    });
    let head = ["Venue", "Order session", "Account", "Start gate", "Budget", "Messages out"];
    page.table("Route before it", &head, rows);
}

/// The page of what kept a pair from trading.
pub(super) fn of_why_not(report: &WhyNotReport) -> String {
    let mut page = Page::new(&format!("Why not {}", report.asked));
    page.say("p", format!("At input {}, {}; run {}", report.at.seq, report.at.utc, report.run.run_id));
    report.ways.iter().for_each(|of| way(&mut page, of));
    let entries = [("Last entry", &report.last_entry), ("Next entry", &report.next_entry)];
    let rows = entries.into_iter().map(|(name, entry)| match entry {
        Some(of) => vec![
            text(name),
            number(of.trade),
            number(of.at.seq),
            number(of.since_ns),
            text(format!("{} → {}{}", of.buy, of.sell, if of.denied { ", denied" } else { "" })),
        ],
        None => vec![text(name), text("none in this record")],
    });
    page.table("Entries of the pair", &["", "Trade", "Input", "ns from here", "What"], rows);
    page.notes(&report.notes);
    page.end()
}

fn way(page: &mut Page, of: &WayCard) {
    page.say("h2", format!("Buy {}, sell {}: {}", of.buy, of.sell, of.why));
    page.html("<section>");
    page.say("p", &of.sentence);
    if let Some(change) = &of.changes {
        page.say("p", format!("From input {} on ({}): {}", change.at.seq, change.at.utc, change.why));
    }
    of.findings.iter().for_each(|finding| page.say("p", format!("Start gate: {finding}")));
    let gates = of.gates.iter().map(|gate| {
        let style = match gate.state {
            "passes" => "good",
            "stops" => "bad",
            _ => "soft",
        };
        vec![
            text(&gate.gate),
            text(gate.about),
            text(gate.leg.as_deref().unwrap_or("")),
            number(&gate.shown),
            Cell(style, gate.state.to_owned()),
        ]
    });
    page.table("Gates", &["Gate", "About", "Leg", "Found (must be)", "State"], gates);
    of.edge.iter().for_each(|of| edge(page, of));
    books(page, &of.books);
    accounts(page, &of.accounts);
    checks(page, &of.checks);
    route(page, &of.route);
    page.html("</section>");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::replay::why::{Moment, OrderCard, Trigger, UpdateCard};

    const EVIL: &str = "</pre><script>alert(1)</script><img src=x onerror='a()'> \"q\" & \u{1b}[31m\u{202e}";

    /// Everything that a venue, a configuration or a command line may say.
    fn evil() -> Why {
        let own = || EVIL.to_owned();
        Why {
            asked: own(),
            moments: vec![Moment { kind: "fill", venue: Some(own()), what: own(), ..Moment::default() }],
            baskets: vec![BasketCard {
                kind: "entry",
                trigger: Trigger {
                    raw: own(),
                    events: vec![own()],
                    connection: Some(own()),
                    ..Trigger::default()
                },
                orders: vec![OrderCard {
                    client_id: own(),
                    venue: own(),
                    symbol: own(),
                    venue_order_id: Some(own()),
                    updates: vec![UpdateCard {
                        raw: own(),
                        state: own(),
                        reject: Some(own()),
                        ..UpdateCard::default()
                    }],
                    ..OrderCard::default()
                }],
                ..BasketCard::default()
            }],
            notes: vec![own()],
            ..Why::default()
        }
    }

    #[test]
    fn nothing_that_a_venue_says_becomes_a_part_of_the_page() {
        let page = of_why(&evil());
        assert!(page.matches("alert(1)").count() >= 10, "the text is there");
        for bad in ["<script", "<img", "</pre><", "onerror='", "\u{1b}", "\u{202e}"] {
            assert!(!page.contains(bad), "{bad:?} is in the page");
        }
        let plain = of_why(&Why { asked: "7".to_owned(), ..Why::default() });
        for bad in ["<script", "src=", "href=", "url(", "@import"] {
            assert!(!plain.contains(bad), "the page loads nothing: {bad}");
        }
        assert_eq!(page.matches("<section>").count(), page.matches("</section>").count());
    }

    #[test]
    fn every_moment_is_in_the_picture_and_in_words() {
        let moment = |since_ns, kind, what: &str| Moment {
            since_ns,
            kind,
            what: what.to_owned(),
            ..Moment::default()
        };
        let why = Why {
            moments: vec![
                moment(0, "trigger", "first things"),
                moment(0, "intent", "second things"),
                moment(2_000_000_000, "fill", "third things"),
            ],
            ..Why::default()
        };
        let page = of_why(&why);
        assert_eq!(page.matches("<circle").count(), 3);
        for what in ["first things", "second things", "third things"] {
            assert_eq!(page.matches(what).count(), 2, "{what}: as a title in the picture and in the table");
        }
        assert!(page.contains(">1 s</text>") && page.contains(">1 µs</text>"), "an axis with units");
    }
}

//! The screen of the live view: figures to lines of text of a given size. A pure function; without colour
//! everything can still be read.

use super::report::duration_text;
use crate::core::mode::Mode;
use crate::core::pair::WhyNot;
use crate::core::scanner::PairView;
use crate::domain::instrument::VenueId;
use crate::domain::money::Money;
use crate::domain::number::Num;
use crate::ops::latency::Summary;
use crate::ops::metrics::mode_text;
use crate::ops::view::View;
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span, Text};

/// Width for which the columns are made; less is cut off, more widens them.
const WIDTH: u16 = 80;

/// Everything on a screen of `width` × `height` characters.
pub fn screen(view: &View, width: u16, height: u16, colour: bool) -> Text<'static> {
    let palette = Palette { colour };
    let mut lines = heading(view, width, palette);
    let venues = venues(view, palette);
    let latency = latency(view, palette);
    // Two lines of heads of tables, one of notes at the least.
    let rest = lines.len() + venues.len() + latency.len() + 2;
    let room = usize::from(height).saturating_sub(rest);
    lines.extend(pairs(view, width, room, palette));
    lines.extend(venues);
    lines.extend(latency);
    let room = usize::from(height).saturating_sub(lines.len());
    lines.extend(notes(view, room, palette));
    lines.truncate(usize::from(height));
    Text::from(lines)
}

/// Colours, or only weights of the type.
#[derive(Clone, Copy)]
struct Palette {
    colour: bool,
}

impl Palette {
    fn paint(self, style: Style, colour: Color) -> Style {
        if self.colour { style.fg(colour) } else { style }
    }

    fn head(self) -> Style {
        self.paint(Style::new().add_modifier(Modifier::BOLD), Color::Cyan)
    }

    fn good(self) -> Style {
        self.paint(Style::new(), Color::Green)
    }

    fn bad(self) -> Style {
        self.paint(Style::new().add_modifier(Modifier::BOLD), Color::Red)
    }

    fn calm(self) -> Style {
        self.paint(Style::new(), Color::Gray)
    }

    fn note(self) -> Style {
        self.paint(Style::new(), Color::Yellow)
    }

    fn of(self, is_good: bool) -> Style {
        if is_good { self.good() } else { self.bad() }
    }
}

fn span(text: impl Into<String>, style: Style) -> Span<'static> {
    Span::styled(text.into(), style)
}

fn money(amount: Money) -> String {
    format!("{:+.2}", amount.to_f64())
}

fn heading(view: &View, width: u16, palette: Palette) -> Vec<Line<'static>> {
    let (seconds, totals, counts) = (view.seconds as u64, &view.totals, &view.counts);
    let net = totals.net();
    let name = if width >= 100 { "perpring " } else { "" };
    vec![
        Line::from(vec![
            span(format!("{name}{:02}:{:02} ", seconds / 60, seconds % 60), palette.head()),
            span(format!("trading {}", mode_text(view.mode)), palette.of(view.mode == Mode::Normal)),
            Span::raw("  PnL "),
            span(money(net), palette.of(net >= Money::ZERO)),
            Span::raw(format!(
                " = closed {} open {} fees {} fund {}",
                money(totals.realised),
                money(totals.unrealised),
                money(Money::ZERO - totals.fees),
                money(totals.funding)
            )),
        ]),
        Line::from(vec![
            span(
                format!(
                    "unhedged {} now {} max ({:.0}, {:.0} usd)",
                    view.unbalanced,
                    view.unbalanced_max,
                    view.unhedged.to_f64(),
                    view.unhedged_max.to_f64()
                ),
                if view.unbalanced == 0 { palette.good() } else { palette.note() },
            ),
            Span::raw(format!("  trades {} open {} closed", view.trades_open, counts.trades_closed)),
            Span::raw(format!(
                "  orders {} ({} open) fills {} misses {}",
                counts.orders_sent, view.open_orders, counts.fills, counts.misses
            )),
        ]),
    ]
}

fn pairs(view: &View, width: u16, room: usize, palette: Palette) -> Vec<Line<'static>> {
    let extra = usize::from(width.saturating_sub(WIDTH));
    let bar_width = 9 + (extra / 2).min(16) / 2 * 2;
    let mut lines = vec![Line::from(span(
        format!(
            "{:<8} {:<7} {:<bar_width$} {:>6} {:>6} {:>6}/{:<5} {:<6} why not trading",
            "pair, bp", "buy>sel", "to trade", "basis", "median", "net", "min", "hits"
        ),
        palette.head(),
    ))];
    let mut rows: Vec<&PairView> = view.pairs.iter().collect();
    let hidden = rows.len().saturating_sub(room);
    if hidden > 0 {
        // Not all fit: those nearest to trading.
        rows.sort_by_key(|pair| pair.terms.threshold.saturating_sub(pair.terms.net));
        rows.truncate(room.saturating_sub(1));
    }
    lines.extend(rows.into_iter().map(|pair| pair_line(view, pair, bar_width, palette)));
    if hidden > 0 && room > 0 {
        lines.push(Line::from(format!("… and {} more", hidden + 1)));
    }
    lines
}

fn pair_line(view: &View, pair: &PairView, bar_width: usize, palette: Palette) -> Line<'static> {
    let names = &view.names;
    let short = |name: &str| name.chars().take(3).collect::<String>();
    let instrument = names.canonical(pair.canonical).split(':').next().unwrap_or_default().to_owned();
    let way = format!("{}>{}", short(names.venue_of(pair.buy)), short(names.venue_of(pair.sell)));
    let cell = |value: Option<i64>| value.map_or_else(|| "-".into(), |ppb| format!("{:+.2}", bp(ppb)));
    let good = pair.terms.net >= pair.terms.threshold;
    let why = match (pair.trade, pair.why) {
        (Some(_), _) => "trade open",
        (None, why) => why.as_str(),
    };
    let why_style = match pair.why {
        _ if pair.trade.is_some() => palette.good(),
        WhyNot::Ready => palette.good(),
        WhyNot::BelowThreshold | WhyNot::Cooldown | WhyNot::TradeOpen => palette.calm(),
        _ => palette.note(),
    };
    Line::from(vec![
        Span::raw(format!("{instrument:<8.8} {way:<7} ")),
        span(bar(pair, bar_width), if good { palette.good() } else { palette.calm() }),
        Span::raw(format!(" {:>6} {:>6} ", cell(pair.basis), cell(pair.baseline))),
        span(
            format!("{:>6}/{:<5.2} ", cell(Some(pair.terms.net)), bp(pair.terms.threshold)),
            if good { palette.good() } else { palette.calm() },
        ),
        Span::raw(format!("{:<6} ", format!("{}/{}", pair.hits, pair.hits + pair.misses))),
        span(why, why_style),
    ])
}

/// Basis points of parts per billion.
fn bp(ppb: i64) -> f64 {
    ppb as f64 / 1e5
}

/// How far the basis is from its median: the bar's right end is where the pair would trade.
fn bar(pair: &PairView, width: usize) -> String {
    let side = width / 2;
    let (Some(basis), Some(baseline)) = (pair.basis, pair.baseline) else { return "-".repeat(width) };
    let away = basis.saturating_sub(baseline);
    let needed = away.saturating_add(pair.terms.threshold).saturating_sub(pair.terms.net).max(1);
    let filled = ((away as f64 / needed as f64).clamp(-1.0, 1.0) * side as f64).round() as i64;
    let left = (-filled).max(0) as usize;
    let right = filled.max(0) as usize;
    format!(
        "{}{}|{}{}",
        "·".repeat(side - left),
        "#".repeat(left),
        "#".repeat(right),
        "·".repeat(side - right)
    )
}

fn venues(view: &View, palette: Palette) -> Vec<Line<'static>> {
    let head =
        format!("{:<12} {:<26} {:>9} {:>6} positions", "venue", "margin free / wallet", "feed age", "books");
    let mut lines = vec![Line::from(span(head, palette.head()))];
    for (index, name) in view.names.venues.iter().enumerate() {
        let ours = |listing: usize| {
            view.names.listings.get(listing).is_some_and(|(venue, _)| venue.index() == index)
        };
        let ages: Vec<_> =
            view.book_ages.iter().enumerate().filter(|(i, _)| ours(*i)).map(|(_, age)| *age).collect();
        let live = ages.iter().flatten().count();
        let oldest =
            ages.iter().flatten().max().map_or_else(|| "-".into(), |age| duration_text((*age).max(0) as u64));
        let positions = view
            .positions
            .iter()
            .filter(|row| row.instrument.venue.index() == index && row.position.qty != 0);
        let positions: Vec<String> = positions
            .map(|row| {
                format!(
                    "{} {}",
                    row.instrument.base,
                    signed(&Num::new(row.position.qty, row.instrument.qty_scale))
                )
            })
            .collect();
        let positions = if positions.is_empty() { "flat".to_owned() } else { positions.join(" ") };
        lines.push(Line::from(vec![
            Span::raw(format!("{name:<12.12} {:<26.26} {oldest:>9} ", margin(view, VenueId(index as u8)))),
            span(
                format!("{:>6} ", format!("{live}/{}", ages.len())),
                palette.of(live == ages.len() && live > 0),
            ),
            Span::raw(positions),
        ]));
    }
    lines
}

fn margin(view: &View, venue: VenueId) -> String {
    // One currency carries the margin; others are fee dust.
    let accounts = view.accounts.iter().filter(|account| account.venue == venue);
    let Some(account) = accounts.max_by_key(|account| account.wallet) else { return "-".into() };
    let cell =
        |amount: Option<Money>| amount.map_or_else(|| "?".into(), |amount| format!("{:.2}", amount.to_f64()));
    format!("{}/{} {}", cell(account.free), cell(account.wallet), account.currency)
}

fn signed(num: &Num) -> String {
    let text = num.to_string();
    if text.starts_with('-') { text } else { format!("+{text}") }
}

fn latency(view: &View, palette: Palette) -> Vec<Line<'static>> {
    let head = format!(
        "{:<17}{:>10}{:>10}{:>10}{:>10}{:>10}{:>11}",
        "latency", "samples", "50 %", "90 %", "99 %", "99.9 %", "worst"
    );
    let mut lines = vec![Line::from(span(head, palette.head()))];
    let cell = |value: Option<u64>| value.map_or_else(|| "-".to_owned(), duration_text);
    // The parts of an order's way are for reports: a terminal has other needs of its lines.
    let is_part = |name: &str| name.starts_with("order_") || name == "tick_to_write";
    let shown = view.latency.iter().filter(|(name, _)| !is_part(name));
    lines.extend(shown.map(|(name, Summary { count, p50, p90, p99, p999, max, .. })| {
        let [p50, p90, p99, p999, max] = [p50, p90, p99, p999, max].map(|value| cell(*value));
        Line::from(format!("{name:<17}{count:>10}{p50:>10}{p90:>10}{p99:>10}{p999:>10}{max:>11}"))
    }));
    lines
}

fn notes(view: &View, room: usize, palette: Palette) -> Vec<Line<'static>> {
    // What holds a venue comes first: nothing trades there until it is corrected.
    let style = |holds: bool| if holds { palette.bad() } else { palette.note() };
    let findings = view.findings.iter().take(room.saturating_sub(1));
    let mut lines: Vec<Line<'static>> =
        findings.map(|finding| Line::from(span(format!("! {finding}"), style(finding.holds)))).collect();
    let all = room;
    let room = room.saturating_sub(lines.len());
    let shown = room.saturating_sub(1).max(usize::from(!view.notes.is_empty()));
    let from = view.notes.len().saturating_sub(shown);
    let notes = view.notes[from..].iter();
    lines.extend(notes.map(|note| Line::from(span(format!("! {note}"), palette.note()))));
    if lines.len() < all {
        lines.push(Line::from(span("q quits  k kills", palette.calm())));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::intent::TradeId;
    use crate::ops::metrics::tests::sample;
    use ratatui::Terminal;
    use ratatui::backend::TestBackend;

    fn drawn(view: &View, width: u16, height: u16, colour: bool) -> Vec<String> {
        let mut terminal = Terminal::new(TestBackend::new(width, height)).expect("memory");
        terminal
            .draw(|frame| frame.render_widget(screen(view, width, height, colour), frame.area()))
            .expect("memory");
        let buffer = terminal.backend().buffer();
        assert!(
            colour || buffer.content.iter().all(|cell| cell.fg == Color::Reset && cell.bg == Color::Reset)
        );
        buffer
            .content
            .chunks(usize::from(width))
            .map(|row| row.iter().map(|cell| cell.symbol()).collect())
            .collect()
    }

    #[test]
    fn a_small_terminal_shows_everything() {
        let mut view = sample();
        view.pairs[1].trade = Some(TradeId(7));
        view.pairs.extend(view.pairs.clone());
        let rows = drawn(&view, 80, 24, false);
        let has =
            |text: &str| assert!(rows.iter().any(|row| row.contains(text)), "{text}\n{}", rows.join("\n"));
        has("00:12 trading normal  PnL +9.25 = closed +12.50 open +0.00 fees -3.25 fund +0.00");
        has("unhedged 1 now 2 max");
        has("BTC/USDT bin>okx ····|###· +23.46 +10.00  -1.23/2.00  9/10   below threshold");
        has("BTC/USDT okx>bin");
        has("trade open");
        has("binance-usdm 87654.32/100000.00 USDT    250.00 ms    2/2");
        has("BTC +1.5 ETH +3");
        has("market_data");
        has("end_to_end_trade");
        has("! okx: cannot connect");
        assert!(!rows.iter().any(|row| row.contains("more")), "all eight pairs fit\n{}", rows.join("\n"));
    }

    #[test]
    fn what_does_not_fit_is_counted() {
        let mut view = sample();
        for _ in 0..4 {
            view.pairs.extend(view.pairs.clone());
        }
        view.pairs[9].terms.net = 150_000;
        let rows = drawn(&view, 80, 24, true);
        let shown = rows.iter().filter(|row| row.contains("below threshold")).count();
        let more = rows.iter().find(|row| row.starts_with("… and")).expect("a count of the rest");
        assert_eq!(more.trim(), format!("… and {} more", 64 - shown));
        assert!(rows.iter().any(|row| row.contains("+1.50/2.00")), "the nearest one is shown");
    }

    #[test]
    fn any_size_and_an_empty_board_are_drawn() {
        for (width, height) in [(1, 1), (20, 5), (80, 24), (81, 30), (200, 60)] {
            drawn(&sample(), width, height, true);
            drawn(&View::default(), width, height, false);
        }
        assert!(drawn(&sample(), 140, 40, false).iter().any(|row| row.contains("q quits  k kills")));
    }
}

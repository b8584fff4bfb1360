//! Order entry: the session of the WebSocket API, its replies, and those over HTTP.

use super::{ANNOUNCED_PAUSE, BinanceAdapter, INDICATORS_PAUSE};
use crate::domain::effect::OrderCall;
use crate::domain::event::{EventBody, SessionRole};
use crate::domain::order::{OrderReport, RejectClass, ReportKind};
use crate::domain::time::{Nanos, Stamp};
use crate::venue::binance::duties::Duty;
use crate::venue::binance::limits::Limits;
use crate::venue::binance::link::NEVER;
use crate::venue::binance::locks::is_lock;
use crate::venue::binance::{conn, orders};
use crate::venue::{Adapter, Emit, OddKind, Out};

impl BinanceAdapter {
    pub(super) fn orders_up(&mut self, out: &mut Out) {
        self.orders_ready = true;
        self.session(SessionRole::Orders, true, out);
    }

    /// `exchangeInfo` states the limits: what they grant of orders is news when it is another than before.
    pub(super) fn on_limits(&mut self, body: &[u8], out: &mut Out) -> Result<(), OddKind> {
        let limits = Limits::read(body).map_err(|_| OddKind::Malformed)?;
        let before = std::mem::replace(&mut self.limits, limits).grant(self.venue);
        if let Some(grant) = limits.grant(self.venue).filter(|grant| before != Some(*grant)) {
            out.event(EventBody::Grant(grant));
        }
        Ok(())
    }

    pub(super) fn orders_down(&mut self, out: &mut Out) {
        if std::mem::take(&mut self.orders_ready) {
            self.session(SessionRole::Orders, false, out);
        }
    }

    /// The reply to an order request over HTTP.
    pub(super) fn on_order_reply(
        &mut self,
        id: (OrderCall, u32),
        reply: (u16, &[u8]),
        now: Nanos,
        out: &mut Out,
    ) {
        let request = orders::Request::from(id.0);
        match orders::http_reply((request, id.1), reply, self.venue, &self.listings) {
            Ok(report) => self.on_report(request, report, now, out),
            Err(kind) => {
                if reply.0 != 0 {
                    self.odd(conn::PRIVATE, kind, out);
                }
                orders::unanswered(request, self.venue)
                    .into_iter()
                    .for_each(|report| out.emit(Emit::Report(report)));
            }
        }
    }

    fn on_report(&mut self, request: orders::Request, report: OrderReport, now: Nanos, out: &mut Out) {
        out.emit(Emit::Report(report));
        if report.kind == ReportKind::Rejected {
            self.on_hint(&report, now);
        }
        if request == orders::Request::Query {
            // The total alone: its fills may never have come.
            self.backfill.want(&report, now);
        }
    }

    /// A refusal that is news of more than its order: the account is locked somewhere, or the band has moved.
    fn on_hint(&mut self, report: &OrderReport, now: Nanos) {
        if is_lock(report.code) {
            self.indicators_due(now.max(self.locks.read_at.saturating_add(INDICATORS_PAUSE)));
        } else if report.reject == RejectClass::PriceBand {
            let chore = self.chore(Duty::ExchangeInfo);
            chore.due = chore.due.min(now.saturating_add(ANNOUNCED_PAUSE));
        }
    }

    /// The venue's word about locks is read at that time at the latest, where it gives it.
    pub(super) fn indicators_due(&mut self, at: Nanos) {
        if self.variant.knows.indicators {
            let chore = self.chore(Duty::Indicators);
            chore.due = chore.due.min(at);
        }
    }

    /// A message before the session is authenticated.
    pub(super) fn on_logon(&mut self, frame: &[u8], out: &mut Out) {
        match orders::logon_reply(frame) {
            Some(true) => {
                self.logon_until = NEVER;
                self.orders_up(out);
            }
            Some(false) => {
                self.odd(conn::API, OddKind::Refused, out);
                self.links[conn::API].close(out);
            }
            None => self.odd(conn::API, OddKind::Unknown, out),
        }
    }

    /// A message of the WebSocket API.
    pub(super) fn on_api_frame(&mut self, frame: &[u8], now: Stamp, out: &mut Out) {
        if let Some(pace) = orders::pace(frame, self.venue) {
            self.on_pace(&pace, now, out);
            out.event(EventBody::Pace(pace));
        }
        match orders::reply(frame, self.venue, &self.listings) {
            Ok((request, report)) => self.on_report(request, report, now.mono, out),
            Err(kind) => self.odd(conn::API, kind, out),
        }
    }
}

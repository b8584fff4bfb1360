//! Replies of the WebSocket API and of REST order endpoints → order reports. Requests are recognised by
//! their id: an operation letter and our client id (see [`RequestId`]), so nothing needs to be remembered.

use super::decode::{int, side, uint};
use super::errors::classify;
use super::symbols::Listings;
use crate::domain::effect::OrderCall;
use crate::domain::instrument::VenueId;
use crate::domain::number::Num;
use crate::domain::order::{ClientId, OrderReport, OrderTerms, RejectClass, ReportKind, Side};
use crate::domain::standing::Pace;
use crate::domain::time::MILLI;
use crate::venue::OddKind;
use crate::venue::json::Cursor;
use crate::venue::message::DecodeError;

type Result<T> = std::result::Result<T, DecodeError>;

/// What a request about an order asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Request {
    /// `order.place`
    Place,
    /// `order.cancel`
    Cancel,
    /// `order.status`
    Query,
    /// `order.modify`
    Amend,
}

impl From<OrderCall> for Request {
    fn from(call: OrderCall) -> Self {
        match call {
            OrderCall::Place => Self::Place,
            OrderCall::Cancel => Self::Cancel,
            OrderCall::Query => Self::Query,
            OrderCall::Amend => Self::Amend,
        }
    }
}

impl Request {
    /// The first byte of the request id.
    pub const fn letter(self) -> u8 {
        match self {
            Self::Place => b'p',
            Self::Cancel => b'c',
            Self::Query => b'q',
            Self::Amend => b'm',
        }
    }
}

/// `id` of a request: letter and 32 hex digits (the venue allows 36 characters).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestId {
    /// What it asked for.
    pub request: Request,
    /// For which order.
    pub client_id: ClientId,
}

impl RequestId {
    /// As bytes.
    pub fn bytes(self) -> [u8; 33] {
        let mut text = [0; 33];
        text[0] = self.request.letter();
        text[1..].copy_from_slice(&self.client_id.hex());
        text
    }

    /// From an echoed id.
    pub fn parse(text: &[u8]) -> Option<Self> {
        let (letter, hex) = text.split_first()?;
        let request = match letter {
            b'p' => Request::Place,
            b'c' => Request::Cancel,
            b'q' => Request::Query,
            b'm' => Request::Amend,
            _ => return None,
        };
        Some(Self { request, client_id: ClientId::parse(hex)? })
    }
}

/// An order as REST and the WebSocket API show it.
#[derive(Clone, Copy, Debug, Default)]
pub struct OrderView<'a> {
    symbol: &'a [u8],
    client: &'a [u8],
    status: &'a [u8],
    order_id: u64,
    executed: Option<Num>,
    price: Option<Num>,
    total: Option<Num>,
    side: Option<Side>,
    update_ms: i64,
}

impl<'a> OrderView<'a> {
    /// Reads one order object.
    ///
    /// # Errors
    /// When it is not an order.
    pub fn read(cursor: &mut Cursor<'a>) -> Result<Self> {
        let mut view = Self::default();
        cursor.object(|key, cursor| match key {
            b"symbol" => cursor.string().map(|text| view.symbol = text),
            b"clientOrderId" => cursor.string().map(|text| view.client = text),
            b"status" => cursor.string().map(|text| view.status = text),
            b"orderId" => cursor.uint("orderId").map(|id| view.order_id = id),
            b"executedQty" => cursor.num("executedQty").map(|num| view.executed = Some(num)),
            b"price" => cursor.num("price").map(|num| view.price = Some(num)),
            b"origQty" => cursor.num("origQty").map(|num| view.total = Some(num)),
            b"side" => side(cursor.string()?).map(|side| view.side = Some(side)),
            b"updateTime" => cursor.int("updateTime").map(|ms| view.update_ms = ms),
            _ => cursor.skip(),
        })?;
        if view.symbol.is_empty() {
            return Err(DecodeError::Missing("symbol"));
        }
        if view.status.is_empty() {
            return Err(DecodeError::Missing("status"));
        }
        Ok(view)
    }

    /// As a report of the order's present state.
    ///
    /// # Errors
    /// [`OddKind`] when the symbol, the status or the quantity is not understood.
    pub fn report(&self, venue: VenueId, listings: &Listings) -> std::result::Result<OrderReport, OddKind> {
        let instrument = listings.defined(self.symbol).ok_or(OddKind::UnknownSymbol)?;
        let filled = match self.executed {
            Some(num) => Some(instrument.qty(num).ok_or(OddKind::Inexact)?),
            None => None,
        };
        let terms = || {
            let (price, qty) = (instrument.price(self.price?)?, instrument.qty(self.total?)?);
            Some(OrderTerms { price, qty })
        };
        Ok(OrderReport {
            venue,
            terms: terms(),
            instrument: Some(instrument.id),
            client_id: ClientId::parse(self.client).unwrap_or(ClientId::NONE),
            venue_order_id: self.order_id,
            kind: order_status(self.status).ok_or(OddKind::Unknown)?,
            side: self.side,
            filled,
            venue_ns: self.update_ms.saturating_mul(MILLI),
            ..OrderReport::default()
        })
    }
}

/// Order status → report kind. `NEW_INSURANCE` and `NEW_ADL` are liquidations in progress.
pub fn order_status(status: &[u8]) -> Option<ReportKind> {
    Some(match status {
        b"NEW" | b"NEW_INSURANCE" | b"NEW_ADL" => ReportKind::Open,
        b"PARTIALLY_FILLED" => ReportKind::PartiallyFilled,
        b"FILLED" => ReportKind::Filled,
        b"CANCELED" => ReportKind::Canceled,
        b"REJECTED" => ReportKind::Rejected,
        b"EXPIRED" | b"EXPIRED_IN_MATCH" => ReportKind::Expired,
        _ => return None,
    })
}

/// Id of `session.logon`.
pub const LOGON_ID: &[u8] = b"logon";

/// Whether the reply to `session.logon` accepts us; `None` when it is another reply.
pub fn logon_reply(frame: &[u8]) -> Option<bool> {
    read_reply(frame).ok().filter(|reply| reply.id == LOGON_ID).map(|reply| !reply.failed())
}

/// A reply on the WebSocket API as a report, with what had been asked.
///
/// # Errors
/// What is odd about it: not JSON, an id that is not ours, a refused query.
pub fn reply(
    frame: &[u8],
    venue: VenueId,
    listings: &Listings,
) -> std::result::Result<(Request, OrderReport), OddKind> {
    let parsed = read_reply(frame).map_err(|_| OddKind::Malformed)?;
    let Some(id) = RequestId::parse(parsed.id) else {
        return Err(if parsed.failed() { OddKind::Refused } else { OddKind::Unknown });
    };
    let mut report = if parsed.failed() {
        refused(id.request, parsed.code, parsed.status, venue)?
    } else {
        accepted(id.request, parsed.result.ok_or(OddKind::Malformed)?, venue, listings)?
    };
    report.client_id = id.client_id;
    Ok((id.request, report))
}

/// A reply over HTTP as a report; status 0 = there was none. A refusal names no order: the client id is empty
/// then, and the report of an order that a query did not find carries the question's `tag`.
///
/// # Errors
/// What is odd about it: not JSON, a refused query.
pub fn http_reply(
    (request, tag): (Request, u32),
    (status, body): (u16, &[u8]),
    venue: VenueId,
    listings: &Listings,
) -> std::result::Result<OrderReport, OddKind> {
    if status == 200 {
        return accepted(request, body, venue, listings);
    }
    let mut code = 0;
    // Without a body that can be read, the status is all that there is.
    let _ = Cursor::new(body).object(|key, cursor| match key {
        b"code" => {
            let stated = cursor.int("code")?;
            code = i32::try_from(stated).map_err(|_| DecodeError::Field("code"))?;
            Ok(())
        }
        _ => cursor.skip(),
    });
    // Only the venue's own refusals say anything of the execution: not a gateway's or a proxy's page.
    let status = if code == 0 && !(400..500).contains(&status) { 0 } else { status };
    let mut report = refused(request, code, status, venue)?;
    if request == Request::Query {
        report.venue_order_id = u64::from(tag);
    }
    Ok(report)
}

/// What nobody knows: the request was not answered, or not understandably. `None` for a query, which is made
/// again.
pub fn unanswered(request: Request, venue: VenueId) -> Option<OrderReport> {
    refused(request, 0, 0, venue).ok()
}

/// The venue has, or shows, the order.
fn accepted(
    request: Request,
    order: &[u8],
    venue: VenueId,
    listings: &Listings,
) -> std::result::Result<OrderReport, OddKind> {
    let view = OrderView::read(&mut Cursor::new(order)).map_err(|_| OddKind::Malformed)?;
    let mut report = view.report(venue, listings)?;
    if matches!(request, Request::Place | Request::Amend) {
        // The user stream tells what became of it; the reply only that the venue has it.
        report.kind = ReportKind::Acked;
        (report.filled, report.terms) = (None, None);
    }
    Ok(report)
}

/// The venue refuses; the report names no order.
fn refused(
    request: Request,
    code: i32,
    status: u16,
    venue: VenueId,
) -> std::result::Result<OrderReport, OddKind> {
    let reject = classify(code, status);
    let kind = match request {
        Request::Place => ReportKind::Rejected,
        Request::Cancel => ReportKind::CancelRejected,
        Request::Amend => ReportKind::AmendRejected,
        Request::Query if reject == RejectClass::NotFound => ReportKind::NotFound,
        // The query itself failed: says nothing of the order.
        Request::Query => return Err(OddKind::Refused),
    };
    Ok(OrderReport { venue, kind, reject, code, ..OrderReport::default() })
}

/// What a reply of the WebSocket API says of limits: orders counted, or a refusal and for how long.
pub fn pace(frame: &[u8], venue: VenueId) -> Option<Pace> {
    let mut pace = Pace { venue, ..Pace::default() };
    let (mut until, mut server) = (0, 0);
    Cursor::new(frame)
        .object(|key, cursor| match key {
            b"status" => {
                let (text, _) = cursor.scalar()?;
                pace.status =
                    u16::try_from(uint(text, "status")?).map_err(|_| DecodeError::Field("status"))?;
                Ok(())
            }
            b"error" => cursor.object(|key, cursor| match key {
                b"data" => cursor.object(|key, cursor| match key {
                    b"retryAfter" => cursor.int("retryAfter").map(|ms| until = ms),
                    b"serverTime" => cursor.int("serverTime").map(|ms| server = ms),
                    _ => cursor.skip(),
                }),
                _ => cursor.skip(),
            }),
            b"rateLimits" => cursor.array(|cursor| {
                let (mut kind, mut interval): (&[u8], &[u8]) = (&[], &[]);
                let (mut number, mut count) = (0, -1);
                cursor.object(|key, cursor| match key {
                    b"rateLimitType" => cursor.string().map(|text| kind = text),
                    b"interval" => cursor.string().map(|text| interval = text),
                    b"intervalNum" => cursor.int("intervalNum").map(|value| number = value),
                    b"count" => cursor.int("count").map(|value| count = value),
                    _ => cursor.skip(),
                })?;
                // Counts that do not apply are −1.
                let count = u32::try_from(count).ok();
                match (kind, interval, number) {
                    (b"ORDERS", b"SECOND", 10) => pace.orders_10s = count,
                    (b"ORDERS", b"MINUTE", 1) => pace.orders_1m = count,
                    (b"REQUEST_WEIGHT", b"MINUTE", 1) => pace.weight_1m = count,
                    _ => {}
                }
                Ok(())
            }),
            _ => cursor.skip(),
        })
        .ok()?;
    pace.retry_after_s = u32::try_from((until - server + 999) / 1_000).unwrap_or(0);
    let said = pace.orders_10s.or(pace.orders_1m).or(pace.weight_1m);
    (said.is_some() || pace.is_refusal()).then_some(pace)
}

#[derive(Default)]
struct Reply<'a> {
    id: &'a [u8],
    status: u16,
    result: Option<&'a [u8]>,
    error: bool,
    code: i32,
}

impl Reply<'_> {
    const fn failed(&self) -> bool {
        self.error || self.status != 200
    }
}

fn read_reply(frame: &[u8]) -> Result<Reply<'_>> {
    let mut reply = Reply::default();
    let mut cursor = Cursor::new(frame);
    cursor.object(|key, cursor| match key {
        b"id" => cursor.scalar().map(|(text, _)| reply.id = text),
        b"status" => {
            let (text, _) = cursor.scalar()?;
            reply.status = u16::try_from(uint(text, "status")?).map_err(|_| DecodeError::Field("status"))?;
            Ok(())
        }
        b"result" => cursor.raw().map(|text| reply.result = Some(text)),
        b"error" => {
            reply.error = true;
            cursor.object(|key, cursor| match key {
                b"code" => {
                    let (text, _) = cursor.scalar()?;
                    reply.code = i32::try_from(int(text, "code")?).map_err(|_| DecodeError::Field("code"))?;
                    Ok(())
                }
                _ => cursor.skip(),
            })
        }
        _ => cursor.skip(),
    })?;
    cursor.end()?;
    if reply.status == 0 { Err(DecodeError::Missing("status")) } else { Ok(reply) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::instrument::Qty;
    use crate::venue::binance::tests::{client, listings};

    fn reply_of(text: &str) -> std::result::Result<OrderReport, OddKind> {
        reply(text.as_bytes(), VenueId(0), &listings()).map(|(_, report)| report)
    }

    fn id(request: Request) -> String {
        String::from_utf8(RequestId { request, client_id: client(7) }.bytes().to_vec()).unwrap()
    }

    #[test]
    fn request_ids_round_trip() {
        for request in [Request::Place, Request::Cancel, Request::Query, Request::Amend] {
            let id = RequestId { request, client_id: client(9) };
            assert_eq!(RequestId::parse(&id.bytes()), Some(id));
        }
        assert_eq!(RequestId::parse(b"hIQeAAUAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"), None);
        assert_eq!(RequestId::parse(b""), None);
    }

    #[test]
    fn an_accepted_order_is_acknowledged_whatever_its_status() {
        for status in ["NEW", "FILLED"] {
            let report = reply_of(&format!(
                r#"{{"id":"{}","status":200,"result":{{"orderId":851545009715,"symbol":"BTCUSDT","status":"{status}",
                "clientOrderId":"x","price":"32000.00","executedQty":"1.000","side":"BUY","updateTime":1765337013071}},
                "rateLimits":[]}}"#,
                id(Request::Place)
            ))
            .unwrap();
            assert_eq!(
                (report.kind, report.client_id, report.venue_order_id),
                (ReportKind::Acked, client(7), 851545009715)
            );
            assert_eq!((report.filled, report.fill), (None, None));
        }
    }

    #[test]
    fn replies_tell_what_is_used_and_for_how_long_we_are_banned() {
        let used = br#"{"id":"x","status":200,"result":{},"rateLimits":[
            {"rateLimitType":"REQUEST_WEIGHT","interval":"MINUTE","intervalNum":1,"limit":-1,"count":-1},
            {"rateLimitType":"ORDERS","interval":"SECOND","intervalNum":10,"limit":300,"count":12},
            {"rateLimitType":"ORDERS","interval":"MINUTE","intervalNum":1,"limit":1200,"count":40}]}"#;
        let seen = pace(used, VenueId(2)).unwrap();
        assert_eq!((seen.orders_10s, seen.orders_1m, seen.weight_1m), (Some(12), Some(40), None));
        let banned =
            br#"{"id":"x","status":418,"error":{"code":-1003,"msg":"m","data":{"serverTime":1659142907531,
            "retryAfter":1659146400000}}}"#;
        let seen = pace(banned, VenueId(2)).unwrap();
        assert_eq!((seen.status, seen.retry_after_s, seen.venue), (418, 3_493, VenueId(2)));
        assert_eq!(pace(br#"{"id":"x","status":200,"result":{}}"#, VenueId(2)), None);
        assert_eq!(pace(b"{", VenueId(2)), None);
    }

    #[test]
    fn refusals_become_reports_of_their_request() {
        for (request, code, kind, class) in [
            (Request::Place, -2027, ReportKind::Rejected, RejectClass::Margin),
            (Request::Place, -1007, ReportKind::Rejected, RejectClass::UnknownOutcome),
            (Request::Cancel, -2011, ReportKind::CancelRejected, RejectClass::NotFound),
            (Request::Query, -2013, ReportKind::NotFound, RejectClass::NotFound),
            (Request::Amend, -5022, ReportKind::AmendRejected, RejectClass::PostOnly),
            (Request::Amend, -2013, ReportKind::AmendRejected, RejectClass::NotFound),
            (Request::Amend, -5027, ReportKind::AmendRejected, RejectClass::Never),
            (Request::Amend, -1015, ReportKind::AmendRejected, RejectClass::RateLimit),
            (Request::Amend, -1007, ReportKind::AmendRejected, RejectClass::UnknownOutcome),
        ] {
            let text =
                format!(r#"{{"id":"{}","status":400,"error":{{"code":{code},"msg":"m"}}}}"#, id(request));
            let report = reply_of(&text).unwrap();
            assert_eq!((report.kind, report.reject, report.code), (kind, class, code));
            assert_eq!(report.client_id, client(7));
        }
        let text =
            format!(r#"{{"id":"{}","status":429,"error":{{"code":-1003,"msg":"m"}}}}"#, id(Request::Query));
        assert_eq!(reply_of(&text), Err(OddKind::Refused));
        assert_eq!(
            reply_of(r#"{"id":null,"status":400,"error":{"code":-1000,"msg":"Invalid JSON request."}}"#),
            Err(OddKind::Refused)
        );
        assert_eq!(reply_of("{"), Err(OddKind::Malformed));
    }

    #[test]
    fn cancels_and_queries_tell_the_state() {
        for (request, status, kind) in [
            (Request::Cancel, "CANCELED", ReportKind::Canceled),
            (Request::Query, "PARTIALLY_FILLED", ReportKind::PartiallyFilled),
            (Request::Query, "EXPIRED_IN_MATCH", ReportKind::Expired),
        ] {
            let report = reply_of(&format!(
                r#"{{"id":"{}","status":200,"result":{{"orderId":1,"symbol":"BTCUSDT","status":"{status}","clientOrderId":"x",
                "executedQty":"0.250","side":"SELL","updateTime":5}}}}"#,
                id(request)
            ))
            .unwrap();
            assert_eq!((report.kind, report.filled, report.side), (kind, Some(Qty(250)), Some(Side::Sell)));
        }
    }
}

//! Codes of the requests that the Hyperliquid session machines ask for and the encoder renders, and the
//! numbers of posted requests: the private language between the two halves of this dialect.

use crate::domain::effect::VenueCall;
use crate::domain::instrument::InstrumentId;
use crate::domain::order::ClientId;

/// `{"method":"ping"}`.
pub(super) const PING: u16 = 1;
/// Subscribe channel `arg` of [`MARKET_CHANNELS`] for `instrument`.
pub(super) const SUBSCRIBE_MARKET: u16 = 2;
/// Unsubscribe the same.
pub(super) const UNSUBSCRIBE_MARKET: u16 = 3;
/// Subscribe channel `arg` of [`ACCOUNT_CHANNELS`].
pub(super) const SUBSCRIBE_ACCOUNT: u16 = 4;
/// `scheduleCancel`, `arg` = ms from now until the switch fires, 0 = clear the switch.
pub(super) const SCHEDULE_CANCEL: u16 = 5;
/// `{"type":"metaAndAssetCtxs"}`.
pub(super) const META: u16 = 16;
/// `{"type":"frontendOpenOrders"}`: as `openOrders`, with client ids.
pub(super) const PENDING: u16 = 17;
/// `{"type":"clearinghouseState"}`: positions and balance.
pub(super) const STATE: u16 = 18;
/// `{"type":"userFillsByTime"}`; `arg` = `startTime`, ms.
pub(super) const FILLS: u16 = 19;
/// Rows of a full reply to it.
pub(super) const FILLS_PAGE: u32 = 2_000;

/// `{"type":"exchangeStatus"}`: the venue's time.
pub(super) const TIME: u16 = 20;
/// `{"type":"userRole"}`: what the venue knows our address as.
pub(super) const ROLE: u16 = 21;
/// `{"type":"extraAgents"}`: the wallets that may sign for it, and until when.
pub(super) const AGENTS: u16 = 22;
/// `{"type":"userAbstraction"}`: whose margin pays for what.
pub(super) const ABSTRACTION: u16 = 23;
/// `{"type":"userFees"}`.
pub(super) const FEES: u16 = 24;
/// `{"type":"userRateLimit"}`: requests used and granted, volume traded.
pub(super) const RATE: u16 = 25;
/// `{"type":"activeAssetData"}` of the `arg`-th listing: margin mode and leverage.
pub(super) const ASSET: u16 = 26;

/// Channels subscribed for every listing, in this order.
pub(super) const MARKET_CHANNELS: [&str; 4] = ["l2Book", "bbo", "trades", "activeAssetCtx"];
/// Position of the depth among [`MARKET_CHANNELS`].
pub(super) const BOOK_CHANNEL: u64 = 0;
/// Channels of the account connection.
pub(super) const ACCOUNT_CHANNELS: [&str; 3] = ["orderUpdates", "userFills", "userFundings"];

/// A call without arguments.
pub(super) const fn call(op: u16) -> VenueCall {
    VenueCall { op, arg: 0, instrument: None }
}

/// A call with a number.
pub(super) const fn call_arg(op: u16, arg: u64) -> VenueCall {
    VenueCall { op, arg, instrument: None }
}

/// A call about an instrument.
pub(super) const fn call_for(op: u16, arg: u64, instrument: InstrumentId) -> VenueCall {
    VenueCall { op, arg, instrument: Some(instrument) }
}

/// What a posted request asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Posted {
    /// Place the order.
    Place(ClientId),
    /// Cancel the order.
    Cancel(ClientId),
    /// Arm the dead man's switch.
    Schedule,
}

/// Bits of an order's sequence in [`post_id`].
const SEQUENCE_BITS: u32 = 29;
/// Bits of what is asked for.
const KIND_BITS: u32 = 2;

/// The number of a posted request, which the reply repeats: boot epoch (seconds, 32 bits), order sequence
/// (29 bits) and what is asked for. Errors name no order, so this is what tells whose they are. `None`
/// where the id does not fit. The venue documents a "unique id"; that it takes 63 bits is to be verified on
/// the test network.
pub(super) fn post_id(posted: Posted) -> Option<u64> {
    let (kind, id) = match posted {
        Posted::Place(id) => (0, id),
        Posted::Cancel(id) => (1, id),
        Posted::Schedule => (2, ClientId::NONE),
    };
    let fits = id.epoch() < 1 << 32 && id.sequence() < 1 << SEQUENCE_BITS;
    fits.then(|| id.epoch() << (SEQUENCE_BITS + KIND_BITS) | id.sequence() << KIND_BITS | kind)
}

/// Reads [`post_id`].
pub(super) fn of_post_id(id: u64) -> Option<Posted> {
    let sequence = (id >> KIND_BITS) & ((1 << SEQUENCE_BITS) - 1);
    let client_id = ClientId::new(id >> (SEQUENCE_BITS + KIND_BITS), sequence);
    match id & 3 {
        0 => Some(Posted::Place(client_id)),
        1 => Some(Posted::Cancel(client_id)),
        2 => Some(Posted::Schedule),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reply_tells_which_order_it_is_about() {
        for posted in [
            Posted::Place(ClientId::new(1, 1)),
            Posted::Cancel(ClientId::new(u64::from(u32::MAX), (1 << 29) - 1)),
            Posted::Place(ClientId::new(1_790_000_000, 77)),
            Posted::Schedule,
        ] {
            let id = post_id(posted).unwrap();
            assert!(i64::try_from(id).is_ok());
            assert_eq!(of_post_id(id), Some(posted));
        }
        assert_eq!(post_id(Posted::Place(ClientId::new(1 << 32, 1))), None);
        assert_eq!(post_id(Posted::Place(ClientId::new(1, 1 << 29))), None);
        assert_eq!(of_post_id(3), None);
    }
}

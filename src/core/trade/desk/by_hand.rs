//! Numbers for what is done by hand; see `scanner/by_hand.rs`.

use super::Desk;
use crate::domain::intent::TradeId;
use crate::domain::order::ClientId;

/// The trade under which amendments by hand are numbered: none that a desk opens.
const BY_HAND: TradeId = TradeId(u32::MAX - 1);

impl Desk {
    /// Trade and id of an order that is placed by hand. The desk does not follow it.
    pub fn by_hand(&mut self) -> (TradeId, ClientId) {
        self.trade_last += 1;
        self.order_last += 1;
        (TradeId(self.trade_last), ClientId::new(self.epoch, self.order_last))
    }

    /// What names an amendment by hand.
    pub fn amend_by_hand(&mut self) -> (TradeId, u16) {
        self.amended_last = self.amended_last.wrapping_add(1);
        (BY_HAND, self.amended_last)
    }
}

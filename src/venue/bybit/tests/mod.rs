//! What the Bybit dialect promises.

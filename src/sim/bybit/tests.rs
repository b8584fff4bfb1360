//! What the simulated Bybit venue promises.

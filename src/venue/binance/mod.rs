//! Binance USDⓈ-M futures.

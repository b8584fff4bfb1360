//! OKX swaps.

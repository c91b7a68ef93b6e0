//! lorawan

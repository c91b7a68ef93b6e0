//! `longhaul send`.

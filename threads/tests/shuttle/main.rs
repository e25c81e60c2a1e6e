//! The whole std tracker under schedules that are drawn.
#![cfg(tenure_shuttle)]
#![forbid(unsafe_code)]

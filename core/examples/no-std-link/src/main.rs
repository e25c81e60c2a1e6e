//! The machine in a program without std, without alloc, and without a runtime.
//!
//! ```text
//! cargo run --manifest-path core/examples/no-std-link/Cargo.toml && echo It led and it stopped.
//! ```
//!
//! Nothing here can allocate, and nothing can panic: the handler below is not even linked, which
//! `cargo xtask test` checks.
#![no_std]
#![no_main]
#![deny(unsafe_code)]

#[cfg(feature = "std")]
extern crate std;

use core::{ffi::c_int, hint::black_box, panic::PanicInfo, time::Duration};

use tenure_core::Instant;

/// Exits with 0 if the machine did what it must.
#[expect(unsafe_code, reason = "the C library looks for `main` by its name")]
#[unsafe(no_mangle)]
extern "C" fn main() -> c_int {
    let now = black_box(Instant::from_nanos(3));
    #[cfg(feature = "panic")]
    assert!(now == Instant::ORIGIN, "panics, if that is not optimised away");
    c_int::from(now.saturating_add(Duration::MAX) != Instant::MAX)
}

/// Never called. Its mark stands in the program if something could call it.
#[panic_handler]
fn panic(_: &PanicInfo<'_>) -> ! {
    loop {
        black_box("no-std-link: a panic");
    }
}

use std::sync::Arc;

use loom::thread;
use tenure_core::Cancel;
use tenure_runtime::CancelToken;

use crate::support::{Rouser, model, wait};

/// As a blocking call waits: it leaves a waker, looks, and sleeps.
fn wait_for(token: &CancelToken) {
    wait(|waker| {
        token.on_cancel(waker.clone());
        token.is_cancelled().then_some(())
    });
}

#[test]
fn a_call_that_waits_misses_no_cancel() {
    model(None, || {
        let token = CancelToken::new();
        let call = {
            let token = token.clone();
            thread::spawn(move || wait_for(&token))
        };
        token.cancel();
        call.join().unwrap();
    });
}

/// It looks first, as `Ticket::wait_until` of `tenure-std` does: then the waker must be called even
/// if it comes late.
#[test]
fn a_waker_that_comes_late_is_called() {
    model(None, || {
        let token = CancelToken::new();
        let call = {
            let token = token.clone();
            thread::spawn(move || {
                wait(|waker| {
                    let is_cancelled = token.is_cancelled();
                    if !is_cancelled {
                        token.on_cancel(waker.clone());
                    }
                    is_cancelled.then_some(())
                });
            })
        };
        token.cancel();
        call.join().unwrap();
    });
}

#[test]
fn two_cancels_call_a_waker_once_and_keep_none() {
    model(None, || {
        let (token, rouser) = (CancelToken::new(), Rouser::new());
        let cancels: Vec<_> = (0..2)
            .map(|_| {
                let token = token.clone();
                thread::spawn(move || token.cancel())
            })
            .collect();
        token.on_cancel(rouser.clone().into());
        cancels.into_iter().for_each(|cancel| cancel.join().unwrap());
        assert!(token.is_cancelled());
        assert_eq!(rouser.woken(), 1);
        assert_eq!(Arc::strong_count(&rouser), 1, "a waker is kept");
    });
}

use tenure_core::Nonce;

/// A nonce from the operating system's source of randomness.
///
/// # Panics
///
/// If the operating system has none to give. Without randomness, two holders could be one to the
/// store: there is no safe way on.
pub fn fresh_nonce() -> Nonce {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).expect("the operating system gives random bytes");
    Nonce::from_bytes(bytes)
}

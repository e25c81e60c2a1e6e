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

/// What a tracker or an engine draws its jitter from, if nobody chose that.
pub(crate) fn fresh_seed() -> u64 {
    u128::from_be_bytes(*fresh_nonce().as_bytes()) as u64
}

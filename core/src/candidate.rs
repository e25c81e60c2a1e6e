use core::fmt;
use core::str::FromStr;

use crate::{ServiceName, UnitName};

/// One process's bid for one service.
///
/// A store knows a holder by (unit, nonce). Two processes with the same unit name are therefore
/// two holders, and a release that arrives late cannot free a later claim.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct Candidate {
    /// What it wants to lead.
    pub service: ServiceName,
    /// Who it is, for people to read.
    pub unit: UnitName,
    /// Which one it is: drawn at the start, and anew after every release.
    pub nonce: Nonce,
}

/// 128 random bits that tell one holder from every other.
///
/// Shown and parsed as 32 hexadecimal digits. The core has no source of randomness: the runtimes
/// draw nonces from the operating system's.
#[derive(Clone, Copy, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Nonce([u8; 16]);

impl Nonce {
    /// The nonce with these bits.
    pub const fn from_bytes(bytes: [u8; 16]) -> Nonce {
        Nonce(bytes)
    }

    /// Its bits.
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

impl fmt::Debug for Nonce {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Nonce({self})")
    }
}

impl fmt::Display for Nonce {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:032x}", u128::from_be_bytes(self.0))
    }
}

impl FromStr for Nonce {
    type Err = NonceError;

    /// Parses 32 hexadecimal digits.
    ///
    /// # Errors
    ///
    /// [`NonceError`] if the text is anything else.
    fn from_str(text: &str) -> Result<Nonce, NonceError> {
        if text.len() != 32 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(NonceError);
        }
        let bits = u128::from_str_radix(text, 16).map_err(|_| NonceError)?;
        Ok(Nonce(bits.to_be_bytes()))
    }
}

/// A text is not a nonce: not 32 hexadecimal digits.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct NonceError;

impl fmt::Display for NonceError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a nonce is written as 32 hexadecimal digits")
    }
}

impl core::error::Error for NonceError {}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;
    use alloc::string::ToString;

    #[test]
    fn a_nonce_is_read_as_it_is_shown() {
        let nonce = Nonce::from_bytes([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 255]);
        assert_eq!(nonce.to_string(), "000102030405060708090a0b0c0d0eff");
        assert_eq!(nonce.to_string().parse(), Ok(nonce));
        assert_eq!(format!("{nonce:?}"), "Nonce(000102030405060708090a0b0c0d0eff)");
    }

    #[test]
    fn what_is_no_nonce_is_refused() {
        for text in ["", "+00102030405060708090a0b0c0d0eff", "000102030405060708090a0b0c0d0ef"] {
            assert_eq!(text.parse::<Nonce>(), Err(NonceError), "{text}");
        }
        assert_eq!(NonceError.to_string(), "a nonce is written as 32 hexadecimal digits");
    }
}

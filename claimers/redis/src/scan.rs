use crate::error::StoreError;

/// The most values that a reply may have: each takes far more memory than its few bytes on the
/// wire.
pub(crate) const VALUES_MAX: u64 = 16_384;

/// Finds where a reply ends, before it is parsed.
///
/// The parser takes a reply at its word: it makes room for as many values as are announced, and
/// looks at all that has come each time there is more. This reads each byte once, makes room for
/// nothing, and refuses what announces too much.
#[derive(Debug)]
pub(crate) struct Scanner {
    /// How many bytes have been looked at.
    at: usize,
    /// Where the line begins that is being read.
    line: usize,
    /// How many bytes are still to be passed over.
    skip: u64,
    /// How many values are still to come.
    left: u64,
    /// How many have been announced.
    announced: u64,
}

/// What a reply announces.
enum Line {
    /// A value that is complete with its line.
    Whole,
    /// One that has this many bytes after it.
    Bytes(u64),
    /// This many values.
    Values(u64),
}

impl Scanner {
    pub(crate) fn new() -> Scanner {
        Scanner { at: 0, line: 0, skip: 0, left: 1, announced: 1 }
    }

    /// How long the reply is that `received` begins with, if all of it has come. `received` is what
    /// it was at the last call, and what has come since. `len_max` is how long it may be.
    pub(crate) fn end(
        &mut self,
        received: &[u8],
        len_max: u64,
    ) -> Result<Option<usize>, StoreError> {
        while self.left > 0 {
            let rest = &received[self.at..];
            if self.skip > 0 {
                let len = usize::try_from(self.skip).unwrap_or(usize::MAX).min(rest.len());
                self.at += len;
                self.skip -= len as u64;
                if self.skip > 0 {
                    return Ok(None);
                }
                (self.line, self.left) = (self.at, self.left - 1);
                continue;
            }
            let Some(end) = rest.iter().position(|byte| *byte == b'\n') else {
                self.at = received.len();
                return Ok(None);
            };
            self.at += end + 1;
            // A line ends with both; the parser takes the one alone for a part of it.
            let line = &received[self.line..self.at];
            let Some(line) = line.strip_suffix(b"\r\n") else { continue };
            match Line::of(line)? {
                Line::Whole => self.left -= 1,
                Line::Bytes(len) if len > len_max => {
                    return Err(StoreError::TooLong { announced: len, limit: len_max });
                }
                // And the end of a line.
                Line::Bytes(len) => self.skip = len + 2,
                Line::Values(count) => {
                    self.announced = self.announced.saturating_add(count);
                    if self.announced > VALUES_MAX {
                        let announced = self.announced;
                        return Err(StoreError::TooManyValues { announced, limit: VALUES_MAX });
                    }
                    self.left = self.left - 1 + count;
                }
            }
            self.line = self.at;
        }
        Ok(Some(self.at))
    }
}

impl Line {
    fn of(line: &[u8]) -> Result<Line, StoreError> {
        let Some((kind, number)) = line.split_first() else { return Err(StoreError::NotRedis) };
        let number = || -> Result<Option<u64>, StoreError> {
            let text = str::from_utf8(number).map_err(|_| StoreError::NotRedis)?;
            match text.trim().parse::<i64>() {
                Ok(number) => Ok(u64::try_from(number).ok()),
                Err(_) => Err(StoreError::NotRedis),
            }
        };
        let values = |each: u64, more: u64| {
            let count = number()?.map(|count| count.saturating_mul(each).saturating_add(more));
            Ok(count.map_or(Line::Whole, Line::Values))
        };
        match kind {
            b'$' | b'!' | b'=' => Ok(number()?.map_or(Line::Whole, Line::Bytes)),
            b'*' | b'~' | b'>' => values(1, 0),
            b'%' => values(2, 0),
            // And what it is an attribute of.
            b'|' => values(2, 1),
            _ => Ok(Line::Whole),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEN_MAX: u64 = 1_000;

    /// How long the reply is at the beginning of `received`, which comes `step` bytes at a time.
    fn end(received: &[u8], step: usize) -> Result<Option<usize>, StoreError> {
        let mut scanner = Scanner::new();
        for len in (step..received.len()).step_by(step) {
            if let Some(end) = scanner.end(&received[..len], LEN_MAX)? {
                return Ok(Some(end));
            }
        }
        scanner.end(received, LEN_MAX)
    }

    #[test]
    fn a_reply_ends_where_the_parser_says() {
        let replies: [&[u8]; 12] = [
            b"+OK\r\n",
            b"+a\nb\r\n",
            b"-ERR no\r\n",
            b":-7\r\n",
            b"$0\r\n\r\n",
            b"$-1\r\n",
            b"$4\r\n\r\n\r\n\r\n",
            b"*-1\r\n",
            b"*0\r\n",
            b"*3\r\n*1\r\n$1\r\nx\r\n:1\r\n>2\r\n+a\r\n+b\r\n",
            b"%2\r\n+a\r\n:1\r\n+b\r\n~1\r\n_\r\n",
            b"|1\r\n+a\r\n#t\r\n=7\r\ntxt:abc\r\n",
        ];
        for reply in replies {
            let (value, shown) = (redis::parse_redis_value(reply), String::from_utf8_lossy(reply));
            assert!(value.is_ok(), "{shown:?}: {value:?}");
            for step in 1..=reply.len() {
                assert_eq!(end(reply, step).unwrap(), Some(reply.len()), "{shown:?} by {step}");
                let more = [reply, b"+next\r\n"].concat();
                assert_eq!(end(&more, step).unwrap(), Some(reply.len()), "{shown:?} and more");
            }
            for len in 0..reply.len() {
                assert_eq!(end(&reply[..len], 1).unwrap(), None, "{shown:?}, {len} bytes of it");
            }
        }
    }

    #[test]
    fn what_announces_too_much_is_refused_before_it_comes() {
        for text in ["*16384\r\n", "*9223372036854775807\r\n", "%9223372036854775807\r\n"] {
            let error = end(text.as_bytes(), 1).unwrap_err();
            assert!(matches!(error, StoreError::TooManyValues { .. }), "{text:?}: {error}");
        }
        // Many small ones, each in the one before it.
        let nested = "*400\r\n".repeat(42);
        let error = end(nested.as_bytes(), 1).unwrap_err();
        assert!(matches!(error, StoreError::TooManyValues { .. }), "{error}");
        for text in ["$1001\r\n", "*1\r\n!9223372036854775807\r\n"] {
            let error = end(text.as_bytes(), 1).unwrap_err();
            assert!(matches!(error, StoreError::TooLong { limit: LEN_MAX, .. }), "{text:?}");
        }
        assert_eq!(end(b"*16383\r\n", 1).unwrap(), None);
        assert_eq!(end(b"$1000\r\n", 1).unwrap(), None);
        for text in ["\r\n", "$\r\n", "*x\r\n", "*?\r\n", "$é\r\n"] {
            let error = end(text.as_bytes(), 1).unwrap_err();
            assert!(matches!(error, StoreError::NotRedis), "{text:?}: {error}");
        }
    }
}

use std::collections::VecDeque;
use std::fmt;
use std::io::{self, Read};

use futures_lite::{AsyncReadExt, AsyncWriteExt};
use redis::{Cmd, Parser, Value};
use tenure_net::Stream;

use crate::error::StoreError;

/// A connection that carries commands there, and replies and messages back.
pub(crate) struct Wire {
    stream: Stream,
    parser: Parser,
    /// What has come and was not taken by the parser yet.
    received: Received,
    /// Whether it has said anything yet.
    has_spoken: bool,
}

impl fmt::Debug for Wire {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Wire").field("stream", &self.stream).finish_non_exhaustive()
    }
}

/// Bytes as a source that has no more for now, rather than one that has come to its end.
#[derive(Default)]
struct Received(VecDeque<u8>);

impl Read for Received {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.0.is_empty() { Err(io::ErrorKind::WouldBlock.into()) } else { self.0.read(buffer) }
    }
}

/// What a reply may begin with.
const KINDS_OF_REPLIES: &[u8] = b"+-:$*%|~_,#!=(>";

impl Wire {
    pub(crate) fn new(stream: Stream) -> Wire {
        Wire { stream, parser: Parser::new(), received: Received::default(), has_spoken: false }
    }

    /// Sends `commands`; each will have a reply.
    pub(crate) async fn send(&mut self, commands: &[Cmd]) -> Result<(), StoreError> {
        let mut bytes = Vec::new();
        for command in commands {
            command.write_packed_command(&mut bytes);
        }
        self.stream.write_all(&bytes).await?;
        self.stream.flush().await?;
        Ok(())
    }

    /// The next reply or message, whatever it says.
    ///
    /// # Cancel safety
    ///
    /// What has come by then is kept for the next call.
    pub(crate) async fn receive(&mut self) -> Result<Value, StoreError> {
        let mut buffer = [0; 4096];
        loop {
            match self.parser.parse_value(&mut self.received) {
                Ok(value) => return Ok(value),
                Err(error) if error.is_io_error() => {}
                Err(_) => return Err(StoreError::NotRedis),
            }
            let length = self.stream.read(&mut buffer).await?;
            let Some(first) = buffer[..length].first() else {
                let closed = "the server has closed the connection";
                return Err(io::Error::new(io::ErrorKind::UnexpectedEof, closed).into());
            };
            // The parser would wait for the end of a line that may never come.
            if !self.has_spoken && !KINDS_OF_REPLIES.contains(first) {
                return Err(StoreError::NotRedis);
            }
            self.has_spoken = true;
            self.received.0.extend(&buffer[..length]);
        }
    }

    pub(crate) fn has_spoken(&self) -> bool {
        self.has_spoken
    }

    /// Whether it is open and has nothing left that nobody asked for.
    pub(crate) async fn is_quiet(&mut self) -> bool {
        self.received.0.is_empty() && self.stream.is_quiet().await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replies_are_put_together_from_pieces_of_any_length() {
        let replies = b"*3\r\n$5\r\nhello\r\n:-12\r\n$-1\r\n-WRONGTYPE no\r\n+OK\r\n";
        for length in 1..=replies.len() {
            let (mut parser, mut received) = (Parser::new(), Received::default());
            let mut values = Vec::new();
            for piece in replies.chunks(length) {
                received.0.extend(piece);
                while let Ok(value) = parser.parse_value(&mut received) {
                    values.push(value);
                }
            }
            assert_eq!(values.len(), 3, "{values:?}");
            let array = [Value::BulkString(b"hello".to_vec()), Value::Int(-12), Value::Nil];
            assert_eq!(values[0], Value::Array(array.to_vec()));
            assert!(matches!(&values[1], Value::ServerError(error) if error.code() == "WRONGTYPE"));
            assert_eq!(values[2], Value::Okay);
        }
    }
}

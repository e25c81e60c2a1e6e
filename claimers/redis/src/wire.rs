use std::io;

use futures_lite::{AsyncReadExt, AsyncWriteExt};
use redis::{Cmd, Value, parse_redis_value};
use tenure_net::{Budget, Stream};

use crate::error::StoreError;
use crate::scan::Scanner;

/// A connection that carries commands there, and replies and messages back.
#[derive(Debug)]
pub(crate) struct Wire {
    stream: Stream,
    budget: Budget,
    /// What has come and was not taken yet.
    received: Vec<u8>,
    /// What looks for the end of the reply that it begins with.
    scanner: Scanner,
    /// Whether it has said anything yet.
    has_spoken: bool,
}

/// What a reply may begin with.
const KINDS_OF_REPLIES: &[u8] = b"+-:$*%|~_,#!=(>";

impl Wire {
    pub(crate) fn new(stream: Stream) -> Wire {
        let (budget, received, scanner) = (stream.budget(), Vec::new(), Scanner::new());
        Wire { stream, budget, received, scanner, has_spoken: false }
    }

    /// Sends `commands`; each will have a reply, and all replies together one budget.
    pub(crate) async fn send(&mut self, commands: &[Cmd]) -> Result<(), StoreError> {
        self.budget.renew();
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
            if let Some(end) = self.scanner.end(&self.received, Budget::DEFAULT)? {
                let value = parse_redis_value(&self.received[..end]);
                self.received.drain(..end);
                self.scanner = Scanner::new();
                return value.map_err(|_| StoreError::NotRedis);
            }
            let length = self.stream.read(&mut buffer).await?;
            let Some(first) = buffer[..length].first() else {
                let closed = "the server has closed the connection";
                return Err(io::Error::new(io::ErrorKind::UnexpectedEof, closed).into());
            };
            // One would wait for the end of a line that may never come.
            if !self.has_spoken && !KINDS_OF_REPLIES.contains(first) {
                return Err(StoreError::NotRedis);
            }
            self.has_spoken = true;
            self.received.extend_from_slice(&buffer[..length]);
        }
    }

    /// Has the budget renewed each second from now on, for messages that come unasked.
    pub(crate) fn listen(&mut self) {
        self.budget.renew_each_second();
    }

    pub(crate) fn has_spoken(&self) -> bool {
        self.has_spoken
    }

    /// Whether it is open and has nothing left that nobody asked for.
    pub(crate) async fn is_quiet(&mut self) -> bool {
        self.received.is_empty() && self.stream.is_quiet().await
    }
}

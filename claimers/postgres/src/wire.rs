use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_lite::{AsyncRead as _, AsyncReadExt, AsyncWrite as _, AsyncWriteExt};
use tenure_net::{Budget, Endpoint, Stream, Tls, TlsError};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::error::StoreError;

/// A connection that speaks Postgres, in the words that `tokio-postgres` knows. No part of tokio's
/// runtime is behind it.
#[derive(Debug)]
pub(crate) struct Wire {
    stream: Stream,
    /// Whether anything has been heard that only Postgres says.
    is_postgres: bool,
}

/// How many bytes an answer may have. What is asked here is answered with some hundred, and each
/// parameter or notice of a few bytes takes fifty times as much memory.
const ANSWER_LEN_MAX: u64 = 128 * 1024;

/// What asks for encryption: the length of the message, and a version that none will ever have.
const SSL_REQUEST: [u8; 8] = [0, 0, 0, 8, 4, 210, 22, 47];

/// What the first message to a client can be: an authentication, an error, a notice or a protocol
/// version.
const FIRST: [u8; 4] = *b"RENv";

impl Wire {
    /// Connects, and agrees on encryption if that is asked for.
    pub(crate) async fn connect(
        endpoint: &Endpoint,
        tls: Option<&Tls>,
    ) -> Result<Wire, StoreError> {
        let away = |source| StoreError::Away { endpoint: endpoint.clone(), source };
        let mut stream = tenure_net::connect(endpoint, None).await.map_err(away)?;
        stream.budget().limited_to(ANSWER_LEN_MAX);
        let Some(tls) = tls else { return Ok(Wire { stream, is_postgres: false }) };
        stream.write_all(&SSL_REQUEST).await.map_err(away)?;
        let mut answer = [0];
        stream.read_exact(&mut answer).await.map_err(away)?;
        match &answer {
            b"S" => {}
            b"N" => return Err(StoreError::NoTls { endpoint: endpoint.clone() }),
            // An error, from a server that is too busy to have another process.
            b"E" => return Err(away(io::ErrorKind::ConnectionRefused.into())),
            _ => return Err(StoreError::NotPostgres { endpoint: endpoint.clone() }),
        }
        let secured = stream.secure(tls, &endpoint.host).await;
        let stream =
            secured.map_err(|source| match (TlsError::inside(&source), source.kind()) {
                (Some(error), _) => StoreError::TlsSetup { message: error.to_string() },
                // What rustls finds fault with.
                (None, io::ErrorKind::InvalidData) => {
                    StoreError::Tls { endpoint: endpoint.clone(), source }
                }
                (None, _) => away(source),
            })?;
        Ok(Wire { stream, is_postgres: true })
    }

    pub(crate) fn budget(&self) -> Budget {
        self.stream.budget()
    }
}

/// The reason of an [`io::Error`]: this is no Postgres.
#[derive(Debug)]
pub(crate) struct Stranger;

impl std::fmt::Display for Stranger {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("this is not a Postgres server")
    }
}

impl std::error::Error for Stranger {}

impl AsyncRead for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let unfilled = buffer.initialize_unfilled();
        let length = ready!(Pin::new(&mut self.stream).poll_read(context, unfilled))?;
        // What follows would be taken for the length of a message that never ends.
        if !self.is_postgres
            && let Some(first) = unfilled[..length].first()
        {
            if !FIRST.contains(first) {
                return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, Stranger)));
            }
            self.is_postgres = true;
        }
        buffer.advance(length);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Wire {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, buffer)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_close(context)
    }
}

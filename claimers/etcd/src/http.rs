use std::error::Error;
use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};

use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1::{self, SendRequest};
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HOST, HeaderName};
use hyper::{Method, Request, StatusCode};
use smol_hyper::rt::FuturesIo;
use tenure_net::{Budget, Endpoint, Stream, TooMuch};

/// What the gateway hands to etcd as `hasleader`: a member that knows of no leader says so at
/// once, and ends its watches when it loses the leader. Else it lets everybody wait.
const REQUIRE_LEADER: HeaderName = HeaderName::from_static("grpc-metadata-hasleader");

/// No answer to what is asked here is anywhere near as long, with its headers, and neither is what
/// a watch says within a second. Some of what takes three bytes in JSON takes thirty times as much
/// memory.
const ANSWER_LEN_MAX: u64 = 128 * 1024;

/// A connection to a member, on which one request at a time is made.
///
/// Nothing of it runs but while a call on it is polled.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) endpoint: Endpoint,
    sender: SendRequest<Full<Bytes>>,
    driver: Driver,
    budget: Budget,
}

/// What reads and writes for a connection.
#[derive(Debug)]
struct Driver {
    connection: Pin<Box<http1::Connection<FuturesIo<Stream>, Full<Bytes>>>>,
    is_over: bool,
}

/// A whole answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) body: Vec<u8>,
}

/// An answer that goes on, line by line.
#[derive(Debug)]
pub(crate) struct Lines {
    driver: Driver,
    body: Incoming,
    /// What has come, up to the last line that was taken, and beyond.
    read: Vec<u8>,
    /// How much of that was taken.
    taken: usize,
    /// How many of the bytes after what was taken are known to have no line end.
    looked_at: usize,
}

/// A streamed answer, or a whole one that says why there is none.
#[derive(Debug)]
pub(crate) enum Streamed {
    Lines(Lines),
    Refused(Answer),
}

/// What one end asks of the other.
#[derive(Clone, Debug)]
pub(crate) struct Ask<'a> {
    pub(crate) path: &'a str,
    /// What to post; without it, the path is got.
    pub(crate) body: Option<Vec<u8>>,
    pub(crate) token: Option<&'a str>,
}

/// Why there is no answer.
#[derive(Debug)]
pub(crate) enum HttpError {
    /// The connection broke.
    Broken(Box<dyn Error + Send + Sync>),
    /// The server closed it instead of answering.
    Closed,
    /// Whatever answers, it does not speak HTTP.
    NotHttp(hyper::Error),
    /// It says more than etcd would in a line of a watch.
    TooLong,
    /// It says more than etcd would.
    TooMuch(TooMuch),
}

impl Connection {
    pub(crate) async fn over(stream: Stream, endpoint: Endpoint) -> Result<Connection, HttpError> {
        let budget = stream.budget();
        budget.limited_to(ANSWER_LEN_MAX);
        let (sender, connection) =
            http1::handshake(FuturesIo::new(stream)).await.map_err(HttpError::from_hyper)?;
        let driver = Driver { connection: Box::pin(connection), is_over: false };
        Ok(Connection { endpoint, sender, driver, budget })
    }

    /// Whether it can be used once more: the server may have closed it meanwhile.
    pub(crate) fn is_open(&mut self) -> bool {
        self.budget.renew();
        let _ = self.driver.poll(&mut Context::from_waker(Waker::noop()));
        !self.driver.is_over && self.sender.is_ready()
    }

    /// Asks, and waits for the whole answer.
    pub(crate) async fn ask(&mut self, ask: Ask<'_>) -> Result<Answer, HttpError> {
        let request = request(&self.endpoint, ask)?;
        self.budget.renew();
        let sender = &mut self.sender;
        let exchange = async {
            sender.ready().await.map_err(HttpError::from_hyper)?;
            let response = sender.send_request(request).await.map_err(HttpError::from_hyper)?;
            whole(response).await
        };
        self.driver.carry(exchange).await
    }

    /// Asks, and waits for the answer to begin. The connection is of no other use then.
    pub(crate) async fn stream(self, ask: Ask<'_>) -> Result<Streamed, HttpError> {
        let Connection { endpoint, mut sender, mut driver, budget } = self;
        let request = request(&endpoint, ask)?;
        budget.renew();
        let exchange = async {
            sender.ready().await.map_err(HttpError::from_hyper)?;
            let response = sender.send_request(request).await.map_err(HttpError::from_hyper)?;
            match response.status() {
                StatusCode::OK => Ok(Ok(response.into_body())),
                _ => Ok(Err(whole(response).await?)),
            }
        };
        match driver.carry(exchange).await? {
            Ok(body) => {
                budget.renew_each_second();
                let (read, taken, looked_at) = (Vec::new(), 0, 0);
                Ok(Streamed::Lines(Lines { driver, body, read, taken, looked_at }))
            }
            Err(answer) => Ok(Streamed::Refused(answer)),
        }
    }
}

impl Lines {
    /// The next line, without its end; `None` if the server has ended the answer.
    ///
    /// To cancel it loses nothing.
    pub(crate) async fn next(&mut self) -> Result<Option<Vec<u8>>, HttpError> {
        loop {
            // What was looked at once is not looked at again.
            let end = self.read[self.looked_at..].iter().position(|byte| *byte == b'\n');
            if let Some(end) = end.map(|end| self.looked_at + end) {
                let line = self.read[self.taken..end].to_vec();
                (self.taken, self.looked_at) = (end + 1, end + 1);
                return Ok(Some(line));
            }
            self.read.drain(..self.taken);
            (self.taken, self.looked_at) = (0, self.read.len());
            if self.read.len() as u64 > ANSWER_LEN_MAX {
                return Err(HttpError::TooLong);
            }
            let body = &mut self.body;
            let frame = async { body.frame().await.transpose().map_err(HttpError::from_hyper) };
            let Some(frame) = self.driver.carry(frame).await? else { return Ok(None) };
            if let Ok(data) = frame.into_data() {
                self.read.extend_from_slice(&data);
            }
        }
    }
}

fn request(endpoint: &Endpoint, ask: Ask<'_>) -> Result<Request<Full<Bytes>>, HttpError> {
    let Ask { path, body, token } = ask;
    let method = if body.is_some() { Method::POST } else { Method::GET };
    let mut request = Request::builder()
        .method(method)
        .uri(path)
        .header(HOST, endpoint.to_string())
        .header(CONTENT_TYPE, "application/json")
        .header(REQUIRE_LEADER, "true");
    if let Some(token) = token {
        request = request.header(AUTHORIZATION, token);
    }
    let body = Full::new(Bytes::from(body.unwrap_or_default()));
    // A host's name or a token that no header can hold.
    request.body(body).map_err(|error| HttpError::Broken(error.into()))
}

async fn whole(response: hyper::Response<Incoming>) -> Result<Answer, HttpError> {
    let status = response.status();
    // The connection's budget limits its length.
    let body = response.into_body().collect().await.map_err(HttpError::from_hyper)?;
    Ok(Answer { status, body: body.to_bytes().into() })
}

impl Driver {
    /// Waits for `work`, reading and writing meanwhile.
    async fn carry<T>(
        &mut self,
        work: impl Future<Output = Result<T, HttpError>>,
    ) -> Result<T, HttpError> {
        let mut work = pin!(work);
        poll_fn(|context| {
            if let Poll::Ready(result) = work.as_mut().poll(context) {
                return Poll::Ready(result);
            }
            match self.poll(context) {
                Poll::Pending => Poll::Pending,
                // What was read before the end may be the answer.
                Poll::Ready(ended) => match work.as_mut().poll(context) {
                    Poll::Ready(Ok(answer)) => Poll::Ready(Ok(answer)),
                    Poll::Ready(Err(error)) => Poll::Ready(Err(ended.err().unwrap_or(error))),
                    Poll::Pending => Poll::Ready(Err(ended.err().unwrap_or(HttpError::Closed))),
                },
            }
        })
        .await
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Result<(), HttpError>> {
        if self.is_over {
            return Poll::Ready(Err(HttpError::Closed));
        }
        let polled = self.connection.as_mut().poll(context);
        self.is_over = polled.is_ready();
        polled.map_err(HttpError::from_hyper)
    }
}

impl HttpError {
    fn from_hyper(error: hyper::Error) -> HttpError {
        if let Some(too_much) = TooMuch::behind(&error) {
            HttpError::TooMuch(too_much)
        } else if error.is_parse() {
            HttpError::NotHttp(error)
        } else if error.is_incomplete_message() {
            HttpError::Closed
        } else {
            HttpError::Broken(error.into())
        }
    }
}

impl fmt::Display for HttpError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            HttpError::Broken(error) => {
                // What hyper says is general; what the system said is behind it.
                let cause = error.source().map_or_else(|| error.to_string(), |it| it.to_string());
                write!(formatter, "the connection broke: {cause}")
            }
            HttpError::Closed => formatter.write_str(
                "the connection was closed without an answer; if it always is, then the server \
                 wants TLS or is not etcd",
            ),
            HttpError::NotHttp(error) => write!(formatter, "it does not speak HTTP: {error}"),
            HttpError::TooLong => {
                write!(formatter, "a watch has a line of more than {ANSWER_LEN_MAX} bytes")
            }
            HttpError::TooMuch(too_much) => too_much.fmt(formatter),
        }
    }
}

impl Error for HttpError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            HttpError::Broken(error) => Some(&**error),
            HttpError::NotHttp(error) => Some(error),
            HttpError::Closed | HttpError::TooLong | HttpError::TooMuch(_) => None,
        }
    }
}

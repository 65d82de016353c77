//! A server that is asked over HTTP: no proxy between, no redirect followed, answers of bounded length.

use std::collections::VecDeque;
use std::error::Error as _;
use std::fmt;
use std::time::Duration;

use lattice_model::wire::event_stream::{Frame, Frames};
use reqwest::header::{AUTHORIZATION, HeaderValue};
use reqwest::redirect::Policy;
use reqwest::{RequestBuilder, Response, StatusCode};

/// The longest an answer may take: its head where it is a stream, all of it otherwise.
const ANSWER_MAX: Duration = Duration::from_secs(60);
/// The longest a connection may take.
const CONNECT_MAX: Duration = Duration::from_secs(10);
/// How often a silent connection is tried: a stream may have nothing to say for hours.
const ALIVE: Duration = Duration::from_secs(30);
/// The longest event taken, in bytes.
const EVENT_BYTES_MAX: usize = 1024 * 1024;

/// Who is asked.
pub(super) struct Server {
    http: reqwest::Client,
    base_url: String,
}

/// An answer that goes on and on.
pub(super) struct Events {
    answer: Response,
    frames: Frames,
    ready: VecDeque<Frame>,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// It does not come, or breaks off.
    #[error("no answer: {0}")]
    Unanswered(String),
    /// It does not come in time.
    #[error("no answer within {} s", ANSWER_MAX.as_secs())]
    Late,
    /// Whoever asks is to show another token.
    #[error("unauthorized")]
    Unauthorized,
    /// It is another than the one that is asked for.
    #[error("the answer is {0}")]
    Status(StatusCode),
    /// It is longer than any that is asked for.
    #[error("the answer is longer than {bytes_max} bytes")]
    TooLong {
        /// The most that is taken.
        bytes_max: usize,
    },
    /// It is not what is asked for.
    #[error("the answer is not what it should be: {0}")]
    Malformed(String),
    /// The stream has ended.
    #[error("the stream has ended")]
    Ended,
    /// UAA gives no token.
    #[error("unable-to-fetch-token: {0}")]
    Token(Box<Fault>),
}

// === impl Server ===

impl Server {
    /// One at this URL, without a `/` at its end.
    pub(super) fn new(base_url: &str, tls: &rustls::ClientConfig) -> Result<Self, Fault> {
        let http = reqwest::Client::builder()
            .tls_backend_preconfigured(tls.clone())
            .http1_only()
            .no_proxy()
            .redirect(Policy::none())
            .connect_timeout(CONNECT_MAX)
            .tcp_keepalive(ALIVE)
            .build()
            .map_err(unanswered)?;
        Ok(Self { http, base_url: base_url.to_owned() })
    }

    pub(super) fn get(&self, path: &str, token: Option<HeaderValue>) -> RequestBuilder {
        let request = self.http.get(self.url(path));
        match token {
            Some(token) => request.header(AUTHORIZATION, token),
            None => request,
        }
    }

    pub(super) fn post(&self, path: &str) -> RequestBuilder {
        self.http.post(self.url(path))
    }

    fn url(&self, path: &str) -> String {
        format!("{}{path}", self.base_url)
    }
}

/// The whole answer.
pub(super) async fn whole(request: RequestBuilder, bytes_max: usize) -> Result<Vec<u8>, Fault> {
    let whole = async {
        let mut answer = head(request).await?;
        let mut bytes = Vec::new();
        while let Some(chunk) = answer.chunk().await.map_err(unanswered)? {
            if bytes.len() + chunk.len() > bytes_max {
                return Err(Fault::TooLong { bytes_max });
            }
            bytes.extend_from_slice(&chunk);
        }
        Ok(bytes)
    };
    tokio::time::timeout(ANSWER_MAX, whole).await.unwrap_or(Err(Fault::Late))
}

async fn head(request: RequestBuilder) -> Result<Response, Fault> {
    let answer = request.send().await.map_err(unanswered)?;
    match answer.status() {
        StatusCode::OK => Ok(answer),
        StatusCode::UNAUTHORIZED => Err(Fault::Unauthorized),
        status => Err(Fault::Status(status)),
    }
}

/// What is below reqwest's own words, in one line.
fn unanswered(error: reqwest::Error) -> Fault {
    let mut below = error.source();
    let mut causes = Vec::new();
    while let Some(cause) = below {
        causes.push(cause.to_string());
        below = cause.source();
    }
    if causes.is_empty() {
        causes.push(error.without_url().to_string());
    }
    Fault::Unanswered(causes.join(": "))
}

// === impl Events ===

impl Events {
    /// Waits for the answer's head.
    pub(super) async fn begin(request: RequestBuilder) -> Result<Self, Fault> {
        let answer = tokio::time::timeout(ANSWER_MAX, head(request)).await;
        let frames = Frames::new(EVENT_BYTES_MAX);
        Ok(Self { answer: answer.unwrap_or(Err(Fault::Late))?, frames, ready: VecDeque::new() })
    }

    /// The next event. Whoever gives up waiting loses none.
    pub(super) async fn next(&mut self) -> Result<Frame, Fault> {
        loop {
            if let Some(frame) = self.ready.pop_front() {
                return Ok(frame);
            }
            let chunk = self.answer.chunk().await.map_err(unanswered)?.ok_or(Fault::Ended)?;
            let pushed = self.frames.push(&chunk);
            self.ready.extend(pushed.map_err(|error| Fault::Malformed(error.to_string()))?);
        }
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server").field("base_url", &self.base_url).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    use super::*;

    /// Asks a server that answers with these bytes, again and again if they are to have no end.
    async fn ask(answer: &'static str, endless: bool) -> RequestBuilder {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let _ = stream.read(&mut [0; 4096]).await;
            let (head, rest) = answer.split_at(answer.find("\r\n\r\n").map_or(0, |at| at + 4));
            let _ = stream.write_all(head.as_bytes()).await;
            while stream.write_all(rest.as_bytes()).await.is_ok() && endless {}
        });
        let tls = crate::tls::client(&[], None, true).unwrap();
        Server::new(&url, &tls).unwrap().get("/", None)
    }

    #[tokio::test]
    async fn an_answer_is_taken_whole_or_not_at_all() {
        let fits = ask("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n12345", false).await;
        assert_eq!(whole(fits, 5).await.unwrap(), b"12345");
        for (answer, endless, expected) in [
            ("HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n123456", false, "longer than 5 bytes"),
            ("HTTP/1.1 200 OK\r\n\r\n123", true, "longer than 5 bytes"),
            ("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n123", false, "no answer: "),
            ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n", false, "no answer: "),
            ("HTTP/1.1 200 OK\r\nA: ", true, "no answer: "),
            ("", false, "no answer: "),
            (
                "HTTP/1.1 302 Found\r\nLocation: /\r\nContent-Length: 0\r\n\r\n",
                false,
                "the answer is 302",
            ),
            ("HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n", false, "the answer is 403"),
            ("HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n", false, "unauthorized"),
        ] {
            let fault = whole(ask(answer, endless).await, 5).await.unwrap_err().to_string();
            assert!(fault.contains(expected), "{answer:?}: {fault}");
        }
    }

    #[tokio::test]
    async fn events_come_one_by_one_until_the_stream_ends() {
        let stream =
            "HTTP/1.1 200 OK\r\n\r\n: hello\n\nevent: a\ndata: 1\n\nevent: b\n\nevent: c\n";
        let mut events = Events::begin(ask(stream, false).await).await.unwrap();
        assert_eq!(events.next().await.unwrap().name, "a");
        assert_eq!(events.next().await.unwrap().name, "b");
        assert!(matches!(events.next().await, Err(Fault::Ended)));
        let mut endless =
            Events::begin(ask("HTTP/1.1 200 OK\r\n\r\ndata: x", true).await).await.unwrap();
        let fault = endless.next().await.unwrap_err().to_string();
        assert!(fault.contains("an event of more than 1048576 bytes"), "{fault}");
    }
}

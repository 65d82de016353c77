//! A client of HTTP/2, which shows answers as the tables of HTTP/1 write them.

use bytes::Bytes;
use h2::client::{ResponseFuture, SendRequest};
use h2::{Reason, RecvStream, SendStream};
use http::{HeaderMap, Method, Request, Response};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use super::asking;
use crate::support::{PATIENCE, World};
use crate::tls::{Authority, connect};

/// A connection.
pub(crate) struct Client {
    send: SendRequest<Bytes>,
}

/// A whole answer.
#[derive(Debug)]
pub(crate) struct Answer {
    /// Informational ones before it, each with its lines.
    pub(crate) before: Vec<Response<()>>,
    pub(crate) head: Response<()>,
    pub(crate) body: Vec<u8>,
    pub(crate) trailers: HeaderMap,
}

impl Client {
    pub(crate) async fn connect(world: &World, authority: &Authority) -> Self {
        let stream = connect(world.addr, "web.test", asking(authority)).await.unwrap();
        Self::over(stream.into_stream()).await
    }

    async fn over(stream: TlsStream<TcpStream>) -> Self {
        assert_eq!(stream.get_ref().1.alpn_protocol(), Some(b"h2".as_slice()));
        let (send, connection) = h2::client::handshake(stream).await.unwrap();
        tokio::spawn(connection);
        Self { send }
    }

    /// Begins a request; what it says of the answer, and where its body goes.
    pub(crate) async fn begin(
        &mut self,
        request: Request<()>,
        is_all: bool,
    ) -> Result<(ResponseFuture, SendStream<Bytes>), h2::Error> {
        let mut send = self.send.clone().ready().await?;
        send.send_request(request, is_all)
    }

    /// A whole request, and its whole answer.
    pub(crate) async fn ask(
        &mut self,
        request: Request<()>,
        body: &[u8],
    ) -> Result<Answer, h2::Error> {
        let (answer, mut send) = self.begin(request, body.is_empty()).await?;
        if !body.is_empty() {
            send_all(&mut send, body, true).await?;
        }
        Answer::of(answer).await
    }

    pub(crate) async fn get(&mut self, url: &str) -> Answer {
        self.ask(request(Method::GET, url), b"").await.unwrap()
    }
}

pub(crate) fn request(method: Method, url: &str) -> Request<()> {
    Request::builder().method(method).uri(url).body(()).unwrap()
}

/// Sends as the router takes it.
pub(crate) async fn send_all(
    to: &mut SendStream<Bytes>,
    mut bytes: &[u8],
    is_all: bool,
) -> Result<(), h2::Error> {
    while !bytes.is_empty() {
        to.reserve_capacity(bytes.len());
        let taken = std::future::poll_fn(|cx| to.poll_capacity(cx));
        let taken = tokio::time::timeout(PATIENCE, taken).await.expect("it is taken in time");
        let Some(taken) = taken.transpose()? else { return Err(Reason::CANCEL.into()) };
        let piece = Bytes::copy_from_slice(&bytes[..taken]);
        bytes = &bytes[taken..];
        to.send_data(piece, is_all && bytes.is_empty())?;
    }
    Ok(())
}

impl Answer {
    pub(crate) async fn of(mut answer: ResponseFuture) -> Result<Self, h2::Error> {
        tokio::time::timeout(PATIENCE, async {
            let mut before = Vec::new();
            while let Some(head) = std::future::poll_fn(|cx| answer.poll_informational(cx)).await {
                before.push(head?);
            }
            let (head, body) = answer.await?.into_parts();
            let (body, trailers) = whole(body).await?;
            Ok(Self { before, head: Response::from_parts(head, ()), body, trailers })
        })
        .await
        .expect("an answer in time")
    }

    pub(crate) fn status(&self) -> u16 {
        self.head.status().as_u16()
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head.headers().get(name).map(|value| value.to_str().unwrap())
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    /// Each head and the body, as HTTP/1 would have them.
    pub(crate) fn messages(&self) -> Vec<(String, String)> {
        let informational = self.before.iter().map(|head| (as_text(head), String::new()));
        let trailers = self.trailers.iter();
        let trailers = trailers.map(|(n, v)| format!(" + {n}: {}", v.to_str().unwrap()));
        let body = self.text().to_owned() + &trailers.collect::<String>();
        informational.chain([(as_text(&self.head), body)]).collect()
    }
}

/// Reads a body to its end, letting more come as it goes.
pub(crate) async fn whole(mut body: RecvStream) -> Result<(Vec<u8>, HeaderMap), h2::Error> {
    let mut bytes = Vec::new();
    while let Some(data) = body.data().await.transpose()? {
        body.flow_control().release_capacity(data.len())?;
        bytes.extend_from_slice(&data);
    }
    Ok((bytes, body.trailers().await?.unwrap_or_default()))
}

fn as_text(head: &Response<()>) -> String {
    let lines = head.headers().iter();
    let lines = lines.map(|(n, v)| format!("{n}: {}\r\n", v.to_str().unwrap()));
    format!("HTTP/1.1 {} \r\n{}\r\n", head.status().as_u16(), lines.collect::<String>())
}

//! A client and a server of the crate `h2`, and what they write.

use std::{
    io,
    pin::Pin,
    sync::Mutex,
    task::{Context, Poll},
};

use h2::{RecvStream, SendStream, client, server};
use http::{HeaderMap, HeaderValue, Request, Response};
use tokio::{
    io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf, duplex},
    task::yield_now,
};

use super::*;

/// One exchange, of which all that is told tells that it is of this one.
#[derive(Clone, Debug)]
pub struct Planned {
    /// Sizes of the pieces of the bodies.
    pub request: Vec<usize>,
    pub response: Vec<usize>,
    /// Length of a field of both heads: long ones take several frames.
    pub long: usize,
    pub trailers: bool,
    /// How often each side lets others go first.
    pub patience: Vec<usize>,
}

/// How the two set themselves up.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Sizes of the tables of header compression.
    pub tables: [u32; 2],
    pub frame: u32,
}

pub fn letter(at: usize) -> char {
    char::from(b'a' + at as u8)
}

pub fn status(at: usize) -> u16 {
    [200, 201, 202, 400, 404, 429, 500, 503][at % 8]
}

/// A body, each part of which tells where it is.
pub fn body(at: usize, request: bool, sizes: &[usize]) -> Vec<u8> {
    let way = if request { '>' } else { '<' };
    let numbered = (0..).flat_map(|n| format!("{}{way}{n:04}", letter(at)).into_bytes());
    numbered.take(sizes.iter().sum()).collect()
}

/// Fields of a head, or trailers.
pub fn fields(at: usize, planned: &Planned) -> HeaderMap {
    let mut fields = HeaderMap::new();
    let mark = letter(at).to_string();
    fields.insert("mark", HeaderValue::from_str(&mark).unwrap());
    fields.insert("same", HeaderValue::from_static("in every head"));
    if planned.long > 0 {
        fields.insert("long", HeaderValue::from_str(&mark.repeat(planned.long)).unwrap());
    }
    fields
}

/// What was written, and by whom.
pub type Written = Vec<(Direction, Vec<u8>)>;

/// Notes what is written.
struct Tap {
    io: DuplexStream,
    direction: Direction,
    written: Arc<Mutex<Written>>,
}

impl AsyncRead for Tap {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(cx, buf)
    }
}

impl AsyncWrite for Tap {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.io).poll_write(cx, buf);
        if let Poll::Ready(Ok(n)) = result {
            self.written.lock().unwrap().push((self.direction, buf[..n].to_vec()));
        }
        result
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

/// Has all exchanges at once, on one connection; gives what both sides wrote, in its order.
pub fn held(all: &[Planned], settings: Settings) -> Written {
    let written = Arc::new(Mutex::new(Vec::new()));
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let (here, there) = duplex(1 << 16);
    let tap = |io, direction| Tap { io, direction, written: Arc::clone(&written) };
    let (here, there) = (tap(here, Direction::Sent), tap(there, Direction::Received));
    let all = Arc::new(all.to_vec());
    runtime.block_on(async move {
        let serving = tokio::spawn(serve(there, settings, Arc::clone(&all)));
        call(here, settings, all).await;
        serving.await.unwrap();
    });
    Arc::into_inner(written).unwrap().into_inner().unwrap()
}

async fn call(io: Tap, settings: Settings, all: Arc<Vec<Planned>>) {
    let mut builder = client::Builder::new();
    builder.header_table_size(settings.tables[0]).max_frame_size(settings.frame).enable_push(false);
    let (mut send, connection) = builder.handshake::<_, Bytes>(io).await.unwrap();
    let connection = tokio::spawn(connection);
    let mut calls = Vec::new();
    for (at, planned) in all.iter().cloned().enumerate() {
        send = send.ready().await.unwrap();
        let mut request = Request::post(format!("https://h/{}", letter(at))).body(()).unwrap();
        *request.headers_mut() = fields(at, &planned);
        let over = planned.request.is_empty();
        let (response, stream) = send.send_request(request, over).unwrap();
        pause(&planned, at).await;
        calls.push(tokio::spawn(async move {
            if !over {
                write(stream, body(at, true, &planned.request), &planned, &planned.request, None).await;
            }
            drain(response.await.unwrap().into_body()).await;
        }));
    }
    for call in calls {
        call.await.unwrap();
    }
    drop(send);
    connection.await.unwrap().unwrap();
}

async fn serve(io: Tap, settings: Settings, all: Arc<Vec<Planned>>) {
    let mut builder = server::Builder::new();
    builder.header_table_size(settings.tables[1]).max_frame_size(settings.frame);
    let mut connection = builder.handshake::<_, Bytes>(io).await.unwrap();
    while let Some(accepted) = connection.accept().await {
        let (request, mut respond) = accepted.unwrap();
        let all = Arc::clone(&all);
        tokio::spawn(async move {
            let at = usize::from(request.uri().path().as_bytes()[1] - b'a');
            let planned = &all[at];
            pause(planned, at).await;
            let mut response = Response::builder().status(status(at)).body(()).unwrap();
            *response.headers_mut() = fields(at, planned);
            let over = planned.response.is_empty() && !planned.trailers;
            let stream = respond.send_response(response, over).unwrap();
            if !over {
                let trailers = planned.trailers.then(|| fields(at, planned));
                write(stream, body(at, false, &planned.response), planned, &planned.response, trailers).await;
            }
            drain(request.into_body()).await;
        });
    }
}

async fn write(
    mut stream: SendStream<Bytes>,
    body: Vec<u8>,
    planned: &Planned,
    sizes: &[usize],
    trailers: Option<HeaderMap>,
) {
    let mut body = Bytes::from(body);
    for (at, size) in sizes.iter().enumerate() {
        let last = at + 1 == sizes.len() && trailers.is_none();
        stream.send_data(body.split_to(*size), last).unwrap();
        pause(planned, at).await;
    }
    if let Some(trailers) = trailers {
        stream.send_trailers(trailers).unwrap();
    }
}

async fn drain(mut body: RecvStream) {
    while let Some(part) = body.data().await {
        let len = part.unwrap().len();
        body.flow_control().release_capacity(len).unwrap();
    }
}

async fn pause(planned: &Planned, at: usize) {
    for _ in 0..planned.patience[at % planned.patience.len()] {
        yield_now().await;
    }
}

/// The frames of what was written, each where its last byte was; the preface counts as one.
pub fn frames(written: Written) -> Written {
    let mut held = [Vec::new(), Vec::new()];
    let (mut begun, mut frames) = (false, Vec::new());
    for (direction, bytes) in written {
        let held: &mut Vec<u8> = &mut held[usize::from(direction == Direction::Received)];
        held.extend(bytes);
        loop {
            let len = match Frame::parse(held) {
                _ if direction == Direction::Sent && !begun => PREFACE.len(),
                Some(frame) => HEAD + frame.len as usize,
                None => break,
            };
            if held.len() < len {
                break;
            }
            begun |= direction == Direction::Sent;
            let rest = held.split_off(len);
            frames.push((direction, std::mem::replace(held, rest)));
        }
    }
    assert!(held.iter().all(Vec::is_empty), "they write whole frames");
    frames
}

/// The same frame as other peers may send it: padded, with a priority, its block in several frames.
pub fn roughen(bytes: &[u8], mut choose: impl FnMut(usize) -> usize) -> Vec<u8> {
    let Some(frame) = Frame::parse(bytes).filter(|_| !bytes.starts_with(PREFACE)) else {
        return bytes.to_vec();
    };
    let make = |kind, flags, payload: &[u8]| {
        let mut bytes = frame_of(kind, flags, 0, payload);
        bytes[5..HEAD].copy_from_slice(&frame.stream.to_be_bytes());
        bytes
    };
    let (mut flags, payload) = (frame.flags, &bytes[HEAD..]);
    // Long ones stay as they are: no peer has to take longer frames.
    if !matches!(frame.kind, DATA | HEADERS) || frame.has(PADDED) || payload.len() > 16_000 || choose(3) == 0
    {
        return bytes.to_vec();
    }
    let padding = vec![0; choose(40)];
    let mut before = Vec::new();
    if !padding.is_empty() {
        flags |= PADDED;
        before.push(padding.len() as u8);
    }
    let mut rest = Vec::new();
    let mut payload = payload.to_vec();
    if frame.kind == HEADERS {
        if choose(3) == 0 && !frame.has(PRIORITIZED) {
            flags |= PRIORITIZED;
            before.extend([0, 0, 0, 0, 9]);
        }
        let end = frame.flags & END_HEADERS;
        if choose(2) == 0 && !frame.has(PRIORITIZED) {
            let middle = payload.split_off(choose(payload.len().max(1)));
            let (two, three) = middle.split_at(choose(middle.len().max(1)));
            flags &= !END_HEADERS;
            rest = [make(CONTINUATION, 0, two), make(CONTINUATION, end, three)].concat();
        }
    }
    [make(frame.kind, flags, &[before, payload, padding].concat()), rest].concat()
}

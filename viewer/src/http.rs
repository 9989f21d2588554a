//! HTTP/1.1, as much as one person's browser on the same machine needs.
//!
//! The content of answers is decided elsewhere ([`Answer`]), so that another server can give the same
//! answers. This one listens on the loopback address alone, knows its own name, and refuses pages of other
//! origins: a page on the web that has its own name point at this machine (DNS rebinding) gets nothing.

use std::{
    io::{self, BufWriter, Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use crate::ViewError;

/// Largest size of a request before its body, bytes.
const MAX_HEAD: usize = 16 << 10;
/// Largest size of a body, bytes: shapes drawn by hand.
const MAX_BODY: u64 = 32 << 20;
/// Largest number of connections at once; a browser opens six.
const MAX_CONNECTIONS: usize = 64;
const IDLE: Duration = Duration::from_secs(120);

/// Action of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// Read.
    Get,
    /// Read, without the body.
    Head,
    /// Replace.
    Put,
}

/// A request that may be answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// Its action.
    pub method: Method,
    /// The path, without its first slash and without `?` and all after it.
    pub path: String,
    /// The bytes sent with the request.
    pub body: Vec<u8>,
}

/// Time for which a browser may keep an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keep {
    /// The browser asks again each time.
    No,
    /// No limit: the address names the content.
    Forever,
}

/// An answer.
#[derive(Debug, Clone)]
pub struct Response {
    /// Status, such as 200.
    pub status: u16,
    /// Media type.
    pub kind: &'static str,
    /// Time for which it may be kept.
    pub keep: Keep,
    /// Content security policy: what a browser lets the answer do.
    pub policy: &'static str,
    /// The bytes to send.
    pub body: Arc<Vec<u8>>,
}

impl Response {
    /// Makes an answer with the requested content.
    #[must_use]
    pub fn ok(kind: &'static str, keep: Keep, body: impl Into<Arc<Vec<u8>>>) -> Self {
        Self { status: 200, kind, keep, policy: POLICY, body: body.into() }
    }

    /// Makes a refusal in words.
    #[must_use]
    pub fn refusal(status: u16, words: &str) -> Self {
        let body = Arc::new(format!("{words}\n").into_bytes());
        Self { status, kind: "text/plain; charset=utf-8", keep: Keep::No, policy: POLICY, body }
    }
}

/// Answers requests; from several threads at once.
pub trait Answer: Sync {
    /// Returns the answer to one request.
    fn answer(&self, request: &Request) -> Response;
}

/// A server's loopback address and port.
#[derive(Debug)]
pub struct Loopback {
    listener: TcpListener,
    address: SocketAddr,
}

impl Loopback {
    /// Listens on a port of 127.0.0.1; 0 lets the system choose.
    ///
    /// # Errors
    ///
    /// [`ViewError::Listen`] when the port is taken or not allowed.
    pub fn listen(port: u16) -> Result<Self, ViewError> {
        let wanted = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let listening = TcpListener::bind(wanted).and_then(|listener| {
            let address = listener.local_addr()?;
            Ok(Self { listener, address })
        });
        listening.map_err(|source| ViewError::Listen { address: wanted.to_string(), source })
    }

    /// Returns its address and port.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Answers until the process ends.
    pub fn serve(&self, site: &dyn Answer) {
        let open = AtomicUsize::new(0);
        thread::scope(|scope| {
            for stream in self.listener.incoming() {
                // A connection that failed before it began is left to the other side.
                let Ok(stream) = stream else { continue };
                if open.fetch_add(1, Ordering::Relaxed) >= MAX_CONNECTIONS {
                    open.fetch_sub(1, Ordering::Relaxed);
                    continue;
                }
                let (open, port) = (&open, self.address.port());
                scope.spawn(move || {
                    // The browser went away: nobody is left to inform.
                    let _ = talk(&stream, port, site);
                    open.fetch_sub(1, Ordering::Relaxed);
                });
            }
        });
    }
}

/// Answers the requests of one connection, one after the other.
fn talk(stream: &TcpStream, port: u16, site: &dyn Answer) -> io::Result<()> {
    stream.set_read_timeout(Some(IDLE))?;
    stream.set_write_timeout(Some(IDLE))?;
    stream.set_nodelay(true)?;
    let mut reader = Incoming { stream, buffer: Vec::new() };
    loop {
        let (response, with_body, goes_on) = match reader.head(port)? {
            Head::Ended => return Ok(()),
            Head::Refused(response) => (response, true, false),
            Head::Asked { mut request, body } => {
                request.body = reader.body(body)?;
                let response = site.answer(&request);
                (response, request.method != Method::Head, true)
            }
        };
        send(stream, &response, with_body, goes_on)?;
        if !goes_on {
            return Ok(());
        }
    }
}

/// Result of reading a request's head.
enum Head {
    /// The connection was closed between two requests.
    Ended,
    Refused(Response),
    Asked {
        request: Request,
        body: usize,
    },
}

/// Bytes of a connection that are not yet used.
struct Incoming<'a> {
    stream: &'a TcpStream,
    buffer: Vec<u8>,
}

impl Incoming<'_> {
    fn fill(&mut self) -> io::Result<usize> {
        let mut bytes = [0; 8192];
        let read = self.stream.read(&mut bytes)?;
        self.buffer.extend_from_slice(&bytes[..read]);
        Ok(read)
    }

    fn head(&mut self, port: u16) -> io::Result<Head> {
        loop {
            if let Some((head, length)) = parse(&self.buffer, port) {
                self.buffer.drain(..length);
                return Ok(head);
            }
            if self.buffer.len() > MAX_HEAD {
                return Ok(Head::Refused(Response::refusal(431, "the request's head is too long")));
            }
            if self.fill()? == 0 {
                return Ok(Head::Ended);
            }
        }
    }

    fn body(&mut self, length: usize) -> io::Result<Vec<u8>> {
        while self.buffer.len() < length {
            if self.fill()? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        Ok(self.buffer.drain(..length).collect())
    }
}

/// Parses a head; returns it and its length. `None` while it is not complete.
fn parse(bytes: &[u8], port: u16) -> Option<(Head, usize)> {
    let mut headers = [httparse::EMPTY_HEADER; 64];
    let mut request = httparse::Request::new(&mut headers);
    match request.parse(bytes) {
        Ok(httparse::Status::Partial) => None,
        Ok(httparse::Status::Complete(length)) => Some((judge(&request, port), length)),
        Err(error) => Some((
            Head::Refused(Response::refusal(400, &format!("this is no HTTP request: {error}"))),
            bytes.len(),
        )),
    }
}

fn header<'a>(request: &httparse::Request<'a, '_>, name: &str) -> Option<&'a str> {
    let found = request.headers.iter().find(|header| header.name.eq_ignore_ascii_case(name))?;
    std::str::from_utf8(found.value).ok()
}

/// Decides whether a request is one of our own page's.
fn judge(request: &httparse::Request<'_, '_>, port: u16) -> Head {
    let refused = |status, words: &str| Head::Refused(Response::refusal(status, words));
    let names = [format!("127.0.0.1:{port}"), format!("localhost:{port}")];
    if !header(request, "host").is_some_and(|host| names.iter().any(|name| name.eq_ignore_ascii_case(host))) {
        return refused(
            421,
            "this page is only for the machine it runs on: use the address that was printed",
        );
    }
    let is_own = header(request, "origin").is_none_or(|origin| {
        origin.strip_prefix("http://").is_some_and(|host| names.iter().any(|name| name == host))
    });
    if !is_own {
        return refused(403, "pages of other origins get nothing here");
    }
    let method = match request.method {
        Some("GET") => Method::Get,
        Some("HEAD") => Method::Head,
        Some("PUT") => Method::Put,
        _ => return refused(405, "only GET, HEAD and PUT are answered"),
    };
    if header(request, "transfer-encoding").is_some() {
        return refused(411, "a body needs a content-length");
    }
    let body = match header(request, "content-length").map(str::parse::<u64>) {
        None => 0,
        Some(Ok(length)) if length <= MAX_BODY => length as usize,
        Some(Ok(_)) => return refused(413, "the body is too long"),
        Some(Err(_)) => return refused(400, "the content-length is no number"),
    };
    let path = request.path.unwrap_or_default();
    let path = path.split(['?', '#']).next().unwrap_or_default().trim_start_matches('/').to_owned();
    Head::Asked { request: Request { method, path, body: Vec::new() }, body }
}

/// The policy that only our own scripts run, that nothing is requested from any other place, and that no
/// other page may embed ours.
const POLICY: &str = "default-src 'self'; img-src 'self' data: blob:; style-src 'self' 'unsafe-inline'; \
    worker-src 'self' blob:; frame-ancestors 'self'; base-uri 'none'; form-action 'none'";

fn send(stream: &TcpStream, response: &Response, with_body: bool, goes_on: bool) -> io::Result<()> {
    let mut out = BufWriter::with_capacity(64 << 10, stream);
    let keep = match response.keep {
        Keep::No => "no-store",
        Keep::Forever => "private, max-age=31536000, immutable",
    };
    write!(
        out,
        "HTTP/1.1 {} {}\r\ncontent-type: {}\r\ncontent-length: {}\r\ncache-control: {keep}\r\n\
         content-security-policy: {}\r\nx-content-type-options: nosniff\r\nreferrer-policy: no-referrer\r\n\
         cross-origin-resource-policy: same-origin\r\nconnection: {}\r\n\r\n",
        response.status,
        reason(response.status),
        response.kind,
        response.body.len(),
        response.policy,
        if goes_on { "keep-alive" } else { "close" },
    )?;
    if with_body {
        out.write_all(&response.body)?;
    }
    out.flush()
}

fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        204 => "No Content",
        400 => "Bad Request",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        411 => "Length Required",
        413 => "Content Too Large",
        421 => "Misdirected Request",
        431 => "Request Header Fields Too Large",
        500 => "Internal Server Error",
        _ => "Answer",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the request read at port 8080, or its status if it is refused.
    fn judged(text: &str) -> Result<(Request, usize), u16> {
        match parse(text.as_bytes(), 8080).expect("a whole head").0 {
            Head::Asked { request, body } => Ok((request, body)),
            Head::Refused(response) => Err(response.status),
            Head::Ended => unreachable!("a head was sent"),
        }
    }

    #[test]
    fn our_own_page_is_answered() {
        let (request, body) =
            judged("GET /key/a.json?x=1#y HTTP/1.1\r\nHost: LocalHost:8080\r\n\r\n").unwrap();
        assert_eq!((request.method, request.path.as_str(), body), (Method::Get, "key/a.json", 0));
        let put = "PUT /k HTTP/1.1\r\nhost: 127.0.0.1:8080\r\norigin: http://127.0.0.1:8080\r\ncontent-length: 7\r\n\r\n";
        assert_eq!(judged(put).unwrap().1, 7);
    }

    #[test]
    fn all_others_are_not() {
        for (status, head) in [
            (421, "GET / HTTP/1.1\r\n\r\n"),
            (421, "GET / HTTP/1.1\r\nhost: evil.example:8080\r\n\r\n"),
            (421, "GET / HTTP/1.1\r\nhost: 127.0.0.1:9090\r\n\r\n"),
            (403, "GET / HTTP/1.1\r\nhost: localhost:8080\r\norigin: null\r\n\r\n"),
            (403, "GET / HTTP/1.1\r\nhost: localhost:8080\r\norigin: https://localhost:8080\r\n\r\n"),
            (405, "DELETE / HTTP/1.1\r\nhost: localhost:8080\r\n\r\n"),
            (411, "PUT / HTTP/1.1\r\nhost: localhost:8080\r\ntransfer-encoding: chunked\r\n\r\n"),
            (413, "PUT / HTTP/1.1\r\nhost: localhost:8080\r\ncontent-length: 99999999999\r\n\r\n"),
            (400, "PUT / HTTP/1.1\r\nhost: localhost:8080\r\ncontent-length: -1\r\n\r\n"),
            (400, "\u{1}\u{2}\r\n\r\n"),
        ] {
            assert_eq!(judged(head).unwrap_err(), status, "{head}");
        }
        assert!(parse(b"GET / HTTP/1.1\r\nhost: local", 8080).is_none(), "not yet complete");
    }
}

//! A server of one object that gives parts of it, and does wrong when told to.

use std::{
    collections::{BTreeMap, VecDeque},
    fmt,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
};

/// What is wrong with one answer.
#[allow(dead_code, reason = "each test uses some")]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wrong {
    /// Another status, and no bytes.
    Status(u16),
    /// The whole object, with status 200.
    Whole,
    /// The connection ends without an answer.
    Dropped,
    /// The connection ends in the middle of the bytes.
    CutShort,
    /// `Content-Range` and the bytes are those of the place one byte further on.
    Shifted,
    /// `Content-Range` is malformed.
    Nonsense,
    /// The answer does not come before the server ends.
    Never,
}

/// What was asked of a server.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Asked {
    pub requests: u64,
    /// Bytes of the object that were sent.
    pub bytes: u64,
}

/// One request, as it came.
#[derive(Debug, Default)]
#[allow(dead_code, reason = "each test uses some")]
pub struct Request {
    pub method: String,
    pub path: String,
    /// By their names in lower case.
    pub headers: BTreeMap<String, String>,
    pub body: String,
}

/// An answer that is not the object.
#[derive(Debug)]
pub struct Other {
    pub status: u16,
    /// Lines of the head, each with its end.
    pub headers: String,
    pub body: String,
}

/// Decides which requests are answered with the object.
pub trait Keeper: fmt::Debug + Send {
    /// The answer, if it is not the object.
    fn other(&mut self, request: &Request) -> Option<Other>;
}

/// Serves one object under every path until it is dropped.
pub struct RangeServer {
    shared: Arc<Shared>,
    address: SocketAddr,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    ended: Condvar,
}

#[derive(Debug)]
struct State {
    keeper: Option<Box<dyn Keeper>>,
    object: Arc<Vec<u8>>,
    etag: Option<String>,
    /// What takes the place of the object, and the number of answers before that.
    later: Option<(u64, Vec<u8>, String)>,
    /// What is wrong with all answers, and the number of right ones before that.
    wrong_later: Option<(u64, Wrong)>,
    /// Of the next requests, one after the other.
    wrongs: VecDeque<Wrong>,
    /// Of all requests after those.
    always: Option<Wrong>,
    asked: Asked,
    has_ended: bool,
}

#[allow(dead_code, reason = "each test uses some")]
impl RangeServer {
    pub fn new(object: Vec<u8>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("an address");
        let state = State {
            keeper: None,
            object: Arc::new(object),
            etag: Some("\"one\"".to_owned()),
            later: None,
            wrong_later: None,
            wrongs: VecDeque::new(),
            always: None,
            asked: Asked::default(),
            has_ended: false,
        };
        let shared = Arc::new(Shared { state: Mutex::new(state), ended: Condvar::new() });
        let of_thread = Arc::clone(&shared);
        thread::spawn(move || accept(&listener, &of_thread));
        Self { shared, address }
    }

    /// Has requests looked at before they are answered.
    pub fn kept_by(self, keeper: impl Keeper + 'static) -> Self {
        self.shared.lock().keeper = Some(Box::new(keeper));
        self
    }

    /// The address of the object, with something secret behind it.
    pub fn url(&self, name: &str) -> String {
        format!("{}/slides/{name}?token=sesame", self.endpoint())
    }

    /// Its root, as that of a store.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The next answers are wrong in these ways, one after the other.
    pub fn next(&self, wrongs: &[Wrong]) {
        self.shared.lock().wrongs.extend(wrongs);
    }

    /// All answers are wrong in this way from now on.
    pub fn always(&self, wrong: Option<Wrong>) {
        self.shared.lock().always = wrong;
    }

    /// All answers are wrong in this way after a number of right ones.
    pub fn always_after(&self, answers: u64, wrong: Wrong) {
        self.shared.lock().wrong_later = Some((answers, wrong));
    }

    /// Puts another object in the place of this one.
    pub fn replace(&self, object: Vec<u8>, etag: Option<&str>) {
        let mut state = self.shared.lock();
        state.object = Arc::new(object);
        state.etag = etag.map(str::to_owned);
    }

    /// Puts another object in the place of this one after a number of answers.
    pub fn replace_after(&self, answers: u64, object: Vec<u8>, etag: &str) {
        self.shared.lock().later = Some((answers, object, etag.to_owned()));
    }

    /// What was asked since this was called last.
    pub fn asked(&self) -> Asked {
        std::mem::take(&mut self.shared.lock().asked)
    }
}

impl Drop for RangeServer {
    fn drop(&mut self) {
        self.shared.lock().has_ended = true;
        self.shared.ended.notify_all();
        // Wakes the thread that accepts.
        drop(TcpStream::connect(self.address));
    }
}

impl State {
    /// Counts one answer, after some of which the object is another.
    fn age(&mut self) {
        match self.later.take() {
            Some((0, object, etag)) => (self.object, self.etag) = (Arc::new(object), Some(etag)),
            later => self.later = later.map(|(answers, object, etag)| (answers - 1, object, etag)),
        }
        match self.wrong_later.take() {
            Some((0, wrong)) => self.always = Some(wrong),
            later => self.wrong_later = later.map(|(answers, wrong)| (answers - 1, wrong)),
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait_for_the_end(&self) {
        let mut state = self.lock();
        while !state.has_ended {
            state = self.ended.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    for stream in listener.incoming().map_while(Result::ok) {
        if shared.lock().has_ended {
            return;
        }
        let shared = Arc::clone(shared);
        thread::spawn(move || serve(&stream, &shared));
    }
}

/// Answers the requests of one connection until it ends; what goes wrong ends it.
fn serve(stream: &TcpStream, shared: &Shared) {
    let mut reader = BufReader::new(stream);
    while let Some(request) = Request::read(&mut reader) {
        if answer(stream, &request, shared).is_none() {
            return;
        }
    }
}

impl Request {
    /// `None` at the end of the connection.
    fn read(reader: &mut impl std::io::BufRead) -> Option<Self> {
        let mut lines = reader.by_ref().lines().map_while(Result::ok);
        let first = lines.next()?;
        let mut words = first.split(' ').map(str::to_owned);
        let mut request = Self { method: words.next()?, path: words.next()?, ..Self::default() };
        for line in lines.take_while(|line| !line.is_empty()) {
            let (name, value) = line.split_once(": ")?;
            request.headers.insert(name.to_ascii_lowercase(), value.to_owned());
        }
        let len = request.headers.get("content-length").map_or(Some(0), |len| len.parse().ok())?;
        reader.take(len).read_to_string(&mut request.body).ok()?;
        Some(request)
    }

    /// First and last byte wanted.
    fn range(&self) -> Option<(usize, usize)> {
        let (first, last) = self.headers.get("range")?.strip_prefix("bytes=")?.split_once('-')?;
        Some((first.parse().ok()?, last.parse().ok()?))
    }
}

/// `None` when the connection is over.
fn answer(mut stream: &TcpStream, request: &Request, shared: &Shared) -> Option<()> {
    let other = shared.lock().keeper.as_mut().and_then(|keeper| keeper.other(request));
    if let Some(Other { status, headers, body }) = other {
        let head = format!("HTTP/1.1 {status} x\r\nContent-Length: {}\r\n{headers}\r\n", body.len());
        return stream.write_all((head + &body).as_bytes()).ok();
    }
    let (object, etag, wrong) = {
        let mut state = shared.lock();
        state.asked.requests += 1;
        state.age();
        let wrong = state.wrongs.pop_front().or(state.always);
        (Arc::clone(&state.object), state.etag.clone(), wrong)
    };
    let (first, last) = request.range()?;
    let last = last.min(object.len().saturating_sub(1));
    let if_match = request.headers.get("if-match");
    let has_changed = if_match.is_some() && if_match != etag.as_ref();
    let status = match wrong {
        Some(Wrong::Dropped) => return None,
        Some(Wrong::Never) => {
            shared.wait_for_the_end();
            return None;
        }
        Some(Wrong::Status(status)) => status,
        Some(Wrong::Whole) => 200,
        _ if has_changed => 412,
        _ if first >= object.len() => 416,
        _ => 206,
    };
    let (first, last) = match wrong {
        Some(Wrong::Whole) => (0, object.len() - 1),
        Some(Wrong::Shifted) => (first + 1, (last + 1).min(object.len() - 1)),
        _ => (first, last),
    };
    let bytes: &[u8] = if matches!(status, 200 | 206) { &object[first..=last] } else { &[] };
    let mut head = format!("HTTP/1.1 {status} x\r\nContent-Length: {}\r\n", bytes.len());
    if let Some(etag) = &etag {
        head += &format!("ETag: {etag}\r\n");
    }
    if status == 206 {
        let range = match wrong {
            Some(Wrong::Nonsense) => "all of it".to_owned(),
            _ => format!("bytes {first}-{last}/{}", object.len()),
        };
        head += &format!("Content-Range: {range}\r\n");
    }
    let sent = if wrong == Some(Wrong::CutShort) { &bytes[..bytes.len() / 2] } else { bytes };
    shared.lock().asked.bytes += sent.len() as u64;
    stream.write_all(format!("{head}\r\n").as_bytes()).ok()?;
    stream.write_all(sent).ok()?;
    (sent.len() == bytes.len()).then_some(())
}

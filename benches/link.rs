//! Reading over a link: the windows of a slide from a server that lets each request wait and sends no more than a rate,
//! beside what that link could carry.
//!
//! ```sh
//! cargo bench --bench link [-- [--mb=MB_PER_S,…] [--wait-ms=MS,…] [--threads=N]]
//! ```
//!
//! The slide is painted, 8000 × 6400 px. A line for each wait and rate: the bytes that the server sent over those of the tiles
//! put together into requests, and the share of the link that was used: the time that one request for as many bytes takes
//! over that from the first window wanted to the last one given. All requests share the rate, as on a line to a data centre.
//! The slide is opened before the clock starts. Where pixels are decoded more slowly than the link carries them, the share
//! says that; the time from the disk stands beside it.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    net::{Shutdown, TcpListener, TcpStream},
    path::Path,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use painted::{PaintSettings, PaintedStain, paint_slide};
use tiler::{Overlap, Plan, PlanSettings, StreamSettings, TissueMask, WindowStream};
use wsi_reader::Slide;
use wsi_types::{LevelIndex, Mpp, TileId};

/// Bytes that are sent at once.
const CHUNK: usize = 32 << 10;

fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let given = |name: &str| arguments.iter().find_map(|argument| argument.strip_prefix(name));
    let numbers = |name: &str, usual: &str| -> anyhow::Result<Vec<u64>> {
        Ok(given(name).unwrap_or(usual).split(',').map(str::parse).collect::<Result<_, _>>()?)
    };
    let (rates, waits) = (numbers("--mb=", "4,8,16")?, numbers("--wait-ms=", "0,50")?);
    let threads = given("--threads=").unwrap_or("4").parse()?;
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("slide.tif");
    let settings = PaintSettings {
        seed: 7,
        width_um: 4000.0,
        height_um: 3200.0,
        window_step_um: 512.0,
        stain: PaintedStain::He,
    };
    paint_slide(&path, &settings)?;
    let disk = read(&wsi_reader::open(&path)?, threads)?;
    let object = Arc::new(std::fs::read(&path)?);
    println!(
        "slide {:.1} MB, {threads} threads, from the disk {:.2} s",
        megabytes(object.len() as u64),
        disk
    );
    for &wait in &waits {
        for &rate in &rates {
            let link = Link::start(Arc::clone(&object), Duration::from_millis(wait), rate * 1_000_000)?;
            let slide = wsi_reader::open(Path::new(&link.address))?;
            let tiles = slide.cost_of(&mut level_0(&slide)).context("a slide on a server")?;
            let before = link.sent();
            let secs = read(&slide, threads)?;
            let (requests, bytes) = link.sent();
            let (requests, bytes) = (requests - before.0, bytes - before.1);
            let floor = link.one_request(bytes)?;
            println!(
                "wait {wait} ms, {rate} MB/s: {:.1} MB in {requests} requests, {:.2} of the tiles' bytes, {secs:.2} s where one \
                 request takes {floor:.2} s: {:.2} of the link",
                megabytes(bytes),
                bytes as f64 / tiles.bytes as f64,
                floor / secs
            );
        }
    }
    Ok(())
}

fn megabytes(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}

/// All tiles of level 0.
fn level_0(slide: &Arc<dyn Slide>) -> impl Iterator<Item = TileId> {
    let grid = slide.info().pyramid.base().tiles;
    let places = (0..grid.rows()).flat_map(move |row| (0..grid.columns()).map(move |column| (row, column)));
    places.map(|(row, column)| TileId { level: LevelIndex(0), row, column })
}

/// Reads all windows of a slide; returns the seconds that it took.
fn read(slide: &Arc<dyn Slide>, threads: usize) -> anyhow::Result<f64> {
    let mpp = Mpp::new(0.5).context("a pixel size")?;
    let settings = PlanSettings { window: 1024, overlap: Overlap::Px(0), ..PlanSettings::new(mpp) };
    let mask = TissueMask::full(slide.info());
    let plan = Arc::new(Plan::new(&slide.info().pyramid, mpp, &mask, &settings)?);
    let wanted = plan.windows().iter().map(|window| window.index).collect();
    let began = Instant::now();
    let ahead = StreamSettings { threads, ahead_windows: 16, memory_bytes: None };
    let mut stream = WindowStream::start(Arc::clone(slide), plan, wanted, ahead);
    let (width, height) = stream.window_size();
    let mut pixels = vec![0; width * height * 3];
    while let Some((_, read)) = stream.next_into(&mut pixels) {
        read?;
    }
    Ok(began.elapsed().as_secs_f64())
}

/// A server of one object behind a slow line.
struct Link {
    address: String,
    line: Arc<Line>,
}

struct Line {
    object: Arc<Vec<u8>>,
    wait: Duration,
    bytes_per_sec: u64,
    /// When the line has sent all that was given to it.
    free: Mutex<Instant>,
    requests: AtomicU64,
    bytes: AtomicU64,
}

impl Link {
    fn start(object: Arc<Vec<u8>>, wait: Duration, bytes_per_sec: u64) -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = format!("http://{}/slide.tif", listener.local_addr()?);
        let free = Mutex::new(Instant::now());
        let (requests, bytes) = (AtomicU64::new(0), AtomicU64::new(0));
        let line = Arc::new(Line { object, wait, bytes_per_sec, free, requests, bytes });
        let of_thread = Arc::clone(&line);
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let line = Arc::clone(&of_thread);
                thread::spawn(move || line.serve(&stream));
            }
        });
        Ok(Self { address, line })
    }

    /// Seconds that one request for as many bytes takes.
    fn one_request(&self, bytes: u64) -> anyhow::Result<f64> {
        let host = self.address.trim_start_matches("http://").trim_end_matches("/slide.tif");
        let began = Instant::now();
        let mut stream = TcpStream::connect(host)?;
        write!(stream, "GET /slide.tif HTTP/1.1\r\nRange: bytes=0-{}\r\n\r\n", bytes - 1)?;
        stream.shutdown(Shutdown::Write)?;
        std::io::copy(&mut stream, &mut std::io::sink())?;
        Ok(began.elapsed().as_secs_f64())
    }

    /// Requests answered and bytes sent so far.
    fn sent(&self) -> (u64, u64) {
        (self.line.requests.load(Ordering::Relaxed), self.line.bytes.load(Ordering::Relaxed))
    }
}

impl Line {
    /// Answers the requests of one connection until it ends.
    fn serve(&self, mut stream: &TcpStream) -> Option<()> {
        stream.set_nodelay(true).ok()?;
        let mut lines = BufReader::new(stream).lines().map_while(Result::ok);
        loop {
            let mut range = None;
            for line in lines.by_ref().take_while(|line| !line.is_empty()) {
                let lower = line.to_ascii_lowercase();
                range = lower.strip_prefix("range: bytes=").map(str::to_owned).or(range);
            }
            let (first, last) = range?.split_once('-').map(|(a, b)| (a.to_owned(), b.to_owned()))?;
            let last = last.parse::<usize>().ok()?.min(self.object.len() - 1);
            let part = self.object.get(first.parse().ok()?..=last)?;
            until(Instant::now() + self.wait);
            let head = format!(
                "HTTP/1.1 206 x\r\nContent-Length: {}\r\nETag: \"one\"\r\nContent-Range: bytes {first}-{last}/{}\r\n\r\n",
                part.len(),
                self.object.len()
            );
            stream.write_all(head.as_bytes()).ok()?;
            for chunk in part.chunks(CHUNK) {
                until(self.turn(chunk.len()));
                stream.write_all(chunk).ok()?;
            }
            self.requests.fetch_add(1, Ordering::Relaxed);
            self.bytes.fetch_add(part.len() as u64, Ordering::Relaxed);
        }
    }

    /// When so many bytes have gone through the line.
    fn turn(&self, bytes: usize) -> Instant {
        let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        let takes = Duration::from_secs_f64(bytes as f64 / self.bytes_per_sec as f64);
        *free = (*free).max(Instant::now()) + takes;
        *free
    }
}

fn until(when: Instant) {
    while let Some(left) = when.checked_duration_since(Instant::now()).filter(|left| !left.is_zero()) {
        thread::park_timeout(left);
    }
}

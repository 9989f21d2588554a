//! Where frames come from.

use std::{
    collections::BTreeMap,
    fs,
    io::{self, Read as _},
    path::{Path, PathBuf},
    process::{Child, ChildStdout, Command, Stdio},
    str::FromStr,
    sync::mpsc,
    time::{Duration, Instant},
};

use wsi_reader::{Overview, OverviewSettings};
use wsi_types::{RgbBuffer, wording::counted};

use crate::{Frame, LiveError, seams::SizeCheck};

/// A camera, or what stands for one.
pub trait Source: Send {
    /// Waits for the next frame; `None` after the last.
    ///
    /// # Errors
    ///
    /// When no more frames can be read.
    fn next(&mut self) -> Result<Option<Frame>, LiveError>;
}

/// Names of files that are pictures end so.
const SUFFIXES: [&str; 5] = ["png", "jpg", "jpeg", "tif", "tiff"];
/// Time between two looks at a folder that is watched.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// Pictures of a folder, by name; then, if it is watched, those that come.
pub struct Folder {
    path: PathBuf,
    is_watched: bool,
    /// The last that was taken.
    last: Option<PathBuf>,
    /// Sizes at the look before, bytes: a picture is whole when its file has stopped growing.
    sizes: BTreeMap<PathBuf, u64>,
    next: u64,
}

impl Folder {
    /// Takes the pictures of the folder `path`.
    ///
    /// # Errors
    ///
    /// [`LiveError::Folder`] when it cannot be listed.
    pub fn open(path: &Path, is_watched: bool) -> Result<Self, LiveError> {
        let folder = Self { path: path.to_owned(), is_watched, last: None, sizes: BTreeMap::new(), next: 0 };
        folder.waiting()?;
        Ok(folder)
    }

    /// Pictures after the last that was taken, by name, with their sizes.
    fn waiting(&self) -> Result<BTreeMap<PathBuf, u64>, LiveError> {
        let listed = fs::read_dir(&self.path).and_then(|entries| {
            let files = entries.map(|entry| {
                let path = entry?.path();
                // Of a link, what it leads to; one to nothing is no picture yet.
                let facts = fs::metadata(&path).or_else(|_| fs::symlink_metadata(&path))?;
                Ok((path, facts))
            });
            files.collect::<io::Result<Vec<_>>>()
        });
        let files = listed.map_err(|reason| LiveError::Folder { reason, path: self.path.clone() })?;
        let pictures = files.into_iter().filter(|(path, facts)| facts.is_file() && is_picture(path));
        let new = pictures.filter(|(path, _)| self.last.as_ref().is_none_or(|last| path > last));
        Ok(new.map(|(path, facts)| (path, facts.len())).collect())
    }

    /// The next picture; waits for one if the folder is watched.
    fn next_path(&mut self) -> Result<Option<PathBuf>, LiveError> {
        // Nobody sends: it is a clock.
        let (_open, clock) = mpsc::channel::<()>();
        loop {
            let waiting = self.waiting()?;
            let first = waiting.iter().next();
            if !self.is_watched {
                return Ok(first.map(|(path, _)| path.clone()));
            }
            let whole = first.filter(|(path, size)| **size > 0 && self.sizes.get(*path) == Some(*size));
            if let Some((path, _)) = whole {
                return Ok(Some(path.clone()));
            }
            self.sizes = waiting;
            let _ = clock.recv_timeout(LOOK_AGAIN);
        }
    }
}

impl Source for Folder {
    fn next(&mut self) -> Result<Option<Frame>, LiveError> {
        let Some(path) = self.next_path()? else { return Ok(None) };
        let number = self.next;
        let pixels = read_picture(&path, number)?;
        self.last = Some(path);
        self.next += 1;
        Ok(Some(Frame { number, captured: Instant::now(), pixels }))
    }
}

fn is_picture(path: &Path) -> bool {
    let suffix = path.extension().and_then(|suffix| suffix.to_str());
    suffix.is_some_and(|suffix| SUFFIXES.iter().any(|known| suffix.eq_ignore_ascii_case(known)))
}

fn read_picture(path: &Path, number: u64) -> Result<RgbBuffer, LiveError> {
    let slide = wsi_reader::open(path).map_err(|reason| LiveError::Open { reason, path: path.to_owned() })?;
    let Overview { pixels, faults, .. } =
        Overview::read(slide.as_ref(), &OverviewSettings::whole(slide.as_ref(), u32::MAX));
    match faults.first() {
        None => Ok(pixels),
        Some(fault) => {
            Err(LiveError::Unread { number, reason: format!("{}: {}", fault.error, path.display()) })
        }
    }
}

/// Layout of the px that a command writes, by the names that ffmpeg has for them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PixelFormat {
    /// 3 bytes: red, green, blue.
    Rgb24,
    /// 3 bytes: blue, green, red.
    Bgr24,
    /// 4 bytes: blue, green, red, nothing.
    Bgr0,
    /// 1 byte.
    Gray,
}

impl PixelFormat {
    const ALL: [(&'static str, Self); 4] =
        [("rgb24", Self::Rgb24), ("bgr24", Self::Bgr24), ("bgr0", Self::Bgr0), ("gray", Self::Gray)];

    fn bytes(self) -> usize {
        match self {
            Self::Rgb24 | Self::Bgr24 => 3,
            Self::Bgr0 => 4,
            Self::Gray => 1,
        }
    }

    fn rgb(self, pixel: &[u8]) -> [u8; 3] {
        match self {
            Self::Rgb24 => [pixel[0], pixel[1], pixel[2]],
            Self::Bgr24 | Self::Bgr0 => [pixel[2], pixel[1], pixel[0]],
            Self::Gray => [pixel[0]; 3],
        }
    }
}

impl FromStr for PixelFormat {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let known = Self::ALL.into_iter().find(|(name, _)| *name == text);
        known.map(|(_, format)| format).ok_or_else(|| {
            let names: Vec<&str> = Self::ALL.iter().map(|(name, _)| *name).collect();
            format!("{text:?} is no layout of px, expected one of {}", names.join(", "))
        })
    }
}

/// Raw frames that a command writes to its standard output, such as `ffmpeg … -f rawvideo -pix_fmt rgb24 -`.
pub struct ChildFrames {
    child: Child,
    out: ChildStdout,
    name: String,
    size: (usize, usize),
    format: PixelFormat,
    bytes: Vec<u8>,
    check: SizeCheck,
    next: u64,
}

impl ChildFrames {
    /// Starts `command` (program and arguments; no shell), whose frames have `size` px.
    ///
    /// # Errors
    ///
    /// [`LiveError::Child`] when it cannot be started, [`LiveError::Settings`] for frames without pixels.
    pub fn start(command: &[String], size: (u32, u32), format: PixelFormat) -> Result<Self, LiveError> {
        let (program, arguments) = command
            .split_first()
            .ok_or_else(|| LiveError::Settings("there is no command to give frames".into()))?;
        let size = (size.0 as usize, size.1 as usize);
        let bytes = size.0.checked_mul(size.1).and_then(|count| count.checked_mul(format.bytes()));
        let bytes = bytes.filter(|bytes| (1..=1 << 30).contains(bytes)).ok_or_else(|| {
            LiveError::Settings(format!(
                "frames are {} × {} px, expected 1 px to 1 GiB of bytes",
                size.0, size.1
            ))
        })?;
        let mut starting = Command::new(program);
        starting.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped());
        let started = starting.spawn().and_then(|mut child| {
            let out = child.stdout.take().ok_or(io::ErrorKind::BrokenPipe)?;
            Ok((child, out))
        });
        let (child, out) = started.map_err(|error| LiveError::Child {
            fault: format!("cannot be started: {error}"),
            command: program.clone(),
        })?;
        Ok(Self {
            child,
            out,
            name: program.clone(),
            size,
            format,
            bytes: vec![0; bytes],
            check: SizeCheck::default(),
            next: 0,
        })
    }

    /// Fills the buffer; returns the number of bytes that came before the end.
    fn fill(&mut self) -> io::Result<usize> {
        let mut filled = 0;
        while filled < self.bytes.len() {
            match self.out.read(&mut self.bytes[filled..]) {
                Ok(0) => break,
                Ok(read) => filled += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(filled)
    }

    /// Judges the end of the frames: `cut` bytes of one more came.
    fn ended(&mut self, cut: usize) -> Result<Option<Frame>, LiveError> {
        let status =
            self.child.wait().map_err(|error| self.fault(format!("cannot be waited for: {error}")))?;
        if !status.success() {
            let frames = counted(self.next as usize, "frame");
            return Err(self.fault(format!("failed ({status}) after {frames}")));
        }
        if cut > 0 {
            let expected = self.bytes.len();
            return Err(self.fault(format!(
                "ended {cut} bytes into frame {}, which has {expected}: are --size and --pixels what it writes?",
                self.next
            )));
        }
        Ok(None)
    }

    fn fault(&self, fault: String) -> LiveError {
        LiveError::Child { fault, command: self.name.clone() }
    }
}

impl Source for ChildFrames {
    fn next(&mut self) -> Result<Option<Frame>, LiveError> {
        let filled = self.fill().map_err(|error| self.fault(format!("cannot be read: {error}")))?;
        if filled < self.bytes.len() {
            return self.ended(filled);
        }
        let captured = Instant::now();
        let mut pixels = RgbBuffer::default();
        pixels.reset(self.size.0, self.size.1);
        let source = self.bytes.chunks_exact(self.format.bytes());
        for (out, pixel) in pixels.bytes_mut().as_chunks_mut::<3>().0.iter_mut().zip(source) {
            *out = self.format.rgb(pixel);
        }
        let number = self.next;
        if let Some(fault) = self.check.fault(&pixels) {
            return Err(self.fault(format!(
                "gives frames of another size than {} × {} px. Of frame {number}: {fault}; give --size as it is",
                self.size.0, self.size.1
            )));
        }
        self.next += 1;
        Ok(Some(Frame { number, captured, pixels }))
    }
}

/// A command that still runs is of no more use.
impl Drop for ChildFrames {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str, size: (u32, u32), format: PixelFormat) -> ChildFrames {
        let command = ["sh", "-c", script].map(str::to_owned);
        ChildFrames::start(&command, size, format).unwrap()
    }

    fn fault(result: Result<Option<Frame>, LiveError>) -> String {
        result.unwrap_err().to_string()
    }

    #[cfg(unix)]
    #[test]
    fn raw_frames_are_read_in_the_layout_that_is_stated() {
        let mut child = shell("printf 'abcdefABCDEF'", (2, 1), PixelFormat::Bgr24);
        let first = child.next().unwrap().unwrap();
        assert_eq!((first.number, first.pixels.bytes()), (0, &b"cbafed"[..]));
        assert_eq!(child.next().unwrap().unwrap().pixels.bytes(), b"CBAFED");
        assert_eq!(child.next().unwrap(), None);
        let grey = shell("printf 'ab'", (2, 1), PixelFormat::Gray).next().unwrap().unwrap();
        assert_eq!(grey.pixels.bytes(), b"aaabbb");
    }

    #[cfg(unix)]
    #[test]
    fn a_command_that_fails_or_ends_within_a_frame_is_no_end() {
        let mut child = shell("printf 'abcdefABC'", (2, 1), PixelFormat::Rgb24);
        assert!(child.next().unwrap().is_some());
        let cut = fault(child.next());
        assert!(cut.contains("ended 3 bytes into frame 1, which has 6"), "{cut}");
        let failed = fault(shell("exit 3", (2, 1), PixelFormat::Rgb24).next());
        assert!(failed.contains("failed (exit status: 3) after 0 frames: sh"), "{failed}");
        let missing = ChildFrames::start(&["no-such-program".into()], (2, 1), PixelFormat::Rgb24);
        assert!(missing.is_err_and(|error| error.to_string().contains("cannot be started")));
        assert!("yuv420p".parse::<PixelFormat>().unwrap_err().contains("rgb24, bgr24"));
    }

    fn save(path: &Path, grey: u8) {
        let file = fs::File::create(path).unwrap();
        let mut encoder = png::Encoder::new(file, 8, 6);
        encoder.set_color(png::ColorType::Rgb);
        encoder.write_header().unwrap().write_image_data(&[grey; 8 * 6 * 3]).unwrap();
    }

    #[test]
    fn pictures_come_by_name_and_others_are_left_out() {
        let folder = tempfile::tempdir().unwrap();
        save(&folder.path().join("b.png"), 20);
        save(&folder.path().join("a.PNG"), 10);
        fs::write(folder.path().join("notes.txt"), "x").unwrap();
        let mut source = Folder::open(folder.path(), false).unwrap();
        let greys: Vec<u8> =
            std::iter::from_fn(|| source.next().unwrap()).map(|frame| frame.pixels.bytes()[0]).collect();
        assert_eq!(greys, [10, 20]);
        assert!(Folder::open(&folder.path().join("none"), false).is_err());
    }

    #[test]
    fn a_watched_folder_gives_what_comes_once_it_is_whole() {
        let folder = tempfile::tempdir().unwrap();
        save(&folder.path().join("1.png"), 10);
        let mut source = Folder::open(folder.path(), true).unwrap();
        assert_eq!(source.next().unwrap().unwrap().pixels.bytes()[0], 10);
        std::thread::scope(|scope| {
            let waits = scope.spawn(|| source.next().unwrap().unwrap());
            save(&folder.path().join("2.png.part"), 20);
            fs::rename(folder.path().join("2.png.part"), folder.path().join("2.png")).unwrap();
            let frame = waits.join().unwrap();
            assert_eq!((frame.number, frame.pixels.bytes()[0]), (1, 20));
        });
    }
}

//! Arguments of the command that watches.

use std::{fmt, path::PathBuf, str::FromStr};

use detector::Device;
use live::{PixelFormat, WatchSettings};

use crate::numbers::whole;

/// Watch the field under a microscope: cells as they come into view, and a count in which
/// each cell is there once while a hand pans.
///
/// Frames come from a command that writes raw px to its standard output, such as ffmpeg
/// (COMMAND, after `--`), from pictures of a folder (--frames), or from a slide that stands
/// for a specimen (--slide). Results are JSON lines on standard output, or in a file
/// (--record); --page shows the field in a browser on this machine.
///
/// Cells do not flicker: each has a mean score over its looks and two thresholds, and the
/// model looks only at what moved in. Where the stage moved too far to be followed, that is
/// said, and a new count begins. docs/live.md says what was measured.
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = "Examples:\n  \
    slidemill live --mpp 0.25 --size 1280x960 --page -- \\\n    \
    ffmpeg -v error -f v4l2 -video_size 1280x960 -i /dev/video0 -f rawvideo -pix_fmt rgb24 -\n  \
    slidemill live --mpp 0.5 --frames pictures/ --record seen.jsonl\n  \
    slidemill live --mpp 0.5 --slide slide.svs --seed 7 --count 450 --fps 15 --page")]
pub struct Live {
    /// Microns per pixel of the frames. It is never guessed: a wrong scale counts wrong
    /// without any error
    #[arg(long, value_name = "X")]
    pub mpp: f64,
    /// Pictures of a folder, by name: PNG, JPEG or TIFF
    #[arg(long, value_name = "FOLDER", group = "source")]
    pub frames: Option<PathBuf>,
    /// Go on with pictures that come into the folder, until Ctrl-C
    #[arg(long, requires = "frames")]
    pub watch: bool,
    /// A slide that stands for a specimen: a virtual stage moves over it
    #[arg(long, value_name = "SLIDE", group = "source")]
    pub slide: Option<PathBuf>,
    /// A command that writes raw frames to its standard output, and its arguments
    #[arg(value_name = "COMMAND", last = true, group = "source")]
    pub command: Vec<String>,
    /// Width and height of the frames of COMMAND or of the virtual stage, px
    #[arg(long, value_name = "WxH", default_value = "640x480", conflicts_with = "frames")]
    pub size: FrameSize,
    /// Layout of the px that COMMAND writes: rgb24, bgr24, bgr0 or gray, as ffmpeg calls
    /// them
    #[arg(long, value_name = "LAYOUT", default_value = "rgb24", requires = "command")]
    pub pixels: PixelFormat,
    /// ONNX file, or a bundled model: nuclei-he-int8 is the quickest on a CPU
    #[arg(long, value_name = "MODEL", default_value = "nuclei-he-int8")]
    pub model: PathBuf,
    /// Where the model runs, as in `run`
    #[arg(long, value_name = "DEVICE", default_value = "auto")]
    pub device: Device,
    /// Threads for the model [default: all cores]
    #[arg(long, value_name = "N", value_parser = whole::<usize>(1..=1024))]
    pub threads: Option<usize>,
    /// Frames after which the model looks again at what stays in view
    #[arg(long, value_name = "N", default_value_t = WatchSettings::REFRESH, value_parser = whole::<u64>(1..=u64::MAX))]
    pub refresh: u64,
    /// Frames per second of pictures or of the virtual stage; frames that are not looked at
    /// in time are dropped, as those of a camera. Without it each frame is looked at, and
    /// results are the same every time
    #[arg(long, value_name = "N", conflicts_with = "command")]
    pub fps: Option<f64>,
    /// Write the JSON lines to this file, which appears whole at the end, instead of standard
    /// output
    #[arg(long, value_name = "FILE")]
    pub record: Option<PathBuf>,
    /// Show the field, its cells and the counts in a browser on this machine; the address is
    /// printed
    #[arg(long)]
    pub page: bool,
    /// Port of the page; 0: any that is free
    #[arg(long, value_name = "PORT", default_value_t = 0, requires = "page", value_parser = whole::<u16>(0..=u16::MAX.into()))]
    pub port: u16,
    /// The virtual stage.
    #[command(flatten)]
    pub stage: Stage,
}

/// Options of the virtual stage.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Virtual stage")]
pub struct Stage {
    /// Places that the stage goes to in straight lines: lines `x,y`, or `x,y,frames` to stand
    /// there, centres of the field in px of level 0. Without it a hand pans by chance
    #[arg(long, value_name = "FILE", conflicts_with_all = ["frames", "command"])]
    pub path: Option<PathBuf>,
    /// Seed of the pan by chance and of the noise; another one goes another way
    #[arg(long, value_name = "N", default_value_t = 1, conflicts_with_all = ["frames", "command"], value_parser = whole::<u64>(0..=u64::MAX))]
    pub seed: u64,
    /// Frames of the pan by chance
    #[arg(long, value_name = "N", default_value_t = 300, conflicts_with_all = ["frames", "command"], value_parser = whole::<u64>(0..=u64::MAX))]
    pub count: u64,
    /// Speed of the stage, µm per frame
    #[arg(long, value_name = "UM", default_value_t = 10.0, conflicts_with_all = ["frames", "command"])]
    pub speed: f64,
    /// Standard deviation of the camera's noise, of 255
    #[arg(long, value_name = "SD", default_value_t = 0.0, conflicts_with_all = ["frames", "command"])]
    pub noise: f64,
    /// Largest change of light from frame to frame, percent
    #[arg(long, value_name = "PERCENT", default_value_t = 0.0, conflicts_with_all = ["frames", "command"])]
    pub light: f64,
    /// Standard deviation of blur, px of the camera
    #[arg(long, value_name = "PX", default_value_t = 0.0, conflicts_with_all = ["frames", "command"])]
    pub blur: f64,
    /// Part of green and blue that blood takes away, percent
    #[arg(long, value_name = "PERCENT", default_value_t = 0.0, conflicts_with_all = ["frames", "command"])]
    pub blood: f64,
}

/// Width and height of frames, px, written as `640x480`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FrameSize(pub u32, pub u32);

impl FromStr for FrameSize {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let sides = text.split_once(['x', '×']).map(|(width, height)| (width.parse(), height.parse()));
        match sides {
            Some((Ok(width), Ok(height)))
                if (1..=16_384).contains(&width) && (1..=16_384).contains(&height) =>
            {
                Ok(Self(width, height))
            }
            _ => Err(format!("{text:?}, expected width and height of a frame in px, such as 640x480")),
        }
    }
}

impl fmt::Display for FrameSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}x{}", self.0, self.1)
    }
}

#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod coverage;
mod dice;
mod disturbance;
mod error;
mod field;
mod frame;
mod look;
mod motion;
mod page;
mod path;
mod place;
mod quality;
mod record;
mod seams;
mod session;
mod slot;
mod source;
mod thumbnail;
mod tracks;
mod virtual_stage;
mod watcher;

pub use disturbance::Disturbance;
pub use error::LiveError;
pub use field::Lens;
pub use frame::Frame;
pub use look::LookSettings;

pub use page::Page;
pub use path::{StagePath, smooth_pan, waypoints};
pub use place::{LEAST_CONFIDENCE, Located, Place};
pub use record::Record;
pub use session::{Ended, Observed, Pace, Session, Stopper};
pub use source::{ChildFrames, Folder, PixelFormat, Source};

pub use quality::{Rank, Thresholds};
pub use tracks::TrackId;
pub use virtual_stage::VirtualStage;
pub use watcher::{Changes, Seen, Shown, WatchSettings, Watcher};

#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod audit;
mod clock;
mod error;
mod format;
mod http;
mod id;
mod job;
mod jobs;
mod lanes;
mod metrics;
mod multipart;
mod named_lines;
mod pace;
mod problem;
mod push;
mod report;
mod roots;
mod runner;
mod series;
mod server;
mod settings;
mod store;
mod tokens;
mod unzip;
mod upload;

pub use error::ServiceError;
pub use format::{DicomResult, Format};
pub use id::JobId;
pub use job::{JobOptions, JobView, Lane, Links, Measured, Series, State, Task, WindowCount};
pub use problem::{Kind, Problem};
pub use push::{ObjectState, Push, PushPatience, PushState, PushedObject, Targets};
pub use report::{ClassCount, Finding, Frame, Location, Report, ReportCoverage, ReportModel};
pub use roots::Roots;
pub use runner::{DicomObject, Event, ModelCard, RunEnd, Runner, Stop};
pub use server::{Service, Stopping};
pub use settings::Settings;
pub use tokens::{Caller, Role, Tokens};

/// The service's answers, and who gets them, as OpenAPI 3.1.
pub const OPENAPI: &str = include_str!("openapi.json");

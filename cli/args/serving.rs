//! Arguments of the command that serves.

use std::{net::SocketAddr, path::PathBuf};

use engine::ByteSize;

use crate::{knobs::AllOptions, numbers::whole};

/// Serve the detector over HTTP: a slide or picture in, a report or a job out.
///
/// Answers POST /v1/detect, /v1/jobs and what /openapi.json lists, and prints its
/// address. A job is a folder under DATA with a dataset in it; a killed service goes
/// on with its jobs when the same command is given again. Slides are opened by worker
/// processes: none can harm the service. Without --token-file it answers this machine
/// alone. docs/service.md says what an operator has to know.
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = "Examples:\n  slidemill serve --data /var/lib/slidemill\n  \
    slidemill serve --data jobs --allow-root /slides --models nuclei-he,nuclei-he-seg\n  \
    slidemill serve --data jobs --listen 10.0.0.7:8750 --token-file tokens.txt\n  \
    slidemill serve --data jobs --push-targets targets.txt --push-to pacs")]
pub struct Serve {
    /// Folder for jobs: what is sent, and what is found; made when it is not there
    #[arg(long, value_name = "DATA")]
    pub data: PathBuf,
    /// Address and port; port 0: any that is free. Other addresses than loopback need
    /// --token-file
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8750")]
    pub listen: SocketAddr,
    /// Who may do what: lines `name role sha256`, roles read, run and admin
    #[arg(long, value_name = "FILE")]
    pub token_file: Option<PathBuf>,
    /// Servers that results may be sent to by STOW-RS: lines `name url` or `name url
    /// SECRET`, where SECRET is file:PATH or env:VARIABLE and holds the header
    /// Authorization. A request names one: POST /v1/jobs/ID/push?target=NAME
    #[arg(long, value_name = "FILE")]
    pub push_targets: Option<PathBuf>,
    /// Send annotations and report of every job that is done to this target
    #[arg(long, value_name = "NAME", requires = "push_targets")]
    pub push_to: Option<String>,
    /// Slides under this folder may be named by path; may be given several times
    #[arg(long, value_name = "FOLDER")]
    pub allow_root: Vec<PathBuf>,
    /// Models that a request may name, bundled ones or ONNX files; the first is taken
    /// when it names none [default: that of --model]
    #[arg(long, value_name = "MODEL", value_delimiter = ',', conflicts_with = "model")]
    pub models: Vec<PathBuf>,
    /// Pictures up to this many megapixels have a line of their own and are answered at
    /// once
    #[arg(long, value_name = "MPX", default_value_t = 16.0)]
    pub sync_mpx: f64,
    /// Seconds that a client waits for such an answer before it gets a job instead
    #[arg(long, value_name = "SECONDS", default_value_t = 60, value_parser = whole::<u64>(0..=u64::MAX))]
    pub sync_wait: u64,
    /// Largest upload, and most that a zip may unpack to
    #[arg(long, value_name = "SIZE", default_value = "4G")]
    pub max_upload: ByteSize,
    /// Uploads at once; more are turned away with 503
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = whole::<usize>(1..=u64::MAX))]
    pub max_uploads: usize,
    /// Jobs that may wait; more are turned away with 429
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = whole::<usize>(1..=u64::MAX))]
    pub max_queued: usize,
    /// Connections at once
    #[arg(long, value_name = "N", default_value_t = 512, value_parser = whole::<usize>(1..=u64::MAX))]
    pub max_connections: usize,
    /// A JSON report with more cells leaves them out and says where to fetch them
    #[arg(long, value_name = "N", default_value_t = 10_000, value_parser = whole::<u64>(0..=u64::MAX))]
    pub max_findings: u64,
    /// Seconds that the head of a request may take, and every 32 kB of an upload
    #[arg(long, value_name = "SECONDS", default_value_t = 30, value_parser = whole::<u64>(1..=u64::MAX))]
    pub patience: u64,
    /// Seconds without a further instance after which a series that came by POST
    /// /v1/studies is whole and its job begins
    #[arg(long, value_name = "SECONDS", default_value_t = 10, value_parser = whole::<u64>(0..=u64::MAX))]
    pub stow_quiet: u64,
    /// Hours after its end at which a job is erased
    #[arg(long, value_name = "HOURS", default_value_t = 168, value_parser = whole::<u64>(0..=u64::MAX))]
    pub keep: u64,
    /// Keep what was sent as long as the results; otherwise it is erased when its job
    /// ends
    #[arg(long)]
    pub keep_uploads: bool,
    /// Address space of a worker process. A process that opens a stranger's file cannot
    /// take more. Not for a worker whose model runs on a GPU, which maps far more than
    /// it uses
    #[arg(long, value_name = "SIZE", default_value = "16G")]
    pub worker_memory: ByteSize,
    /// Settings file of the runs (TOML); flags come before it
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// The settings of the runs.
    #[command(flatten)]
    pub options: AllOptions,
}

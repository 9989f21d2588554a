//! Exit codes, as shells and schedulers know them (`sysexits.h`).

use std::{fmt, process::ExitCode};

use convert::ConvertError;
use dataset::DatasetError;
use engine::JobError;
use live::LiveError;
use report::ReportError;
use viewer::ViewError;

/// Exit code of a worker process that gives up on a read that never returns; its supervisor takes it, no
/// shell ever sees it.
pub(crate) const HUNG: i32 = 99;

/// Outcome of a command; decides its exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Exit {
    /// All that was asked for is done.
    Done,
    /// Some slides are bad or incomplete; each is named.
    Incomplete,
    /// The command line or a settings file is wrong.
    Usage,
    /// The output cannot be written.
    CannotWrite,
    /// Interrupted, or a resource ran out: the same command goes on.
    Again,
    /// Our own fault.
    Internal,
}

impl Exit {
    const ALL: [Self; 6] =
        [Self::Done, Self::Incomplete, Self::Usage, Self::CannotWrite, Self::Again, Self::Internal];

    /// The exit that a shell sees as `code`.
    #[must_use]
    pub fn from_code(code: i32) -> Option<Self> {
        Self::ALL.into_iter().find(|exit| i32::from(exit.code()) == code)
    }

    /// The number a shell sees.
    #[must_use]
    pub fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Usage => 64,
            Self::Incomplete => 65,
            Self::Internal => 70,
            Self::CannotWrite => 73,
            Self::Again => 75,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

/// An error that knows its exit code. Carried through `anyhow` as the root
/// cause; anything without one is [`Exit::Internal`].
#[derive(Debug)]
pub struct Failure {
    /// Exit code of the command.
    pub exit: Exit,
    message: String,
}

impl Failure {
    /// The command line or a settings file is wrong.
    pub fn usage(message: impl fmt::Display) -> anyhow::Error {
        Self::with(Exit::Usage, message)
    }

    /// An input is bad.
    pub fn input(message: impl fmt::Display) -> anyhow::Error {
        Self::with(Exit::Incomplete, message)
    }

    /// The output cannot be written.
    pub fn output(message: impl fmt::Display) -> anyhow::Error {
        Self::with(Exit::CannotWrite, message)
    }

    /// A resource ran out.
    pub fn again(message: impl fmt::Display) -> anyhow::Error {
        Self::with(Exit::Again, message)
    }

    fn with(exit: Exit, message: impl fmt::Display) -> anyhow::Error {
        anyhow::Error::new(Self { exit, message: message.to_string() })
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Failure {}

/// The exit code an error asks for.
#[must_use]
pub fn exit_of(error: &anyhow::Error) -> Exit {
    if let Some(failure) = error.downcast_ref::<Failure>() {
        failure.exit
    } else if let Some(error) = error.downcast_ref::<DatasetError>() {
        exit_of_dataset(error)
    } else if let Some(error) = error.downcast_ref::<ReportError>() {
        exit_of_report(error)
    } else if let Some(error) = error.downcast_ref::<JobError>() {
        exit_of_job(error)
    } else if let Some(error) = error.downcast_ref::<ViewError>() {
        exit_of_view(error)
    } else if let Some(error) = error.downcast_ref::<ConvertError>() {
        exit_of_convert(error)
    } else if let Some(error) = error.downcast_ref::<LiveError>() {
        exit_of_live(error)
    } else {
        exit_of_others(error)
    }
}

#[cfg(feature = "serve")]
fn exit_of_others(error: &anyhow::Error) -> Exit {
    use service::ServiceError;
    match error.downcast_ref::<ServiceError>() {
        Some(
            ServiceError::Tokens { .. }
            | ServiceError::Targets { .. }
            | ServiceError::Root { .. }
            | ServiceError::Taken { .. },
        ) => Exit::Usage,
        Some(ServiceError::Data { .. } | ServiceError::Listen { .. }) => Exit::CannotWrite,
        Some(ServiceError::Start(_)) => Exit::Again,
        None => Exit::Internal,
    }
}

#[cfg(not(feature = "serve"))]
fn exit_of_others(_: &anyhow::Error) -> Exit {
    Exit::Internal
}

fn exit_of_job(error: &JobError) -> Exit {
    match error {
        JobError::Usage(_) | JobError::SilentModel { .. } => Exit::Usage,
        JobError::Input(_) => Exit::Incomplete,
        JobError::Output(_) => Exit::CannotWrite,
        JobError::Again(_) | JobError::Silent { .. } => Exit::Again,
        JobError::Fault(_) => Exit::Internal,
    }
}

fn exit_of_dataset(error: &DatasetError) -> Exit {
    match error {
        DatasetError::NoAccounts { .. }
        | DatasetError::PictureFile { .. }
        | DatasetError::Account { .. }
        | DatasetError::List { .. }
        | DatasetError::Table(_) => Exit::Incomplete,
        DatasetError::Picture { .. } => Exit::Internal,
        DatasetError::Write { .. } | DatasetError::Folder { .. } => Exit::CannotWrite,
        DatasetError::Exists { .. } => Exit::Usage,
    }
}

fn exit_of_view(error: &ViewError) -> Exit {
    match error {
        ViewError::Write { .. } | ViewError::Listen { .. } => Exit::CannotWrite,
        _ => Exit::Incomplete,
    }
}

fn exit_of_report(error: &ReportError) -> Exit {
    match error {
        ReportError::Dataset(error) => exit_of_dataset(error),
        ReportError::PictureSuffix { .. } | ReportError::Measures { .. } | ReportError::Columns(_) => {
            Exit::Usage
        }
        ReportError::MeasureTable { .. } => Exit::Incomplete,
        ReportError::WritePicture { .. } => Exit::CannotWrite,
        ReportError::Chart(_) | ReportError::Picture(_) | ReportError::Encode { .. } => Exit::Internal,
    }
}

fn exit_of_live(error: &LiveError) -> Exit {
    match error {
        LiveError::Settings(_) | LiveError::Scale(_) | LiveError::Path(_) => Exit::Usage,
        LiveError::Write(_) => Exit::CannotWrite,
        LiveError::Merge(_) | LiveError::Thread(_) => Exit::Internal,
        _ => Exit::Incomplete,
    }
}

fn exit_of_convert(error: &ConvertError) -> Exit {
    match error {
        ConvertError::Refused(_) => Exit::Usage,
        ConvertError::Write { .. } => Exit::CannotWrite,
        ConvertError::NotAsWritten { .. } => Exit::Internal,
        ConvertError::Folder(error) => exit_of_dataset(error),
        _ => Exit::Incomplete,
    }
}

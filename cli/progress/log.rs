//! `OUT/.slidemill/log`: the messages of a job, each with its time, to be read the next morning.

use std::{fs::File, io::Write as _};

use dataset::{Dataset, clock, host_name};
use whole_file::private_options;

/// The log of a job. Its lines name slides, so it is private; they are appended as they come, also by a
/// worker process that takes over from one that died. A log that cannot be written does not stop a job.
pub struct Log {
    file: Option<File>,
}

impl Log {
    /// Opens the log of the job that writes to `dataset`.
    #[must_use]
    pub fn open(dataset: &Dataset) -> Self {
        let path = dataset.log();
        let made = dataset.make_folder(whole_file::folder_of(&path));
        let opened = made.and_then(|()| private_options().create(true).append(true).open(path));
        Self { file: opened.ok() }
    }

    /// Notes the machine and the process that write the lines that follow.
    pub fn begin(&mut self) {
        let version = env!("CARGO_PKG_VERSION");
        self.line(&format!("slidemill {version} on {}, process {}", host_name(), std::process::id()));
    }

    /// Adds a line.
    pub fn line(&mut self, text: &str) {
        let line = format!("{} {text}\n", clock::timestamp());
        let written = self.file.as_mut().map_or(Ok(()), |file| file.write_all(line.as_bytes()));
        if written.is_err() {
            // A full disk stops the job elsewhere, with a message.
            self.file = None;
        }
    }
}

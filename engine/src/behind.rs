//! The stages of a job behind the one that prepares slides, as that one sees them.

use crossbeam_channel::Receiver;

use crate::work::Stop;

/// Progress of a copy of a slide, for the terminal.
#[derive(Debug)]
pub(crate) struct Copying {
    /// Name of the slide's file.
    pub(crate) name: String,
    /// Bytes that are copied.
    pub(crate) done: u64,
    /// All bytes of the slide.
    pub(crate) bytes: u64,
}

/// The stages behind the one that prepares slides, as that one sees them.
pub(crate) struct Behind<'a> {
    /// Takes word of a copy, if they wait for it; else windows come, which tell more.
    pub(crate) tell: &'a dyn Fn(Copying),
    /// Tells whenever a slide has ended.
    pub(crate) ended: &'a Receiver<()>,
    pub(crate) stop: &'a Stop,
}

impl Behind<'_> {
    /// `true` if the job was asked to end.
    pub(crate) fn is_ending(&self) -> bool {
        self.stop.is_asked()
    }

    /// Tells how far a copy is.
    pub(crate) fn tell(&self, copying: Copying) {
        (self.tell)(copying);
    }

    /// Waits until some slide has ended, now or since the last time; `false` if the job ends.
    pub(crate) fn wait_for_end(&self) -> bool {
        !self.is_ending() && self.ended.recv().is_ok() && !self.is_ending()
    }
}

//! Results of commands on standard output.

use std::{
    fmt,
    io::{self, Write},
};

use crate::{exit::Failure, plain::Plain};

/// Prints a line on standard output; an error unless all is written or the reader is gone. `println!` panics.
macro_rules! outln {
    ($($text:tt)*) => { $crate::stdout::put(format_args!("{}\n", format_args!($($text)*))) };
}

/// Prints text without the end of the line.
macro_rules! out {
    ($($text:tt)*) => { $crate::stdout::put(format_args!($($text)*)) };
}

/// Writes text to standard output, like [`print`].
///
/// # Errors
///
/// An output failure.
pub(crate) fn put(text: fmt::Arguments<'_>) -> anyhow::Result<()> {
    print("the results", |out| out.write_fmt(text))
}

/// Writes to standard output. A reader that closes early (`| head`) is no failure: the rest is dropped.
///
/// # Errors
///
/// An output failure that says `what` could not be printed.
pub fn print(what: &str, write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> anyhow::Result<()> {
    let mut out = Plain(io::stdout().lock());
    match write(&mut out).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failure::output(format!("cannot print {what}: {error}")))
        }
        _ => Ok(()),
    }
}

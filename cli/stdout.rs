//! What commands print.

use std::{
    fmt,
    io::{self, Write},
};

use crate::{exit::Failure, plain::Plain};

/// A line on standard output; an error unless all of it is written or nobody reads it any more. `println!` panics.
macro_rules! outln {
    ($($text:tt)*) => { $crate::stdout::put(format_args!("{}\n", format_args!($($text)*))) };
}

/// The same without the end of the line.
macro_rules! out {
    ($($text:tt)*) => { $crate::stdout::put(format_args!($($text)*)) };
}

/// Writes text to standard output, as [`print`] does.
///
/// # Errors
///
/// An output failure.
pub(crate) fn put(text: fmt::Arguments<'_>) -> anyhow::Result<()> {
    print("the results", |out| out.write_fmt(text))
}

/// Writes to standard output. That its reader has seen enough (`| head`) is no
/// failure: what is left is dropped.
///
/// # Errors
///
/// An output failure that names `what` was to be printed.
pub fn print(what: &str, write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> anyhow::Result<()> {
    let mut out = Plain(io::stdout().lock());
    match write(&mut out).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failure::output(format!("cannot print {what}: {error}")))
        }
        _ => Ok(()),
    }
}

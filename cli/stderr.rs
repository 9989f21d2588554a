//! What is said to people beside the results. That nobody listens any more never stops anything.

use std::{
    fmt,
    io::{self, Write as _},
};

use crate::plain::Plain;

/// A line on standard error. Unlike `eprintln!` it does not panic where that was closed or its reader is gone.
macro_rules! errln {
    ($($text:tt)*) => { $crate::stderr::say(format_args!($($text)*)) };
}

/// Says a line, if it can be said.
pub(crate) fn say(text: fmt::Arguments<'_>) {
    // Nobody is left to be told otherwise.
    let _ = try_saying(text);
}

/// Says a line on standard error.
///
/// # Errors
///
/// When that is closed, or nobody reads it.
pub(crate) fn try_saying(text: fmt::Arguments<'_>) -> io::Result<()> {
    writeln!(Plain(io::stderr().lock()), "{text}")
}

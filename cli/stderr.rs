//! Messages to people beside the results. A closed reader never stops anything.

use std::{
    fmt,
    io::{self, Write as _},
};

use crate::plain::Plain;

/// Prints a line on standard error. Unlike `eprintln!` it does not panic if that is closed or its reader is
/// gone.
macro_rules! errln {
    ($($text:tt)*) => { $crate::stderr::say(format_args!($($text)*)) };
}

/// Prints a line, if possible.
pub(crate) fn say(text: fmt::Arguments<'_>) {
    // If it fails, nobody can be told.
    let _ = try_saying(text);
}

/// Prints a line on standard error.
///
/// # Errors
///
/// When standard error is closed, or nobody reads it.
pub(crate) fn try_saying(text: fmt::Arguments<'_>) -> io::Result<()> {
    writeln!(Plain(io::stderr().lock()), "{text}")
}

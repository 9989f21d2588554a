//! Text that a terminal shows and does not obey: file names and class names may hold escape sequences.

use std::{borrow::Cow, io};

/// `true` if a terminal might act on a character instead of showing it: control characters except tabs and
/// the ends of lines, and those that turn the direction of writing.
fn is_acted_on(c: char) -> bool {
    let turns = matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    turns || (c.is_control() && !matches!(c, '\n' | '\t'))
}

/// Returns `text` with such characters written out as `\u001b`, which in JSON still means the character.
pub(crate) fn plain(text: &str) -> Cow<'_, str> {
    if !text.contains(is_acted_on) {
        return Cow::Borrowed(text);
    }
    let shown =
        text.chars().map(|c| if is_acted_on(c) { format!("\\u{:04x}", u32::from(c)) } else { c.into() });
    Cow::Owned(shown.collect())
}

/// Returns a name to be shown within a line: ends of lines and tabs are written out, too.
pub(crate) fn plain_name(name: &str) -> String {
    plain(name).replace('\n', "\\n").replace('\t', "\\t")
}

/// Writes everything as [`plain`] text. Each write must hold whole characters, as those of `write!` do.
pub(crate) struct Plain<W>(pub(crate) W);

impl<W: io::Write> io::Write for Plain<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write_all(plain(&String::from_utf8_lossy(bytes)).as_bytes())?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    #[test]
    fn what_a_terminal_would_obey_is_shown() {
        let mut shown = Vec::new();
        let name = "a\u{1b}[2Jb\rc\u{7}\u{9b}31m\u{202e}gnp.svs";
        writeln!(Plain(&mut shown), "{name}: ä µ\tdone").unwrap();
        let expected = "a\\u001b[2Jb\\u000dc\\u0007\\u009b31m\\u202egnp.svs: ä µ\tdone\n";
        assert_eq!(String::from_utf8(shown).unwrap(), expected);
        assert_eq!(plain_name("a\nFAILED"), "a\\nFAILED");
    }
}

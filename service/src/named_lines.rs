//! Files of an operator with a line for each of some named things.

use std::{fs, path::Path};

/// Something that a line of such a file says.
pub(crate) trait NamedLine: Sized {
    /// What it is, in a word.
    const WHAT: &str;
    /// A line of it.
    const EXAMPLE: &str;

    /// Reads a line; says what is wrong with it.
    fn parse(line: &str) -> Result<Self, String>;

    /// Its name, which no other line has.
    fn name(&self) -> &str;
}

/// Reads a file; lines that are empty or begin with `#` are left out. Else says what is wrong, with the number of the line.
pub(crate) fn read<T: NamedLine>(path: &Path) -> Result<Vec<T>, String> {
    fs::read_to_string(path).map_err(|error| error.to_string()).and_then(|text| parse(&text))
}

/// The same of a text.
pub(crate) fn parse<T: NamedLine>(text: &str) -> Result<Vec<T>, String> {
    let mut all: Vec<T> = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let one = T::parse(line).map_err(|problem| format!("line {number}: {problem}"))?;
        if all.iter().any(|known| known.name() == one.name()) {
            return Err(format!("line {number}: the name {} is there already", one.name()));
        }
        all.push(one);
    }
    if all.is_empty() {
        return Err(format!("it holds no {}, expected lines such as `{}`", T::WHAT, T::EXAMPLE));
    }
    Ok(all)
}

/// Refuses a name that is not fit for logs and addresses.
pub(crate) fn check_name(name: &str) -> Result<(), String> {
    if name.len() > 64 || !name.bytes().all(is_plain) {
        return Err("the name has other letters than A-Z a-z 0-9 - _ . or more than 64".to_owned());
    }
    Ok(())
}

fn is_plain(letter: u8) -> bool {
    letter.is_ascii_alphanumeric() || matches!(letter, b'-' | b'_' | b'.')
}

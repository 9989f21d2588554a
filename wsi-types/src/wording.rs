//! Numbers, counted things, durations and errors as people read them: in reports, messages and on terminals.

use std::error::Error;

/// Seconds as `42 s`, `3 min 20 s`, `2 h 05 min`.
#[must_use]
pub fn span(secs: f64) -> String {
    let whole = secs.max(0.0).round() as u64;
    match (whole / 3600, whole / 60 % 60, whole % 60) {
        (0, 0, s) => format!("{s} s"),
        (0, m, s) => format!("{m} min {s:02} s"),
        (h, m, _) => format!("{h} h {m:02} min"),
    }
}

/// Bytes as lower-case hexadecimal digits.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A number with thin groups of three: `1 234 567`.
#[must_use]
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push('\u{202f}');
        }
        out.push(digit);
    }
    out
}

/// `1 slide`, `2 slides`, `3 classes`; the last word of `noun` is made plural.
#[must_use]
pub fn counted(number: usize, noun: &str) -> String {
    let noun = if number == 1 { noun.to_owned() } else { plural(noun) };
    format!("{} {noun}", grouped(number as u64))
}

/// The regular plural of an English noun.
fn plural(noun: &str) -> String {
    let stem = noun.strip_suffix('y').filter(|stem| !stem.ends_with(['a', 'e', 'i', 'o', 'u']));
    match stem {
        Some(stem) => format!("{stem}ies"),
        None if noun.ends_with(['s', 'x']) || noun.ends_with("ch") => format!("{noun}es"),
        None => format!("{noun}s"),
    }
}

/// A kind of regions with the class that a person gave to them, if one did: `roi: Tumor`.
#[must_use]
pub fn region_label(kind: &str, class_name: Option<&str>) -> String {
    match class_name {
        Some(class) => format!("{kind}: {class}"),
        None => kind.to_owned(),
    }
}

/// A number with `decimals` decimals, and never `-0.0`, which empty sums and small differences give.
#[must_use]
pub fn fixed(value: f64, decimals: usize) -> String {
    let text = format!("{value:.decimals$}");
    match text.strip_prefix('-') {
        Some(digits) if digits.bytes().all(|digit| matches!(digit, b'0' | b'.')) => digits.to_owned(),
        _ => text,
    }
}

/// The same with its sign, `+` too: a difference. 0 has none.
#[must_use]
pub fn signed(value: f64, decimals: usize) -> String {
    let text = fixed(value, decimals);
    let is_zero = text.bytes().all(|digit| matches!(digit, b'0' | b'.'));
    if is_zero || text.starts_with('-') { text } else { format!("+{text}") }
}

/// A number without the error of its binary form, to six significant digits: `0.25` for 0.25000000000000006.
#[must_use]
pub fn number(value: f64) -> String {
    const DIGITS: i32 = 6;
    if value == 0.0 || !value.is_finite() {
        return fixed(value, 0);
    }
    let decimals = (DIGITS - 1 - value.abs().log10().floor() as i32).clamp(0, 12);
    let text = fixed(value, decimals as usize);
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

/// A name and, if there is one, its version.
#[must_use]
pub fn versioned(name: &str, version: &str) -> String {
    format!("{name} {version}").trim().to_owned()
}

/// Text of an error with its causes, without those that it says itself.
#[must_use]
pub fn with_causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(next) = cause {
        let said = next.to_string();
        if !text.contains(&said) {
            text = format!("{text}: {said}");
        }
        cause = next.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug)]
    struct Of(&'static str, Option<Box<Of>>);

    impl std::fmt::Display for Of {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str(self.0)
        }
    }

    impl Error for Of {
        fn source(&self) -> Option<&(dyn Error + 'static)> {
            self.1.as_deref().map(|cause| cause as &dyn Error)
        }
    }

    #[test]
    fn each_cause_is_said_once() {
        let missing = Of("no such file", None);
        let said = Of("cannot read it: no such file: a.svs", Some(Box::new(missing)));
        assert_eq!(with_causes(&said), "cannot read it: no such file: a.svs");
        let outer = Of("the job stopped", Some(Box::new(said)));
        assert_eq!(with_causes(&outer), "the job stopped: cannot read it: no such file: a.svs");
    }

    #[test]
    fn numbers_read_well() {
        assert_eq!(span(42.4), "42 s");
        assert_eq!(span(200.0), "3 min 20 s");
        assert_eq!(span(7500.0), "2 h 05 min");
        assert_eq!(grouped(1_234_567), "1\u{202f}234\u{202f}567");
        assert_eq!([0.31, -0.31, -0.01, 0.0].map(|value| signed(value, 1)), ["+0.3", "-0.3", "0.0", "0.0"]);
        assert_eq!(grouped(999), "999");
    }

    #[test]
    fn one_is_singular_and_all_else_plural() {
        let counts = [counted(1, "cell"), counted(0, "cell"), counted(1200, "cell")];
        assert_eq!(counts, ["1 cell", "0 cells", "1\u{202f}200 cells"]);
        let plurals = [counted(2, "class"), counted(2, "box"), counted(2, "copy"), counted(2, "raw key")];
        assert_eq!(plurals, ["2 classes", "2 boxes", "2 copies", "2 raw keys"]);
    }

    /// An empty sum is -0.0.
    #[test]
    fn nothing_has_no_sign() {
        assert_eq!(fixed(std::iter::empty::<f64>().sum(), 1), "0.0");
        assert_eq!(
            [fixed(-1e-9, 3), fixed(-0.2, 0), fixed(-0.6, 0), fixed(-1.25, 1)],
            ["0.000", "0", "-1", "-1.2"]
        );
    }

    #[test]
    fn a_float_is_written_as_it_was_meant() {
        let written =
            [0.25000000000000006, f64::from(0.3_f32), 0.227_391_1, 1e4 / 3.0, 123_456_789.0, -0.0, 1e-4, 2.0];
        let expected = ["0.25", "0.3", "0.227391", "3333.33", "123456789", "0", "0.0001", "2"];
        assert_eq!(written.map(number), expected);
    }
}

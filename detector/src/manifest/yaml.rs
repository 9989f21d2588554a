//! A YAML document as a JSON value, as far as descriptions of models need it: one document, keys that are texts, plain
//! numbers, truth values and texts. Anchors, tags and keys that are there twice are refused.

use saphyr_parser::{Event, Parser, ScalarStyle};
use serde_json::{Map, Number, Value};

/// Depth that no description has: values are dropped and compared by recursion.
const MOST_DEEP: usize = 64;

/// Reads one document.
///
/// # Errors
///
/// What is wrong and where, in words.
pub(crate) fn parse(text: &str) -> Result<Value, String> {
    let mut reading = Reading::default();
    for event in Parser::new_from_str(text) {
        let (event, span) = event.map_err(|error| error.to_string())?;
        reading.take(event).map_err(|reason| format!("line {}: {reason}", span.start.line()))?;
    }
    reading.done.ok_or_else(|| "it is empty".to_owned())
}

/// A list or a map that is not whole yet.
enum Open {
    List(Vec<Value>),
    /// With the key whose value comes next.
    Map(Map<String, Value>, Option<String>),
}

#[derive(Default)]
struct Reading {
    open: Vec<Open>,
    done: Option<Value>,
}

impl Reading {
    fn take(&mut self, event: Event<'_>) -> Result<(), String> {
        match event {
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => Ok(()),
            Event::DocumentStart(_) if self.done.is_some() => {
                Err("a second document, expected one".to_owned())
            }
            Event::DocumentStart(_) => Ok(()),
            Event::Scalar(_, _, _, Some(tag))
            | Event::SequenceStart(_, Some(tag))
            | Event::MappingStart(_, Some(tag)) => {
                Err(format!("the tag {}{}, which is not read", tag.handle, tag.suffix))
            }
            Event::Alias(_) => Err("an alias (*name), which is not read: write its value out".to_owned()),
            Event::Scalar(text, style, _, None) => self.scalar(&text, style),
            Event::SequenceStart(_, None) => self.begin(Open::List(Vec::new())),
            Event::MappingStart(_, None) => self.begin(Open::Map(Map::new(), None)),
            Event::SequenceEnd | Event::MappingEnd => match self.open.pop() {
                Some(Open::List(items)) => self.put(Value::Array(items)),
                Some(Open::Map(entries, _)) => self.put(Value::Object(entries)),
                None => Err("an end without a beginning".to_owned()),
            },
        }
    }

    fn begin(&mut self, open: Open) -> Result<(), String> {
        if self.open.len() >= MOST_DEEP {
            return Err(format!("more than {MOST_DEEP} lists in lists"));
        }
        if matches!(self.open.last(), Some(Open::Map(_, None))) {
            return Err("a list or map as a key, expected a text".to_owned());
        }
        self.open.push(open);
        Ok(())
    }

    fn scalar(&mut self, text: &str, style: ScalarStyle) -> Result<(), String> {
        if let Some(Open::Map(entries, key @ None)) = self.open.last_mut() {
            if entries.contains_key(text) {
                return Err(format!("{text} is there twice"));
            }
            *key = Some(text.to_owned());
            return Ok(());
        }
        self.put(if style == ScalarStyle::Plain { plain(text) } else { Value::String(text.to_owned()) })
    }

    fn put(&mut self, value: Value) -> Result<(), String> {
        match self.open.last_mut() {
            None => self.done = Some(value),
            Some(Open::List(items)) => items.push(value),
            Some(Open::Map(entries, key)) => {
                let key = key.take().ok_or_else(|| "a value without a key".to_owned())?;
                entries.insert(key, value);
            }
        }
        Ok(())
    }
}

/// A scalar without quotes, by the core schema of YAML 1.2.
fn plain(text: &str) -> Value {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Value::Null,
        "true" | "True" | "TRUE" => return Value::Bool(true),
        "false" | "False" | "FALSE" => return Value::Bool(false),
        _ => {}
    }
    let digits = text.trim_start_matches(['-', '+']);
    let is_number = digits.starts_with(|first: char| first.is_ascii_digit() || first == '.')
        && digits.bytes().all(|byte| byte.is_ascii_digit() || b".eE+-".contains(&byte));
    let whole = || text.parse::<i64>().ok().map(Number::from);
    let number = || text.parse::<f64>().ok().and_then(Number::from_f64);
    match is_number.then(|| whole().or_else(number)).flatten() {
        Some(number) => Value::Number(number),
        None => Value::String(text.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn lists_maps_and_scalars_are_what_they_look_like() {
        let text = "%YAML 1.2\n---\n# a note\nname: A model\nversion: 0.5.11\nquoted: '512'\nsizes: [1, -2.5, 1e-6, .5]\n\
                    none:\nhas: true\nlist:\n  - id: y\n    size: 512\n  - text:\n      'two\n      lines'\n";
        let expected = json!({
            "name": "A model", "version": "0.5.11", "quoted": "512", "sizes": [1, -2.5, 1e-6, 0.5], "none": null,
            "has": true, "list": [{"id": "y", "size": 512}, {"text": "two lines"}],
        });
        assert_eq!(parse(text), Ok(expected));
    }

    #[test]
    fn what_is_not_read_is_named_with_its_line() {
        let deep = "[".repeat(80) + &"]".repeat(80);
        for (text, expected) in [
            ("a: 1\na: 2", "line 2: a is there twice"),
            ("a: &x 1\nb: *x", "line 2: an alias"),
            ("a: !!python/tuple [1]", "line 1: the tag"),
            ("a: 1\n---\nb: 2", "a second document"),
            ("? [a]\n: 1", "a list or map as a key"),
            ("a: [1", ""),
            ("", "it is empty"),
            (&deep, "more than 64 lists in lists"),
        ] {
            let said = parse(text).unwrap_err();
            assert!(said.contains(expected), "{text:?}: {said}");
        }
    }
}

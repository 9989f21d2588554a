//! Python literals, as exporters write them into ONNX metadata: `{0: 'nucleus', 1: "it's"}`, `[640, 640]`.
//!
//! JSON is read too, where it differs only in `true`, `false` and `null`.

/// A value.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Literal {
    None,
    Bool(bool),
    Number(f64),
    Text(String),
    /// A list, tuple or set.
    List(Vec<Literal>),
    /// Keys and values, in order.
    Dict(Vec<(Literal, Literal)>),
}

/// Place and reason of a fault in a text that should be a literal.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("character {at}: {reason}")]
pub(crate) struct LiteralError {
    /// Place in bytes, from 0.
    pub at: usize,
    /// Reason, in words.
    pub reason: String,
}

impl Literal {
    /// Reads the whole of `text`.
    pub(crate) fn parse(text: &str) -> Result<Self, LiteralError> {
        let mut parser = Parser { text, at: 0 };
        let value = parser.value(0)?;
        parser.skip_space();
        if parser.at < text.len() { Err(parser.error("expected the end")) } else { Ok(value) }
    }

    /// The whole number it is, if it is one and not negative.
    pub(crate) fn as_index(&self) -> Option<u64> {
        match self {
            Self::Number(value) if value.fract() == 0.0 && (0.0..9e15).contains(value) => Some(*value as u64),
            Self::Text(text) => text.trim().parse().ok(),
            _ => None,
        }
    }
}

/// Deeper nesting than any exporter writes; it bounds the recursion.
const MAX_DEPTH: usize = 8;

struct Parser<'a> {
    text: &'a str,
    at: usize,
}

impl Parser<'_> {
    fn error(&self, reason: impl Into<String>) -> LiteralError {
        LiteralError { at: self.at, reason: reason.into() }
    }

    fn rest(&self) -> &str {
        &self.text[self.at..]
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn next(&mut self) -> Option<char> {
        let next = self.peek()?;
        self.at += next.len_utf8();
        Some(next)
    }

    fn skip_space(&mut self) {
        self.at += self.rest().len() - self.rest().trim_start().len();
    }

    /// Steps over `wanted` if it comes next; `true` if it did.
    fn takes(&mut self, wanted: char) -> bool {
        self.skip_space();
        let found = self.peek() == Some(wanted);
        if found {
            self.at += wanted.len_utf8();
        }
        found
    }

    fn expect(&mut self, wanted: char) -> Result<(), LiteralError> {
        if self.takes(wanted) { Ok(()) } else { Err(self.error(format!("expected {wanted:?}"))) }
    }

    fn value(&mut self, depth: usize) -> Result<Literal, LiteralError> {
        if depth > MAX_DEPTH {
            return Err(self.error("nested too deeply"));
        }
        self.skip_space();
        match self.peek() {
            Some('{') => self.dict(depth),
            Some('[') => self.list('[', ']', depth),
            Some('(') => self.list('(', ')', depth),
            Some(quote @ ('\'' | '"')) => self.text(quote).map(Literal::Text),
            Some(c) if c.is_ascii_alphabetic() => self.word(),
            Some(_) => self.number(),
            None => Err(self.error("the text ends, expected a value")),
        }
    }

    fn dict(&mut self, depth: usize) -> Result<Literal, LiteralError> {
        self.expect('{')?;
        let mut entries = Vec::new();
        while !self.takes('}') {
            let key = self.value(depth + 1)?;
            self.expect(':')?;
            entries.push((key, self.value(depth + 1)?));
            if !self.takes(',') {
                self.expect('}')?;
                break;
            }
        }
        Ok(Literal::Dict(entries))
    }

    fn list(&mut self, open: char, close: char, depth: usize) -> Result<Literal, LiteralError> {
        self.expect(open)?;
        let mut items = Vec::new();
        while !self.takes(close) {
            items.push(self.value(depth + 1)?);
            if !self.takes(',') {
                self.expect(close)?;
                break;
            }
        }
        Ok(Literal::List(items))
    }

    fn word(&mut self) -> Result<Literal, LiteralError> {
        let rest = self.rest();
        let length = rest.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(rest.len());
        let value = match &rest[..length] {
            "True" | "true" => Literal::Bool(true),
            "False" | "false" => Literal::Bool(false),
            "None" | "null" => Literal::None,
            word => return Err(self.error(format!("unknown word {word}"))),
        };
        self.at += length;
        Ok(value)
    }

    fn number(&mut self) -> Result<Literal, LiteralError> {
        let rest = self.rest();
        let length = rest.find(|c: char| !(c.is_ascii_digit() || "+-.eE_".contains(c))).unwrap_or(rest.len());
        let value = rest[..length].replace('_', "").parse().map_err(|_| self.error("expected a value"))?;
        self.at += length;
        Ok(Literal::Number(value))
    }

    fn text(&mut self, quote: char) -> Result<String, LiteralError> {
        self.expect(quote)?;
        let mut text = String::new();
        loop {
            match self.next() {
                Some('\\') => self.escape(&mut text)?,
                Some(c) if c == quote => return Ok(text),
                Some(c) => text.push(c),
                None => return Err(self.error("a text is not closed")),
            }
        }
    }

    fn escape(&mut self, text: &mut String) -> Result<(), LiteralError> {
        let plain = match self.next() {
            Some('n') => '\n',
            Some('t') => '\t',
            Some('r') => '\r',
            Some('0') => '\0',
            Some('x') => self.code_point(2)?,
            Some('u') => self.code_point(4)?,
            Some('U') => self.code_point(8)?,
            Some(c @ ('\\' | '\'' | '"' | '/')) => c,
            _ => return Err(self.error("unknown escape")),
        };
        text.push(plain);
        Ok(())
    }

    fn code_point(&mut self, digits: usize) -> Result<char, LiteralError> {
        let code = self.rest().get(..digits).and_then(|hex| u32::from_str_radix(hex, 16).ok());
        let c = code.and_then(char::from_u32).ok_or_else(|| self.error("expected a code point"))?;
        self.at += digits;
        Ok(c)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn text(text: &str) -> Literal {
        Literal::Text(text.to_owned())
    }

    #[test]
    fn names_as_exporters_write_them() {
        let names =
            Literal::parse(r#"{0: 'nucleus', 1: "it's", 2: 'a "b"\\\'', 3: 'żółć', 4: '\xe9\u0105'}"#);
        let Literal::Dict(entries) = names.unwrap() else { panic!("a dict") };
        let values: Vec<_> = entries.iter().map(|(_, value)| value.clone()).collect();
        assert_eq!(values, [text("nucleus"), text("it's"), text("a \"b\"\\'"), text("żółć"), text("éą")]);
        assert_eq!(entries[4].0.as_index(), Some(4));
    }

    #[test]
    fn lists_tuples_words_and_json() {
        let two = Literal::List(vec![Literal::Number(640.0), Literal::Number(-1.5e3)]);
        assert_eq!(Literal::parse("[640, -1.5e3]"), Ok(two.clone()));
        assert_eq!(Literal::parse(" (640, -1.5e3,) "), Ok(two));
        assert_eq!(Literal::parse("{}"), Ok(Literal::Dict(vec![])));
        assert_eq!(
            Literal::parse("[True, null]"),
            Ok(Literal::List(vec![Literal::Bool(true), Literal::None]))
        );
    }

    #[test]
    fn nonsense_says_where() {
        assert_eq!(Literal::parse("{0: 'a'").unwrap_err().at, 7);
        assert_eq!(Literal::parse("[1] x").unwrap_err().reason, "expected the end");
        assert!(Literal::parse("__import__('os')").is_err());
        assert_eq!(Literal::parse(&"[".repeat(5000)).unwrap_err().reason, "nested too deeply");
    }

    proptest! {
        #[test]
        fn any_text_ends_in_an_answer(any_text in ".{0,60}") {
            let _ = Literal::parse(&any_text);
        }
    }
}

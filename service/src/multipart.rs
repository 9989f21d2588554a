//! `multipart/form-data` (RFC 7578) and `multipart/related` (RFC 2387), piece by piece.
//!
//! Libraries keep what comes before a boundary, and the head of a part, in memory until its end comes. Here both have
//! limits: a body of any size and kind takes some kilobytes.

use axum::body::Bytes;
use futures_util::Stream;

use crate::{
    problem::{Kind, Problem},
    upload::Pieces,
};

/// Bytes of a part's head.
const MOST_HEAD: usize = 8 << 10;

/// The boundary that the `Content-Type` of a form names.
pub(crate) fn boundary(content_type: &str) -> Option<String> {
    boundary_of("multipart/form-data", content_type)
}

/// The boundary that a `Content-Type` names whose parts are related, and the type of the parts.
pub(crate) fn related(content_type: &str) -> Option<(String, String)> {
    let boundary = boundary_of("multipart/related", content_type)?;
    let (_, parameters) = content_type.split_once(';')?;
    Some((boundary, parameter(parameters, "type").unwrap_or_default().to_ascii_lowercase()))
}

fn boundary_of(wanted: &str, content_type: &str) -> Option<String> {
    let (kind, parameters) = content_type.split_once(';')?;
    let is_wanted = kind.trim().eq_ignore_ascii_case(wanted);
    let boundary = parameter(parameters, "boundary").filter(|_| is_wanted)?;
    (!boundary.is_empty() && boundary.len() <= 70).then_some(boundary)
}

/// The value of a parameter among `name=value; name="value"`.
fn parameter(text: &str, wanted: &str) -> Option<String> {
    let mut rest = text;
    while let Some((name, after)) = rest.split_once('=') {
        let name = name.trim_matches([' ', '\t', ';']);
        let (value, left) = match after.strip_prefix('"') {
            Some(quoted) => unquoted(quoted)?,
            None => {
                let (value, left) = after.split_once(';').unwrap_or((after, ""));
                (value.trim().to_owned(), left)
            }
        };
        if name.eq_ignore_ascii_case(wanted) {
            return Some(value);
        }
        rest = left;
    }
    None
}

/// Returns the text before the closing quote, and what comes after it.
fn unquoted(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut letters = text.char_indices();
    while let Some((place, letter)) = letters.next() {
        match letter {
            '"' => return Some((value, &text[place + 1..])),
            '\\' => value.push(letters.next()?.1),
            _ => value.push(letter),
        }
    }
    None
}

/// The parts of a body, in order.
pub(crate) struct Parts<S> {
    pieces: Pieces<S>,
    /// Bytes that came and were not given on.
    buffer: Vec<u8>,
    /// A line's end, two dashes, the boundary.
    delimiter: Vec<u8>,
    is_within: bool,
}

impl<E: std::fmt::Display, S: Stream<Item = Result<Bytes, E>>> Parts<S> {
    pub(crate) fn new(pieces: Pieces<S>, boundary: &str) -> Self {
        // The first delimiter has no line before it.
        let (buffer, delimiter) = (b"\r\n".to_vec(), format!("\r\n--{boundary}").into_bytes());
        Self { pieces, buffer, delimiter, is_within: false }
    }

    /// The head of the next part; what is left of the one before is skipped. `None` at the end.
    ///
    /// # Errors
    ///
    /// A [`Problem`] for what is no such body, or breaks a limit.
    pub(crate) async fn next(&mut self) -> Result<Option<Head>, Problem> {
        while self.is_within {
            self.bytes().await?;
        }
        self.fill(self.delimiter.len() + 2).await?;
        // Many clients begin the first line as they begin all others.
        if self.buffer.starts_with(b"\r\n\r\n") {
            self.buffer.drain(..2);
            self.fill(self.delimiter.len() + 2).await?;
        }
        if !self.buffer.starts_with(&self.delimiter) {
            return Err(malformed("it does not begin with the boundary that its content-type names"));
        }
        self.buffer.drain(..self.delimiter.len());
        if self.buffer.starts_with(b"--") {
            return Ok(None);
        }
        let head = self.head().await?;
        self.is_within = true;
        Ok(Some(Head(head)))
    }

    /// Bytes of the part; `None` at its end.
    ///
    /// # Errors
    ///
    /// A [`Problem`] as [`next`](Self::next).
    pub(crate) async fn bytes(&mut self) -> Result<Option<Vec<u8>>, Problem> {
        loop {
            if !self.is_within {
                return Ok(None);
            }
            let found = find(&self.buffer, &self.delimiter);
            self.is_within = found.is_none();
            // The end of what came may be the beginning of a delimiter.
            let sure = found.unwrap_or((self.buffer.len() + 1).saturating_sub(self.delimiter.len()));
            if sure > 0 {
                return Ok(Some(self.buffer.drain(..sure).collect()));
            }
            if self.is_within && !self.more().await? {
                return Err(malformed("it ends within a part"));
            }
        }
    }

    async fn head(&mut self) -> Result<Vec<u8>, Problem> {
        loop {
            // From the end of the delimiter's line on, which is the end of a head without fields too.
            if let Some(end) = find(&self.buffer, b"\r\n\r\n") {
                return Ok(self.buffer.drain(..end + 4).collect());
            }
            if self.buffer.len() > MOST_HEAD {
                return Err(malformed("the head of a part is too long"));
            }
            if !self.more().await? {
                return Err(malformed("it ends within the head of a part"));
            }
        }
    }

    async fn fill(&mut self, bytes: usize) -> Result<(), Problem> {
        while self.buffer.len() < bytes {
            if !self.more().await? {
                return Err(malformed("it ends without its closing boundary"));
            }
        }
        Ok(())
    }

    /// Reads one more piece; `true` if one came.
    async fn more(&mut self) -> Result<bool, Problem> {
        let piece = self.pieces.next().await?;
        self.buffer.extend_from_slice(piece.as_deref().unwrap_or_default());
        Ok(piece.is_some())
    }
}

/// The head of a part, which ends with an empty line.
pub(crate) struct Head(Vec<u8>);

impl Head {
    /// The name of the field of a form.
    ///
    /// # Errors
    ///
    /// A [`Problem`] for a part that says none.
    pub(crate) fn field(&self) -> Result<String, Problem> {
        self.find(field_name)?.ok_or_else(|| {
            malformed("a part does not say its name (content-disposition: form-data; name=\"file\")")
        })
    }

    /// The type of the part, without parameters; `None` where it does not say one.
    ///
    /// # Errors
    ///
    /// A [`Problem`] for a head that makes no sense.
    pub(crate) fn kind(&self) -> Result<Option<String>, Problem> {
        self.find(|header| {
            let text = header.name.eq_ignore_ascii_case("content-type").then_some(header.value)?;
            let text = std::str::from_utf8(text).ok()?;
            Some(text.split(';').next().unwrap_or_default().trim().to_ascii_lowercase())
        })
    }

    fn find<T>(&self, wanted: impl Fn(&httparse::Header<'_>) -> Option<T>) -> Result<Option<T>, Problem> {
        let fields =
            self.0.strip_prefix(b"\r\n").ok_or_else(|| malformed("a boundary is not alone on its line"))?;
        let mut headers = [httparse::EMPTY_HEADER; 16];
        let is_whole = httparse::parse_headers(fields, &mut headers).is_ok_and(|parsed| parsed.is_complete());
        Ok(headers.iter().filter(|_| is_whole).find_map(wanted))
    }
}

/// Returns the name that a part's `Content-Disposition` gives it.
fn field_name(header: &httparse::Header<'_>) -> Option<String> {
    if !header.name.eq_ignore_ascii_case("content-disposition") {
        return None;
    }
    let (kind, parameters) = std::str::from_utf8(header.value).ok()?.split_once(';')?;
    parameter(parameters, "name").filter(|_| kind.trim().eq_ignore_ascii_case("form-data"))
}

fn find(text: &[u8], wanted: &[u8]) -> Option<usize> {
    let first = wanted.first()?;
    let mut from = 0;
    while let Some(place) = text.get(from..)?.iter().position(|byte| byte == first) {
        if text[from + place..].starts_with(wanted) {
            return Some(from + place);
        }
        from += place + 1;
    }
    None
}

fn malformed(what: &str) -> Problem {
    Problem::new(Kind::Malformed, format!("the multipart body makes no sense: {what}"))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use futures_util::stream;

    use super::*;
    use crate::upload::Limits;

    type Read = Result<Vec<(String, Vec<u8>)>, Problem>;

    /// The parts of a body that comes in pieces of these sizes, in turn.
    async fn read(body: &[u8], sizes: &[usize]) -> Read {
        let mut pieces = Vec::new();
        let mut rest = body;
        for &size in sizes.iter().cycle() {
            if rest.is_empty() {
                break;
            }
            let (piece, after) = rest.split_at(size.clamp(1, rest.len()));
            pieces.push(Ok::<_, String>(Bytes::copy_from_slice(piece)));
            rest = after;
        }
        let limits = Limits { bytes: 1 << 20, patience: Duration::from_secs(600) };
        let mut parts = Parts::new(Pieces::new(stream::iter(pieces), limits), "xyz");
        let mut found = Vec::new();
        while let Some(head) = parts.next().await? {
            let name = head.field()?;
            let mut content = Vec::new();
            while let Some(bytes) = parts.bytes().await? {
                content.extend(bytes);
            }
            found.push((name, content));
        }
        Ok(found)
    }

    fn body(parts: &[(&str, &[u8])]) -> Vec<u8> {
        let mut body = Vec::new();
        for (name, content) in parts {
            let head = format!(
                "--xyz\r\nContent-Disposition: form-data; filename=\"a;b\\\"=\"; name=\"{name}\"\r\n\r\n"
            );
            body.extend([head.as_bytes(), content, b"\r\n"].concat());
        }
        body.extend(b"--xyz--\r\n");
        body
    }

    #[test]
    fn the_boundary_is_read_as_clients_write_it() {
        for (header, expected) in [
            ("multipart/form-data; boundary=xyz", Some("xyz")),
            ("Multipart/Form-Data; charset=utf-8; boundary=\"x y\"", Some("x y")),
            ("multipart/form-data", None),
            ("multipart/form-data; boundary=", None),
            ("multipart/mixed; boundary=xyz", None),
            ("multipart/form-data; boundary=\"xyz", None),
        ] {
            assert_eq!(boundary(header).as_deref(), expected, "{header}");
        }
    }

    #[test]
    fn parts_that_are_related_say_what_they_are() {
        let of_dicom = Some(("xyz".to_owned(), "application/dicom".to_owned()));
        for header in [
            "multipart/related; type=\"application/dicom\"; boundary=xyz",
            "Multipart/Related; boundary=\"xyz\"; type=Application/DICOM",
        ] {
            assert_eq!(related(header), of_dicom, "{header}");
        }
        assert_eq!(related("multipart/related; boundary=xyz").map(|(_, kind)| kind).as_deref(), Some(""));
        assert_eq!(related("multipart/form-data; boundary=xyz"), None);
        let head = |text: &str| Head(format!("\r\n{text}\r\n\r\n").into_bytes());
        let kind = head("Content-Type: application/DICOM; transfer-syntax=1.2").kind().unwrap();
        assert_eq!(kind.as_deref(), Some("application/dicom"));
        assert_eq!(head("A: b").kind().unwrap(), None);
    }

    /// As dicomweb-client and others write it.
    #[tokio::test]
    async fn the_first_boundary_may_stand_on_a_line_of_its_own() {
        let lead = [b"\r\n".as_slice(), &body(&[("file", b"content")])].concat();
        for size in 1..lead.len() {
            let read = read(&lead, &[size]).await.unwrap();
            assert_eq!(read, [("file".to_owned(), b"content".to_vec())]);
        }
    }

    #[tokio::test]
    async fn parts_come_back_as_they_were_sent_whatever_the_pieces() {
        // Beginnings of delimiters, and of line ends, within the content.
        let contents: [&[u8]; 6] =
            [b"", b"\r\n--xy", b"\r\n--x\r\n--xy\r\r\n", b"--xyz", b"\r\n\r\n", &[13; 40]];
        for (number, content) in contents.iter().enumerate() {
            let other = contents[(number + 1) % contents.len()];
            let body = body(&[("file", content), ("options", other)]);
            let expected =
                vec![("file".to_owned(), content.to_vec()), ("options".to_owned(), other.to_vec())];
            for size in 1..body.len() {
                assert_eq!(read(&body, &[size]).await.as_ref(), Ok(&expected), "{content:?} by {size}");
            }
        }
    }

    #[tokio::test]
    async fn bodies_that_make_no_sense_are_refused() {
        let good = body(&[("file", b"content")]);
        for cut in 0..good.len() - 4 {
            assert!(read(&good[..cut], &[7]).await.is_err(), "cut at {cut}");
        }
        let long = [b"--xyz\r\nA: ".as_slice(), &[b'a'; 20_000]].concat();
        for bad in [
            b"preamble\r\n--xyz\r\n".as_slice(),
            b"--xyz junk\r\n\r\n",
            b"--xyz\r\n\r\nno head\r\n--xyz--",
            b"--xyz\r\nContent-Disposition: form-data\r\n\r\n\r\n--xyz--",
            b"--xyz\r\nContent-Disposition: attachment; name=\"file\"\r\n\r\n\r\n--xyz--",
            &long,
        ] {
            let refused = read(bad, &[1000]).await.unwrap_err();
            assert_eq!(refused.status(), 400, "{refused:?}");
        }
    }

    /// Bodies made of the tokens that matter, in any order: each is read or refused.
    #[tokio::test]
    async fn no_body_makes_it_panic_or_turn_in_circles() {
        const TOKENS: [&[u8]; 9] = [
            b"\r\n",
            b"--",
            b"xyz",
            b"--xyz",
            b"\r\n--xyz",
            b"\r\n\r\n",
            b"Content-Disposition: form-data; name=\"file\"",
            b"\r",
            b"\xff\0",
        ];
        let mut state = 1_u64;
        let mut dice = |below: u64| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) % below
        };
        let mut read_whole = 0;
        for _ in 0..200_000 {
            let tokens = (0..dice(12)).map(|_| TOKENS[dice(9) as usize]).collect::<Vec<_>>().concat();
            let body =
                if dice(2) == 0 { tokens } else { [&body(&[])[..5], &tokens, b"\r\n--xyz--"].concat() };
            let sizes = [1 + dice(9) as usize, 1 + dice(30) as usize];
            read_whole += u64::from(read(&body, &sizes).await.is_ok());
        }
        assert!(read_whole > 100, "{read_whole} of them were bodies");
    }
}

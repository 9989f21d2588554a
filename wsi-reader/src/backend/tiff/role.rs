//! Names of the pictures beside a slide: label, macro, overview, thumbnail, barcode.

/// Returns the picture that a short text names, as `label image` or `Slide_Label` do.
pub(crate) fn role_in(text: &str) -> Option<&'static str> {
    /// Longer texts are sentences, in which the word may mean something else.
    const MOST_BYTES: usize = 40;
    let text = text.trim();
    if text.len() > MOST_BYTES {
        return None;
    }
    text.split(|c: char| c.is_whitespace() || c == '_').find_map(role_of)
}

/// Returns the picture that a word names.
pub(crate) fn role_of(word: &str) -> Option<&'static str> {
    ["label", "macro", "overview", "thumbnail", "barcode"]
        .into_iter()
        .find(|role| word.eq_ignore_ascii_case(role))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_names_are_understood_and_sentences_are_not() {
        for (text, role) in [
            ("label image", Some("label")),
            ("Slide_Label", Some("label")),
            (" MACRO ", Some("macro")),
            ("label-free imaging", None),
            ("a slide whose label was cut off before it was scanned", None),
            ("", None),
        ] {
            assert_eq!(role_in(text), role, "{text}");
        }
    }
}

//! Numbers in columns of text.

/// The number that a text is; `None` for other texts, and for what is not finite.
pub(super) fn number_in(text: &str) -> Option<f64> {
    text.trim().parse().ok().filter(|number: &f64| number.is_finite())
}

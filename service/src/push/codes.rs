//! Codes of the answers of servers (PS3.18, I.2.2), and what they mean.

/// A code as the standard writes it.
pub(super) fn code_in_words(code: u16) -> String {
    format!("{code:04X}")
}

/// Meaning of a failure reason (PS3.18, I.2.2; 0111 of PS3.7, C).
pub(super) fn failure(code: u16) -> &'static str {
    match code {
        0x0110 => "the server failed while it stored it",
        0x0111 => "the server had an object of this UID before, and kept that",
        0x0122 => "the server does not take objects of this kind",
        0xa700..=0xa7ff => "the server has no room for it",
        0xa900..=0xa9ff => "the server finds that it is not as its kind demands",
        0xc000..=0xcfff => "the server does not understand it",
        _ => "the server refuses it",
    }
}

/// Meaning of a warning reason (PS3.18, I.2.2).
pub(super) fn warning(code: u16) -> &'static str {
    match code {
        0xb000 => "the server changed values of it",
        0xb006 => "the server left elements of it out",
        0xb007 => "the server finds that it is not as its kind demands, and stored it",
        _ => "the server stored it with a warning",
    }
}

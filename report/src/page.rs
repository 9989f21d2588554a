//! The frame of every page.

use dataset::wording::{counted, fixed, grouped};
use maud::{DOCTYPE, Markup, PreEscaped, html};

use crate::chart::colour_rules;

const STYLE: &str = include_str!("style.css");
/// Sorts and filters tables, and shows links that only a server can answer; for the end of a page that has such.
pub(crate) const SCRIPT: &str = include_str!("page.js");
const POLICY: &str =
    "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'";

/// A page that is one file: it loads nothing, tells nobody, and looks as all of
/// ours do in light, in dark and on paper. `style` is what it has beyond them.
pub(crate) fn document(title: &str, style: &str, body: &Markup) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta http-equiv="Content-Security-Policy" content=(POLICY);
                meta name="color-scheme" content="light dark";
                meta name="robots" content="noindex";
                title { (title) }
                style { (PreEscaped(STYLE)) (PreEscaped(colour_rules())) (PreEscaped(style)) }
            }
            body { (body) }
        }
    }
}

/// Bytes in the page itself.
pub(crate) fn data_url(kind: &str, bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = format!("data:{kind};base64,");
    for chunk in bytes.chunks(3) {
        let group =
            chunk.iter().fold(0_u32, |group, &byte| group << 8 | u32::from(byte)) << (8 * (3 - chunk.len()));
        for place in 0..4 {
            let digit = DIGITS[(group >> (18 - 6 * place) & 63) as usize];
            text.push(if place <= chunk.len() { digit as char } else { '=' });
        }
    }
    text
}

/// A count with its noun, the number in large: `1 cell`, `2 cells`.
pub(crate) fn strong(number: usize, noun: &str) -> Markup {
    let text = counted(number, noun);
    let (digits, noun) = text.split_once(' ').unwrap_or((&text, ""));
    html! { b { (digits) } " " (noun) }
}

/// An area in mm² whose figures can be read at a glance.
pub(crate) fn large_area(mm2: f64) -> String {
    if mm2 < 1000.0 { fixed(mm2, 2) } else { grouped(mm2.round() as u64) }
}

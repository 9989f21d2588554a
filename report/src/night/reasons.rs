//! Reasons to look at slides, each with all slides that have it: a night of hundreds of slides has few.

use std::collections::BTreeMap;

use dataset::{Outcome, RunAccount};

use super::words;

/// Urgency of a reason; the first is the most urgent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Urgency {
    /// There are no results.
    Failed,
    /// Results are to be doubted.
    Doubtful,
    /// A part of the slide has no result.
    Incomplete,
}

/// A reason, and the slides that have it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Reason<S> {
    pub(super) urgency: Urgency,
    /// The reason in words; numbers that differ between slides are the least and the largest of them.
    pub(super) sentence: String,
    /// Each slide with its own sentence, in the order they were given.
    pub(super) slides: Vec<(S, String)>,
}

impl<S> Reason<S> {
    /// `true` if slides have different numbers in it.
    pub(super) fn differs(&self) -> bool {
        self.slides.iter().any(|(_, own)| *own != self.sentence)
    }
}

/// Reasons that are one but for their numbers: how urgent they are, and the words around the numbers.
type Kind = (Urgency, Vec<String>);

/// The reasons of all slides that are to be looked at, most urgent first, then those of most slides. A slide is in each of its
/// reasons.
pub(super) fn reasons<'a, S: Copy>(
    slides: impl Iterator<Item = S>,
    account: impl Fn(S) -> &'a RunAccount,
) -> Vec<Reason<S>> {
    let mut found: BTreeMap<Kind, Vec<(S, Sentence)>> = BTreeMap::new();
    for slide in slides {
        for (urgency, text) in own_reasons(account(slide)) {
            let sentence = Sentence::new(text);
            found.entry((urgency, sentence.words.clone())).or_default().push((slide, sentence));
        }
    }
    let mut reasons: Vec<Reason<S>> = found
        .into_iter()
        .map(|((urgency, words), slides)| Reason {
            urgency,
            sentence: common(&words, slides.iter().map(|(_, sentence)| &sentence.numbers)),
            slides: slides.into_iter().map(|(slide, sentence)| (slide, sentence.text)).collect(),
        })
        .collect();
    reasons.sort_by_key(|reason| (reason.urgency, std::cmp::Reverse(reason.slides.len())));
    reasons
}

/// What somebody has to look at in one slide.
fn own_reasons(account: &RunAccount) -> Vec<(Urgency, String)> {
    if account.outcome == Outcome::Failed {
        let reason = account.reason.as_deref().unwrap_or("no reason was kept");
        return vec![(Urgency::Failed, reason.to_owned())];
    }
    let doubts = account.doubts.iter().map(|doubt| (Urgency::Doubtful, doubt.clone()));
    let ending = (account.outcome == Outcome::Partial).then(|| (Urgency::Incomplete, words::ending(account)));
    doubts.chain(ending).collect()
}

/// A text, taken apart into numbers and the words around them.
struct Sentence {
    text: String,
    /// One more than there are numbers.
    words: Vec<String>,
    numbers: Vec<String>,
}

impl Sentence {
    fn new(text: String) -> Self {
        let (mut words, mut numbers) = (Vec::new(), Vec::new());
        let mut rest = text.as_str();
        let mut before = String::new();
        while let Some(first) = rest.chars().next() {
            let length = if is_in_word(&before) { 0 } else { length_of_number(rest) };
            if length > 0 {
                words.push(std::mem::take(&mut before));
                numbers.push(rest[..length].to_owned());
                rest = &rest[length..];
            } else {
                before.push(first);
                rest = &rest[first.len_utf8()..];
            }
        }
        words.push(before);
        Self { text, words, numbers }
    }
}

/// `true` if what follows belongs to a word, such as the rest of a version.
fn is_in_word(before: &str) -> bool {
    before.ends_with(|c: char| c.is_alphanumeric() || c == '.')
}

/// Spaces between groups of three digits, as people write large numbers.
const OF_GROUPS: [char; 2] = ['\u{202f}', '\u{a0}'];

/// Bytes of the number that a text begins with; 0 where it begins with another thing, such as a word with digits.
fn length_of_number(text: &str) -> usize {
    let is_part = |c: char| c.is_ascii_digit() || c == '.' || OF_GROUPS.contains(&c);
    let longest = text.find(|c: char| !is_part(c)).unwrap_or(text.len());
    // A full stop or a space at its end is the sentence's.
    let number = text[..longest].trim_end_matches(|c: char| !c.is_ascii_digit());
    let is_number = number.starts_with(|c: char| c.is_ascii_digit()) && value(number).is_some();
    let is_word = text[number.len()..].starts_with(char::is_alphabetic);
    if is_number && !is_word { number.len() } else { 0 }
}

fn value(number: &str) -> Option<f64> {
    number.replace(OF_GROUPS, "").parse().ok()
}

/// The sentence of all slides: where their numbers differ, the least and the largest.
fn common<'n>(words: &[String], numbers: impl Iterator<Item = &'n Vec<String>> + Clone) -> String {
    let mut sentence = words[0].clone();
    for (place, word) in words[1..].iter().enumerate() {
        let here = numbers.clone().map(|numbers| numbers[place].as_str());
        let [least, largest] = ends(here);
        sentence += least;
        if least != largest {
            sentence += " to ";
            sentence += largest;
        }
        sentence += word;
    }
    sentence
}

/// The least and the largest of some numbers.
fn ends<'n>(numbers: impl Iterator<Item = &'n str> + Clone) -> [&'n str; 2] {
    let least = numbers.clone().min_by(|one, other| by_value(one, other));
    let largest = numbers.max_by(|one, other| by_value(one, other));
    [least, largest].map(Option::unwrap_or_default)
}

fn by_value(one: &str, other: &str) -> std::cmp::Ordering {
    value(one).unwrap_or_default().total_cmp(&value(other).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use dataset::{ModelFacts, SlideId};

    use super::*;

    fn slide(outcome: Outcome, reason: Option<&str>, doubts: &[&str]) -> RunAccount {
        RunAccount {
            outcome,
            reason: reason.map(str::to_owned),
            doubts: doubts.iter().map(|doubt| (*doubt).to_owned()).collect(),
            slide: SlideId::new("s1").unwrap(),
            slidemill: String::new(),
            model: ModelFacts { name: "m".into(), version: String::new(), sha256: String::new() },
            device: String::new(),
            devices: Vec::new(),
            fingerprint: String::new(),
            settings: BTreeMap::new(),
            analysis: None,
            warnings: Vec::new(),
            copies: 0,
            ended: None,
            elapsed_secs: 0.0,
        }
    }

    fn told(slides: &[RunAccount]) -> Vec<(Urgency, String, Vec<usize>)> {
        let reasons = reasons(0..slides.len(), |place| &slides[place]);
        let told = reasons.into_iter().map(|reason| {
            (reason.urgency, reason.sentence, reason.slides.into_iter().map(|(slide, _)| slide).collect())
        });
        told.collect()
    }

    #[test]
    fn slides_are_together_by_reason_and_the_most_urgent_come_first() {
        let pen = |share: &str| format!("{share} % of what was found has the colours of pen marks");
        let slides = [
            slide(Outcome::Done, None, &[&pen("34"), "the scale is off"]),
            slide(Outcome::Done, None, &[]),
            slide(Outcome::Done, None, &[&pen("9.5")]),
            slide(Outcome::Failed, Some("it says no scale"), &[]),
            slide(Outcome::Done, None, &[&pen("41")]),
            slide(Outcome::Failed, None, &[]),
            slide(Outcome::Failed, Some("it says no scale"), &[]),
            slide(Outcome::Partial, Some("windows failed"), &[]),
        ];
        let expected = [
            (Urgency::Failed, "it says no scale".to_owned(), vec![3, 6]),
            (Urgency::Failed, "no reason was kept".to_owned(), vec![5]),
            (Urgency::Doubtful, pen("9.5 to 41"), vec![0, 2, 4]),
            (Urgency::Doubtful, "the scale is off".to_owned(), vec![0]),
        ];
        let found = told(&slides);
        assert_eq!(found[..4], expected);
        assert_eq!((found[4].0, &found[4].2), (Urgency::Incomplete, &vec![7]));
        assert_eq!(found.len(), 5);
    }

    #[test]
    fn only_numbers_may_differ() {
        let sentence = |text: &str| {
            let Sentence { words, numbers, .. } = Sentence::new(text.to_owned());
            (words.join("#"), numbers.join(" "))
        };
        for (text, words, numbers) in [
            ("tile 812 holds 0 bytes.", "tile # holds # bytes.", "812 0"),
            ("1\u{202f}200 of 2 windows, 0.25 mm², 3.", "# of # windows, # mm², #.", "1\u{202f}200 2 0.25 3"),
            ("JPEG2000 at 40x of s0a1 in u16", "JPEG2000 at 40x of s0a1 in u16", ""),
            ("version 1.2.3", "version 1.2.3", ""),
            ("37\u{a0}% pen", "#\u{a0}% pen", "37"),
            ("", "", ""),
        ] {
            assert_eq!(sentence(text), (words.to_owned(), numbers.to_owned()), "{text}");
        }
        let apart = ["level 3 is cut", "level 3 is short"];
        let slides = apart.map(|reason| slide(Outcome::Failed, Some(reason), &[]));
        assert_eq!(told(&slides).len(), 2);
        let large = ["1\u{202f}200 windows", "900 windows"];
        let slides = large.map(|reason| slide(Outcome::Failed, Some(reason), &[]));
        assert_eq!(told(&slides)[0].1, "900 to 1\u{202f}200 windows");
    }
}

//! Classes that people gave to the regions they drew.

use std::collections::BTreeSet;

/// `true` if two names are of one class of drawn regions. Case does not count: what one program exports as `Tumor` is
/// `tumor` in another, and nobody means two things by them.
#[must_use]
pub fn is_same_class(one: &str, other: &str) -> bool {
    one.to_lowercase() == other.to_lowercase()
}

/// The classes of regions, each in the first of its spellings; `None` for regions that have none.
#[must_use]
pub fn distinct_classes<'c>(classes: impl IntoIterator<Item = Option<&'c str>>) -> BTreeSet<Option<&'c str>> {
    let spellings: BTreeSet<Option<&str>> = classes.into_iter().collect();
    let mut distinct = BTreeSet::new();
    for class in spellings {
        if !distinct.iter().any(|known| is_same(*known, class)) {
            distinct.insert(class);
        }
    }
    distinct
}

fn is_same(one: Option<&str>, other: Option<&str>) -> bool {
    match (one, other) {
        (Some(one), Some(other)) => is_same_class(one, other),
        (one, other) => one == other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn case_does_not_count_and_letters_do() {
        assert!(is_same_class("Tumor", "tumor") && is_same_class("NEKROSE Ä", "Nekrose ä"));
        assert!(!is_same_class("Tumor", "Tumour") && !is_same_class("Tumor", ""));
    }

    #[test]
    fn spellings_of_one_class_are_one() {
        let classes = [Some("tumor"), None, Some("Stroma"), Some("Tumor"), None, Some("TUMOR")];
        assert_eq!(
            distinct_classes(classes).into_iter().collect::<Vec<_>>(),
            [None, Some("Stroma"), Some("TUMOR")]
        );
    }
}

//! Schemes that ship with this crate: bands as published, each with its source.

use crate::{error::Result, file::Measures};

/// Names of all schemes.
pub const NAMES: [&str; 1] = ["neuroendocrine-who-2019"];

/// The file of a scheme, as `measures.toml` would have it; `None` for a name that none has.
#[must_use]
pub fn named(name: &str) -> Option<&'static str> {
    (name == NAMES[0]).then_some(include_str!("../schemes/neuroendocrine-who-2019.toml"))
}

/// Ki-67 and mitotic count of neuroendocrine tumours of the digestive system, by the
/// WHO classification of 2019; with the indices they are over. The classes
/// `positive`, `negative` and `mitosis` are those of the indices: a model that calls
/// them otherwise needs its own.
///
/// # Errors
///
/// None: the file is part of this crate and read in its tests.
pub fn neuroendocrine_who_2019() -> Result<Measures> {
    Measures::from_toml(include_str!("../schemes/neuroendocrine-who-2019.toml"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bands_are_those_of_the_book() {
        let measures = neuroendocrine_who_2019().unwrap();
        let [ki67, mitoses] = measures.schemes.as_slice() else { panic!("two schemes") };
        let grades = [0.029, 0.03, 0.2, 0.201].map(|share| ki67.grade(share).unwrap());
        assert_eq!(grades, ["G1", "G2", "G2", "G3"]);
        let grades = [1.9, 2.0, 20.0, 20.1].map(|count| mitoses.grade(count).unwrap());
        assert_eq!(grades, ["G1", "G2", "G2", "G3"]);
        assert!(measures.schemes.iter().all(|scheme| scheme.source.contains("IARC")));
    }

    #[test]
    fn schemes_are_found_by_name() {
        for name in NAMES {
            assert!(Measures::from_toml(named(name).unwrap()).is_ok(), "{name}");
        }
        assert_eq!(named("none"), None);
    }
}

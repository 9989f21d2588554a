//! Further columns of the cells table, as asked for with `--features`.

use crate::{error::JobError, options::RunOptions, stain_set::StainSet};

/// Further columns of the cells table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct WantedFeatures {
    /// The cells around each.
    pub neighbours: bool,
    /// Direction and elongation of outlines.
    pub shape: bool,
    /// Texture of the pixels inside.
    pub texture: bool,
    /// Stains, as with `--stains`: hematoxylin and eosin where no others are named.
    pub stain: StainSet,
}

impl WantedFeatures {
    const WORDS: [&str; 4] = ["neighbours", "shape", "stain", "texture"];

    /// Checks the option.
    ///
    /// # Errors
    ///
    /// [`JobError::Usage`] for another word, with those that there are, and for stains that are asked for and refused.
    pub fn new(options: &RunOptions) -> Result<Self, JobError> {
        let mut wanted = Self { stain: options.stains.unwrap_or_default(), ..Self::default() };
        for word in options.features.iter().flatten() {
            match word.as_str() {
                "neighbours" => wanted.neighbours = true,
                "shape" => wanted.shape = true,
                "texture" => wanted.texture = true,
                "stain" if options.stains == Some(StainSet::None) => {
                    return Err(JobError::usage("--features asks for stain, which --stains false refuses"));
                }
                "stain" if wanted.stain == StainSet::None => wanted.stain = StainSet::He,
                "stain" => {}
                _ => {
                    let words = Self::WORDS.join(", ");
                    return Err(JobError::usage(format!("--features is {word:?}, expected {words}")));
                }
            }
        }
        if wanted.texture && wanted.stain == StainSet::HDab {
            return Err(JobError::usage(
                "--features asks for texture, which is that of hematoxylin and eosin; leave it out with --stains h-dab",
            ));
        }
        Ok(wanted)
    }

    /// The words for them, in a fixed order, without `stain`, which is `--stains`.
    #[must_use]
    pub fn words(self) -> Vec<String> {
        let each = [(self.neighbours, "neighbours"), (self.shape, "shape"), (self.texture, "texture")];
        each.into_iter().filter(|(is_wanted, _)| *is_wanted).map(|(_, word)| word.to_owned()).collect()
    }
}

/// The options of a slide that is merged again, `kept` with its windows, with the features that are `wanted` now. What is
/// measured of pixels stays as it was measured.
///
/// # Errors
///
/// [`JobError::Usage`] for a wrong word, and for a feature of pixels that was not measured.
pub(crate) fn merged_again(wanted: &RunOptions, kept: &RunOptions) -> Result<RunOptions, JobError> {
    let had = WantedFeatures::new(kept)?;
    let mut features = match &wanted.features {
        None => had,
        Some(_) => WantedFeatures::new(wanted)?,
    };
    let other_stain = features.stain != StainSet::None && features.stain != had.stain;
    let lacking = [(other_stain, "stain"), (features.texture && !had.texture, "texture")];
    if let Some((_, word)) = lacking.iter().find(|(is_lacking, _)| *is_lacking) {
        return Err(JobError::usage(format!(
            "--features asks for {word}, which is measured where a slide is read: run again with --features {word} --redo"
        )));
    }
    features.texture = had.texture;
    Ok(RunOptions {
        features: Some(features.words()),
        stains: Some(had.stain),
        ..wanted.clone().or(kept.clone())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(words: &[&str]) -> RunOptions {
        let features = words.iter().map(|&word| word.to_owned()).collect();
        RunOptions { features: Some(features), ..RunOptions::default() }
    }

    #[test]
    fn words_are_features_in_any_order_and_others_are_refused() {
        let wanted = WantedFeatures::new(&asked(&["shape", "stain", "neighbours", "neighbours"])).unwrap();
        let stain = StainSet::He;
        assert_eq!(wanted, WantedFeatures { neighbours: true, shape: true, stain, texture: false });
        assert_eq!(wanted.words(), ["neighbours", "shape"]);
        let refused = WantedFeatures::new(&asked(&["neighbors"])).unwrap_err().to_string();
        assert_eq!(refused, "--features is \"neighbors\", expected neighbours, shape, stain, texture");
        let contrary = RunOptions { stains: Some(StainSet::None), ..asked(&["stain"]) };
        assert!(WantedFeatures::new(&contrary).is_err());
        let dab = |words| WantedFeatures::new(&RunOptions { stains: Some(StainSet::HDab), ..asked(words) });
        assert_eq!(dab(&["stain"]).unwrap().stain, StainSet::HDab);
        assert!(dab(&["texture"]).unwrap_err().to_string().contains("leave it out with --stains h-dab"));
    }

    #[test]
    fn merging_again_changes_only_what_needs_no_pixels() {
        let kept = asked(&["stain", "texture"]);
        let had = WantedFeatures::new(&kept).unwrap();
        let again = merged_again(&asked(&["neighbours"]), &kept).unwrap();
        let wanted = WantedFeatures::new(&again).unwrap();
        assert_eq!(wanted, WantedFeatures { neighbours: true, shape: false, ..had });
        let same = merged_again(&RunOptions::default(), &again).unwrap();
        assert_eq!(WantedFeatures::new(&same).unwrap(), wanted);
        for word in ["stain", "texture"] {
            let refused = merged_again(&asked(&[word]), &RunOptions::default()).unwrap_err().to_string();
            assert!(refused.contains(&format!("--features {word} --redo")), "{refused}");
        }
    }
}

//! Train, validation, test: by patient, slide or field, never by tile.

use std::{collections::BTreeMap, fmt};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::{
    EvalError,
    error::Result,
    objects::{Image, ObjectSet, stem},
};

/// Split that an image belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Split {
    /// For training.
    Train,
    /// For choosing a model.
    Val,
    /// For the reported figures.
    Test,
}

impl Split {
    /// All three.
    pub const ALL: [Self; 3] = [Self::Train, Self::Val, Self::Test];
}

impl fmt::Display for Split {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Train => "train",
            Self::Val => "val",
            Self::Test => "test",
        })
    }
}

/// Rule for dividing images into splits.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SplitSettings {
    /// Share for training.
    pub train: f64,
    /// Share for validation.
    pub val: f64,
    /// Share for the test.
    pub test: f64,
    /// Method of dividing.
    pub method: SplitMethod,
    /// Seed of the division: another seed gives another division.
    pub seed: u64,
    /// Rule for images that must stay together.
    pub groups: GroupRule,
}

impl Default for SplitSettings {
    fn default() -> Self {
        Self { train: 0.8, val: 0.2, test: 0.0, method: SplitMethod::Hash, seed: 0, groups: GroupRule::Given }
    }
}

/// Method of dividing groups among splits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SplitMethod {
    /// By a hash of the group's name alone: a patient keeps their split when others are added later. Shares
    /// are met only on average.
    #[default]
    Hash,
    /// In the order of the hash, each group to the split that lacks most objects: shares are met as well as
    /// groups allow, but added images may move others.
    Balanced,
}

/// Rule for images that belong together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum GroupRule {
    /// Images with the same [`Image::group`]; images without one stand alone.
    #[default]
    Given,
    /// Images whose names begin with the same characters, this many (12 for a TCGA patient).
    Characters(usize),
    /// Images whose names agree up to the n-th of these separators (`_` and 1: `05_1` and `05_2` are of one
    /// slide).
    Parts(char, usize),
}

impl GroupRule {
    /// The group of an image. Names count without folder and extension: the folder of a file must not change
    /// the division.
    #[must_use]
    pub fn of(self, image: &Image) -> &str {
        let name = stem(&image.name);
        match self {
            Self::Given => image.group.as_deref().unwrap_or(name),
            Self::Characters(n) => name.char_indices().nth(n).map_or(name, |(end, _)| &name[..end]),
            Self::Parts(separator, n) => {
                let end = name.match_indices(separator).nth(n.saturating_sub(1));
                end.map_or(name, |(end, _)| &name[..end])
            }
        }
    }
}

impl SplitSettings {
    pub(super) fn check(&self) -> Result<()> {
        let shares = [self.train, self.val, self.test];
        let sound = shares.iter().all(|share| (0.0..=1.0).contains(share));
        if !sound || (shares.iter().sum::<f64>() - 1.0).abs() > 1e-6 {
            return Err(EvalError::Setting {
                name: "split",
                found: format!("{} + {} + {}", self.train, self.val, self.test),
                expected: "three shares that add up to 1",
            });
        }
        Ok(())
    }

    /// The share in the settings.
    #[must_use]
    pub fn share(&self, split: Split) -> f64 {
        match split {
            Split::Train => self.train,
            Split::Val => self.val,
            Split::Test => self.test,
        }
    }
}

/// The split of each image. Images of one group are always in one split.
pub(super) fn splits(set: &ObjectSet, settings: &SplitSettings) -> Vec<Split> {
    let mut sizes: BTreeMap<&str, u64> = BTreeMap::new();
    for (image, objects) in set.images.iter().zip(set.per_image()) {
        *sizes.entry(settings.groups.of(image)).or_default() += objects.len().max(1) as u64;
    }
    let of_group = match settings.method {
        SplitMethod::Hash => sizes.keys().map(|&group| (group, by_hash(group, settings))).collect(),
        SplitMethod::Balanced => balanced(&sizes, settings),
    };
    set.images.iter().map(|image| of_group[settings.groups.of(image)]).collect()
}

fn by_hash(group: &str, settings: &SplitSettings) -> Split {
    let place = hash(group, settings.seed) as f64 / 2.0_f64.powf(64.0);
    if place < settings.train {
        Split::Train
    } else if place < settings.train + settings.val || settings.test == 0.0 {
        if settings.val > 0.0 { Split::Val } else { Split::Train }
    } else {
        Split::Test
    }
}

fn balanced<'a>(sizes: &BTreeMap<&'a str, u64>, settings: &SplitSettings) -> BTreeMap<&'a str, Split> {
    let total: u64 = sizes.values().sum();
    let mut order: Vec<(u64, &str)> =
        sizes.keys().map(|&group| (hash(group, settings.seed), group)).collect();
    order.sort_unstable();
    let mut lacking = Split::ALL.map(|split| settings.share(split) * total as f64);
    let mut found = BTreeMap::new();
    for (_, group) in order {
        let most = (0..3).reduce(|best, i| if lacking[i] > lacking[best] { i } else { best }).unwrap_or(0);
        lacking[most] -= sizes[group] as f64;
        found.insert(group, Split::ALL[most]);
    }
    found
}

fn hash(group: &str, seed: u64) -> u64 {
    let digest = Sha256::new().chain_update(seed.to_le_bytes()).chain_update(group).finalize();
    let mut head = [0; 8];
    head.copy_from_slice(&digest[..8]);
    u64::from_le_bytes(head)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_change_no_group() {
        for rule in [GroupRule::Given, GroupRule::Characters(2), GroupRule::Parts('_', 1)] {
            let [deep, flat] = ["site_a/x/05_1.svs", "05_1"].map(Image::named);
            assert_eq!(rule.of(&deep), rule.of(&flat), "{rule:?}");
        }
    }

    fn set(names: impl IntoIterator<Item = String>) -> ObjectSet {
        ObjectSet { images: names.into_iter().map(Image::named).collect(), ..ObjectSet::default() }
    }

    #[test]
    fn groups_go_by_what_was_given_or_by_name() {
        let mut image = Image::named("TCGA-A7-A0DB-01Z_5_1");
        assert_eq!(GroupRule::Given.of(&image), "TCGA-A7-A0DB-01Z_5_1");
        assert_eq!(GroupRule::Characters(12).of(&image), "TCGA-A7-A0DB");
        assert_eq!(GroupRule::Parts('_', 1).of(&image), "TCGA-A7-A0DB-01Z");
        assert_eq!(GroupRule::Parts('_', 9).of(&image), "TCGA-A7-A0DB-01Z_5_1");
        image.group = Some("patient".to_owned());
        assert_eq!(GroupRule::Given.of(&image), "patient");
    }

    #[test]
    fn fields_of_one_slide_stay_together_and_newcomers_move_nobody() {
        let settings = SplitSettings {
            train: 0.6,
            val: 0.2,
            test: 0.2,
            groups: GroupRule::Parts('_', 1),
            ..SplitSettings::default()
        };
        let names = |slides: usize| (0..slides * 3).map(|i| format!("slide{}_{}", i / 3, i % 3));
        let few = splits(&set(names(200)), &settings);
        assert!(few.chunks(3).all(|fields| fields.iter().all(|split| *split == fields[0])));
        assert_eq!(few, splits(&set(names(300)), &settings)[..600]);
        for (split, share) in [(Split::Train, 0.6), (Split::Val, 0.2), (Split::Test, 0.2)] {
            let part = few.iter().filter(|s| **s == split).count() as f64 / 600.0;
            assert!((part - share).abs() < 0.08, "{split}: {part}");
        }
        let other = SplitSettings { seed: 1, ..settings };
        assert_ne!(few, splits(&set(names(200)), &other));
    }

    #[test]
    fn balanced_shares_are_met_with_few_groups() {
        let settings = SplitSettings { method: SplitMethod::Balanced, ..SplitSettings::default() };
        let found = splits(&set((0..10).map(|i| i.to_string())), &settings);
        assert_eq!(found.iter().filter(|split| **split == Split::Val).count(), 2);
    }

    #[test]
    fn without_a_test_share_nothing_falls_to_it() {
        let settings = SplitSettings { train: 1.0, val: 0.0, ..SplitSettings::default() };
        assert!(splits(&set((0..50).map(|i| i.to_string())), &settings).iter().all(|s| *s == Split::Train));
    }
}

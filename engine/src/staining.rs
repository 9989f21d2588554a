//! The stains that a job measures of each cell: what was asked for, and the dyes of one slide.

use std::{fmt, str::FromStr};

use merger::ColourDeconvolution;
use tiler::{NoStainVectors, Plan, WantedStain, estimate_stain_vectors};
use wsi_reader::Slide;
use wsi_types::{Mpp, StainVectors};

use crate::{
    checks::{parsed, within},
    defaults::Defaults,
    error::JobError,
    features::WantedFeatures,
    options::RunOptions,
    stain_set::StainSet,
};

/// Source of the colours of hematoxylin and DAB.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum VectorSource {
    /// Stated.
    Given(StainVectors),
    /// Estimated on each slide.
    Estimate,
}

impl FromStr for VectorSource {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "estimate" {
            return Ok(Self::Estimate);
        }
        text.parse().map(Self::Given).map_err(|error| format!("{error}; or the word estimate"))
    }
}

impl fmt::Display for VectorSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Given(vectors) => vectors.fmt(f),
            Self::Estimate => f.write_str("estimate"),
        }
    }
}

/// Stains that are measured of each cell.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Staining {
    /// Hematoxylin and eosin, with published vectors.
    He,
    /// Hematoxylin and DAB.
    HDab {
        /// Where the vectors are from.
        vectors: VectorSource,
        /// Width of the ring around each nucleus, µm.
        ring_um: f64,
    },
}

/// Widths of the ring that hold a px and no neighbour's neighbour, µm.
const RING_UM: std::ops::RangeInclusive<f64> = 0.5..=20.0;

impl Staining {
    /// Checks what was asked for; `None` if no stain is measured.
    pub(crate) fn new(options: &RunOptions) -> Result<Option<Self>, JobError> {
        let set = WantedFeatures::new(options)?.stain;
        refuse_unmeasured(options, set)?;
        if set == StainSet::HDab {
            let vectors = options.stain_vectors.as_deref().map(|text| parsed("--stain-vectors", text));
            let ring_um = options.dab_ring_um.unwrap_or(Defaults::DAB_RING_UM);
            return Ok(Some(Self::HDab {
                vectors: vectors.transpose()?.unwrap_or(VectorSource::Given(StainVectors::RUIFROK)),
                ring_um: within("--dab-ring-um", ring_um, RING_UM)?,
            }));
        }
        let of_dab = [
            ("--stain-vectors", options.stain_vectors.is_some()),
            ("--dab-ring-um", options.dab_ring_um.is_some()),
        ];
        match of_dab.iter().find(|(_, is_given)| *is_given) {
            Some((name, _)) => Err(JobError::usage(format!("{name} is given without --stains h-dab"))),
            None => Ok((set == StainSet::He).then_some(Self::He)),
        }
    }

    /// The stain that slides should have.
    pub(crate) fn wanted(of: Option<&Self>) -> WantedStain {
        match of {
            Some(Self::HDab { .. }) => WantedStain::HDab,
            Some(Self::He) | None => WantedStain::He,
        }
    }

    /// The options that it was made from: stains, vectors, width of the ring.
    pub(crate) fn in_full(of: Option<&Self>) -> (StainSet, Option<String>, Option<f64>) {
        match of {
            None => (StainSet::None, None, None),
            Some(Self::He) => (StainSet::He, None, None),
            Some(Self::HDab { vectors, ring_um }) => {
                (StainSet::HDab, Some(vectors.to_string()), Some(*ring_um))
            }
        }
    }

    /// The dyes of a slide.
    ///
    /// # Errors
    ///
    /// [`NoStainVectors`] when they are to be estimated and the slide does not tell them.
    pub(crate) fn dyes_of(&self, slide: &dyn Slide) -> Result<Dyes, NoStainVectors> {
        match *self {
            Self::He => Ok(Dyes::He),
            Self::HDab { vectors: VectorSource::Given(vectors), ring_um } => {
                Ok(Dyes::HDab { vectors, ring_um, is_estimated: false })
            }
            Self::HDab { vectors: VectorSource::Estimate, ring_um } => {
                let vectors = estimate_stain_vectors(slide)?;
                Ok(Dyes::HDab { vectors, ring_um, is_estimated: true })
            }
        }
    }
}

/// Refuses filters of densities that are not measured.
fn refuse_unmeasured(options: &RunOptions, set: StainSet) -> Result<(), JobError> {
    for pair in options.filter.iter().flatten() {
        let measure = pair.split('=').next().unwrap_or_default();
        let is_measured = match measure {
            "hematoxylin_od" => set != StainSet::None,
            "eosin_od" => set == StainSet::He,
            "dab_od" | "dab_ring_od" => set == StainSet::HDab,
            _ => true,
        };
        if !is_measured {
            let which = if measure.starts_with("dab") { "--stains h-dab" } else { "--stains" };
            return Err(JobError::usage(format!(
                "--filter asks for an optical density, {measure}, which {which} measures"
            )));
        }
    }
    Ok(())
}

/// The dyes of one slide.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Dyes {
    /// Hematoxylin and eosin.
    He,
    /// Hematoxylin and DAB.
    HDab {
        /// Their colours on this slide.
        vectors: StainVectors,
        /// Width of the ring around each nucleus, µm.
        ring_um: f64,
        /// `true` if the slide itself told the colours.
        is_estimated: bool,
    },
}

impl Dyes {
    /// The vectors that the slide itself told.
    pub(crate) fn estimated(&self) -> Option<&StainVectors> {
        match self {
            Self::HDab { vectors, is_estimated: true, .. } => Some(vectors),
            Self::HDab { .. } | Self::He => None,
        }
    }

    /// `true` if DAB is measured.
    pub(crate) fn has_dab(&self) -> bool {
        matches!(self, Self::HDab { .. })
    }

    /// Colour deconvolution in the windows of a plan of a slide with level-0 px of `mpp`.
    pub(crate) fn in_windows(&self, plan: &Plan, mpp: Mpp) -> ColourDeconvolution {
        match self {
            Self::He => ColourDeconvolution::default(),
            Self::HDab { vectors, ring_um, .. } => {
                let (across, down) = plan.sampling().level0_per_grid;
                ColourDeconvolution::hematoxylin_dab(vectors, ring_um / mpp.times((across + down) / 2.0))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn staining(options: RunOptions) -> Result<Option<Staining>, String> {
        Staining::new(&options).map_err(|error| error.to_string())
    }

    fn h_dab() -> RunOptions {
        RunOptions { stains: Some(StainSet::HDab), ..RunOptions::default() }
    }

    fn with_filter(text: &str, options: RunOptions) -> String {
        staining(RunOptions { filter: Some(vec![text.into()]), ..options }).unwrap_err()
    }

    #[test]
    fn dab_has_published_vectors_and_a_ring_unless_others_are_given() {
        let vectors = VectorSource::Given(StainVectors::RUIFROK);
        assert_eq!(staining(h_dab()), Ok(Some(Staining::HDab { vectors, ring_um: Defaults::DAB_RING_UM })));
        let given = RunOptions { stain_vectors: Some("estimate".into()), dab_ring_um: Some(5.0), ..h_dab() };
        let own = staining(given).unwrap();
        assert_eq!(own, Some(Staining::HDab { vectors: VectorSource::Estimate, ring_um: 5.0 }));
        assert_eq!(Staining::in_full(own.as_ref()), (StainSet::HDab, Some("estimate".into()), Some(5.0)));
        assert_eq!(staining(RunOptions::default()), Ok(None));
    }

    #[test]
    fn what_does_not_go_together_is_refused() {
        assert!(with_filter("eosin_od=0.1..", h_dab()).contains("eosin_od, which --stains measures"));
        assert!(with_filter("dab_od=0.1..", RunOptions::default()).contains("which --stains h-dab measures"));
        let he = RunOptions { stains: Some(StainSet::He), ..RunOptions::default() };
        assert!(with_filter("dab_ring_od=0.1..", he).contains("which --stains h-dab measures"));
        let ring = RunOptions { dab_ring_um: Some(3.0), ..RunOptions::default() };
        assert!(staining(ring).unwrap_err().contains("--dab-ring-um is given without --stains h-dab"));
        let wide = RunOptions { dab_ring_um: Some(50.0), ..h_dab() };
        assert!(staining(wide).unwrap_err().contains("--dab-ring-um is 50, expected 0.5 to 20"));
        let one = RunOptions { stain_vectors: Some("0.65,0.7,0.29".into()), ..h_dab() };
        let said = staining(one).unwrap_err();
        assert!(said.contains("--stain-vectors: ") && said.contains("or the word estimate"), "{said}");
    }
}

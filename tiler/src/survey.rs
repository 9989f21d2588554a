//! All decisions about a slide before a pixel is read for a model: its scale, the place of its tissue, and
//! the windows of each detector.
//!
//! One function makes it, for a run, for a check before a night and for a picture of the plan alike, so that
//! a slide's forecast is what a run does. Nothing is guessed on the way: a slide without a scale has no
//! survey, and a detector's mpp is in its [`PlanSettings`], so a model that does not state its own is refused
//! earlier (`docs/decisions/0032-one-survey-of-a-slide.md`).

use std::{fmt, sync::Arc};

use wsi_reader::{
    AbsentTiles, Fetched, GivenScale, MppSource, Overview, Scale, ScaleProblem, Slide, SlideInfo,
    absent_tiles, resolve_scale, with_reduced_levels,
};
use wsi_types::{
    Canvas, InterestError, Level0Box, Level0Point, Mpp, RegionsOfInterest, RgbBuffer, Sampling,
    wording::{counted, fixed},
};

use crate::{
    Doubt, Examination, Interest, NoTissueScale, Plan, PlanError, PlanSettings, TissueMask, TissueNote,
    TissueSettings, WantedStain, schedule::Schedule,
};

/// Settings of a survey.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct SurveySettings {
    /// The user's statements about the scale.
    pub scale: GivenScale,
    /// `true` to take the scale that the nuclei suggest if neither file nor user gives one.
    pub estimate_scale: bool,
    /// The stain that the slide should have.
    pub wanted_stain: WantedStain,
    /// Settings for finding tissue; `None`: the whole slide counts as tissue.
    pub tissue: Option<TissueSettings>,
    /// Settings by which each detector cuts the slide into windows, in order of the detectors.
    pub plans: Vec<PlanSettings>,
    /// Windows are planned for the tissue in these regions of interest; `None`: for all of it.
    pub looked_within: Option<RegionsOfInterest>,
    /// Cells are counted in these, which may be others when windows are counted again; `None`: everywhere.
    pub counted_within: Option<RegionsOfInterest>,
}

impl SurveySettings {
    /// The regions that windows are planned for, where they cover another area than those that cells are counted in.
    fn looked_otherwise(&self) -> Option<RegionsOfInterest> {
        let looked = self.looked_within.as_ref().map(RegionsOfInterest::as_looked_at);
        let counted = self.counted_within.as_ref().map(RegionsOfInterest::as_looked_at);
        if looked == counted { None } else { looked }
    }
}

/// Tissue of a slide, and the small picture it was found on.
#[derive(Clone)]
pub struct Tissue {
    /// A yes/no picture.
    pub mask: TissueMask,
    /// The whole slide, small; never its label.
    pub picture: RgbBuffer,
}

/// Prints its size, not its pixels: errors hold it, and programs print those.
impl fmt::Debug for Tissue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let size = (self.mask.width(), self.mask.height());
        f.debug_struct("Tissue")
            .field("mask_px", &size)
            .field("notes", &self.mask.notes())
            .finish_non_exhaustive()
    }
}

impl Tissue {
    /// Longer side of the picture where the whole slide counts as tissue, px.
    pub const PICTURE_PX: u32 = 720;

    /// Finds the tissue of a slide; without `settings` all of it is tissue. Sizes assume px of 0.5 µm if
    /// `mpp` is not known.
    #[must_use]
    pub fn find(slide: &dyn Slide, mpp: Option<Mpp>, settings: Option<&TissueSettings>) -> Self {
        let Some(settings) = settings else {
            let picture = Overview::whole(slide, Self::PICTURE_PX).pixels;
            return Self { mask: TissueMask::full(slide.info()), picture };
        };
        let (mask, picture) = TissueMask::compute_with_picture(slide, mpp, settings);
        Self { mask, picture }
    }

    /// Examines the tissue closely.
    #[must_use]
    pub fn examine(&self, slide: &dyn Slide) -> Examination {
        Examination::new(slide, &self.picture, &self.mask)
    }
}

impl SurveySettings {
    /// Returns the scale of a slide: the one that user and file give, otherwise, if estimating is on, the one
    /// that its nuclei suggest.
    ///
    /// # Errors
    ///
    /// [`SurveyError::Scale`] or [`SurveyError::NoEstimate`] when there is none.
    pub fn scale_of(&self, slide: &dyn Slide) -> Result<Scale, SurveyError> {
        match resolve_scale(slide.info(), self.scale) {
            Err(problem) if self.estimate_scale => estimated(slide, problem),
            resolved => Ok(resolved?),
        }
    }
}

/// Estimates the scale from the nuclei of a slide. The size of its tissue is not known before that, so the
/// tissue is found as on a slide of 0.5 µm/px.
fn estimated(slide: &dyn Slide, problem: ScaleProblem) -> Result<Scale, SurveyError> {
    let tissue = Tissue::find(slide, None, Some(&TissueSettings::default()));
    let found = tissue.examine(slide).scale;
    let found = found.map_err(|source| SurveyError::NoEstimate { problem: problem.clone(), source })?;
    // Two digits are more than its accuracy, and give the same number on every machine.
    let rounded = (found.mpp * 100.0).round() / 100.0;
    let mpp = Mpp::new(rounded).map_err(|_| problem)?;
    Ok(Scale { mpp, source: MppSource::Nuclei })
}

/// A slide, its scale, its tissue and one plan per detector.
#[derive(Clone)]
pub struct Survey {
    /// The open file, with the levels between those it stores that cost less to decode.
    pub slide: Arc<dyn Slide>,
    /// µm per level-0 px, and the source of that number.
    pub scale: Scale,
    /// The tissue in which cells are counted.
    pub mask: TissueMask,
    /// All tissue of the slide, also that outside of the regions of interest.
    pub tissue: TissueMask,
    /// The regions of interest in which cells are counted; `None`: they are counted everywhere.
    pub interest: Option<Interest>,
    /// `true` if the plans were made for all of `mask`, and not for other regions of interest.
    pub is_planned_whole: bool,
    /// The whole slide, small; never its label.
    pub picture: RgbBuffer,
    /// The windows of each detector, in order of the detectors.
    pub plans: Vec<Arc<Plan>>,
    /// Its look from near, and the scale its nuclei suggest.
    pub examination: Examination,
    /// The stain that it should have.
    pub wanted_stain: WantedStain,
}

/// Reasons why a slide cannot be surveyed.
#[derive(Debug, thiserror::Error)]
pub enum SurveyError {
    /// Neither the user nor the file gives a pixel size that can be used.
    #[error(transparent)]
    Scale(#[from] ScaleProblem),
    /// The scale was to be estimated, and the slide gives no evidence.
    #[error("{problem}, and its nuclei do not tell it: {source}")]
    NoEstimate {
        /// The fault of the file's scale.
        problem: ScaleProblem,
        /// The reason why there is no estimate.
        source: NoTissueScale,
    },
    /// The regions of interest do not fit the slide.
    #[error(transparent)]
    Interest(#[from] InterestError),
    /// The settings of a detector do not fit the slide.
    #[error("{source}")]
    Plan {
        /// The tissue found before the plan failed.
        tissue: Box<Tissue>,
        /// The reason why there is no plan.
        source: PlanError,
    },
}

impl Survey {
    /// Surveys a slide: scale, tissue, then a plan for each detector. Reads one small level.
    ///
    /// # Errors
    ///
    /// [`SurveyError`] when the scale is not known or a plan cannot be made. Tiles that cannot be read are
    /// not an error: see [`TissueMask::notes`].
    pub fn new(slide: Arc<dyn Slide>, settings: &SurveySettings) -> Result<Self, SurveyError> {
        let slide = with_reduced_levels(slide);
        let scale = settings.scale_of(slide.as_ref())?;
        let canvas = canvas(slide.info(), scale.mpp);
        let counted = placed(settings.counted_within.as_ref(), &canvas)?;
        let looked =
            settings.looked_otherwise().map(|regions| Interest::new(&regions, &canvas)).transpose()?;
        let tissue = Tissue::find(slide.as_ref(), Some(scale.mpp), settings.tissue.as_ref());
        let mask = mask_within(&tissue.mask, slide.info(), scale.mpp, counted.as_ref())?;
        let planned = match (&looked, &settings.looked_within) {
            (Some(looked), _) => mask_within(&tissue.mask, slide.info(), scale.mpp, Some(looked))?,
            (None, Some(_)) => mask.clone(),
            (None, None) => tissue.mask.clone(),
        };
        let plans = match plans(slide.info(), scale.mpp, &planned, &settings.plans) {
            Ok(plans) => plans,
            Err(source) => return Err(SurveyError::Plan { tissue: Box::new(tissue), source }),
        };
        let examination = tissue.examine(slide.as_ref());
        let is_planned_whole = looked.is_none();
        let Tissue { picture, mask: tissue } = tissue;
        let wanted_stain = settings.wanted_stain;
        Ok(Self {
            slide,
            scale,
            mask,
            tissue,
            interest: counted,
            is_planned_whole,
            picture,
            plans,
            examination,
            wanted_stain,
        })
    }

    /// Returns the notes of the mask, without those that are among the doubts.
    fn notes(&self) -> impl Iterator<Item = &TissueNote> {
        self.mask.notes().iter().filter(|note| **note != TissueNote::DarkGround)
    }

    /// Returns notes for the user on the slide, in words: unread parts of its file, what is odd about its
    /// tissue or its bands, and tiles in tissue that the file does not store.
    #[must_use]
    pub fn remarks(&self) -> Vec<String> {
        let mut remarks: Vec<String> = self.notes().map(ToString::to_string).collect();
        remarks.extend(self.slide.info().remarks.iter().cloned());
        remarks.extend(self.interest.iter().flat_map(|interest| &interest.notes).cloned());
        let AbsentTiles { tiles, .. } = self.absent();
        let are = if tiles == 1 { "is" } else { "are" };
        let absent = format!(
            "{} in or next to tissue {are} not stored in the file ({} mm²) and read as background",
            counted(tiles as usize, "tile"),
            fixed(self.absent_mm2(), 3)
        );
        remarks.extend((tiles > 0).then_some(absent));
        remarks
    }

    /// Returns the tiles in tissue or next to it that the file leaves out of the level that is read; of
    /// several levels, the most. Scanners leave out glass, far from tissue.
    #[must_use]
    pub fn absent(&self) -> AbsentTiles {
        let margin = self.mask.downsample().0.max(self.mask.downsample().1);
        let levels = self.plans.iter().map(|plan| plan.sampling().level);
        let each = levels
            .map(|level| absent_tiles(self.slide.as_ref(), level, margin, |area| self.mask.has_tissue(area)));
        each.max_by_key(|absent| absent.tiles).unwrap_or_default()
    }

    /// Returns the area of [`Survey::absent`].
    #[must_use]
    pub fn absent_mm2(&self) -> f64 {
        let mm_per_px = self.scale.mpp.get() / 1000.0;
        self.absent().level0_px2 * mm_per_px * mm_per_px
    }

    /// Returns the reasons to doubt the results of the slide, whatever becomes of its windows.
    #[must_use]
    pub fn doubts(&self) -> Vec<Doubt> {
        self.examination.doubts(Some(self.scale.mpp), self.wanted_stain)
    }

    /// Returns the number of windows of all detectors.
    #[must_use]
    pub fn windows(&self) -> usize {
        self.plans.iter().map(|plan| plan.windows().len()).sum()
    }

    /// Returns what it costs to fetch the tiles of the windows of all detectors; `None` for a slide that lies on no server.
    #[must_use]
    pub fn cost_of_windows(&self) -> Option<Fetched> {
        let slide = self.slide.as_ref();
        self.plans
            .iter()
            .map(|plan| slide.cost_of(&mut Schedule::whole(plan.lattice()).tiles_in_order()))
            .sum()
    }

    /// Returns the area of the slide, level-0 px.
    #[must_use]
    pub fn extent(&self) -> Level0Box {
        extent(self.slide.info())
    }

    /// Returns the tissue that the mask found.
    #[must_use]
    pub fn tissue_mm2(&self) -> f64 {
        self.mask.area_um2(self.scale.mpp).mm2()
    }

    /// Returns the level and grid that the pixels of each detector are read from.
    #[must_use]
    pub fn samplings(&self) -> Vec<Sampling> {
        self.plans.iter().map(|plan| *plan.sampling()).collect()
    }
}

fn extent(info: &SlideInfo) -> Level0Box {
    let base = info.pyramid.base();
    Level0Box::from_size(euclid::size2(f64::from(base.width()), f64::from(base.height())))
}

fn canvas(info: &SlideInfo, mpp: Mpp) -> Canvas {
    let scanned_from = info.bounds.map_or_else(Level0Point::zero, |bounds| bounds.min);
    Canvas { extent: extent(info), scanned_from, mpp }
}

fn placed(regions: Option<&RegionsOfInterest>, canvas: &Canvas) -> Result<Option<Interest>, InterestError> {
    regions.map(|regions| Interest::new(regions, canvas)).transpose()
}

/// The part of the tissue that lies in the regions and their bands, or all of it.
fn mask_within(
    tissue: &TissueMask,
    info: &SlideInfo,
    mpp: Mpp,
    interest: Option<&Interest>,
) -> Result<TissueMask, InterestError> {
    let Some(interest) = interest else { return Ok(tissue.clone()) };
    let polygons: Vec<_> = interest.cover().map(|region| region.rings.clone()).collect();
    tissue.within(info, Some(mpp), &polygons).map_err(|_| InterestError::NotFinite)
}

/// Makes one plan per detector, in their order.
fn plans(
    info: &SlideInfo,
    mpp: Mpp,
    mask: &TissueMask,
    settings: &[PlanSettings],
) -> Result<Vec<Arc<Plan>>, PlanError> {
    settings.iter().map(|settings| Plan::new(&info.pyramid, mpp, mask, settings).map(Arc::new)).collect()
}

#[cfg(test)]
mod tests {
    use wsi_types::{Corner, DrawnFrame, DrawnPoint, DrawnRegion, Margin, TileId};

    use super::*;
    use crate::{
        Overlap,
        testing::{Painted, mpp},
    };

    fn slide() -> Painted {
        Painted::new(&[(1024, 768), (256, 192)])
    }

    fn planned(model_mpp: f64, window: u32) -> PlanSettings {
        PlanSettings { window, overlap: Overlap::Percent(0.0), ..PlanSettings::new(mpp(model_mpp)) }
    }

    fn whole(plans: Vec<PlanSettings>) -> SurveySettings {
        SurveySettings { plans, ..SurveySettings::default() }
    }

    #[test]
    fn each_detector_has_a_plan_of_its_own_in_their_order() {
        let settings = whole(vec![planned(0.25, 256), planned(0.5, 128), planned(0.5, 256)]);
        let survey = Survey::new(Arc::new(slide()), &settings).unwrap();
        let windows: Vec<_> = survey.plans.iter().map(|plan| plan.windows().len()).collect();
        assert_eq!((windows, survey.windows()), (vec![12, 12, 4], 28));
        assert_eq!(survey.scale.mpp.get(), 0.25);
        let mm2 = 1024.0 * 768.0 * 0.25 * 0.25 / 1e6;
        assert!((survey.tissue_mm2() - mm2).abs() < 1e-12);
        assert_eq!((survey.extent().max.x, survey.extent().max.y), (1024.0, 768.0));
    }

    #[test]
    fn the_users_scale_fills_in_or_overrides_and_without_any_there_is_no_survey() {
        let mut unknown = slide();
        unknown.info.scale = Err(ScaleProblem::Missing);
        let settings = whole(vec![planned(0.5, 256)]);
        assert!(matches!(Survey::new(Arc::new(unknown), &settings), Err(SurveyError::Scale(_))));
        let fill = SurveySettings { scale: GivenScale::otherwise(Some(mpp(0.5))), ..settings.clone() };
        assert_eq!(Survey::new(Arc::new(slide()), &fill).unwrap().scale.mpp.get(), 0.25);
        let instead = GivenScale { instead: Some(mpp(0.5)), otherwise: None };
        let survey = Survey::new(Arc::new(slide()), &SurveySettings { scale: instead, ..settings }).unwrap();
        assert_eq!((survey.scale.mpp.get(), survey.windows()), (0.5, 12));
    }

    #[test]
    fn a_plan_that_cannot_be_made_keeps_the_tissue_that_was_found() {
        let settings =
            SurveySettings { tissue: Some(TissueSettings::default()), ..whole(vec![planned(0.05, 256)]) };
        let Err(SurveyError::Plan { tissue, source }) = Survey::new(Arc::new(slide()), &settings) else {
            panic!("0.25 µm/px cannot be enlarged 5 times")
        };
        assert!(matches!(source, PlanError::Sampling(_)));
        assert!(tissue.mask.width() > 1 && tissue.picture.width() == tissue.mask.width() as usize);
    }

    #[test]
    fn tiles_that_are_left_out_of_tissue_are_told() {
        let mut sparse = slide();
        sparse.absent = [(0, 0), (1, 2)]
            .map(|(row, column)| TileId { level: wsi_types::LevelIndex(0), row, column })
            .into();
        sparse.info.remarks = vec!["a remark".into()];
        let tile = sparse.info.pyramid.base().tiles;
        let survey = Survey::new(Arc::new(sparse), &whole(vec![planned(0.25, 256)])).unwrap();
        let expected = 2.0 * f64::from(tile.tile_width) * f64::from(tile.tile_height);
        assert_eq!(survey.absent(), AbsentTiles { tiles: 2, level0_px2: expected });
        let mm2 = format!("{:.3}", expected * 0.25 * 0.25 / 1e6);
        let words = format!(
            "2 tiles in or next to tissue are not stored in the file ({mm2} mm²) and read as background"
        );
        assert_eq!(survey.remarks(), ["a remark".to_owned(), words]);
    }

    /// Nuclei of 12 px, in rows.
    fn cells(scale: Option<Mpp>) -> Arc<wsi_reader::MemorySlide> {
        let slide = wsi_reader::MemorySlide::painted(&[(1200, 900)], (256, 256), scale, |_, x, y| {
            let (dx, dy) = (f64::from(x % 24) - 11.5, f64::from(y % 24) - 11.5);
            if dx * dx + dy * dy < 36.0 { [110, 70, 150] } else { [225, 170, 200] }
        });
        Arc::new(slide.unwrap())
    }

    #[test]
    fn a_scale_is_estimated_only_where_that_was_asked_for_and_nothing_else_is_known() {
        let mut settings = whole(vec![planned(0.5, 256)]);
        assert!(matches!(Survey::new(cells(None), &settings), Err(SurveyError::Scale(_))));
        settings.estimate_scale = true;
        let survey = Survey::new(cells(None), &settings).unwrap();
        assert_eq!(survey.scale.source, MppSource::Nuclei);
        assert!((0.3..0.6).contains(&survey.scale.mpp.get()), "{:?}", survey.scale);
        assert_eq!(survey.doubts(), []);
        let stated = Survey::new(cells(Some(mpp(0.1))), &settings).unwrap();
        assert_eq!(stated.scale.mpp.get(), 0.1);
        assert!(matches!(stated.doubts()[..], [Doubt::Scale(_)]), "{:?}", stated.doubts());
        let blank = Painted { paint: |_, _, _| [240; 3], ..slide() };
        let blank =
            Painted { info: SlideInfo { scale: Err(ScaleProblem::Missing), ..blank.info.clone() }, ..blank };
        let refused = Survey::new(Arc::new(blank), &settings).err().unwrap().to_string();
        assert_eq!(
            refused,
            "the file does not say its microns per pixel, and its nuclei do not tell it: no clear nuclei were found"
        );
    }

    /// A region from (x, 0) px on, so many px wide and 200 px high.
    fn interest(x: f64, width: f64) -> Option<RegionsOfInterest> {
        let corners = [(x, 0.0), (x + width, 0.0), (x + width, 200.0), (x, 200.0)];
        let ring = corners.map(|(x, y)| DrawnPoint::new(x, y)).to_vec();
        let region = DrawnRegion { name: None, class: Some("Tumor".into()), rings: vec![ring] };
        let frame = DrawnFrame::Level0(Corner::Unstated);
        Some(RegionsOfInterest::new(vec![region], frame))
    }

    fn columns(survey: &Survey) -> Vec<f64> {
        let mut left: Vec<f64> =
            survey.plans[0].windows().iter().map(|window| window.level0_box().min.x).collect();
        left.sort_by(f64::total_cmp);
        left.dedup();
        left
    }

    #[test]
    fn windows_are_planned_where_regions_of_interest_reach() {
        let plan = PlanSettings { overlap: Overlap::Percent(0.0), ..planned(0.25, 256) };
        let look = |grow_um| SurveySettings {
            looked_within: interest(300.0, 200.0),
            counted_within: interest(300.0, 200.0),
            ..whole(vec![PlanSettings { grow_um, ..plan.clone() }])
        };
        let survey = Survey::new(Arc::new(slide()), &look(0.0)).unwrap();
        assert_eq!(columns(&survey), [256.0]);
        assert!(survey.is_planned_whole);
        let mm2 = 200.0 * 200.0 * 0.25 * 0.25 * 1e-6;
        assert!((survey.tissue_mm2() / mm2 - 1.0).abs() < 0.1, "{}", survey.tissue_mm2());
        let grown = Survey::new(Arc::new(slide()), &look(15.0)).unwrap();
        assert_eq!(columns(&grown), [0.0, 256.0, 512.0], "60 px to each side");
        let beside = SurveySettings { looked_within: interest(1e6, 9.0), ..look(0.0) };
        assert!(matches!(Survey::new(Arc::new(slide()), &beside), Err(SurveyError::Interest(_))));
    }

    #[test]
    fn regions_that_are_counted_later_change_no_window() {
        let all = whole(vec![planned(0.25, 256)]);
        let windows = Survey::new(Arc::new(slide()), &all).unwrap().windows();
        let later = SurveySettings { counted_within: interest(300.0, 200.0), ..all.clone() };
        let survey = Survey::new(Arc::new(slide()), &later).unwrap();
        assert_eq!((survey.windows(), survey.is_planned_whole), (windows, true));
        assert_eq!(survey.interest.as_ref().map(|interest| interest.regions.len()), Some(1));
        let others = SurveySettings { looked_within: interest(0.0, 100.0), ..later };
        assert!(!Survey::new(Arc::new(slide()), &others).unwrap().is_planned_whole);
    }

    /// The same region as [`interest`] gives, with bands.
    fn with_bands(edges_um: &[f64]) -> Option<RegionsOfInterest> {
        let margin = Margin::new(Vec::new(), edges_um.to_vec()).unwrap();
        interest(300.0, 200.0).map(|regions| RegionsOfInterest { margin, ..regions })
    }

    #[test]
    fn windows_are_planned_where_bands_reach_out() {
        let look = |edges_um: &[f64]| SurveySettings {
            looked_within: with_bands(edges_um),
            counted_within: with_bands(edges_um),
            ..whole(vec![planned(0.25, 256)])
        };
        let inside = Survey::new(Arc::new(slide()), &look(&[-20.0, 0.0])).unwrap();
        assert_eq!(columns(&inside), [256.0]);
        // 60 px to each side.
        let around = Survey::new(Arc::new(slide()), &look(&[-20.0, 0.0, 15.0])).unwrap();
        assert_eq!((columns(&around), around.is_planned_whole), (vec![0.0, 256.0, 512.0], true));
        assert!(around.tissue_mm2() > inside.tissue_mm2(), "tissue in bands counts");
        let later = SurveySettings { looked_within: interest(300.0, 200.0), ..look(&[-20.0, 0.0, 15.0]) };
        let later = Survey::new(Arc::new(slide()), &later).unwrap();
        assert_eq!((columns(&later), later.is_planned_whole), (vec![256.0], false));
        assert_eq!(later.tissue_mm2(), around.tissue_mm2());
        let deeper = SurveySettings { looked_within: interest(300.0, 200.0), ..look(&[-20.0, 0.0]) };
        assert!(Survey::new(Arc::new(slide()), &deeper).unwrap().is_planned_whole);
    }

    #[test]
    fn a_slide_without_detectors_still_has_tissue() {
        let survey = Survey::new(Arc::new(slide()), &whole(Vec::new())).unwrap();
        assert!(survey.windows() == 0 && survey.tissue_mm2() > 0.0);
    }
}

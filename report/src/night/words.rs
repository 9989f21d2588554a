//! Sentences about what happened to a slide.

use dataset::{
    Analysis, FailureCount, Outcome, RunAccount,
    wording::{counted, fixed, grouped, number},
};

use super::{
    figures::ClassFigures,
    thresholds::{NEAR, Thresholds},
};

/// Distance of the thresholds below that of a run at which an account has counts, where raw detections were kept.
const COUNTED_EACH: f32 = 0.05;
/// Windows with cells at their seams below which nothing is said of the grid.
const FEWEST_SEAM_WINDOWS: u64 = 8;

/// One word for a table.
pub(super) fn outcome(outcome: Outcome) -> &'static str {
    outcome.word()
}

/// Says how a slide ended.
pub(super) fn ending(account: &RunAccount) -> String {
    match (&account.analysis, account.outcome) {
        (Some(analysis), Outcome::Done) if analysis.windows.planned == 0 => {
            "No tissue was found, so nothing was analysed.".into()
        }
        (Some(analysis), Outcome::Done) => {
            let windows = counted(analysis.windows.planned, "window");
            match (account.settings.contains_key("counted_within"), analysis.coverage.fraction) {
                (false, _) => format!("Complete: the whole tissue was analysed, in {windows}."),
                (true, fraction) if fraction < 1.0 => format!(
                    "Complete, in {windows}; of the tissue in its regions of interest {:.1} % was analysed.",
                    100.0 * fraction
                ),
                (true, _) => {
                    format!("Complete: the tissue in its regions of interest was analysed, in {windows}.")
                }
            }
        }
        (Some(analysis), Outcome::Partial) => incomplete(analysis),
        _ => format!("No results: {}.", account.reason.as_deref().unwrap_or("no reason was kept")),
    }
}

/// Says that files of a job were left out as copies of the slide; `None` if there were none.
pub(super) fn copies(account: &RunAccount) -> Option<String> {
    match account.copies {
        0 => None,
        1 => Some("1 more file is a copy of this slide, byte by byte, and is not counted again.".to_owned()),
        more => Some(format!(
            "{more} more files are copies of this slide, byte by byte, and are not counted again."
        )),
    }
}

fn incomplete(analysis: &Analysis) -> String {
    let coverage = &analysis.coverage;
    let missing_mm2 = coverage.tissue_mm2 - coverage.analysed_mm2;
    format!(
        "Incomplete: {} of {} have no result. {} mm² of tissue ({} %) was not seen by any other window; \
         counts per mm² are over the {} mm² that were.",
        grouped(analysis.windows.failed as u64),
        counted(analysis.windows.planned, "window"),
        fixed(missing_mm2, 3),
        fixed(100.0 * (1.0 - coverage.fraction), 2),
        fixed(coverage.analysed_mm2, 2),
    )
}

/// Each reason for which windows failed, with their number.
pub(super) fn failures(analysis: &Analysis) -> Vec<String> {
    let sentence =
        |failure: &FailureCount| format!("{}: {}", counted(failure.windows.len(), "window"), failure.reason);
    analysis.failures.iter().map(sentence).collect()
}

/// Says what comes of comparing cells near window borders with those beside.
pub(super) fn seams(analysis: &Analysis) -> Option<String> {
    let audit = analysis.seams()?;
    if audit.windows < FEWEST_SEAM_WINDOWS {
        return Some("Too few windows meet in tissue to tell whether the window grid shows.".into());
    }
    let verdict = if audit.grid_shows {
        "The window grid shows in the cells: look at them before counting."
    } else {
        "The window grid does not show in the cells."
    };
    Some(format!(
        "{verdict} Within {:.0} µm of where windows meet, cells are {:.3} times as dense (z {}) and {:.3} times \
         as large (z {}) as farther away; {} against {}.",
        audit.band_um,
        audit.density_ratio,
        fixed(audit.density_z, 1),
        audit.size_ratio,
        fixed(audit.size_z, 1),
        counted(audit.near_cells as usize, "cell"),
        grouped(audit.control_cells),
    ))
}

/// Tells how many cells there would be with a threshold [`NEAR`] above and about as much below the one that was used;
/// empty where classes have thresholds of their own.
pub(super) fn other_thresholds(
    thresholds: &Thresholds,
    classes: &[ClassFigures],
    analysis: &Analysis,
) -> String {
    let cells: u64 = classes.iter().map(|class| class.cells).sum();
    let Some(used) = thresholds.one().filter(|_| cells > 0) else { return String::new() };
    let higher = used + NEAR;
    let above = if higher < 1.0 {
        format!(
            ", {} with {}",
            count(classes.iter().map(|class| class.at_least(higher)).sum(), cells),
            score(higher)
        )
    } else {
        String::new()
    };
    let lower = used - NEAR;
    let known =
        analysis.by_threshold.iter().filter(|count| (count.min_score - lower).abs() <= COUNTED_EACH / 2.0);
    let known =
        known.min_by(|one, other| (one.min_score - lower).abs().total_cmp(&(other.min_score - lower).abs()));
    let below = match known {
        Some(known) => {
            format!(", {} with {}", count(known.cells.values().sum(), cells), score(known.min_score))
        }
        None => "; with a lower one is not known".to_owned(),
    };
    format!(
        "With the threshold of {} there are {}{above}{below}.",
        score(used),
        counted(cells as usize, "cell")
    )
}

fn score(score: f32) -> String {
    number((f64::from(score) * 1e4).round() / 1e4)
}

/// A count, and how much it differs from that of the run.
fn count(cells: u64, of_run: u64) -> String {
    let percent = 100.0 * (cells as f64 / of_run as f64 - 1.0);
    let sign = if percent < 0.0 { "−" } else { "+" };
    format!("{} ({sign}{:.1}\u{a0}%)", grouped(cells), percent.abs())
}

#[cfg(test)]
mod tests {
    use dataset::{Coverage, ThresholdCount, WindowCounts};

    use super::{super::figures::SCORE_BINS, *};

    #[test]
    fn what_is_missing_is_said_with_its_area() {
        let analysis = Analysis {
            windows: WindowCounts { planned: 112, done: 109, failed: 3, unread: 0, full: 0 },
            coverage: Coverage { tissue_mm2: 2.0, analysed_mm2: 1.9, fraction: 0.95, absent_mm2: 0.0 },
            failures: vec![FailureCount {
                reason: "tile holds 0 bytes".into(),
                detector: 0,
                windows: vec![1, 2, 9],
            }],
            ..Analysis::default()
        };
        let text = incomplete(&analysis);
        assert!(text.contains("3 of 112 windows") && text.contains("0.100 mm² of tissue (5.00 %)"), "{text}");
        assert_eq!(failures(&analysis), ["3 windows: tile holds 0 bytes"]);
    }

    fn thresholds(all: &str, own: &str) -> Thresholds {
        let settings = [("min_score", all), ("class_score", own)];
        let settings = settings.map(|(name, value)| (name.to_owned(), value.to_owned()));
        Thresholds::from_settings(&settings.into(), false).unwrap()
    }

    #[test]
    fn other_thresholds_say_what_they_would_change() {
        let mut scores = vec![0; SCORE_BINS];
        (scores[25], scores[34], scores[35], scores[99]) = (10, 10, 60, 20);
        let class =
            ClassFigures { name: "cell".into(), colour: 0, cells: 100, scores, diameters: Vec::new() };
        let classes = [class];
        let count =
            |min_score, cells| ThresholdCount { min_score, cells: [("cell".to_owned(), cells)].into() };
        let known = Analysis { by_threshold: vec![count(0.1, 170), count(0.15, 125)], ..Analysis::default() };
        let used = thresholds("0.25", "");
        assert_eq!(
            other_thresholds(&used, &classes, &known),
            "With the threshold of 0.25 there are 100 cells, 80 (−20.0\u{a0}%) with 0.35, 125 (+25.0\u{a0}%) with 0.15."
        );
        assert!(
            other_thresholds(&used, &classes, &Analysis::default())
                .ends_with("; with a lower one is not known.")
        );
        let counts =
            Analysis { by_threshold: vec![count(0.15, 125), count(0.2, 115)], ..Analysis::default() };
        let between = other_thresholds(&thresholds("0.29", ""), &classes, &counts);
        assert!(between.ends_with(", 115 (+15.0\u{a0}%) with 0.2."), "{between}");
        let high = other_thresholds(&thresholds("0.95", ""), &classes, &known);
        assert_eq!(high, "With the threshold of 0.95 there are 100 cells; with a lower one is not known.");
        assert_eq!(other_thresholds(&thresholds("0.25", "cell=0.3"), &classes, &known), "");
        assert_eq!(other_thresholds(&used, &[], &known), "");
    }
}

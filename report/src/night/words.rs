//! Sentences about what happened to a slide.

use dataset::{
    Analysis, FailureCount, Outcome, RunAccount,
    wording::{counted, fixed, grouped},
};

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
        "{verdict} Within {:.0} µm of where windows meet, cells are {:.3} times as dense (z {:.1}) and {:.3} times \
         as large (z {:.1}) as farther away; {} against {}.",
        audit.band_um,
        audit.density_ratio,
        audit.density_z,
        audit.size_ratio,
        audit.size_z,
        counted(audit.near_cells as usize, "cell"),
        grouped(audit.control_cells),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use dataset::{Coverage, WindowCounts};

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
}

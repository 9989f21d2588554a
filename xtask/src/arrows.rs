//! `cargo xtask arrows`: prints which crates each crate depends on, how large each is, and which files import
//! each other in a circle. `cargo xtask check` runs it too, so that the floor plan of ARCHITECTURE.md holds.

mod crates;
mod modules;

use std::path::Path;

use anyhow::{Result, bail};

use crate::step::say;
use crates::Package;

/// The share of all lines that one crate should not pass.
const LARGEST_SHARE: f64 = 0.15;

/// Compares the workspace under `root` with the floor plan.
///
/// # Errors
/// When a crate depends on one that it must not depend on, or files of a crate import each other in a circle;
/// each is named.
pub(crate) fn check(root: &Path) -> Result<()> {
    say("arrows between crates, circles between files");
    let packages = crates::packages(root)?;
    let mut problems = crates::forbidden(&packages);
    let all: usize = packages.iter().map(|package| package.lines).sum();
    let mut by_size: Vec<&Package> = packages.iter().collect();
    by_size.sort_by_key(|package| std::cmp::Reverse(package.lines));
    for package in &by_size {
        let circles = modules::circles(&package.source)?;
        let share = package.lines as f64 / all as f64;
        let closures = 1000.0 * package.closures as f64 / package.lines as f64;
        let large = if share > LARGEST_SHARE { ", more than 15 %" } else { "" };
        eprintln!(
            "    {:<12} {:>6} lines {:>5.1} %{large}, {closures:.1} named closures per 1,000 lines, knows {}",
            package.name,
            package.lines,
            100.0 * share,
            if package.knows.is_empty() { "none".into() } else { package.knows.join(", ") }
        );
        problems.extend(circles.iter().map(|circle| {
            format!("{}: {} files import each other: {}", package.name, circle.len(), circle.join(", "))
        }));
    }
    if !problems.is_empty() {
        bail!("the floor plan of ARCHITECTURE.md does not hold:\n    {}", problems.join("\n    "));
    }
    Ok(())
}

//! What an export of a million cells of 24 points takes, per format.
//!
//! `cargo bench -p convert --bench export`; for a quick look `CELLS=100000`.

#![allow(clippy::unwrap_used)]

#[path = "../tests/support/mod.rs"]
mod support;

use std::sync::OnceLock;

use convert::{Choice, Format, Settings};
use divan::{Bencher, counter::ItemsCount};
use support::{Painted, ellipses};

fn main() {
    divan::main();
}

fn cells() -> u64 {
    const MILLION: u64 = 1_000_000;
    std::env::var("CELLS").ok().and_then(|count| count.parse().ok()).unwrap_or(MILLION)
}

fn painted() -> &'static Painted {
    static PAINTED: OnceLock<Painted> = OnceLock::new();
    PAINTED.get_or_init(|| Painted::new(ellipses(cells())))
}

#[divan::bench(args = Format::ALL.map(Format::name), sample_count = 3, sample_size = 1)]
fn export(bencher: Bencher<'_, '_>, name: &str) {
    let (painted, format) = (painted(), Format::named(name).unwrap());
    bencher.counter(ItemsCount::new(cells())).bench(|| {
        let folder = tempfile::tempdir_in(painted.folder.path()).unwrap();
        let source = convert::Source {
            facts: &painted.facts,
            cells: &painted.table,
            regions: &painted.regions,
            choice: &Choice::default(),
        };
        convert::export(format, &source, &Settings::default(), folder.path()).unwrap()
    });
}

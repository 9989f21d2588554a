//! Seconds, size and peak memory of an export of a million cells of 24 points, per format.
//!
//! `cargo bench -p convert --bench export -- qupath`; for a quick look `CELLS=100000`. The peak is that of the process, so
//! a format on its own tells its own. The table is made by another process, whose memory is none of ours.

#![allow(clippy::unwrap_used)]

#[path = "../tests/support/mod.rs"]
mod support;

use std::{env, fs, path::Path, process::Command, sync::OnceLock};

use convert::{CellTable, Choice, Format, Settings, Source, read_regions};
use divan::{Bencher, counter::ItemsCount};
use support::{ellipses, facts, write_tables};
use tempfile::TempDir;

/// Says to the other process where the tables are to go.
const PAINT_INTO: &str = "PAINT_INTO";

/// A folder with both tables.
static PAINTED: OnceLock<TempDir> = OnceLock::new();

fn main() {
    if let Some(folder) = env::var_os(PAINT_INTO) {
        write_tables(Path::new(&folder), &mut ellipses(cells()));
        return;
    }
    divan::main();
    if let Some(peak) = peak_memory() {
        println!("peak memory {peak}");
    }
    // Statics are not dropped.
    if let Some(folder) = PAINTED.get() {
        fs::remove_dir_all(folder.path()).unwrap();
    }
}

fn cells() -> u64 {
    const MILLION: u64 = 1_000_000;
    env::var("CELLS").ok().and_then(|count| count.parse().ok()).unwrap_or(MILLION)
}

/// As Linux tells it.
fn peak_memory() -> Option<String> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    Some(status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?.trim().to_owned())
}

/// Made on first use.
fn painted() -> &'static Path {
    let folder = PAINTED.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap();
        let mut painter = Command::new(env::current_exe().unwrap());
        assert!(painter.env(PAINT_INTO, folder.path()).status().unwrap().success());
        folder
    });
    folder.path()
}

#[divan::bench(args = Format::ALL.map(Format::name), sample_count = 3, sample_size = 1)]
fn export(bencher: Bencher<'_, '_>, name: &str) {
    let (folder, format, facts) = (painted(), Format::named(name).unwrap(), facts());
    let cells_table = CellTable::open(&folder.join("cells.parquet")).unwrap();
    let regions = read_regions(&folder.join("regions.parquet")).unwrap();
    let choice = Choice::default();
    let source = Source { facts: &facts, cells: &cells_table, regions: &regions, choice: &choice };
    let out = tempfile::tempdir_in(folder).unwrap();
    let mut bytes = 0;
    bencher.counter(ItemsCount::new(cells())).bench_local(|| {
        bytes = convert::export(format, &source, &Settings::default(), out.path()).unwrap().bytes;
    });
    eprintln!("{name}: {} MB", bytes / 1_000_000);
}

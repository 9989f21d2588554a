//! The cost of a night beyond the model: small slides, the worker process, the ledger and the waiting for the
//! disk.
//!
//! ```sh
//! cargo bench --bench night [-- FOLDER [ROUNDS]]
//! ```
//!
//! Results go to FOLDER, or to the system's temporary folder if none is given: its disk is what the bench
//! measures. Arms run in turn, and the ratios of their best times are the result. The ledger is switched off
//! by a library loaded before the system's own, which drops the ledger's writes and each wait for the disk.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::Context as _;
use painted::{PaintSettings, paint_slide};

const SMALL_SLIDES: u64 = 200;
/// A window is 192 µm wide, as the smallest slide that is painted.
const SETTINGS: [&str; 8] =
    ["--window", "384", "--threads", "1", "--no-tissue-mask", "true", "--overlap", "0%"];

/// No ledger, no waiting.
const SHIM: &str = r#"
#define _GNU_SOURCE
#include <dlfcn.h>
#include <string.h>
#include <stdio.h>
#include <unistd.h>
int fsync(int fd) { return 0; }
int fdatasync(int fd) { return 0; }
int syncfs(int fd) { return 0; }
static int ledger = -1;
int close(int fd) {
    static int (*real)(int);
    if (!real) real = dlsym(RTLD_NEXT, "close");
    if (fd == ledger) ledger = -1;
    return real(fd);
}
ssize_t write(int fd, const void *from, size_t count) {
    static ssize_t (*real)(int, const void *, size_t);
    if (!real) real = dlsym(RTLD_NEXT, "write");
    if (fd != ledger) {
        char link[64], name[4096];
        snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
        ssize_t length = readlink(link, name, sizeof name - 1);
        if (length < 12 || memcmp(name + length - 11, "windows.bin", 11)) return real(fd, from, count);
        ledger = fd;
    }
    return count;
}
"#;

/// Cost of a run.
#[derive(Clone, Copy)]
struct Cost {
    wall: Duration,
    processor: Duration,
}

impl Cost {
    const NONE: Self = Self { wall: Duration::MAX, processor: Duration::MAX };

    fn least(self, other: Self) -> Self {
        Self { wall: self.wall.min(other.wall), processor: self.processor.min(other.processor) }
    }
}

fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1).filter(|argument| !argument.starts_with("--"));
    let at = arguments.next().map_or_else(std::env::temp_dir, PathBuf::from);
    let rounds = arguments.next().map_or(Ok(5), |text| text.parse::<usize>())?;
    let folder = tempfile::tempdir_in(at)?;
    let large = folder.path().join("large.tif");
    paint(&large, 0, 3840.0, 1920.0)?;
    small_slides(folder.path(), &large, rounds)?;
    safety(folder.path(), &large, rounds)
}

fn paint(path: &Path, seed: u64, width_um: f64, height_um: f64) -> anyhow::Result<()> {
    let settings =
        PaintSettings { seed, width_um, height_um, window_step_um: 128.0, ..PaintSettings::default() };
    paint_slide(path, &settings)?;
    Ok(())
}

/// Times slides of one window against one slide of as many windows.
fn small_slides(folder: &Path, large: &Path, rounds: usize) -> anyhow::Result<()> {
    let small = folder.join("small");
    fs::create_dir(&small)?;
    for seed in 0..SMALL_SLIDES {
        paint(&small.join(format!("{seed}.tif")), seed, 192.0, 192.0)?;
    }
    let (mut many, mut one) = (Cost::NONE, Cost::NONE);
    for _ in 0..rounds {
        many = many.least(run(&small, folder, &[])?);
        one = one.least(run(large, folder, &[])?);
    }
    let [wall, processor] = [(many.wall, one.wall), (many.processor, one.processor)]
        .map(|(many, one)| (many.as_secs_f64() - one.as_secs_f64()) / SMALL_SLIDES as f64);
    println!(
        "{SMALL_SLIDES} slides of one window, beyond one slide of {SMALL_SLIDES}: {:.1} ms of wall time and {:.1} ms of \
         processor time for each",
        wall * 1e3,
        processor * 1e3
    );
    Ok(())
}

/// Times a run as it is, one without a worker process, and one without a ledger.
fn safety(folder: &Path, large: &Path, rounds: usize) -> anyhow::Result<()> {
    let (source, shim) = (folder.join("shim.c"), folder.join("shim.so"));
    fs::write(&source, SHIM)?;
    let built =
        Command::new("cc").args(["-shared", "-fPIC", "-o"]).arg(&shim).arg(&source).arg("-ldl").status();
    anyhow::ensure!(
        built.context("cannot start cc")?.success(),
        "the library that drops writes cannot be made"
    );
    let shim = shim.to_str().context("a path that is no text")?;
    // A process that is called a worker starts no worker of its own.
    let (no_worker, no_ledger) = (("SLIDEMILL_CHILD", "0"), ("LD_PRELOAD", shim));
    let arms: [(&str, &[(&str, &str)]); 4] = [
        ("all", &[]),
        ("no worker process", &[no_worker]),
        ("no ledger, no syncs", &[no_ledger]),
        ("neither", &[no_worker, no_ledger]),
    ];
    let mut costs = [Cost::NONE; 4];
    for _ in 0..rounds {
        for (cost, (_, environment)) in costs.iter_mut().zip(arms) {
            *cost = cost.least(run(large, folder, environment)?);
        }
    }
    for (cost, (name, _)) in costs.iter().zip(arms) {
        println!(
            "{name:<20} {:8.2} s wall {:8.2} s processor; all against it {:.3} wall {:.3} processor",
            cost.wall.as_secs_f64(),
            cost.processor.as_secs_f64(),
            costs[0].wall.as_secs_f64() / cost.wall.as_secs_f64(),
            costs[0].processor.as_secs_f64() / cost.processor.as_secs_f64()
        );
    }
    Ok(())
}

/// One run of slides into a new folder, which is removed.
fn run(slides: &Path, folder: &Path, environment: &[(&str, &str)]) -> anyhow::Result<Cost> {
    let out = folder.join("out");
    let mut command = Command::new(env!("CARGO_BIN_EXE_slidemill"));
    command.arg("run").arg(slides).arg("-o").arg(&out).args(SETTINGS);
    command.envs(environment.iter().copied()).stderr(Stdio::piped());
    let (processor, wall) = (of_children()?, Instant::now());
    let output = command.output()?;
    let cost = Cost { wall: wall.elapsed(), processor: of_children()? - processor };
    anyhow::ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    fs::remove_dir_all(&out)?;
    Ok(cost)
}

/// Returns the processor time of all children that ended, and of theirs.
fn of_children() -> anyhow::Result<Duration> {
    const PER_SECOND: f64 = 100.0;
    let stat = fs::read_to_string("/proc/self/stat").context("only Linux says what children took")?;
    let after_name = stat.rsplit_once(')').context("no process name")?.1;
    let ticks = after_name.split_whitespace().skip(13).take(2).map(str::parse::<f64>);
    let ticks: f64 = ticks.collect::<Result<Vec<_>, _>>()?.into_iter().sum();
    Ok(Duration::from_secs_f64(ticks / PER_SECOND))
}

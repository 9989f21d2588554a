//! Faults of every kind, provoked. The promises: complete results stay, each failure is named, and the same
//! command ends in the bytes of an undisturbed run.

use std::{
    fs,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    sync::mpsc,
    time::{Duration, Instant},
};

use dataset::Outcome;
use rand::RngExt as _;

use super::support::{
    accounts, dice, kill, paint, pause, run, slidemill, small_slide, stderr, tables, times, tiny_slides,
    wait_until,
};

/// Many windows for a tiny slide.
pub(super) const SETTINGS: [&str; 4] = ["--window", "64", "--threads", "1"];

pub(super) fn start(slides: &[PathBuf], out: &Path, more: &[&str]) -> Child {
    let mut command = slidemill();
    command.arg("run").args(slides).arg("-o").arg(out).args(SETTINGS).args(more);
    command.stderr(Stdio::piped()).spawn().expect("the command starts")
}

pub(super) fn paths(slides: &[PathBuf]) -> Vec<&Path> {
    slides.iter().map(PathBuf::as_path).collect()
}

/// The worker processes of a supervisor.
pub(super) fn workers(pid: u32) -> Vec<u32> {
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    children.split_whitespace().filter_map(|child| child.parse().ok()).collect()
}

pub(super) fn signal(pid: u32, name: &str) {
    let _ = Command::new("kill").args([&format!("-{name}"), &pid.to_string()]).stderr(Stdio::null()).status();
}

/// Lets `child` run for `delay`, then kills it unless it ended before. With
/// `worker`, only the isolated process dies, as by a crash in a library.
pub(super) fn kill_after(mut child: Child, delay: Duration, worker: bool) -> (bool, Output) {
    let pid = child.id();
    let (ended, end) = mpsc::channel();
    let errors = child.stderr.take();
    let waiting = std::thread::spawn(move || {
        let mut text = Vec::new();
        if let Some(mut errors) = errors {
            let _ = std::io::Read::read_to_end(&mut errors, &mut text);
        }
        let status = child.wait().expect("it ends");
        let _ = ended.send(());
        Output { status, stdout: Vec::new(), stderr: text }
    });
    let killed = end.recv_timeout(delay).is_err();
    if killed {
        match worker {
            true => workers(pid).into_iter().for_each(|worker| signal(worker, "KILL")),
            false => kill(pid),
        }
    }
    (killed, waiting.join().expect("the waiting thread ends"))
}

/// SIGKILL at seeded moments, of the whole job and of its worker alone, over and
/// over until a run gets to its end; then anew. `SLIDEMILL_LONG=1` makes it ten
/// times as many.
#[test]
fn killed_anywhere_the_same_command_ends_in_the_same_bytes() {
    let kills_wanted = times(30);
    let folder = tempfile::tempdir().unwrap();
    let slides = tiny_slides(folder.path(), 3, 60);
    let undisturbed = folder.path().join("undisturbed");
    let began = Instant::now();
    let output = run(&paths(&slides), &undisturbed, &SETTINGS);
    assert!(output.status.success(), "{}", stderr(&output));
    let whole = began.elapsed();
    let expected = tables(&undisturbed);

    let mut dice = dice();
    let (mut kills, mut of_workers, mut resumed, mut jobs) = (0, 0, 0, 0);
    while kills < kills_wanted {
        jobs += 1;
        let out = folder.path().join(format!("killed-{jobs}"));
        loop {
            let delay = whole.mul_f64(dice.random_range(0.0..1.0));
            let worker = dice.random_bool(0.4);
            let (killed, output) = kill_after(start(&slides, &out, &[]), delay, worker);
            kills += usize::from(killed);
            of_workers += usize::from(killed && worker);
            resumed += usize::from(stderr(&output).contains("already done"));
            if output.status.success() {
                break;
            }
        }
        assert_eq!(tables(&out), expected, "after {kills} kills");
        assert_nothing_is_left(&out);
        fs::remove_dir_all(&out).unwrap();
    }
    eprintln!(
        "{kills} kills ({of_workers} of the worker alone), {resumed} runs went on within a slide, {jobs} jobs"
    );
    assert!(resumed > 0 && of_workers > 0 && of_workers < kills);
}

/// Checks that no file is left that only a job at work needs.
pub(super) fn assert_nothing_is_left(out: &Path) {
    let private = |name: &str| fs::read_dir(out.join(".slidemill").join(name)).map_or(0, Iterator::count);
    assert_eq!(["ledger", "locks", "spent", "staged"].map(private), [0; 4], "{}", out.display());
    assert!(temporaries(out).is_empty(), "{:?}", temporaries(out));
    let names = fs::read_dir(out.join(".slidemill")).expect("the folder can be listed");
    let names = names.map(|entry| entry.expect("its entries too").file_name().to_string_lossy().into_owned());
    let of_a_job = ["in-hand", "probe", "redo", "writing"];
    let left: Vec<_> = names.filter(|name| of_a_job.iter().any(|start| name.starts_with(start))).collect();
    assert!(left.is_empty(), "{left:?}");
}

/// A run with `--redo` that is killed resumes: slides that it has done again are not begun again.
#[test]
fn an_interrupted_redo_goes_on() {
    const AGAIN: &str = "done again by this command before it was interrupted";
    let folder = tempfile::tempdir().unwrap();
    // The last is still at work when the first are done, however busy the machine.
    let mut slides = tiny_slides(folder.path(), 2, 180);
    slides.push(folder.path().join("larger.tif"));
    small_slide(&slides[2], 182);
    let out = folder.path().join("out");
    assert!(run(&paths(&slides), &out, &SETTINGS).status.success());
    let expected = tables(&out);
    let some_are_done = || {
        let all = walkdir::WalkDir::new(out.join(".slidemill")).into_iter().filter_map(Result::ok);
        all.filter(|entry| entry.path().extension().is_some_and(|extension| extension == "done")).count() > 0
    };
    // A job may end before it can be killed; its marks are then gone.
    let killed = (0..20).any(|_| {
        let child = start(&slides, &out, &["--redo"]);
        let pid = child.id();
        let _guard = KilledWith(pid);
        wait_until(|| some_are_done() || !is_running(pid));
        kill(pid);
        drop(child.wait_with_output());
        some_are_done()
    });
    assert!(killed, "no job could be killed in the middle");

    let again = start(&slides, &out, &["--redo"]).wait_with_output().unwrap();
    assert!(again.status.success(), "{}", stderr(&again));
    assert!(stderr(&again).contains(AGAIN), "{}", stderr(&again));
    assert_eq!(tables(&out), expected);
    assert_nothing_is_left(&out);

    let anew = start(&slides, &out, &["--redo"]).wait_with_output().unwrap();
    assert!(anew.status.success() && !stderr(&anew).contains(AGAIN), "{}", stderr(&anew));
}

/// Makes a MIRAX slide whose data folder has a pipe that nobody writes to: a read that never returns. A pipe
/// named as a slide would not be opened.
fn endless(folder: &Path) -> Option<PathBuf> {
    let (slide, data) = (folder.join("endless.mrxs"), folder.join("endless"));
    std::fs::create_dir(&data).expect("a folder beside the slides");
    std::fs::write(&slide, "x").expect("a file in it");
    let made = Command::new("mkfifo").arg(data.join("Slidedat.ini")).status();
    if !made.is_ok_and(|status| status.success()) {
        eprintln!("SKIPPED: no mkfifo");
        return None;
    }
    Some(slide)
}

#[test]
fn a_slide_that_hangs_is_given_up_and_the_others_are_done() {
    let folder = tempfile::tempdir().unwrap();
    let mut slides = tiny_slides(folder.path(), 2, 70);
    let Some(pipe) = endless(folder.path()) else { return };
    slides.insert(1, pipe);
    let out = folder.path().join("out");
    let output = run(&paths(&slides), &out, &["--window", "128", "--slide-timeout", "3"]);
    let text = stderr(&output);
    assert_eq!(output.status.code(), Some(65), "{text}");
    assert!(text.contains("endless.mrxs: FAILED: given up after 2 tries: no window ended"), "{text}");
    assert_two_done_one_named(&out, "no window ended within the slide timeout");
}

/// The worker dies twice as by a failed assertion in a library, while the slide is at work. (A segmentation
/// fault sent from outside would not do: Rust's handler lets the instruction run again, and it is sound.)
#[test]
fn a_crash_costs_its_slide_and_no_other() {
    let folder = tempfile::tempdir().unwrap();
    let mut slides = tiny_slides(folder.path(), 2, 80);
    let Some(pipe) = endless(folder.path()) else { return };
    slides.insert(1, pipe);
    let out = folder.path().join("out");
    let child = start(&slides, &out, &[]);
    let pid = child.id();
    // A failed test leaves nobody waiting at the pipe.
    let _guard = KilledWith(pid);
    let in_hand = || {
        walkdir::WalkDir::new(out.join(".slidemill"))
            .into_iter()
            .filter_map(Result::ok)
            .map(walkdir::DirEntry::into_path)
            .filter(|path| path.extension().is_some_and(|extension| extension == "mark"))
            .collect::<Vec<_>>()
    };
    // A slide that was done before is at work for a moment, the pipe for ever.
    let one_stays_in_hand = || {
        let before = in_hand();
        pause(Duration::from_secs(1));
        before.len() == 1 && in_hand() == before
    };
    let mut dead = Vec::new();
    for _ in 0..2 {
        // Only the pipe is still at work once the slide before it is committed.
        let worker = || workers(pid).first().copied().filter(|worker| !dead.contains(worker));
        wait_until(|| worker().is_some() && !accounts(&out).is_empty() && one_stays_in_hand());
        let Some(worker) = worker() else { panic!("a worker is there") };
        signal(worker, "ABRT");
        dead.push(worker);
        wait_until(|| !workers(pid).contains(&worker));
    }
    let output = child.wait_with_output().unwrap();
    let text = stderr(&output);
    assert_eq!(output.status.code(), Some(65), "{text}");
    assert!(
        text.contains("endless.mrxs: FAILED: given up after 2 tries") && text.contains("signal 6"),
        "{text}"
    );
    assert_two_done_one_named(&out, "signal 6");
}

/// Ends a job with the test that started it.
pub(super) struct KilledWith(pub(super) u32);

impl Drop for KilledWith {
    fn drop(&mut self) {
        if std::thread::panicking() {
            workers(self.0).into_iter().chain([self.0]).for_each(|pid| signal(pid, "KILL"));
        }
    }
}

fn assert_two_done_one_named(out: &Path, reason: &str) {
    let accounts = accounts(out);
    let of = |outcome| accounts.iter().filter(move |account| account.outcome == outcome);
    assert_eq!((of(Outcome::Done).count(), of(Outcome::Failed).count()), (2, 1));
    let failed = of(Outcome::Failed).next().and_then(|account| account.reason.clone()).unwrap_or_default();
    assert!(failed.contains(reason), "{failed}");
    let report = fs::read_to_string(out.join("report.html")).expect("there is a report");
    assert!(report.contains(reason), "the report says why");
    let left: Vec<_> = fs::read_dir(out.join(".slidemill"))
        .expect("the folder can be listed")
        .map(|entry| entry.expect("its entries too").file_name().to_string_lossy().into_owned())
        .filter(|name| name.starts_with("in-hand"))
        .collect();
    assert!(left.is_empty(), "{left:?}");
}

/// The usual way a scheduler ends a job: one SIGTERM for each of its processes.
#[test]
fn one_sigterm_for_all_processes_stops_in_order() {
    let folder = tempfile::tempdir().unwrap();
    let slides = tiny_slides(folder.path(), 3, 130);
    let undisturbed = folder.path().join("undisturbed");
    assert!(run(&paths(&slides), &undisturbed, &SETTINGS).status.success());
    let out = folder.path().join("out");
    let child = start(&slides, &out, &[]);
    let pid = child.id();
    let _guard = KilledWith(pid);
    wait_until(|| out.join(".slidemill/ledger").exists());
    workers(pid).into_iter().chain([pid]).for_each(|pid| signal(pid, "TERM"));
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(75), "{}", stderr(&output));
    assert!(stderr(&output).contains("the same command goes on"), "{}", stderr(&output));
    let locks = fs::read_dir(out.join(".slidemill/locks")).map_or(0, Iterator::count);
    assert_eq!(locks, 0, "a run that stops in order leaves no lock");
    let output = run(&paths(&slides), &out, &SETTINGS);
    assert!(output.status.success(), "{}", stderr(&output));
    assert_eq!(tables(&out), tables(&undisturbed));
}

#[test]
fn a_slide_replaced_while_it_is_read_is_not_believed() {
    let folder = tempfile::tempdir().unwrap();
    let slide = folder.path().join("slide.tif");
    let other = folder.path().join("other.tif");
    small_slide(&slide, 90);
    small_slide(&other, 91);
    let out = folder.path().join("out");
    let child = start(std::slice::from_ref(&slide), &out, &[]);
    wait_until(|| out.join(".slidemill/ledger").exists());
    fs::rename(&other, &slide).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(65), "{}", stderr(&output));
    assert!(stderr(&output).contains("was replaced or changed while it was read"), "{}", stderr(&output));
    assert!(!out.join("cells").exists(), "no table of two slides");

    let again = run(&[&slide], &out, &["--window", "256", "--threads", "2"]);
    assert!(again.status.success(), "{}", stderr(&again));
}

/// `true` if this process may mount; prints a note if not.
fn may_mount() -> bool {
    let root = fs::metadata("/proc/self").is_ok_and(|facts| facts.uid() == 0);
    if !root {
        eprintln!("SKIPPED: mounting a small file system needs root");
    }
    root
}

/// A file system of its own, gone when dropped.
struct Mounted(PathBuf);

impl Mounted {
    fn new(at: PathBuf, options: &str) -> Option<Self> {
        fs::create_dir_all(&at).expect("a folder to mount on");
        let status = Command::new("mount").args(["-t", "tmpfs", "-o", options, "tmpfs"]).arg(&at).output();
        if !status.is_ok_and(|output| output.status.success()) {
            eprintln!("SKIPPED: a small file system cannot be mounted here");
            return None;
        }
        Some(Self(at))
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

#[test]
fn a_full_disk_stops_cleanly_and_the_same_command_goes_on() {
    if !may_mount() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let slides = tiny_slides(folder.path(), 3, 100);
    let undisturbed = folder.path().join("undisturbed");
    assert!(run(&paths(&slides), &undisturbed, &SETTINGS).status.success());

    let Some(disk) = Mounted::new(folder.path().join("disk"), "size=64m") else { return };
    let out = disk.0.join("out");
    // Full from the start: reported before anything is read, with the space that is needed.
    let stuffing = disk.0.join("stuffing");
    fs::write(&stuffing, vec![0; 63 << 20]).unwrap();
    let output = run(&paths(&slides), &out, &SETTINGS);
    assert_eq!(output.status.code(), Some(73), "{}", stderr(&output));
    assert!(stderr(&output).contains("needed"), "{}", stderr(&output));
    // Full in the middle: filled up as soon as windows are done.
    fs::remove_file(&stuffing).unwrap();
    let child = start(&slides, &out, &[]);
    wait_until(|| out.join(".slidemill/ledger").exists());
    let _ = fs::write(&stuffing, vec![0; 64 << 20]);
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(73), "{}", stderr(&output));
    let text = stderr(&output);
    assert!(text.contains("are needed for the slide at work") && text.contains("make room"), "{text}");
    fs::remove_file(&stuffing).unwrap();
    let output = run(&paths(&slides), &out, &SETTINGS);
    assert!(output.status.success(), "{}", stderr(&output));
    assert_eq!(tables(&out), tables(&undisturbed));
    assert!(temporaries(&out).is_empty());
}

fn temporaries(out: &Path) -> Vec<PathBuf> {
    walkdir::WalkDir::new(out)
        .into_iter()
        .map(|entry| entry.expect("the output can be listed").into_path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "tmp"))
        .collect()
}

/// The run belongs to another user, whose folder is taken away while it writes to it.
#[test]
fn permission_lost_stops_cleanly_and_the_same_command_goes_on() {
    const NOBODY: u32 = 65_534;
    let root = fs::metadata("/proc/self").is_ok_and(|facts| facts.uid() == 0);
    let can = Command::new("setpriv").arg("--help").output().is_ok_and(|output| output.status.success());
    if !root || !can {
        eprintln!("SKIPPED: running as another user needs root and setpriv");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let slides = tiny_slides(folder.path(), 2, 110);
    let undisturbed = folder.path().join("undisturbed");
    assert!(run(&paths(&slides), &undisturbed, &SETTINGS).status.success());
    let out = folder.path().join("out");
    fs::create_dir(&out).unwrap();
    std::os::unix::fs::chown(&out, Some(NOBODY), Some(NOBODY)).unwrap();
    let as_nobody = || {
        let mut command = Command::new("setpriv");
        command.args(["--reuid", "65534", "--regid", "65534", "--clear-groups"]);
        command
            .arg(env!("CARGO_BIN_EXE_slidemill"))
            .arg("run")
            .args(&slides)
            .arg("-o")
            .arg(&out)
            .args(SETTINGS);
        command.stderr(Stdio::piped()).spawn().unwrap()
    };
    let child = as_nobody();
    wait_until(|| out.join(".slidemill/ledger").exists() || !is_running(child.id()));
    if !out.join(".slidemill/ledger").exists() {
        let output = child.wait_with_output().unwrap();
        eprintln!("SKIPPED: another user cannot run the command here: {}", stderr(&output));
        return;
    }
    std::os::unix::fs::chown(&out, Some(0), Some(0)).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(73), "{}", stderr(&output));
    assert!(stderr(&output).contains("Permission denied"), "{}", stderr(&output));
    std::os::unix::fs::chown(&out, Some(NOBODY), Some(NOBODY)).unwrap();
    let output = as_nobody().wait_with_output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    assert_eq!(tables(&out), tables(&undisturbed));
}

pub(super) fn is_running(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    !stat.is_empty() && !stat.contains(") Z")
}

/// Compiles a library to load before the system's own; prints a note if there is no compiler.
pub(super) fn shim_of(folder: &Path, source: &str) -> Option<PathBuf> {
    let (file, shim) = (folder.join("shim.c"), folder.join("shim.so"));
    fs::write(&file, source).expect("the source can be written");
    let built =
        Command::new("cc").args(["-shared", "-fPIC", "-o"]).arg(&shim).arg(&file).arg("-ldl").output();
    if built.is_ok_and(|output| output.status.success()) {
        return Some(shim);
    }
    eprintln!("SKIPPED: no C compiler to lay a library before the system's own");
    None
}

/// Reads that fail as those of a dying disk do: a library loaded before the system's own answers some of them
/// with EIO.
#[test]
fn reads_that_fail_cost_their_windows_until_the_disk_is_well_again() {
    const SHIM: &str = r#"
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
static int failed;
ssize_t pread64(int fd, void *to, size_t count, off64_t at) {
    static ssize_t (*real)(int, void *, size_t, off64_t);
    if (!real) real = dlsym(RTLD_NEXT, "pread64");
    struct stat64 facts;
    const char *inode = getenv("BAD_INODE"), *from = getenv("BAD_FROM"), *to_end = getenv("BAD_TO");
    if (inode && from && to_end && !fstat64(fd, &facts) && facts.st_ino == strtoull(inode, 0, 10)
        && at + (off64_t)count > strtoll(from, 0, 10) && at < strtoll(to_end, 0, 10)
        && __sync_fetch_and_add(&failed, 1) < atoi(getenv("BAD_TIMES"))) {
        errno = EIO;
        return -1;
    }
    return real(fd, to, count, at);
}
"#;
    let folder = tempfile::tempdir().unwrap();
    let Some(shim) = shim_of(folder.path(), SHIM) else { return };
    let slide = folder.path().join("slide.tif");
    paint(&slide, 120, 1280.0, 768.0);
    let facts = fs::metadata(&slide).unwrap();
    let settings = ["--window", "512", "--threads", "2"];
    let undisturbed = folder.path().join("undisturbed");
    assert!(run(&[&slide], &undisturbed, &settings).status.success());
    // A few tiles of level 0, which is most of the file, between two of the blocks that make the slide's
    // identity.
    let block = |number: u64| (64 << 10) + (facts.len() - (144 << 10)) * number / 31;
    let bad = block(9) + (16 << 10)..block(10);
    assert!(bad.end > bad.start + 4096, "the slide is too small: {} bytes", facts.len());
    let failing = |times: u32, out: &Path| {
        let mut command = slidemill();
        command.arg("run").arg(&slide).arg("-o").arg(out).args(settings);
        command
            .env("LD_PRELOAD", &shim)
            .env("BAD_INODE", facts.ino().to_string())
            .env("BAD_FROM", bad.start.to_string())
            .env("BAD_TO", bad.end.to_string())
            .env("BAD_TIMES", times.to_string());
        command.output().unwrap()
    };
    // Only for a moment: it costs nothing.
    let out = folder.path().join("moment");
    let output = failing(3, &out);
    assert!(output.status.success(), "{}", stderr(&output));
    assert_eq!(tables(&out), tables(&undisturbed));

    let out = folder.path().join("out");
    let output = failing(u32::MAX >> 1, &out);
    assert_eq!(output.status.code(), Some(65), "{}", stderr(&output));
    let account = &accounts(&out)[0];
    let analysis = account.analysis.as_ref().unwrap_or_else(|| panic!("{:?}", account.reason));
    assert_eq!(account.outcome, Outcome::Partial, "{account:?}");
    assert!(analysis.windows.failed > 0 && analysis.windows.done > analysis.windows.failed);
    assert!(analysis.failures[0].reason.contains("Input/output error"), "{:?}", analysis.failures);
    assert!(analysis.coverage.fraction < 1.0);
    assert!(fs::read_to_string(out.join("report.html")).unwrap().contains("Incomplete"));
    assert_eq!(analysis.windows.unread, analysis.windows.failed);
    assert!(analysis.failures[0].reason.contains("the file may be sound"), "{:?}", analysis.failures);
    // The disk works again: the same command reads the missing parts, and no more.
    let output = run(&[&slide], &out, &settings);
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(stderr(&output).contains("already done"), "{}", stderr(&output));
    assert_eq!(accounts(&out)[0].outcome, Outcome::Done);
    assert_eq!(tables(&out), tables(&undisturbed));
    assert_nothing_is_left(&out);
}

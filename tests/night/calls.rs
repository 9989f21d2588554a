//! A job dies at its nth call of the system that changes a file, or its nth call that looks at one or changes one
//! fails: between any two of them its dataset must be whole, and what it lacks must be said.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    process::Output,
};

use dataset::{Dataset, Findings};
use rand::RngExt as _;

use super::{
    faults::{SETTINGS, assert_nothing_is_left, paths, shim_of},
    support::{dice, run, slidemill, stderr, tables, times, tiny_slides},
};

/// Counts such calls of a process. Before one of them it kills the process, or lets the call fail with `FAIL_WITH`:
/// then calls that only look at files count too, and those of terminals and pipes do not.
const SHIM: &str = r#"
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>
static int calls;
static int fails(void) {
    const char *at = getenv("AT_CALL"), *with = getenv("FAIL_WITH");
    if (!at || __sync_add_and_fetch(&calls, 1) != atoi(at)) return 0;
    if (!with) kill(getpid(), SIGKILL);
    errno = atoi(with);
    return 1;
}
static int is_for_errors(void) { return getenv("FAIL_WITH") != NULL; }
static int is_regular(int file) {
    struct stat64 facts;
    return !fstat64(file, &facts) && S_ISREG(facts.st_mode);
}
static int is_of_the_system(const char *path) {
    return !strncmp(path, "/proc", 5) || !strncmp(path, "/sys", 4) || !strncmp(path, "/dev", 4);
}
#define REAL(type, name, parameters, arguments, counts) \
    type name parameters { \
        static type (*real) parameters; \
        if (!real) real = dlsym(RTLD_NEXT, #name); \
        if ((counts) && fails()) return -1; \
        return real arguments; \
    }
REAL(int, rename, (const char *from, const char *to), (from, to), 1)
REAL(int, link, (const char *from, const char *to), (from, to), 1)
REAL(int, linkat, (int a, const char *from, int b, const char *to, int flags), (a, from, b, to, flags), 1)
REAL(int, unlink, (const char *path), (path), 1)
REAL(int, rmdir, (const char *path), (path), 1)
REAL(int, mkdir, (const char *path, mode_t mode), (path, mode), 1)
REAL(int, fsync, (int file), (file), 1)
REAL(int, fdatasync, (int file), (file), 1)
REAL(int, ftruncate64, (int file, off64_t length), (file, length), 1)
REAL(ssize_t, write, (int file, const void *bytes, size_t length), (file, bytes, length),
     !is_for_errors() || is_regular(file))
/* What is open and cannot be read is of a disk that fails, whatever was told. */
static int reading_fails(int counts) {
    if (!counts || !fails()) return 0;
    errno = EIO;
    return 1;
}
#define REAL_READ(name, parameters, arguments) \
    ssize_t name parameters { \
        static ssize_t (*real) parameters; \
        if (!real) real = dlsym(RTLD_NEXT, #name); \
        if (reading_fails(is_for_errors() && is_regular(file))) return -1; \
        return real arguments; \
    }
REAL_READ(read, (int file, void *to, size_t length), (file, to, length))
REAL_READ(pread64, (int file, void *to, size_t length, off64_t at), (file, to, length, at))
int open64(const char *path, int flags, ...) {
    static int (*real)(const char *, int, ...);
    va_list more;
    va_start(more, flags);
    mode_t mode = va_arg(more, mode_t);
    va_end(more);
    if (!real) real = dlsym(RTLD_NEXT, "open64");
    if (is_for_errors() && !is_of_the_system(path) && fails()) return -1;
    return real(path, flags, mode);
}
"#;

/// A job over two tiny slides makes about as many calls that change a file.
const CHANGES: u32 = 160;
/// And as many that look at one or change one.
const LOOKS_AND_CHANGES: u32 = 400;
/// A disk that fails, no room, no right, a disk that cannot be written to, no more files: EIO, ENOSPC, EACCES, EROFS,
/// EMFILE.
const ERRORS: [u32; 5] = [5, 28, 13, 30, 24];
/// A fault of the program.
const INTERNAL: i32 = 70;

/// Two slides, and their tables of a job that nothing disturbs.
struct Undisturbed {
    slides: Vec<PathBuf>,
    tables: BTreeMap<PathBuf, Vec<u8>>,
}

impl Undisturbed {
    fn new(folder: &Path, seed: u64) -> Self {
        let slides = tiny_slides(folder, 2, seed);
        let out = folder.join("undisturbed");
        assert!(run(&paths(&slides), &out, &SETTINGS).status.success());
        Self { slides, tables: tables(&out) }
    }

    /// Runs the job with the library before the system's own, in each process, workers that are begun again too.
    fn run_disturbed(&self, out: &Path, shim: &Path, told: &[(&str, u32)]) -> Output {
        let mut command = slidemill();
        command.arg("run").args(&self.slides).arg("-o").arg(out).args(SETTINGS).env("LD_PRELOAD", shim);
        command.envs(told.iter().map(|(name, value)| (name, value.to_string())));
        command.output().expect("the command starts")
    }

    /// Tables that are not those of the undisturbed job.
    fn others(&self, out: &Path) -> Vec<PathBuf> {
        let found = tables(out);
        let all: BTreeSet<&PathBuf> = self.tables.keys().chain(found.keys()).collect();
        all.into_iter().filter(|path| self.tables.get(*path) != found.get(*path)).cloned().collect()
    }

    /// The same command, undisturbed, ends in the same bytes.
    fn assert_goes_on(&self, out: &Path, disturbed: &str) {
        let again = run(&paths(&self.slides), out, &SETTINGS);
        assert!(again.status.success(), "{disturbed}: {}", stderr(&again));
        assert_eq!(self.others(out), Vec::<PathBuf>::new(), "{disturbed}");
        assert_nothing_is_left(out);
    }
}

#[test]
fn killed_at_any_call_the_same_command_ends_in_the_same_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let Some(shim) = shim_of(folder.path(), SHIM) else { return };
    let job = Undisturbed::new(folder.path(), 400);
    let mut dice = dice();
    let mut died = 0;
    for trial in 0..times(8) {
        let out = folder.path().join(format!("killed-{trial}"));
        let call = dice.random_range(1..CHANGES);
        died += u32::from(!job.run_disturbed(&out, &shim, &[("AT_CALL", call)]).status.success());
        job.assert_goes_on(&out, &format!("killed at call {call}"));
        std::fs::remove_dir_all(&out).unwrap();
    }
    println!("{died} of {} jobs were killed at a call", times(8));
    assert!(died > 0);
}

#[test]
fn a_call_that_fails_is_told_or_made_good_and_the_same_command_ends_in_the_same_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let Some(shim) = shim_of(folder.path(), SHIM) else { return };
    let job = Undisturbed::new(folder.path(), 410);
    let mut dice = dice();
    let mut told = 0;
    for trial in 0..times(16) {
        let out = folder.path().join(format!("failed-{trial}"));
        let call = dice.random_range(1..LOOKS_AND_CHANGES);
        let error = ERRORS[dice.random_range(0..ERRORS.len())];
        let disturbed = format!("call {call} failed with {error}");
        let output = job.run_disturbed(&out, &shim, &[("AT_CALL", call), ("FAIL_WITH", error)]);
        told += u32::from(!output.status.success());
        let code = output.status.code();
        assert!(code.is_some_and(|code| code != INTERNAL), "{disturbed}: {code:?} {}", stderr(&output));
        if code == Some(0) {
            let others = job.others(&out);
            assert!(others.is_empty(), "{disturbed}, and nothing was said: {others:?}: {}", stderr(&output));
        }
        // No dataset at all is whole too.
        let problems = Findings::collect(&Dataset::at(&out)).map_or(Vec::new(), |found| found.problems);
        let unfinished = |problem: &String| problem.ends_with("run the same command again");
        assert!(problems.iter().all(unfinished), "{disturbed}: {problems:?}");
        job.assert_goes_on(&out, &disturbed);
        std::fs::remove_dir_all(&out).unwrap();
    }
    println!("{told} of {} jobs said that a call failed", times(16));
    assert!(told > 0);
}

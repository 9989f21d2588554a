//! A job dies at its nth call of the system that changes a file: between any two of them its dataset must be whole.

use std::path::{Path, PathBuf};

use rand::RngExt as _;

use super::{
    faults::{SETTINGS, assert_nothing_is_left, paths, shim_of},
    support::{dice, run, slidemill, stderr, tables, times, tiny_slides},
};

/// Counts such calls of a process and kills it at one of them, before the call is made.
const SHIM: &str = r#"
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/types.h>
#include <unistd.h>
static int calls;
static void count(void) {
    const char *at = getenv("KILL_AT");
    if (at && __sync_add_and_fetch(&calls, 1) == atoi(at)) kill(getpid(), SIGKILL);
}
#define REAL(type, name, parameters, arguments) \
    type name parameters { \
        static type (*real) parameters; \
        if (!real) real = dlsym(RTLD_NEXT, #name); \
        count(); \
        return real arguments; \
    }
REAL(int, rename, (const char *from, const char *to), (from, to))
REAL(int, link, (const char *from, const char *to), (from, to))
REAL(int, linkat, (int a, const char *from, int b, const char *to, int flags), (a, from, b, to, flags))
REAL(int, unlink, (const char *path), (path))
REAL(int, rmdir, (const char *path), (path))
REAL(int, mkdir, (const char *path, mode_t mode), (path, mode))
REAL(int, fsync, (int file), (file))
REAL(int, fdatasync, (int file), (file))
REAL(int, ftruncate64, (int file, off64_t length), (file, length))
REAL(ssize_t, write, (int file, const void *bytes, size_t length), (file, bytes, length))
"#;

/// A job over two tiny slides makes about as many such calls.
const CALLS: u32 = 160;

/// Kills each process of a job, workers that are begun again too, at one of its calls; `false` when the job came to its
/// end all the same.
fn dies_at(call: u32, shim: &Path, slides: &[PathBuf], out: &Path) -> bool {
    let mut command = slidemill();
    command.arg("run").args(slides).arg("-o").arg(out).args(SETTINGS);
    let ended = command.env("LD_PRELOAD", shim).env("KILL_AT", call.to_string()).output();
    !ended.expect("the command starts").status.success()
}

#[test]
fn killed_at_any_call_the_same_command_ends_in_the_same_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let Some(shim) = shim_of(folder.path(), SHIM) else { return };
    let slides = tiny_slides(folder.path(), 2, 400);
    let undisturbed = folder.path().join("undisturbed");
    assert!(run(&paths(&slides), &undisturbed, &SETTINGS).status.success());
    let expected = tables(&undisturbed);
    let mut dice = dice();
    let mut died = 0;
    for job in 0..times(8) {
        let out = folder.path().join(format!("killed-{job}"));
        let call = dice.random_range(1..CALLS);
        died += u32::from(dies_at(call, &shim, &slides, &out));
        let again = run(&paths(&slides), &out, &SETTINGS);
        assert!(again.status.success(), "killed at call {call}: {}", stderr(&again));
        assert_eq!(tables(&out), expected, "killed at call {call}");
        assert_nothing_is_left(&out);
        std::fs::remove_dir_all(&out).unwrap();
    }
    println!("{died} of {} jobs were killed at a call", times(8));
    assert!(died > 0);
}

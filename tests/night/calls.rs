//! The job dies at its nth call of the system that changes a file: between any two of them it must be whole.

use std::{path::Path, process::Output};

use rand::{RngExt as _, SeedableRng as _};
use rand_pcg::Pcg64Mcg;

use super::{
    faults::{SETTINGS, assert_nothing_is_left, paths, seed, shim_of, times},
    support::{run, slidemill, stderr, tables, tiny_slides},
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
REAL(ssize_t, write, (int file, const void *bytes, size_t count_), (file, bytes, count_))
"#;

/// How many such calls a worker makes at least until the first slide is begun, and perhaps not many more in all.
const CALLS: u32 = 160;

#[test]
fn killed_at_any_call_the_same_command_ends_in_the_same_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let Some(shim) = shim_of(folder.path(), SHIM) else { return };
    let slides = tiny_slides(folder.path(), 2, 400);
    let undisturbed = folder.path().join("undisturbed");
    assert!(run(&paths(&slides), &undisturbed, &SETTINGS).status.success());
    let expected = tables(&undisturbed);
    let killed_at = |call: u32, out: &Path| -> Output {
        let mut command = slidemill();
        command.arg("run").args(&slides).arg("-o").arg(out).args(SETTINGS);
        command.env("LD_PRELOAD", &shim).env("KILL_AT", call.to_string()).output().unwrap()
    };
    let mut dice = Pcg64Mcg::seed_from_u64(seed());
    let mut died = 0;
    for job in 0..times(8) {
        let out = folder.path().join(format!("killed-{job}"));
        let call = dice.random_range(1..CALLS);
        died += u32::from(!killed_at(call, &out).status.success());
        let again = run(&paths(&slides), &out, &SETTINGS);
        assert!(again.status.success(), "killed at call {call}: {}", stderr(&again));
        assert_eq!(tables(&out), expected, "killed at call {call}");
        assert_nothing_is_left(&out);
        std::fs::remove_dir_all(&out).unwrap();
    }
    eprintln!("{} jobs, {died} of them did not get to their end by themselves", times(8));
    assert!(died > 0);
}

//! The limits of a job: memory and cores that a cgroup allows, room on the disk.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use super::support::{SMALL_WINDOWS, accounts, run, slidemill, small_slide, stderr};

/// A control group of version 1, gone when dropped.
struct Group(PathBuf);

impl Group {
    fn new(controller: &str, limits: &[(&str, &str)]) -> Option<Self> {
        let name = format!("slidemill-test-{}", std::process::id());
        let group = Self(Path::new("/sys/fs/cgroup").join(controller).join(name));
        let made = fs::create_dir(&group.0)
            .and_then(|()| limits.iter().try_for_each(|(file, text)| fs::write(group.0.join(file), text)));
        if let Err(error) = made {
            eprintln!("SKIPPED: no cgroup of {controller} can be made here: {error}");
            return None;
        }
        Some(group)
    }

    /// The command in this group.
    fn run(&self, arguments: &[&std::ffi::OsStr]) -> Output {
        let mut command = Command::new("sh");
        command.args(["-c", r#"echo $$ > "$0" && exec "$@""#]).arg(self.0.join("cgroup.procs"));
        command.arg(env!("CARGO_BIN_EXE_slidemill")).args(arguments);
        for name in ["SLURM_CPUS_PER_TASK", "SLURM_MEM_PER_CPU", "SLURM_MEM_PER_NODE"] {
            command.env_remove(name);
        }
        command.output().expect("the command starts")
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        let _ = fs::remove_dir(&self.0);
    }
}

#[test]
fn the_memory_of_a_cgroup_is_kept() {
    let Some(group) = Group::new("memory", &[("memory.limit_in_bytes", "1G")]) else { return };
    let shown = group.run(&["settings".as_ref()]);
    let text = String::from_utf8_lossy(&shown.stdout).into_owned();
    assert!(text.contains("mem = \"256M\""), "{text}{}", stderr(&shown));

    let folder = tempfile::tempdir().unwrap();
    let (slide, out) = (folder.path().join("slide.tif"), folder.path().join("out"));
    small_slide(&slide, 160);
    let output = group.run(&[
        "run".as_ref(),
        slide.as_ref(),
        "-o".as_ref(),
        out.as_ref(),
        "--window".as_ref(),
        "512".as_ref(),
    ]);
    assert!(output.status.success(), "{}", stderr(&output));
    let control = fs::read_to_string(group.0.join("memory.oom_control")).unwrap();
    assert!(!control.contains("oom_kill ") || control.contains("oom_kill 0"), "{control}");
    let most = fs::read_to_string(group.0.join("memory.memsw.max_usage_in_bytes"))
        .or_else(|_| fs::read_to_string(group.0.join("memory.max_usage_in_bytes")))
        .unwrap();
    eprintln!(
        "at most {} MB of 1074 MB, what is cached of files included",
        most.trim().parse::<u64>().unwrap() / 1_000_000
    );
}

#[test]
fn the_cores_of_a_cgroup_are_kept_and_those_of_slurm_go_first() {
    let quota = [("cpu.cfs_period_us", "100000"), ("cpu.cfs_quota_us", "100000")];
    let Some(group) = Group::new("cpu", &quota) else { return };
    let shown = |output: Output| String::from_utf8_lossy(&output.stdout).into_owned();
    let text = shown(group.run(&["settings".as_ref()]));
    assert!(text.contains("threads = 1 "), "{text}");
    let text = shown(slidemill().arg("settings").env("SLURM_CPUS_PER_TASK", "3").output().unwrap());
    assert!(text.contains("threads = 3 "), "{text}");
}

#[test]
fn a_slide_that_needs_more_than_scratch_stops_the_run_and_says_what_it_needs() {
    let folder = tempfile::tempdir().unwrap();
    let (slide, out) = (folder.path().join("slide.tif"), folder.path().join("out"));
    small_slide(&slide, 161);
    let with = |scratch: &str| run(&[&slide], &out, &[&SMALL_WINDOWS[..], &["--scratch", scratch]].concat());
    let output = with("1M");
    let text = stderr(&output);
    assert_eq!(output.status.code(), Some(73), "{text}");
    assert!(text.contains("no room for a slide of") && text.contains("given by --scratch"), "{text}");
    assert!(accounts(&out).is_empty());
    let output = with("64M");
    assert!(output.status.success(), "{}", stderr(&output));
    let output = with("much");
    assert_eq!(output.status.code(), Some(64), "{}", stderr(&output));
}

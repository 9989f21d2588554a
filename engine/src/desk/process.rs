//! Identity of processes: the system uses process numbers again, and so does every container.

use std::{fs, path::Path};

use serde::{Deserialize, Serialize};

/// Start of a process, which tells it from others of its number.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Birth {
    /// Scope of its number: the boot of the machine and the namespace of numbers; a container has its own.
    world: String,
    /// Time at which it began, in clock ticks since the boot.
    ticks: u64,
}

impl Birth {
    /// Start of this process; `None` if the system does not tell.
    pub(super) fn of_this_process() -> Option<Self> {
        let ticks = ticks_at_start(std::process::id())?;
        let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
        let numbers = fs::read_link("/proc/self/ns/pid").ok()?;
        Some(Self { world: format!("{} {}", boot.trim(), numbers.display()), ticks })
    }
}

/// State of a process of this host, as far as it is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Life {
    /// It runs.
    Runs,
    /// It certainly does not run.
    Gone,
    /// It may run or not.
    Unknown,
}

/// State of the process with this number on a host of this name, which began at `birth`, as seen by a process
/// that began at `here`. Two machines or containers may have the same name.
pub(super) fn life(process: u32, birth: Option<&Birth>, here: Option<&Birth>) -> Life {
    match (birth, here) {
        (Some(birth), Some(here)) if birth.world == here.world => match ticks_at_start(process) {
            Some(ticks) if ticks == birth.ticks => Life::Runs,
            _ => Life::Gone,
        },
        (Some(_), Some(_)) => Life::Unknown,
        _ if process_runs(process) => Life::Unknown,
        _ => Life::Gone,
    }
}

/// `true` if a process of this host is alive, or if that cannot be known.
pub(super) fn process_runs(process: u32) -> bool {
    !Path::new("/proc/self").exists() || ticks_at_start(process).is_some()
}

/// Time at which a process began; `None` if none with that number is alive, or the system does not tell. One
/// that ended while its parent has not been told yet is not alive.
fn ticks_at_start(process: u32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    // The name, in brackets, may hold anything.
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
    let state = fields.next()?;
    (!matches!(state, "Z" | "X")).then(|| fields.nth(18)?.parse().ok()).flatten()
}

#[cfg(target_os = "linux")]
#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_used_again_is_another_process() {
        let (own, here) = (std::process::id(), Birth::of_this_process());
        let birth = here.clone().expect("Linux tells");
        assert_eq!(life(own, here.as_ref(), here.as_ref()), Life::Runs);
        let earlier = Birth { ticks: birth.ticks - 1, ..birth.clone() };
        assert_eq!(life(own, Some(&earlier), here.as_ref()), Life::Gone);
        let elsewhere = Birth { world: "another boot".into(), ..birth.clone() };
        assert_eq!(life(own, Some(&elsewhere), here.as_ref()), Life::Unknown);
        assert_eq!(
            life(u32::MAX, Some(&elsewhere), here.as_ref()),
            Life::Unknown,
            "a container of that name"
        );
        assert_eq!(life(own, None, here.as_ref()), Life::Unknown);
        assert_eq!(life(u32::MAX, None, here.as_ref()), Life::Gone);
        assert_eq!(life(u32::MAX, Some(&birth), here.as_ref()), Life::Gone);
    }

    #[test]
    fn a_process_that_ended_does_not_run() {
        let mut child = std::process::Command::new("sleep").arg("600").spawn().expect("it starts");
        assert!(process_runs(child.id()));
        child.kill().expect("it can be killed");
        // It keeps its number until it is waited for.
        while process_runs(child.id()) {
            std::thread::yield_now();
        }
        child.wait().expect("it ended");
        assert!(!process_runs(child.id()));
    }
}

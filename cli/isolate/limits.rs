//! The limit of the machine that ended a worker process, if it was one: then no slide is to blame.

use std::{fs, process::ExitStatus};

use rustix::process::{Resource, Signal, getrlimit};

/// Resources that a worker process used, as far as they can be seen from outside.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Used {
    /// Processor time of worker processes that ended, in clock ticks.
    pub(super) cpu_ticks: u64,
    /// Largest address space of the worker process, in bytes.
    pub(super) address_space: u64,
}

/// Clock ticks per second, the unit of times in `/proc`.
const TICKS: u64 = 100;
/// Linux ends a process by time that it samples, and tells the time that was used. With many short turns on a busy machine the
/// first is longer: half a second and a tenth of the limit are allowed for it.
const SAMPLED: u64 = TICKS / 2;

/// Processor time of the children of this process that ended, in clock ticks; 0 if the system does not tell.
pub(super) fn children_ticks() -> u64 {
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // The name, in brackets, may hold anything. Wanted are fields 16 and 17 of the whole line.
    let fields = stat.rsplit_once(')').map_or("", |(_, fields)| fields).split_whitespace();
    fields.skip(13).take(2).filter_map(|ticks| ticks.parse::<u64>().ok()).sum()
}

/// Largest address space of a process so far, in bytes; `None` if it is gone or the system does not tell.
pub(super) fn peak_of(process: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let peak = status.lines().find_map(|line| line.strip_prefix("VmPeak:"))?;
    Some(peak.trim().trim_end_matches(" kB").parse::<u64>().ok()? << 10)
}

/// The limit that ended a worker process, in words; `None` if it was none.
pub(super) fn reached(status: ExitStatus, used: Used) -> Option<String> {
    let signal = std::os::unix::process::ExitStatusExt::signal(&status)?;
    limit(signal, used, |resource| getrlimit(resource).current)
}

fn limit(signal: i32, used: Used, allowed: impl Fn(Resource) -> Option<u64>) -> Option<String> {
    let is = |wanted: Signal| signal == wanted.as_raw();
    let cpu = allowed(Resource::Cpu);
    let is_spent = cpu.is_some_and(|secs| (used.cpu_ticks + SAMPLED) * 10 >= secs * TICKS * 9);
    if is(Signal::XCPU) || (is(Signal::KILL) && is_spent) {
        let secs = cpu.map_or_else(String::new, |secs| format!(" of {secs} s"));
        return Some(format!("the limit{secs} of processor time for one process is reached (ulimit -t)"));
    }
    if is(Signal::XFSZ) {
        return Some("a file would be larger than the limit allows (ulimit -f)".into());
    }
    // A process that gets no memory aborts, and one without a stack faults.
    let memory = allowed(Resource::As)?;
    let ran_out = [Signal::ABORT, Signal::SEGV, Signal::BUS, Signal::ILL].into_iter().any(is);
    (ran_out && used.address_space >= memory / 2).then(|| {
        format!(
            "the limit of {} MB of address space is reached (ulimit -v), or nearly so with {} MB",
            memory >> 20,
            used.address_space >> 20
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(signal: Signal, used: Used) -> Option<String> {
        limit(signal.as_raw(), used, |resource| match resource {
            Resource::Cpu => Some(20),
            Resource::As => Some(4 << 30),
            _ => None,
        })
    }

    #[test]
    fn limits_are_told_from_crashes() {
        let cpu = Used { cpu_ticks: 1_750, address_space: 0 };
        let less = Used { cpu_ticks: 1_749, address_space: 0 };
        let memory = Used { cpu_ticks: 0, address_space: 3 << 30 };
        assert!(of(Signal::XCPU, Used::default()).unwrap().contains("20 s"));
        assert!(of(Signal::KILL, cpu).unwrap().contains("ulimit -t"));
        assert!(of(Signal::XFSZ, Used::default()).unwrap().contains("ulimit -f"));
        assert!(of(Signal::ABORT, memory).unwrap().contains("ulimit -v"));
        for (signal, used) in
            [(Signal::KILL, memory), (Signal::KILL, less), (Signal::ABORT, cpu), (Signal::TERM, memory)]
        {
            assert_eq!(of(signal, used), None, "{signal:?}");
        }
        assert_eq!(limit(Signal::ABORT.as_raw(), memory, |_| None), None, "nothing is limited");
    }

    #[test]
    fn this_process_is_seen() {
        assert!(peak_of(std::process::id()).is_some_and(|bytes| bytes > 1 << 20));
        assert_eq!(peak_of(u32::MAX), None);
    }
}

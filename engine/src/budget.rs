//! Resources that this process may use: memory that the kernel or a scheduler allows it, and room on a disk.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

/// A limit of memory, with its source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MemoryLimit {
    /// Bytes that may be used.
    pub bytes: u64,
    /// Source of the limit, in words.
    pub source: &'static str,
}

/// Cores and memory that a job may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Machine {
    /// Cores.
    pub threads: usize,
    /// Memory; `None` where no limit is known.
    pub memory: Option<MemoryLimit>,
}

impl Machine {
    /// Resources that the system allows this process: affinity and cgroups. The environment is not read.
    #[must_use]
    pub fn here() -> Self {
        let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        Self { threads, memory: memory_limit(None) }
    }

    /// The same within the limits of a scheduler's variables (`SLURM_CPUS_PER_TASK`, `SLURM_MEM_PER_NODE`,
    /// `SLURM_MEM_PER_CPU`); `variable` returns their values.
    #[must_use]
    pub fn scheduled(variable: impl Fn(&str) -> Option<String>) -> Self {
        let threads = variable("SLURM_CPUS_PER_TASK").and_then(|text| text.parse().ok());
        let threads = threads.filter(|&threads: &usize| threads > 0);
        Self {
            threads: threads.unwrap_or_else(|| Self::here().threads),
            memory: memory_limit(slurm_bytes(variable)),
        }
    }
}

/// Smallest limit for this process: of the scheduler, of its cgroups, of the machine. `None` if none is
/// known.
fn memory_limit(scheduler: Option<u64>) -> Option<MemoryLimit> {
    let scheduler = scheduler.map(|bytes| (bytes, "Slurm"));
    let cgroup = cgroup_bytes().map(|bytes| (bytes, "the cgroup"));
    let machine = machine_bytes(&fs::read_to_string("/proc/meminfo").unwrap_or_default());
    let machine = machine.map(|bytes| (bytes, "this machine"));
    let limits = [scheduler, cgroup, machine].into_iter().flatten();
    limits.min_by_key(|limit| limit.0).map(|(bytes, source)| MemoryLimit { bytes, source })
}

/// Memory that Slurm allows, in bytes; its variables give megabytes, per node or per CPU.
fn slurm_bytes(variable: impl Fn(&str) -> Option<String>) -> Option<u64> {
    let [per_node, per_cpu, cpus] = ["SLURM_MEM_PER_NODE", "SLURM_MEM_PER_CPU", "SLURM_CPUS_PER_TASK"]
        .map(|name| variable(name)?.parse::<u64>().ok().filter(|&number| number > 0));
    let of_cpus = per_cpu.map(|megabytes| megabytes * cpus.unwrap_or(1));
    Some(per_node.or(of_cpus)? << 20)
}

fn machine_bytes(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    Some(line.trim().trim_end_matches(" kB").parse::<u64>().ok()? << 10)
}

fn cgroup_bytes() -> Option<u64> {
    let groups = fs::read_to_string("/proc/self/cgroup").ok()?;
    let limits = limit_files(&groups, Path::new("/sys/fs/cgroup")).into_iter().filter_map(|path| {
        let bytes = fs::read_to_string(path).ok()?.trim().parse::<u64>().ok()?;
        // From this value on, version 1 means that nothing is limited.
        (bytes < 1 << 60).then_some(bytes)
    });
    limits.min()
}

/// Files that may limit a process in these groups: those of its own group and of all above, of version 2 and
/// of version 1.
fn limit_files(groups: &str, root: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for line in groups.lines() {
        let mut fields = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(group)) = (fields.next(), fields.next()) else { continue };
        let (base, file) = match controllers {
            "" => (root.to_owned(), "memory.max"),
            _ if controllers.split(',').any(|name| name == "memory") => {
                (root.join("memory"), "memory.limit_in_bytes")
            }
            _ => continue,
        };
        let group = Path::new(group.trim_start_matches('/'));
        files.extend(group.ancestors().map(|above| base.join(above).join(file)));
    }
    files
}

/// Bytes this user may still write in the file system of `folder`.
///
/// # Errors
///
/// When the system does not say.
pub(crate) fn free_bytes(folder: &Path) -> io::Result<u64> {
    let facts = rustix::fs::statvfs(folder)?;
    Ok(facts.f_bavail.saturating_mul(facts.f_frsize))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(pairs: &[(&str, &str)]) -> Option<u64> {
        slurm_bytes(|name| pairs.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned()))
    }

    #[test]
    fn slurm_is_believed_per_node_or_per_cpu() {
        assert_eq!(of(&[("SLURM_MEM_PER_NODE", "8192")]), Some(8 << 30));
        assert_eq!(of(&[("SLURM_MEM_PER_CPU", "2048"), ("SLURM_CPUS_PER_TASK", "4")]), Some(8 << 30));
        assert_eq!(of(&[("SLURM_MEM_PER_NODE", "0")]), None);
        assert_eq!(of(&[]), None);
    }

    #[test]
    fn cgroups_limit_from_their_own_level_up() {
        let files = limit_files("4:cpu,memory:/a/b\n3:cpuset:/\n0::/c\n", Path::new("/r"));
        let expected = [
            "/r/memory/a/b/memory.limit_in_bytes",
            "/r/memory/a/memory.limit_in_bytes",
            "/r/memory/memory.limit_in_bytes",
            "/r/c/memory.max",
            "/r/memory.max",
        ];
        assert_eq!(files, expected.map(PathBuf::from));
    }

    #[test]
    fn the_machine_says_what_it_has() {
        assert_eq!(machine_bytes("MemTotal:       24689764 kB\nMemFree: 1 kB\n"), Some(24_689_764 << 10));
        assert!(free_bytes(Path::new("/")).unwrap() > 0);
    }
}

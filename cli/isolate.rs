//! A crash inside a vendor's library, or a read that never returns, costs its
//! slide and nothing else.
//!
//! The job runs in a child process over the same list. The child leaves a mark
//! for each slide it has in hand. When it dies, the parent turns those marks
//! into strikes and starts another child, which goes on from the ledgers. With a
//! strike in the job the child takes one slide at a time, so the next strike
//! hits the guilty one; a slide with two is given up.

use std::{
    env,
    ffi::OsString,
    fs, io,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use anyhow::Context as _;
use sha2::{Digest as _, Sha256};

use crate::{
    dataset::{Dataset, SlideId, hex},
    exit::Exit,
    lock::{Locks, host_name, process_runs},
};

/// Set in the child.
const CHILD: &str = "SLIDEMILL_CHILD";
/// Exit code of a child that gives up on a read that never returns; no shell
/// ever sees it.
const HUNG: i32 = 99;
/// Strikes after which a slide is given up.
const LIMIT: usize = 2;

/// Whether this process is the child.
#[must_use]
pub fn is_child() -> bool {
    env::var_os(CHILD).is_some()
}

/// Tells this job from others that write to the same place: the host, and the
/// process that started it.
#[must_use]
pub fn job_name() -> String {
    let starter = env::var(CHILD).unwrap_or_else(|_| std::process::id().to_string());
    format!("{}-{starter}", host_name())
}

/// Ends this process because nothing happened for `patience`: a read that never
/// returns cannot be taken back, but its process can.
pub fn give_up(patience: Duration) -> ! {
    eprintln!("slidemill: no window ended for {} s: the slide at work is given up", patience.as_secs());
    std::process::exit(if is_child() { HUNG } else { i32::from(Exit::Again.code()) })
}

/// Runs this very command in children until one ends by itself.
///
/// # Errors
///
/// When no child can be started or waited for.
pub fn supervise(dataset: &Dataset) -> anyhow::Result<Exit> {
    let marks = Marks::of(dataset);
    marks.forget()?;
    let mut stop = Forwarding::default();
    loop {
        // Also what the last child left, if it was killed.
        sweep(dataset);
        let mut child = spawn()?;
        stop.to(&child)?;
        let status = child.wait().context("cannot wait for the worker process")?;
        if let Some(exit) = ended(status) {
            marks.forget()?;
            let _ = fs::remove_dir_all(dataset.writing());
            return Ok(exit);
        }
        let reason = reason(status);
        if stop.asked() {
            return Ok(Exit::Again);
        }
        anyhow::ensure!(
            marks.strike(&reason)? > 0,
            "the worker process died before its first slide: {reason}"
        );
        eprintln!("slidemill: {reason}; going on with one slide at a time");
    }
}

/// Removes what jobs of this host left that were killed.
fn sweep(dataset: &Dataset) {
    let host = format!("-{}-", host_name());
    let locks = Locks::of(dataset);
    locks.sweep();
    for folder in ["staged", "spent"] {
        for entry in fs::read_dir(dataset.private().join(folder)).into_iter().flatten().flatten() {
            let slide = SlideId::new(entry.file_name().to_string_lossy());
            // Without an account the slide is done again, and needs what was set aside.
            let is_over = |slide: &SlideId| !locks.is_there(slide) && dataset.account(slide).exists();
            if slide.is_ok_and(|slide| is_over(&slide)) {
                let _ = fs::remove_dir_all(entry.path());
            }
        }
    }
    for entry in fs::read_dir(dataset.private()).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let is_ours = ["in-hand-", "probe-", "writing-"].iter().any(|start| name.starts_with(start));
        let process = name.rsplit_once(&host).and_then(|(_, process)| process.parse().ok());
        if is_ours && process.is_some_and(|process| !process_runs(process)) {
            // What cannot be removed is in nobody's way.
            let _ = fs::remove_dir_all(entry.path()).or_else(|_| fs::remove_file(entry.path()));
        }
    }
}

/// The exit of a child that ended by itself; `None` when it died or hung.
fn ended(status: ExitStatus) -> Option<Exit> {
    status.code().filter(|&code| code != HUNG).map(|code| Exit::from_code(code).unwrap_or(Exit::Internal))
}

fn reason(status: ExitStatus) -> String {
    if status.code() == Some(HUNG) {
        return "no window ended within the slide timeout".into();
    }
    #[cfg(unix)]
    if let Some(signal) = std::os::unix::process::ExitStatusExt::signal(&status) {
        let hint = if signal == 9 { " (out of memory?)" } else { "" };
        return format!("the worker process was ended by signal {signal}{hint}");
    }
    format!("the worker process ended with {status}")
}

fn spawn() -> anyhow::Result<Child> {
    let program = env::current_exe().context("cannot find this program")?;
    let arguments: Vec<OsString> = env::args_os().skip(1).collect();
    Command::new(program)
        .args(arguments)
        .env(CHILD, std::process::id().to_string())
        .spawn()
        .context("cannot start the worker process")
}

/// Hands SIGTERM on to the child: the first as SIGUSR1, which only asks it to
/// stop. Schedulers and `timeout` signal every process of a job, and a second
/// SIGTERM would make the child quit at once. Ctrl-C reaches it by itself, being
/// in the same process group; here it only is remembered.
#[derive(Default)]
struct Forwarding {
    asked: Arc<AtomicBool>,
    handle: Option<signal_hook::iterator::Handle>,
}

impl Forwarding {
    fn to(&mut self, child: &Child) -> anyhow::Result<()> {
        use rustix::process::Signal;
        use signal_hook::{consts, iterator::Signals};
        self.end();
        let mut signals =
            Signals::new([consts::SIGINT, consts::SIGTERM]).context("cannot listen to signals")?;
        self.handle = Some(signals.handle());
        let asked = Arc::clone(&self.asked);
        let child = rustix::process::Pid::from_child(child);
        std::thread::Builder::new()
            .name("signals".into())
            .spawn(move || {
                for signal in signals.forever() {
                    let again = asked.swap(true, Ordering::Relaxed);
                    if signal == consts::SIGTERM {
                        let handed = if again { Signal::TERM } else { Signal::USR1 };
                        // A child that is gone needs no signal.
                        let _ = rustix::process::kill_process(child, handed);
                    }
                }
            })
            .context("cannot start a thread")?;
        Ok(())
    }

    fn asked(&self) -> bool {
        self.asked.load(Ordering::Relaxed)
    }

    fn end(&mut self) {
        if let Some(handle) = self.handle.take() {
            handle.close();
        }
    }
}

impl Drop for Forwarding {
    fn drop(&mut self) {
        self.end();
    }
}

/// In the child: end with the parent, so that a killed job leaves nobody at
/// work.
pub fn end_with_parent() {
    #[cfg(target_os = "linux")]
    if is_child() {
        // Without it a child only outlives its parent until the next slide.
        let _ = rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::TERM));
    }
}

/// Marks of slides in hand, and strikes, under `OUT/.slidemill/in-hand`.
#[derive(Debug, Clone)]
pub struct Marks {
    folder: PathBuf,
}

impl Marks {
    /// The marks of a dataset, those of this supervisor only: two shards of one
    /// job keep theirs apart.
    #[must_use]
    pub fn of(dataset: &Dataset) -> Self {
        Self { folder: dataset.private().join(format!("in-hand-{}", job_name())) }
    }

    /// Marks a slide as in hand until the mark is dropped.
    ///
    /// # Errors
    ///
    /// When the mark cannot be written.
    pub fn take(&self, slide: &Path) -> io::Result<Mark> {
        fs::create_dir_all(&self.folder)?;
        let path = self.folder.join(key(slide)).with_extension("mark");
        fs::write(&path, b"")?;
        Ok(Mark { path })
    }

    /// Why a slide is given up, if it is.
    #[must_use]
    pub fn given_up(&self, slide: &Path) -> Option<String> {
        let strikes = fs::read_to_string(self.folder.join(key(slide)).with_extension("strikes")).ok()?;
        (strikes.lines().count() >= LIMIT)
            .then(|| format!("given up after {LIMIT} tries: {}", strikes.lines().last().unwrap_or_default()))
    }

    /// Whether any slide has a strike: then one is taken at a time.
    #[must_use]
    pub fn is_careful(&self) -> bool {
        self.files("strikes").is_ok_and(|files| !files.is_empty())
    }

    /// Turns marks into strikes; gives their number.
    fn strike(&self, reason: &str) -> anyhow::Result<usize> {
        use std::io::Write as _;
        let marks = self.files("mark").context("cannot list the slides in hand")?;
        for mark in &marks {
            let path = mark.with_extension("strikes");
            let mut strikes = fs::OpenOptions::new().create(true).append(true).open(path)?;
            writeln!(strikes, "{reason}")?;
            fs::remove_file(mark)?;
        }
        Ok(marks.len())
    }

    fn forget(&self) -> anyhow::Result<()> {
        match fs::remove_dir_all(&self.folder) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(error).context("cannot remove the marks of slides in hand")
            }
            _ => Ok(()),
        }
    }

    fn files(&self, extension: &str) -> io::Result<Vec<PathBuf>> {
        let entries = match fs::read_dir(&self.folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            other => other?,
        };
        let mut paths = entries.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<_>>>()?;
        paths.retain(|path| path.extension().is_some_and(|found| found == extension));
        paths.sort();
        Ok(paths)
    }
}

/// A slide in hand; dropped when it ended one way or another.
#[derive(Debug)]
pub struct Mark {
    path: PathBuf,
}

impl Drop for Mark {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

/// A file name for a slide that says nothing of it.
fn key(slide: &Path) -> String {
    hex(&Sha256::digest(slide.as_os_str().as_encoded_bytes())[..8])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_killed_jobs_of_this_host_left_is_removed() {
        let folder = tempfile::tempdir().unwrap();
        let dataset = Dataset::at(folder.path());
        let at = |name: String| dataset.private().join(name);
        let (host, gone, alive) = (host_name(), u32::MAX, 1);
        let left = [at(format!("in-hand-{host}-{gone}")), at(format!("writing-{host}-{gone}"))];
        let others = [at(format!("writing-{host}-{alive}")), at(format!("writing-elsewhere-{gone}"))];
        for folder in left.iter().chain(&others) {
            fs::create_dir_all(folder).unwrap();
            fs::write(folder.join("x"), "").unwrap();
        }
        sweep(&dataset);
        assert!(left.iter().all(|path| !path.exists()) && others.iter().all(|path| path.exists()));
    }

    #[test]
    fn the_second_strike_gives_a_slide_up() {
        let folder = tempfile::tempdir().unwrap();
        let marks = Marks::of(&Dataset::at(folder.path()));
        let (bad, good) = (Path::new("bad.svs"), Path::new("good.svs"));
        let die = |slides: &[&Path]| {
            for slide in slides {
                // A killed process drops nothing.
                std::mem::forget(marks.take(slide).unwrap());
            }
            marks.strike("signal 11").unwrap()
        };
        drop(marks.take(good).unwrap());
        assert!(!marks.is_careful());
        assert_eq!(die(&[bad, good]), 2);
        assert!(marks.is_careful() && marks.given_up(bad).is_none());
        assert_eq!(die(&[bad]), 1);
        assert_eq!(marks.given_up(bad).unwrap(), "given up after 2 tries: signal 11");
        assert_eq!(marks.given_up(good), None);
        marks.forget().unwrap();
        assert!(!marks.is_careful() && marks.given_up(bad).is_none());
    }
}

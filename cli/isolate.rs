//! A crash inside a vendor's library, or a read that never returns, costs its
//! slide and nothing else.
//!
//! The job runs in a child process over the same list. The child leaves a mark
//! for each slide it is at work on. When it dies, the parent turns those marks
//! into strikes and starts another child, which goes on from the ledgers. With a
//! strike in the job the child takes one slide at a time, so the next strike
//! hits the guilty one; a slide with two is given up.

use std::{
    env,
    ffi::OsString,
    fs,
    process::{Child, Command, ExitStatus},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use anyhow::Context as _;
use dataset::{Dataset, host_name};
use engine::{JobError, Marks, sweep};

use crate::{
    exit::{self, Exit},
    progress::Log,
};

/// Set in the child.
const CHILD: &str = "SLIDEMILL_CHILD";

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

/// Ends this process because nothing happened for too long: a read that never
/// returns cannot be taken back, but its process can.
pub fn give_up(silent: &JobError) -> ! {
    eprintln!("slidemill: {silent}");
    let code = if is_child() { exit::HUNG } else { i32::from(Exit::Again.code()) };
    std::process::exit(code)
}

/// Runs this very command in children until one ends by itself.
///
/// # Errors
///
/// When no child can be started or waited for.
pub fn supervise(dataset: &Dataset) -> anyhow::Result<Exit> {
    let marks = Marks::new(dataset);
    marks.forget().context("cannot remove the marks of slides at work")?;
    let mut stop = Forwarding::default();
    loop {
        // Also what the last child left, if it was killed.
        sweep(dataset);
        let mut child = spawn()?;
        stop.to(&child)?;
        let status = child.wait().context("cannot wait for the worker process")?;
        if let Some(exit) = ended(status) {
            marks.forget().context("cannot remove the marks of slides at work")?;
            let _ = fs::remove_dir_all(dataset.writing());
            return Ok(exit);
        }
        let reason = reason(status);
        if stop.asked() {
            return Ok(Exit::Again);
        }
        anyhow::ensure!(
            marks.strike(&reason).context("cannot note which slides were at work")? > 0,
            "the worker process died before its first slide: {reason}"
        );
        eprintln!("slidemill: {reason}; going on with one slide at a time");
        Log::open(dataset).line(&format!("{reason}; going on with one slide at a time"));
    }
}

/// The exit of a child that ended by itself; `None` when it died or hung.
fn ended(status: ExitStatus) -> Option<Exit> {
    status
        .code()
        .filter(|&code| code != exit::HUNG)
        .map(|code| Exit::from_code(code).unwrap_or(Exit::Internal))
}

fn reason(status: ExitStatus) -> String {
    if status.code() == Some(exit::HUNG) {
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

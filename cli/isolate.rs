//! A crash inside a vendor's library, or a read that never returns, costs its
//! slide and nothing else.
//!
//! The job runs in a child process over the same list. The child leaves a mark
//! for each slide it is at work on. When it dies, the parent turns those marks
//! into strikes and starts another child, which goes on from the ledgers. With a
//! strike in the job the child takes one slide at a time, so the next strike
//! hits the guilty one; a slide with two is given up. A child that dies without a
//! slide at work is started again too, a few times in a row. Where a limit of the
//! machine ended it, the job ends: no slide is to blame.

mod limits;

use std::{
    env,
    ffi::OsString,
    fs,
    process::{Child, Command, ExitStatus},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, SystemTime},
};

use anyhow::Context as _;
use dataset::{Dataset, host_name};
use engine::{JobError, Marks, sweep};

use self::limits::Used;
use crate::{
    exit::{self, Exit, Failure},
    progress::Log,
};

/// Set in the child.
const CHILD: &str = "SLIDEMILL_CHILD";

/// Workers in a row that may die without a slide at work and without one having ended: another would fare no better.
const IDLE_DEATHS: u32 = 6;

/// Time between two looks at the worker's memory.
const LOOK: Duration = Duration::from_millis(200);

/// `true` if this process is the child.
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
/// returns cannot be taken back, but its process can. For a model that never ends no
/// slide is to blame, and another process would fare no better.
pub fn give_up(silent: &JobError) -> ! {
    errln!("slidemill: {silent}");
    let code = match silent {
        JobError::SilentModel { .. } => i32::from(Exit::Usage.code()),
        _ if is_child() => exit::HUNG,
        _ => i32::from(Exit::Again.code()),
    };
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
    let mut deaths = Deaths::new(dataset);
    loop {
        // Also what the last child left, if it was killed.
        sweep(dataset);
        let mut child = spawn()?;
        stop.to(&child)?;
        let (status, used) = wait_for(&mut child)?;
        if let Some(exit) = ended(status) {
            marks.forget().context("cannot remove the marks of slides at work")?;
            let _ = fs::remove_dir_all(dataset.writing());
            return Ok(exit);
        }
        let reason = reason(status);
        if stop.asked() {
            return Ok(Exit::Again);
        }
        if let Some(limit) = limits::reached(status, used) {
            return Err(Failure::again(format!("{limit}; raise it, and the same command goes on from here")));
        }
        let struck = marks.strike(&reason).context("cannot note which slides were at work")?;
        if deaths.are_too_many(struck, dataset) {
            return Err(Failure::again(format!(
                "{IDLE_DEATHS} worker processes in a row died without a slide at work: {reason}"
            )));
        }
        let how = if struck > 0 { "with one slide at a time" } else { "with another one" };
        errln!("slidemill: {reason}; going on {how}");
        Log::open(dataset).line(&format!("{reason}; going on {how}"));
    }
}

/// Waits for the end of a worker; also says what it used.
fn wait_for(child: &mut Child) -> anyhow::Result<(ExitStatus, Used)> {
    let ticks_before = limits::children_ticks();
    let (ended, end) = crossbeam_channel::bounded::<()>(0);
    let process = child.id();
    let watching = thread::Builder::new().name("memory of the worker".into()).spawn(move || {
        let mut peak = 0;
        while end.recv_timeout(LOOK) == Err(crossbeam_channel::RecvTimeoutError::Timeout) {
            peak = peak.max(limits::peak_of(process).unwrap_or_default());
        }
        peak
    });
    let status = child.wait().context("cannot wait for the worker process")?;
    drop(ended);
    let address_space = watching.ok().and_then(|thread| thread.join().ok()).unwrap_or_default();
    let cpu_ticks = limits::children_ticks().saturating_sub(ticks_before);
    Ok((status, Used { cpu_ticks, address_space }))
}

/// Worker processes that died with nothing to show for it.
struct Deaths {
    idle: u32,
    ended: EndedSlides,
}

/// Number of slides that have an account, and the time of the last change to it.
type EndedSlides = (usize, Option<SystemTime>);

impl Deaths {
    fn new(dataset: &Dataset) -> Self {
        Self { idle: 0, ended: ended_slides(dataset) }
    }

    /// Counts one more, of a worker that had `struck` slides at work.
    fn are_too_many(&mut self, struck: usize, dataset: &Dataset) -> bool {
        let ended = ended_slides(dataset);
        let was_idle = struck == 0 && ended == self.ended;
        self.idle = if was_idle { self.idle + 1 } else { 0 };
        self.ended = ended;
        self.idle >= IDLE_DEATHS
    }
}

fn ended_slides(dataset: &Dataset) -> EndedSlides {
    let accounts = dataset.accounts().unwrap_or_default();
    let changed = accounts.iter().filter_map(|path| fs::metadata(path).ok()?.modified().ok()).max();
    (accounts.len(), changed)
}

/// The exit of a child that ended by itself; `None` when it died or hung.
fn ended(status: ExitStatus) -> Option<Exit> {
    status
        .code()
        .filter(|&code| code != exit::HUNG)
        .map(|code| Exit::from_code(code).unwrap_or(Exit::Internal))
}

/// Why a worker process died, in words.
pub(crate) fn reason(status: ExitStatus) -> String {
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
    child_command()?.spawn().context("cannot start the worker process")
}

/// This very command, to be started as a child.
///
/// # Errors
///
/// When this program cannot be found.
pub fn child_command() -> anyhow::Result<Command> {
    let program = env::current_exe().context("cannot find this program")?;
    let arguments: Vec<OsString> = env::args_os().skip(1).collect();
    let mut command = Command::new(program);
    command.args(arguments).env(CHILD, std::process::id().to_string());
    Ok(command)
}

/// Hands SIGTERM on to the child: the first as SIGUSR1, which only asks it to
/// stop, the next as SIGUSR2, which makes it quit. Schedulers and `timeout` signal
/// every process of a job: the child counts what reaches it by itself apart.
/// Ctrl-C does, being for the whole process group; here it only is remembered.
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
                        let handed = if again { Signal::USR2 } else { Signal::USR1 };
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

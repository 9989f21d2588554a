//! Jobs in parts on a real Slurm, by hand and by Snakemake: a controller, three nodes of this machine and a key, all in one folder and gone after the
//! test. Skipped, and said so, where Slurm is not installed (Debian: `apt-get install slurm-wlm munge`) or may not be
//! started.

#![cfg(target_os = "linux")]

mod support;

use std::{
    collections::BTreeMap,
    fs,
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    time::Duration,
};

use support::{
    any_file, is_reached, kill, run, slidemill, small_slide, stderr, tables, tiny_slides, wait_until,
};
use tempfile::TempDir;

const NODES: [&str; 3] = ["n1", "n2", "n3"];
/// Options of sbatch for a part.
const SMALL: [&str; 2] = ["--cpus-per-task=1", "--mem=2G"];
/// Windows so small that a slide of [`small_slide`] takes some seconds.
const WINDOW: [&str; 2] = ["--window", "64"];

/// A process that dies with its owner.
struct Daemon(Child);

impl Daemon {
    fn start(command: &mut Command) -> Self {
        let quiet = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        Self(quiet.spawn().expect("it was found before"))
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

struct Cluster {
    folder: TempDir,
    nodes: Vec<(&'static str, Daemon)>,
    controller: Option<Daemon>,
    _key: Daemon,
}

impl Cluster {
    /// A cluster of three nodes that wait for work; `None`, with a note, where there is no Slurm or it cannot be started.
    fn start() -> Option<Self> {
        if let Some(missing) =
            ["slurmctld", "slurmd", "sbatch", "munged"].iter().find(|name| !is_installed(name))
        {
            eprintln!("SKIPPED: {missing} is absent (Debian: apt-get install slurm-wlm munge)");
            return None;
        }
        if !Command::new("id").arg("-u").output().is_ok_and(|output| output.stdout == b"0\n") {
            eprintln!("SKIPPED: only root may start the daemons of Slurm");
            return None;
        }
        let cluster = Self::of_daemons();
        if !is_reached(Duration::from_secs(60), || cluster.idle_nodes() == NODES.len()) {
            let log = fs::read_to_string(cluster.folder.path().join("controller.log")).unwrap_or_default();
            eprintln!("SKIPPED: Slurm does not start on this machine:\n{log}");
            return None;
        }
        Some(cluster)
    }

    fn of_daemons() -> Self {
        let folder = tempfile::tempdir().expect("a folder can be made");
        let key = start_munge(folder.path());
        write_settings(folder.path());
        let mut cluster = Self { folder, nodes: Vec::new(), controller: None, _key: key };
        cluster.start_controller();
        for name in NODES {
            cluster.start_node(name);
        }
        cluster
    }

    fn idle_nodes(&self) -> usize {
        self.ask("sinfo", &["-h", "-N", "-t", "idle", "-o", "%N"]).lines().count()
    }

    fn settings(&self) -> PathBuf {
        self.folder.path().join("slurm.conf")
    }

    fn start_controller(&mut self) {
        self.controller =
            Some(Daemon::start(Command::new("slurmctld").arg("-D").arg("-f").arg(self.settings())));
        wait_until(|| {
            self.command("scontrol").arg("ping").output().is_ok_and(|output| output.status.success())
        });
    }

    fn kill_controller(&mut self) {
        self.controller = None;
    }

    fn is_controlled(&self) -> bool {
        self.command("scontrol").arg("ping").output().is_ok_and(|output| output.status.success())
    }

    /// `true` if the state that the controller saved names a job.
    fn has_saved(&self, job: &str) -> bool {
        let state = fs::read(self.folder.path().join("state/job_state")).unwrap_or_default();
        state.windows(job.len()).any(|bytes| bytes == job.as_bytes())
    }

    fn start_node(&mut self, name: &'static str) {
        let daemon =
            Daemon::start(Command::new("slurmd").arg("-D").arg("-f").arg(self.settings()).args(["-N", name]));
        self.nodes.push((name, daemon));
    }

    /// Power off: its daemon and all that it started die at once, and say nothing.
    fn kill_node(&mut self, name: &str) {
        self.nodes.retain(|(other, _)| *other != name);
        self.kill_jobs(Some(name));
    }

    /// Kills what runs for this cluster, on one node or on all.
    fn kill_jobs(&self, node: Option<&str>) {
        let here = format!("SLURM_CONF={}", self.settings().display());
        let node = node.map(|name| format!("SLURMD_NODENAME={name}"));
        let is_ours = |pid: &u32| {
            let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
            let has =
                |wanted: &str| environment.split(|&byte| byte == 0).any(|pair| pair == wanted.as_bytes());
            has(&here) && node.as_deref().is_none_or(has)
        };
        let processes: Vec<u32> = processes().filter(is_ours).collect();
        // Above a job stands the process that tells the daemon how it ended.
        let above = processes.iter().filter_map(|&pid| parent(pid));
        let above: Vec<u32> = above.filter(|&pid| name_of(pid) == "slurmstepd").collect();
        above.into_iter().chain(processes).for_each(kill);
    }

    fn command(&self, name: &str) -> Command {
        let mut command = Command::new(name);
        command.env("SLURM_CONF", self.settings()).stdin(Stdio::null());
        command
    }

    /// The answer of a command; empty while the controller does not answer.
    fn ask(&self, name: &str, arguments: &[&str]) -> String {
        let output = self.command(name).args(arguments).output().expect("it was found before");
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    /// The executor of Snakemake takes all variables of Slurm from its jobs, that of the settings too.
    fn path_with_own_srun(&self) -> std::ffi::OsString {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let folders: Vec<PathBuf> = std::env::split_paths(&path).collect();
        let srun = folders.iter().map(|folder| folder.join("srun")).find(|file| file.is_file());
        let own = self.folder.path().join("bin");
        fs::create_dir(&own).expect("a folder can be made");
        let (settings, srun) = (self.settings(), srun.expect("it comes with sbatch"));
        let text =
            format!("#!/bin/sh\nSLURM_CONF='{}' exec '{}' \"$@\"\n", settings.display(), srun.display());
        write_program(&own.join("srun"), &text);
        std::env::join_paths(std::iter::once(own).chain(folders)).expect("it was a path before")
    }

    fn submit(&self, out: &Path, parts: usize, program: &Path) -> Output {
        self.submit_by("shard", out, parts, program)
    }

    fn submit_by(&self, by: &str, out: &Path, parts: usize, program: &Path) -> Output {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/slurm/submit.sh");
        let mut command = self.command("bash");
        command.arg(script).arg(out).arg(parts.to_string()).args(SMALL);
        command
            .env("SLIDEMILL_PROGRAM", program)
            .env("SLIDEMILL_BY", by)
            .current_dir(self.folder.path())
            .output()
            .expect("bash is there")
    }

    /// Sends a job and returns it.
    fn send(&self, out: &Path, parts: usize) -> Sent<'_> {
        self.sent(&self.submit(out, parts, Path::new(env!("CARGO_BIN_EXE_slidemill"))), out)
    }

    fn sent(&self, output: &Output, out: &Path) -> Sent<'_> {
        let text = String::from_utf8_lossy(&output.stdout);
        let mut ids = text.split_whitespace().map(str::to_owned);
        // With slabs another job lies between.
        let (Some(array), Some(gather)) = (ids.next(), ids.next_back()) else {
            panic!("ids: {text}{}", stderr(output));
        };
        Sent { cluster: self, array, gather, out: out.to_owned() }
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.nodes.clear();
        self.controller = None;
        self.kill_jobs(None);
    }
}

/// A job that was sent.
struct Sent<'a> {
    cluster: &'a Cluster,
    array: String,
    gather: String,
    out: PathBuf,
}

impl Sent<'_> {
    /// Waits until `gather` has ended, and returns its exit code.
    fn gathered(&self) -> String {
        wait_until(|| {
            let state = self.cluster.ask("squeue", &["-h", "-j", &self.gather, "-t", "all", "-o", "%T"]);
            ["COMPLETED", "FAILED", "CANCELLED"].contains(&state.as_str())
        });
        self.fact(&self.gather, "ExitCode")
    }

    /// A field of `scontrol show job`.
    fn fact(&self, job: &str, name: &str) -> String {
        let text = self.cluster.ask("scontrol", &["show", "job", job]);
        let mut fields = text.split_whitespace().filter_map(|word| word.split_once('='));
        fields.find(|(field, _)| *field == name).map(|(_, value)| value.to_owned()).unwrap_or_default()
    }

    fn part(&self, part: usize) -> String {
        format!("{}_{part}", self.array)
    }

    /// Waits until a slide is at work and has some of its windows, and returns the node that has the part.
    fn node_in_mid_slide(&self, part: usize) -> String {
        wait_until(|| is_in_mid_slide(&self.out));
        self.fact(&self.part(part), "NodeList")
    }

    fn log(&self, part: usize) -> String {
        fs::read_to_string(self.out.join(format!(".slidemill/slurm/part-{part}.log"))).expect("a log")
    }
}

fn write_program(path: &Path, text: &str) {
    fs::write(path, text).expect("a file can be written");
    assert!(Command::new("chmod").arg("755").arg(path).status().expect("chmod is there").success());
}

fn is_in_mid_slide(out: &Path) -> bool {
    any_file(&out.join(".slidemill/ledger"), "windows.bin")
}

/// Snakemake with a profile of ours, for a planned job; `None`, with a note, where it is not installed.
fn snakemake(profile: &str, out: &Path, parts: usize) -> Option<Command> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let program = root.join(".venv-snakemake/bin/snakemake");
    if !program.exists() {
        eprintln!("SKIPPED: .venv-snakemake is absent; `cargo xtask test` makes it");
        return None;
    }
    let deploy = root.join("deploy/snakemake");
    let mut command = Command::new(program);
    command.arg("--snakefile").arg(deploy.join("Snakefile"));
    command.arg("--profile").arg(deploy.join("profiles").join(profile));
    command.args([
        "--config",
        &format!("out={}", out.display()),
        &format!("parts={parts}"),
        "cpus=1",
        "mem_mb=2000",
    ]);
    command.arg(format!("program={}", env!("CARGO_BIN_EXE_slidemill")));
    command.current_dir(out.parent().expect("a folder")).stdin(Stdio::null());
    for name in ["SLURM_CPUS_PER_TASK", "SLURM_MEM_PER_CPU", "SLURM_MEM_PER_NODE"] {
        command.env_remove(name);
    }
    Some(command)
}

fn cells_of(out: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    tables(out).into_iter().filter(|(path, _)| path.starts_with("cells")).collect()
}

fn is_installed(name: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(name).is_file())
}

/// The daemon by which the parts of Slurm know each other, with a key of its own.
fn start_munge(folder: &Path) -> Daemon {
    let key = folder.join("munge.key");
    // It need not be a secret: nothing outside this folder knows its socket.
    fs::write(&key, [7; 128]).expect("a file can be written");
    assert!(Command::new("chmod").arg("400").arg(&key).status().expect("chmod is there").success());
    let mut command = Command::new("munged");
    command.args(["--force", "--foreground"]);
    for (option, name) in
        [("key-file", "munge.key"), ("socket", "munge"), ("pid-file", "munge.pid"), ("log-file", "munge.log")]
    {
        command.arg(format!("--{option}={}", folder.join(name).display()));
    }
    let daemon = Daemon::start(command.arg(format!("--seed-file={}", folder.join("munge.seed").display())));
    is_reached(Duration::from_secs(20), || folder.join("munge").exists());
    daemon
}

/// Waits are as short as Slurm takes them: a lost node counts as lost after 10 s, where 300 s are usual.
fn write_settings(folder: &Path) {
    let at = folder.display();
    let host = fs::read_to_string("/proc/sys/kernel/hostname").expect("a name");
    let host = host.trim().split('.').next().unwrap_or_default().to_owned();
    let [controller, ports @ ..] = free_ports::<4>();
    fs::create_dir(folder.join("state")).expect("a folder can be made");
    let mut text = format!(
        "ClusterName=test\nSlurmctldHost={host}(127.0.0.1)\nSlurmctldPort={controller}\nSlurmUser=root\n\
         AuthType=auth/munge\nAuthInfo=socket={at}/munge,cred_expire=5\nStateSaveLocation={at}/state\n\
         SlurmdSpoolDir={at}/spool.%n\nSlurmctldPidFile={at}/controller.pid\nSlurmdPidFile={at}/%n.pid\n\
         SlurmctldLogFile={at}/controller.log\nSlurmdLogFile={at}/%n.log\nProctrackType=proctrack/linuxproc\n\
         TaskPlugin=task/none\nJobAcctGatherType=jobacct_gather/none\nSelectType=select/cons_tres\n\
         SelectTypeParameters=CR_Core\nSlurmdParameters=config_overrides\nSlurmdTimeout=10\nSlurmctldTimeout=10\n\
         KillWait=5\nJobRequeue=1\nReturnToService=2\nMinJobAge=3600\n\
         SchedulerParameters=batch_sched_delay=1,sched_interval=2,bf_interval=2,requeue_setup_env_fail\n"
    );
    for (name, port) in NODES.iter().zip(ports) {
        fs::create_dir(folder.join(format!("spool.{name}"))).expect("a folder can be made");
        text += &format!(
            "NodeName={name} NodeAddr=127.0.0.1 NodeHostname={host} Port={port} CPUs=2 RealMemory=8000 State=UNKNOWN\n"
        );
    }
    text += "PartitionName=slides Nodes=ALL Default=YES MaxTime=INFINITE State=UP\n";
    fs::write(folder.join("slurm.conf"), text).expect("a file can be written");
}

fn free_ports<const COUNT: usize>() -> [u16; COUNT] {
    let held = [(); COUNT].map(|()| TcpListener::bind(("127.0.0.1", 0)).expect("a port is free"));
    held.map(|listener| listener.local_addr().expect("an address").port())
}

fn processes() -> impl Iterator<Item = u32> {
    let entries = fs::read_dir("/proc").expect("Linux");
    entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

fn parent(pid: u32) -> Option<u32> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    status.lines().find_map(|line| line.strip_prefix("PPid:")?.trim().parse().ok())
}

fn name_of(pid: u32) -> String {
    fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default().trim().to_owned()
}

/// Plans slides into `out`.
fn plan(slides: &[PathBuf], out: &Path, parts: usize) -> Output {
    let mut command = slidemill();
    command.arg("plan").args(slides).arg("-o").arg(out).args(["--shards", &parts.to_string()]).args(WINDOW);
    command.output().expect("the command starts")
}

/// One slide of some seconds, planned in one part, and its tables as one machine makes them.
struct OneSlide {
    folder: TempDir,
    expected: BTreeMap<PathBuf, Vec<u8>>,
}

impl OneSlide {
    fn plan() -> Self {
        let folder = tempfile::tempdir().expect("a folder can be made");
        let slide = folder.path().join("slide.tif");
        small_slide(&slide, 71);
        let alone = folder.path().join("alone");
        let output = run(&[&slide], &alone, &[&WINDOW[..], &["--threads", "1"]].concat());
        assert!(output.status.success(), "{}", stderr(&output));
        let made = Self { expected: tables(&alone), folder };
        let planned = plan(&[slide], &made.out(), 1);
        assert!(planned.status.success(), "{}", stderr(&planned));
        made
    }

    fn out(&self) -> PathBuf {
        self.folder.path().join("out")
    }

    /// slidemill, before whose runs a shell does something.
    fn program(&self, first: &str) -> PathBuf {
        let program = self.folder.path().join("program.sh");
        let text = format!(
            "#!/bin/sh\nif [ \"$1\" = run ]; then {first}; fi\nexec '{}' \"$@\"\n",
            env!("CARGO_BIN_EXE_slidemill")
        );
        write_program(&program, &text);
        program
    }

    /// The job ended well, with the bytes of one machine, and nothing is left to be sent.
    fn assert_done(&self, cluster: &Cluster) {
        assert_eq!(tables(&self.out()), self.expected);
        let verified = slidemill().arg("verify").arg(self.out()).output().expect("the command starts");
        assert!(verified.status.success(), "{}", String::from_utf8_lossy(&verified.stdout));
        let again = cluster.submit(&self.out(), 1, Path::new(env!("CARGO_BIN_EXE_slidemill")));
        assert!(
            again.status.success() && again.stdout.is_empty(),
            "{}",
            String::from_utf8_lossy(&again.stdout)
        );
        assert!(stderr(&again).contains("nothing is left"), "{}", stderr(&again));
    }
}

/// Four slides and a damaged one, planned in three parts, and the cells of the four as one machine finds them.
struct FiveSlides {
    folder: TempDir,
    expected: BTreeMap<PathBuf, Vec<u8>>,
}

impl FiveSlides {
    fn plan() -> Self {
        let folder = tempfile::tempdir().expect("a folder can be made");
        let mut slides = tiny_slides(folder.path(), 4, 80);
        let alone = folder.path().join("alone");
        let paths: Vec<&Path> = slides.iter().map(PathBuf::as_path).collect();
        let output = run(&paths, &alone, &WINDOW);
        assert!(output.status.success(), "{}", stderr(&output));
        let damaged = folder.path().join("damaged.svs");
        fs::write(&damaged, "no slide").expect("a file can be written");
        slides.push(damaged);
        let planned = plan(&slides, &folder.path().join("out"), 3);
        assert_eq!(planned.status.code(), Some(65), "the damaged one is named: {}", stderr(&planned));
        Self { expected: cells_of(&alone), folder }
    }
}

#[test]
fn parts_end_in_the_bytes_of_one_machine_and_what_is_left_is_sent_again() {
    let Some(cluster) = Cluster::start() else { return };
    let FiveSlides { folder, expected } = FiveSlides::plan();
    let out = folder.path().join("out");
    let job = cluster.send(&out, 3);
    assert_eq!(job.gathered(), "65:0", "a slide has no results");
    assert_eq!(cells_of(&out), expected);
    let codes: Vec<String> = (1..=3).map(|part| job.fact(&job.part(part), "ExitCode")).collect();
    assert_eq!(codes.iter().filter(|code| *code == "0:0").count(), 2, "{codes:?}");
    let bad = codes.iter().position(|code| code == "65:0").expect("the part with the damaged slide") + 1;
    assert!((1..=3).all(|part| job.fact(&job.part(part), "Restarts") == "0"), "65 asks for no other turn");

    let again = cluster.send(&out, 3);
    assert_eq!(again.gathered(), "65:0");
    assert_eq!(
        cluster.ask("squeue", &["-h", "-r", "-t", "all", "-j", &again.array, "-o", "%K"]),
        bad.to_string()
    );
}

#[test]
fn a_node_that_is_lost_costs_no_slide() {
    let Some(mut cluster) = Cluster::start() else { return };
    let slide = OneSlide::plan();
    let (array, gather, node) = {
        let job = cluster.send(&slide.out(), 1);
        let node = job.node_in_mid_slide(1);
        (job.array, job.gather, node)
    };
    cluster.kill_node(&node);
    let job = Sent { cluster: &cluster, array, gather, out: slide.out() };
    assert_eq!(job.gathered(), "0:0", "{}", job.log(1));
    assert_eq!(job.fact(&job.part(1), "Restarts"), "1");
    assert_ne!(job.fact(&job.part(1), "NodeList"), node);
    slide.assert_done(&cluster);
}

#[test]
fn a_controller_that_is_lost_stops_no_part() {
    let Some(mut cluster) = Cluster::start() else { return };
    let slide = OneSlide::plan();
    let go = slide.folder.path().join("go");
    let program = slide.program(&format!("while [ ! -e {} ]; do sleep 0.1; done", go.display()));
    let (array, gather) = {
        let job = cluster.sent(&cluster.submit(&slide.out(), 1, &program), &slide.out());
        // A job that it has not saved yet is lost with a controller.
        wait_until(|| {
            cluster.has_saved("slidemill-gather") && job.fact(&job.part(1), "JobState") == "RUNNING"
        });
        fs::write(go, "").unwrap();
        job.node_in_mid_slide(1);
        (job.array, job.gather)
    };
    cluster.kill_controller();
    wait_until(|| any_file(&slide.out().join("runs"), ".json"));
    cluster.start_controller();
    wait_until(|| cluster.is_controlled());
    let job = Sent { cluster: &cluster, array, gather, out: slide.out() };
    assert_eq!(job.gathered(), "0:0", "{}", job.log(1));
    assert_eq!(job.fact(&job.part(1), "Restarts"), "0", "it was not run twice");
    slide.assert_done(&cluster);
}

#[test]
fn a_part_whose_time_is_over_goes_on_and_one_that_was_cancelled_does_not() {
    let Some(cluster) = Cluster::start() else { return };
    let slide = OneSlide::plan();
    let job = cluster.send(&slide.out(), 1);
    job.node_in_mid_slide(1);
    // As Slurm does two minutes before the end.
    cluster.ask("scancel", &["--batch", "--signal=USR1", &job.part(1)]);
    assert_eq!(job.gathered(), "0:0", "{}", job.log(1));
    assert_eq!(job.fact(&job.part(1), "Restarts"), "1");
    assert!(job.log(1).contains("code 75, asked to stop by USR1"), "{}", job.log(1));
    slide.assert_done(&cluster);

    let slide = OneSlide::plan();
    let job = cluster.send(&slide.out(), 1);
    job.node_in_mid_slide(1);
    cluster.ask("scancel", &[&job.part(1)]);
    assert_eq!(job.gathered(), "65:0", "what is missing is said");
    assert_eq!(job.fact(&job.part(1), "JobState"), "CANCELLED");
    assert_eq!(cluster.send(&slide.out(), 1).gathered(), "0:0");
    slide.assert_done(&cluster);
}

#[test]
fn a_part_that_lacks_a_resource_gets_another_turn() {
    let Some(cluster) = Cluster::start() else { return };
    let slide = OneSlide::plan();
    let folder = slide.folder.path().display();
    let program = slide.program(&format!(
        "mkdir {folder}/1 2>/dev/null && exit 75; mkdir {folder}/2 2>/dev/null && exit 75"
    ));
    let output = cluster.submit(&slide.out(), 1, &program);
    let job = cluster.sent(&output, &slide.out());
    assert_eq!(job.gathered(), "0:0", "{}", job.log(1));
    assert_eq!(job.fact(&job.part(1), "Restarts"), "2");
    slide.assert_done(&cluster);
}

#[test]
fn slabs_of_one_slide_end_in_the_bytes_of_one_machine_whatever_one_of_them_lacks() {
    let Some(cluster) = Cluster::start() else { return };
    let slide = OneSlide::plan();
    // The second one waits, so that it is cancelled before it has done anything.
    let program = slide.program(r#"[ "$5" != 2/3 ] || sleep 60"#);
    let job = cluster.sent(&cluster.submit_by("slab", &slide.out(), 3, &program), &slide.out());
    wait_until(|| job.fact(&job.part(2), "JobState") == "RUNNING");
    cluster.ask("scancel", &[&job.part(2)]);
    assert_eq!(job.gathered(), "0:0", "{}", job.log(1));
    for part in [1, 3] {
        assert_eq!(job.fact(&job.part(part), "ExitCode"), "0:0", "{}", job.log(part));
        assert!(job.log(part).contains(&format!("part {part}/3 done")), "{}", job.log(part));
    }
    let ended = fs::read_to_string(slide.out().join(".slidemill/slurm/end.log")).expect("a log");
    assert!(ended.contains("776 windows, 517 already done"), "{ended}");
    slide.assert_done(&cluster);

    let unknown = cluster.submit_by("half", &slide.out(), 3, &program);
    assert_eq!(unknown.status.code(), Some(64));
    assert!(stderr(&unknown).contains("expected shard or slab"), "{}", stderr(&unknown));
}

#[test]
fn snakemake_runs_what_is_left_and_names_what_is_bad() {
    let FiveSlides { folder, expected } = FiveSlides::plan();
    let out = folder.path().join("out");
    let Some(mut command) = snakemake("local", &out, 3) else { return };
    let first = command.output().unwrap();
    let told = stderr(&first);
    assert_eq!(first.status.code(), Some(1), "a slide has no results: {told}");
    assert!(
        told.contains("Finished jobid: 3 (Rule: part)") && told.contains("Error in rule gather"),
        "{told}"
    );
    let gathered = String::from_utf8_lossy(&first.stdout).into_owned();
    assert!(gathered.contains("no results, not a slide"), "{gathered}");
    assert_eq!(cells_of(&out), expected);

    let again = command.output().unwrap();
    let jobs = stderr(&again);
    assert!(jobs.lines().any(|line| line.split_whitespace().eq(["part", "1"])), "one part is left: {jobs}");
}

#[test]
fn snakemake_on_slurm_goes_on_after_a_lost_node() {
    let Some(mut cluster) = Cluster::start() else { return };
    let slide = OneSlide::plan();
    let Some(mut command) = snakemake("slurm", &slide.out(), 1) else { return };
    // Without accounts there is no sacct.
    command.args(["--slurm-status-command", "squeue", "--slurm-init-seconds-before-status-checks", "1"]);
    command.args(["--seconds-between-status-checks", "2"]);
    command.env("SLURM_CONF", cluster.settings()).env("PATH", cluster.path_with_own_srun());
    let driver = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    wait_until(|| is_in_mid_slide(&slide.out()));
    let node = cluster.ask("squeue", &["-h", "-t", "running", "-o", "%N"]);
    cluster.kill_node(&node);
    let ended = driver.wait_with_output().unwrap();
    assert!(ended.status.success(), "{}", stderr(&ended));
    slide.assert_done(&cluster);
}

//! `cargo xtask wheel` and `cargo xtask tarball`: slidemill for machines without Rust.
//!
//! The wheel holds the command with its models, an ONNX Runtime for CPUs and the Python package of `python/`; OpenSlide
//! comes as a dependency (`docs/decisions/0045-the-wheel.md`). The tarball has both libraries beside the command.

use std::env::consts;
use std::ffi::OsString;
use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};
use native::Library;

use crate::build::{self, program_name};
use crate::files::{copy, copy_tree, empty, tell, write};
use crate::natives;
use crate::portable::Glibc;
use crate::python::Python;
use crate::roots::{self, RELEASES, Release, Root};
use crate::step::{run, run_quietly, say};

const VERSION: &str = env!("CARGO_PKG_VERSION");
/// The Python package needs this Python (3.N).
const OLDEST_PYTHON: u32 = 11;
/// Shells whose completions go into the tarball.
const SHELLS: [&str; 3] = ["bash", "zsh", "fish"];

/// Returns `true` if the wheel is to be tried afterwards.
///
/// # Errors
/// When an argument is not known.
fn is_tried(arguments: &[OsString]) -> Result<bool> {
    match arguments {
        [] => Ok(false),
        [word] if word == "--try" => Ok(true),
        [other, ..] => bail!("no such option: {}, expected --try or nothing", other.to_string_lossy()),
    }
}

/// `cargo xtask wheel [--try]`: a wheel in `target/dist`, named by the glibc that the command needs.
///
/// # Errors
/// When a step fails.
pub(crate) fn wheel(root: &Path, arguments: &[OsString]) -> Result<()> {
    let is_tried = is_tried(arguments)?;
    let stage = empty(&root.join("target/wheel"))?;
    let package = stage.join("python");
    copy_tree(&root.join("python"), &package)?;
    // The version is read from there.
    copy(&root.join("Cargo.toml"), &stage.join("Cargo.toml"))?;
    let platform = build::program_in(root, &package.join("bin"))?.platform()?;
    let library = package.join("src/slidemill/native");
    natives::with_licences(Library::OnnxRuntime, &library, &package.join("licenses"))?;
    licences(root, &package)?;

    let dist = root.join("target/dist");
    let python = Python::at_least(OLDEST_PYTHON)?.with_pip(&stage.join("venv"))?;
    let mut pip = python.pip("wheel");
    pip.args(["--no-deps", "--wheel-dir"]).arg(&dist).arg(&package);
    pip.env("SLIDEMILL_WHEEL_PLATFORM", &platform);
    run_quietly(&mut pip, "check the network and pip's index: hatchling builds the wheel")?;
    let made = dist.join(format!("slidemill-{VERSION}-py3-none-{platform}.whl"));
    tell(&made)?;
    if is_tried { try_wheel(&made, &stage) } else { Ok(()) }
}

/// `cargo xtask tarball [--try]`: a tarball in `target/dist`.
///
/// # Errors
/// As [`wheel`].
pub(crate) fn tarball(root: &Path, arguments: &[OsString]) -> Result<()> {
    let is_tried = is_tried(arguments)?;
    let stage = empty(&root.join("target/tarball"))?;
    let name = format!("slidemill-{VERSION}-{}-{}", consts::OS, consts::ARCH);
    let folder = stage.join(&name);
    let glibc = build::program_in(root, &folder)?;
    for library in Library::ALL {
        natives::with_licences(library, &folder.join("native"), &folder.join("licenses"))?;
    }
    licences(root, &folder)?;
    copy(&root.join("README.md"), &folder.join("README.md"))?;
    let program = folder.join(program_name());
    run_quietly(Command::new(&program).arg("manual").arg(folder.join("man/man1")), "its message is below")?;
    for shell in SHELLS {
        let script =
            run_quietly(Command::new(&program).args(["completions", shell]), "its message is below")?;
        write(&folder.join("completions").join(format!("slidemill.{shell}")), script.as_bytes())?;
    }
    let dist = root.join("target/dist");
    fs::create_dir_all(&dist).with_context(|| format!("cannot create {}", dist.display()))?;
    let made = dist.join(format!("{name}.tar.gz"));
    let mut tar = Command::new("tar");
    // The same files give the same list, on any machine.
    tar.args(["--sort=name", "--mtime=@0", "--owner=0", "--group=0", "--numeric-owner", "--gzip"]);
    tar.arg("--create").arg("--file").arg(&made).arg("--directory").arg(&stage).arg(&name);
    run_quietly(&mut tar, "install GNU tar")?;
    tell(&made)?;
    let Glibc(major, minor) = glibc.max(Glibc::OF_LIBRARIES);
    say(&format!("it needs glibc {major}.{minor} or newer"));
    if is_tried {
        RELEASES.iter().try_for_each(|release| try_tarball(&made, release, &stage))
    } else {
        Ok(())
    }
}

/// Our licences, and the card of the models, which says whom to name.
fn licences(root: &Path, folder: &Path) -> Result<()> {
    for name in ["LICENSE-MIT", "LICENSE-APACHE"] {
        copy(&root.join(name), &folder.join(name))?;
    }
    for model in ["nuclei-he", "nuclei-he-classes", "nuclei-he-large", "nuclei-hdab"] {
        let card = root.join("models").join(model).join("README.md");
        copy(&card, &folder.join("licenses").join(format!("model-{model}.md")))?;
    }
    Ok(())
}

/// What a command says of itself where it finds its libraries.
const CPU_WORKS: &str = "device cpu: can be used";
/// The place of the command's folder in a root, and in the image for containers.
const IN_ROOT: &str = "/opt/slidemill";

/// Installs the wheel in a new environment and runs it, with nothing of this shell's but the path; then in new roots,
/// where they can be made.
fn try_wheel(wheel: &Path, stage: &Path) -> Result<()> {
    let python = Python::at_least(OLDEST_PYTHON)?.make_environment(&stage.join("try"))?;
    run_quietly(python.pip("install").arg(wheel), "check the network and pip's index")?;
    let mut ask = python.command();
    ask.args(["-c", ASK]);
    check(&run_quietly(without_variables(&mut ask), "the package does not find its command")?)?;
    let mut demo = Command::new(stage.join("try/bin/slidemill"));
    demo.arg("demo").arg("--out").arg(stage.join("demo"));
    run(without_variables(&mut demo), "its message is above")?;
    if !roots::can_be_made() {
        say("not tried in roots of Debian: mmdebstrap or bubblewrap is not installed");
        return Ok(());
    }
    RELEASES.iter().try_for_each(|release| try_wheel_in(release, wheel, &python, stage))
}

/// Asks the Python package for the command's libraries and settings.
const ASK: &str = "import slidemill; slidemill.show_versions(); print(slidemill.settings()['window'])";

/// Installs the wheel in a root that has Python and nothing else, from files alone, and runs it.
fn try_wheel_in(release: &Release, wheel: &Path, python: &Python, stage: &Path) -> Result<()> {
    const FIX: &str = "its message is below";
    let root = Root::make(release, &["python3-venv"], &stage.join("root"))?;
    let mut download = python.pip("download");
    download.arg("--dest").arg(root.out.join("wheels")).arg(wheel);
    run_quietly(&mut download, "check the network and pip's index")?;
    run_quietly(root.preparation("python3").args(["-m", "venv", IN_ROOT]), FIX)?;
    let mut install = root.preparation(&format!("{IN_ROOT}/bin/pip"));
    install.args(["install", "--quiet", "--no-index", "--find-links", "wheels", "slidemill"]);
    run_quietly(&mut install, FIX)?;
    check(&run_quietly(root.command(&format!("{IN_ROOT}/bin/python")).args(["-c", ASK]), FIX)?)?;
    run_in(&root, release, &format!("{IN_ROOT}/bin/slidemill"))
}

/// Runs the tarball's command in a root that has nothing else.
fn try_tarball(tarball: &Path, release: &Release, stage: &Path) -> Result<()> {
    let root = Root::make(release, &[], &stage.join("root"))?;
    let folder = root.files.join(IN_ROOT.trim_start_matches('/'));
    fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
    roots::unpack(tarball, &folder, &["--strip-components=1", "--no-same-owner"])?;
    run_in(&root, release, &format!("{IN_ROOT}/slidemill"))
}

/// Asks the command in a root for its libraries, and runs its demo.
fn run_in(root: &Root, release: &Release, program: &str) -> Result<()> {
    say(&format!("{}: nothing but its smallest system, read-only, no root, no network", release.name));
    check(&run_quietly(root.command(program).arg("--version"), "its message is below")?)?;
    run(root.command(program).args(["demo", "--out", "demo"]), "its message is above")
}

/// # Errors
/// When the command does not say that it can use the CPU.
fn check(told: &str) -> Result<()> {
    if !told.contains(CPU_WORKS) {
        bail!("the command cannot use the CPU:\n{told}");
    }
    Ok(())
}

/// The command without the variables by which natives are found here.
fn without_variables(command: &mut Command) -> &mut Command {
    command.env_clear().env("PATH", "/usr/bin:/bin").env("HOME", "/nonexistent")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn options_are_known_or_refused() {
        assert!(is_tried(&["--try".into()]).unwrap());
        assert!(!is_tried(&[]).unwrap());
        assert!(is_tried(&["--tyr".into()]).unwrap_err().to_string().contains("--try"));
    }

    #[test]
    fn a_command_without_its_libraries_is_told() {
        assert!(check("ONNX Runtime 1.31.1\ndevice cpu: can be used\n").is_ok());
        let error = check("ONNX Runtime: not found").unwrap_err().to_string();
        assert!(error.ends_with("ONNX Runtime: not found"), "{error}");
    }

    #[test]
    fn the_recipe_of_the_image_puts_the_command_where_it_is_tried() {
        let recipe = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/container/Containerfile");
        let recipe = fs::read_to_string(recipe).unwrap();
        assert!(recipe.contains(&format!("{IN_ROOT}/slidemill")) && recipe.contains("USER 10001:10001"));
    }
}

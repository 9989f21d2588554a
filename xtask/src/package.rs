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
    if is_tried { try_out(&made, &stage) } else { Ok(()) }
}

/// `cargo xtask tarball`: a tarball in `target/dist`.
///
/// # Errors
/// As [`wheel`].
pub(crate) fn tarball(root: &Path) -> Result<()> {
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
    Ok(())
}

/// Our licences, and the card of the models, which says whom to name.
fn licences(root: &Path, folder: &Path) -> Result<()> {
    for name in ["LICENSE-MIT", "LICENSE-APACHE"] {
        copy(&root.join(name), &folder.join(name))?;
    }
    for model in ["nuclei-he", "nuclei-he-classes"] {
        let card = root.join("models").join(model).join("README.md");
        copy(&card, &folder.join("licenses").join(format!("model-{model}.md")))?;
    }
    Ok(())
}

/// Installs the wheel in a new environment and runs it, with nothing of this shell's but the path.
fn try_out(wheel: &Path, stage: &Path) -> Result<()> {
    let python = Python::at_least(OLDEST_PYTHON)?.make_environment(&stage.join("try"))?;
    run_quietly(python.pip("install").arg(wheel), "check the network and pip's index")?;
    let mut ask = python.command();
    ask.args(["-c", "import slidemill; slidemill.show_versions(); print(slidemill.settings()['window'])"]);
    let told = run_quietly(without_variables(&mut ask), "the package does not find its command")?;
    if !told.contains("device cpu: can be used") {
        bail!("the installed command cannot use the CPU:\n{told}");
    }
    let mut demo = Command::new(stage.join("try/bin/slidemill"));
    demo.arg("demo").arg("--out").arg(stage.join("demo"));
    run(without_variables(&mut demo), "its message is above")
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
}

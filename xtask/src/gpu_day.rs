//! `cargo xtask gpu-day`: all that a machine with a GPU and nothing else needs, in one small file.
//!
//! The tasks there, and how they are done, are in `deploy/gpu-day`.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::build;
use crate::files::{copy, empty, tell};
use crate::python::Python;
use crate::step::{run_quietly, say};
use crate::wheels::{self, Wheel};

/// ONNX Runtime with CUDA 13, of the version that [`pins`](crate::pins) has for the CPU.
const RUNTIME: Wheel<'static> = Wheel {
    requirement: "onnxruntime-gpu==1.31.1",
    platform: "manylinux_2_28_x86_64",
    sha256: "05d548956197b9d01f59b625de740e0d6be3593f874e241a12dc0362650ecdf7",
};
/// Parts of it that are carried: the library, and what it opens for CUDA, which is made small.
const LIBRARIES: [&str; 2] = ["libonnxruntime.so.1.31.1", "libonnxruntime_providers_shared.so"];
const PROVIDER: &str = "libonnxruntime_providers_cuda.so";
const IN_WHEEL: &str = "onnxruntime/capi";
/// Models that are measured unless others are named.
const MODELS: [&str; 2] = ["nuclei-he/nuclei-he.onnx", "nuclei-he/nuclei-he-seg.onnx"];
/// Compute capability of the cards: 9.0 is Hopper.
const ARCHITECTURE: &str = "90";
/// Most bytes that a borrowed machine takes.
const MOST_BYTES: u64 = 64 << 20;

/// Contents of the pack beside the programs.
#[derive(Debug, Default, PartialEq, Eq)]
struct Wanted {
    slides: Vec<PathBuf>,
    models: Vec<PathBuf>,
    architecture: Option<String>,
}

impl Wanted {
    /// # Errors
    /// When an option is not known or lacks its value, or no slide is named.
    fn new(arguments: &[OsString]) -> Result<Self> {
        let mut wanted = Self::default();
        for pair in arguments.chunks(2) {
            let [name, value] = pair else {
                bail!("{} lacks its value", pair[0].to_string_lossy());
            };
            match name.to_string_lossy().as_ref() {
                "--slide" => wanted.slides.push(value.into()),
                "--model" => wanted.models.push(value.into()),
                "--sm" => wanted.architecture = Some(value.to_string_lossy().into_owned()),
                other => bail!("no such option: {other}, expected --slide FILE, --model FILE or --sm NUMBER"),
            }
        }
        if wanted.slides.is_empty() {
            bail!("no slide is named, expected --slide FILE: counts on CPU and GPU are compared over it");
        }
        Ok(wanted)
    }
}

/// `cargo xtask gpu-day --slide FILE…`: `target/gpu-day/load.tar.xz`.
///
/// # Errors
/// When a step fails, or the load is larger than a borrowed machine takes.
pub(crate) fn pack(root: &Path, arguments: &[OsString]) -> Result<()> {
    let wanted = Wanted::new(arguments)?;
    let stage = empty(&root.join("target/gpu-day"))?;
    let load = stage.join("load");
    build::program_in(root, &load)?;
    build::strip(&build::bench(root, "detect")?, &load.join("detect"))?;
    runtime(root, &stage, &load.join("lib"), wanted.architecture.as_deref().unwrap_or(ARCHITECTURE))?;
    let bundled = MODELS.map(|model| root.join("models").join(model));
    for (folder, files) in
        [("models", &wanted.models), ("models", &bundled.to_vec()), ("slides", &wanted.slides)]
    {
        put(files, &load.join(folder))?;
    }
    let packed = stage.join("load.tar.xz");
    let mut tar = Command::new("tar");
    tar.args(["--sort=name", "--mtime=@0", "--owner=0", "--group=0", "--numeric-owner", "--xz", "--create"]);
    tar.arg("--file").arg(&packed).arg("--directory").arg(&load).arg(".");
    run_quietly(&mut tar, "install GNU tar and xz")?;
    tell(&packed)?;
    let bytes = packed.metadata().with_context(|| format!("not made: {}", packed.display()))?.len();
    if bytes > MOST_BYTES {
        bail!(
            "{bytes} bytes are more than the {MOST_BYTES} that a borrowed machine takes: name fewer models"
        );
    }
    say("there: python3 deploy/gpu-day/day.py target/gpu-day/load.tar.xz --out OUT");
    Ok(())
}

/// ONNX Runtime in `folder`, its CUDA provider made small.
fn runtime(root: &Path, stage: &Path, folder: &Path, architecture: &str) -> Result<()> {
    let python = Python::at_least(9)?.make_environment(&stage.join("venv"))?;
    run_quietly(python.pip("install").arg("zstandard"), "check the network and pip's index")?;
    let wheel = RUNTIME.download(&python, stage, "check the network and pip's index")?;
    let whole = stage.join("whole");
    for name in LIBRARIES.into_iter().chain([PROVIDER]) {
        wheels::unzip(&python, &wheel, &format!("{IN_WHEEL}/{name}"), &whole.join(name))?;
    }
    for name in LIBRARIES {
        copy(&whole.join(name), &folder.join(name))?;
    }
    let mut thin = python.command();
    thin.arg(root.join("deploy/gpu-day/thin_cuda.py"));
    thin.arg(whole.join(PROVIDER)).arg(folder.join(PROVIDER)).arg(architecture);
    say(run_quietly(&mut thin, "its message is above")?.trim());
    Ok(())
}

/// Copies files into a folder under their own names.
fn put(files: &[PathBuf], folder: &Path) -> Result<()> {
    for file in files {
        let name = file.file_name().with_context(|| format!("no file: {}", file.display()))?;
        copy(file, &folder.join(name))?;
        // Facts that a model's own file does not say lie beside it.
        let beside = file.with_extension("toml");
        if beside.is_file() {
            copy(&beside, &folder.join(name).with_extension("toml"))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn wanted(words: &[&str]) -> Result<Wanted> {
        Wanted::new(&words.iter().map(OsString::from).collect::<Vec<_>>())
    }

    #[test]
    fn slides_and_models_are_named_and_anything_else_is_refused() {
        let found = wanted(&["--slide", "a.svs", "--model", "m.onnx", "--slide", "b.svs"]).unwrap();
        assert_eq!(found.slides, ["a.svs", "b.svs"].map(PathBuf::from));
        assert_eq!(found.models, [PathBuf::from("m.onnx")]);
        for (words, said) in
            [(&["--slide"][..], "lacks its value"), (&["--slid", "a"], "--slide FILE"), (&[], "no slide")]
        {
            let error = wanted(words).unwrap_err().to_string();
            assert!(error.contains(said), "{words:?}: {error}");
        }
    }
}

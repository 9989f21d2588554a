//! `cargo xtask natives`: the two native libraries, in `.native` of the checkout.
//!
//! A library that a variable names or that the system has is used and nothing is fetched. One that only a
//! virtual environment has is fetched all the same: that environment may not be active next time.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use native::{Library, Looked, Outcome, Source};

use crate::pins::{self, Pin};
use crate::python::Python;
use crate::step;
use crate::wheels::{self, Wheel};

/// Writes the members of a zip file that are texts of licences to a folder.
const UNZIP_LICENCES: &str = "
import pathlib, sys, zipfile
members = zipfile.ZipFile(sys.argv[1])
for name in members.namelist():
    below = name.partition('.dist-info/licenses/')[2].removeprefix('licenses/')
    if not below and name.rpartition('/')[2] in ('LICENSE', 'ThirdPartyNotices.txt'):
        below = name.rpartition('/')[2]
    if below and not below.endswith('/'):
        file = pathlib.Path(sys.argv[2], below.replace('/', '-'))
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(members.read(name))
";

/// Makes both libraries available to whatever is built in the checkout at `root`.
///
/// # Errors
/// When a variable names nothing, no wheel exists for this machine, a download fails, or its content is not
/// what was pinned.
pub(crate) fn fetch(root: &Path) -> Result<()> {
    let folder = root.join(".native");
    for library in Library::ALL {
        fetch_one(library, &folder)?;
    }
    Ok(())
}

fn fetch_one(library: Library, folder: &Path) -> Result<()> {
    if let Some(path) = lasting(&native::find_all(library))? {
        step::say(&format!("{library}: using {}", path.display()));
        return Ok(());
    }
    let Some(pin) = pins::pin_for(library) else {
        bail!(
            "no {library} wheel is pinned for this machine: install {} and set {} to its file",
            library.needs(),
            library.file_variable()
        );
    };
    let wanted = folder.join(pin.file_name());
    if !wanted.is_file() || wheels::sha256(&wanted)? != pin.content {
        step::say(&format!("{library} {}: fetching the wheel for {}", pin.version, pin.platform));
        install(pin, folder, &wanted)?;
    }
    step::say(&format!("{library} {}: in .native", pin.version));
    Ok(())
}

/// Puts the pinned library into `folder` as `wanted`: whole, or not at all.
fn install(pin: &Pin, folder: &Path, wanted: &Path) -> Result<()> {
    fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))?;
    let scratch = Scratch::new(folder)?;
    let library = unpack(pin, &scratch.0)?;
    fs::rename(library, wanted).with_context(|| format!("cannot write {}", wanted.display()))
}

/// The file that is used whatever is in `.native`: one that the user named, that lies beside the program, or
/// that the system has.
///
/// # Errors
/// When a variable is set and names nothing usable.
fn lasting(looked: &[Looked]) -> Result<Option<PathBuf>> {
    for look in looked {
        let named = matches!(look.place.source, Source::FileVariable(_) | Source::FolderVariable(_));
        let passing = matches!(look.place.source, Source::Checkout | Source::PythonEnvironment(_));
        match &look.outcome {
            Outcome::Found(path) if !passing => return Ok(Some(path.clone())),
            Outcome::Found(_) => {}
            _ if named => bail!("{} names no such library: correct or unset it: {look}", look.place.source),
            _ => {}
        }
    }
    Ok(None)
}

/// Puts the pinned library into `folder`, and the texts of its licences into a folder of its name under
/// `licences`: they must go with the library to everyone who gets it.
///
/// # Errors
/// When no wheel exists for this machine, a download fails, or its content is not what was pinned.
pub(crate) fn with_licences(library: Library, folder: &Path, licences: &Path) -> Result<()> {
    let pin = pins::pin_for(library)
        .with_context(|| format!("no {library} wheel is pinned for this machine: it cannot be passed on"))?;
    install(pin, folder, &folder.join(pin.file_name()))?;
    let scratch = Scratch::new(folder)?;
    let python = Python::at_least(6)?.with_pip(&scratch.0.join("venv"))?;
    let wheel = pinned_wheel(pin, &python, &scratch.0)?;
    let mut unzip = python.command();
    unzip.args(["-c", UNZIP_LICENCES]).arg(&wheel).arg(licences.join(library.python_package()));
    step::run_quietly(&mut unzip, "the wheel has the pinned content but cannot be unpacked")?;
    Ok(())
}

/// Downloads the pinned wheel into `scratch`, checks it, and takes the library out of it.
fn unpack(pin: &Pin, scratch: &Path) -> Result<PathBuf> {
    let python = Python::at_least(6)?.with_pip(&scratch.join("venv"))?;
    let wheel = pinned_wheel(pin, &python, scratch)?;
    let library = scratch.join(pin.file_name());
    wheels::unzip(&python, &wheel, pin.member, &library)?;
    wheels::expect(&library, pin.content)?;
    Ok(library)
}

/// Downloads the pinned wheel into `scratch` and checks it.
fn pinned_wheel(pin: &Pin, python: &Python, scratch: &Path) -> Result<PathBuf> {
    let requirement = pin.requirement();
    let wheel = Wheel { requirement: &requirement, platform: pin.platform, sha256: pin.wheel };
    let fix = format!(
        "check the network and pip's index, or set {} to a library that you have",
        pin.library.file_variable()
    );
    wheel.download(python, scratch, &fix)
}

/// A folder in `.native`, so that moving a file out of it is one rename; removed when dropped.
struct Scratch(PathBuf);

impl Scratch {
    fn new(folder: &Path) -> Result<Self> {
        let path = folder.join(format!(".fetch-{}", std::process::id()));
        fs::create_dir_all(&path).with_context(|| format!("cannot create {}", path.display()))?;
        Ok(Self(path))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.0) {
            step::say(&format!("note: cannot remove {}: {error}", self.0.display()));
        }
    }
}

#[cfg(test)]
mod tests {
    use native::Place;

    use super::*;

    fn look(source: Source, outcome: Outcome) -> Looked {
        Looked { place: Place { source, path: PathBuf::from("place") }, outcome }
    }

    fn found(path: &str) -> Outcome {
        Outcome::Found(PathBuf::from(path))
    }

    #[test]
    fn what_the_system_has_is_used_and_what_an_environment_has_is_not() {
        let environment = look(Source::PythonEnvironment("VIRTUAL_ENV"), found("env"));
        let checkout = look(Source::Checkout, found("old"));
        assert_eq!(lasting(&[checkout.clone(), environment.clone()]).unwrap(), None);
        let system = look(Source::System, found("system"));
        let lasts = lasting(&[checkout, environment, system]).unwrap();
        assert_eq!(lasts, Some(PathBuf::from("system")));
    }

    #[test]
    fn a_variable_that_names_nothing_stops_the_set_up() {
        let variable = look(Source::FileVariable("OPENSLIDE_LIB"), Outcome::Absent);
        let error = lasting(&[variable, look(Source::System, found("system"))]).unwrap_err();
        assert!(error.to_string().starts_with("OPENSLIDE_LIB names no such library"), "{error}");
    }

    #[test]
    fn the_scratch_folder_goes_away() {
        let folder = tempfile::tempdir().unwrap();
        let scratch = Scratch::new(folder.path()).unwrap();
        let path = scratch.0.clone();
        fs::write(path.join("part"), b"").unwrap();
        drop(scratch);
        assert!(!path.exists());
    }
}

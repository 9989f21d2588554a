//! New root file systems of Debian, in which packages are tried: nothing of this machine is in them but its kernel.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::files::empty;
use crate::step::{run_quietly, succeeds};

/// Releases in which packages are tried.
pub(crate) const RELEASES: [Release; 2] =
    [Release { name: "Debian 12", suite: "bookworm" }, Release { name: "Debian 13", suite: "trixie" }];

/// The user of programs in a root, as in the image for containers: it owns nothing there.
const USER: &str = "10001";
const TOOLS: &str = "install mmdebstrap and bubblewrap, and check the network";

/// A release of Debian.
pub(crate) struct Release {
    pub(crate) name: &'static str,
    suite: &'static str,
}

/// A root file system, and the one folder that programs in it can write to: `/out`, where they start.
pub(crate) struct Root {
    pub(crate) files: PathBuf,
    pub(crate) out: PathBuf,
}

impl Root {
    /// Makes the smallest root of a release with further `packages` in `folder`, which is cleared.
    ///
    /// # Errors
    /// Without `mmdebstrap`, or without a network.
    pub(crate) fn make(release: &Release, packages: &[&str], folder: &Path) -> Result<Self> {
        let folder = empty(folder)?;
        let packed = folder.join("root.tar");
        let mut make = Command::new("mmdebstrap");
        make.args(["--quiet", "--variant=minbase"]);
        make.args(packages.iter().map(|package| format!("--include={package}")));
        run_quietly(make.arg(release.suite).arg(&packed), TOOLS)?;
        let root = Self { files: folder.join("root"), out: folder.join("out") };
        for place in [&root.files.join("out"), &root.out] {
            fs::create_dir_all(place).with_context(|| format!("cannot create {}", place.display()))?;
        }
        unpack(&packed, &root.files, &["--exclude=./dev/*", "--no-same-owner"])?;
        fs::remove_file(&packed).with_context(|| format!("cannot remove {}", packed.display()))?;
        Ok(root)
    }

    /// A program as a container runs it: without network, and all but `/out` and `/tmp` can only be read.
    pub(crate) fn command(&self, program: &str) -> Command {
        self.enclosed("--ro-bind", program)
    }

    /// A program that prepares the root: as [`command`](Self::command), but it can write anywhere.
    pub(crate) fn preparation(&self, program: &str) -> Command {
        self.enclosed("--bind", program)
    }

    fn enclosed(&self, bind: &str, program: &str) -> Command {
        let mut command = Command::new("bwrap");
        command.arg(bind).arg(&self.files).arg("/").arg("--bind").arg(&self.out).arg("/out");
        command.args(["--proc", "/proc", "--dev", "/dev", "--tmpfs", "/tmp"]);
        command.args(["--unshare-all", "--die-with-parent", "--uid", USER, "--gid", USER]);
        command.args(["--clearenv", "--setenv", "PATH", "/usr/local/bin:/usr/bin:/bin"]);
        command.args(["--chdir", "/out", program]);
        command
    }
}

/// `true` if this machine has what makes roots and runs programs in them.
pub(crate) fn can_be_made() -> bool {
    ["mmdebstrap", "bwrap"].iter().all(|tool| succeeds(Command::new(tool).arg("--version")))
}

/// Unpacks a tar archive into a folder that is there.
///
/// # Errors
/// Without GNU tar, or when it cannot write.
pub(crate) fn unpack(archive: &Path, folder: &Path, options: &[&str]) -> Result<()> {
    let mut tar = Command::new("tar");
    tar.arg("--extract").arg("--file").arg(archive).arg("--directory").arg(folder).args(options);
    run_quietly(&mut tar, "install GNU tar")?;
    Ok(())
}

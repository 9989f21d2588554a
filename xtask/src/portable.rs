//! A program's needs of the machine it runs on: versions of glibc's functions, read from the program itself.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::step::run_quietly;

/// A version of glibc: 2.28 is `Glibc(2, 28)`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Glibc(pub(crate) u32, pub(crate) u32);

impl Glibc {
    /// The oldest glibc that wheels of ONNX Runtime and OpenSlide need: a wheel of ours cannot work with an
    /// older one.
    pub(crate) const OF_LIBRARIES: Self = Self(2, 28);

    /// Returns the newest glibc that `program` needs.
    ///
    /// # Errors
    /// When `readelf` is missing, or does not find what it should.
    pub(crate) fn needed_by(program: &Path) -> Result<Self> {
        let mut readelf = Command::new("readelf");
        readelf.args(["--version-info", "--wide"]).arg(program).env("LC_ALL", "C");
        let told = run_quietly(&mut readelf, "install binutils (it comes with a C compiler)")?;
        newest(&told).with_context(|| format!("readelf names no version of glibc: {}", program.display()))
    }

    /// Returns the platform of a wheel that needs this glibc, as PEP 600 names it.
    ///
    /// # Errors
    /// On a system for which there is no such platform.
    pub(crate) fn platform(self) -> Result<String> {
        if !cfg!(all(target_os = "linux", target_env = "gnu")) {
            bail!("wheels are made on Linux with glibc so far");
        }
        let Self(major, minor) = self.max(Self::OF_LIBRARIES);
        Ok(format!("manylinux_{major}_{minor}_{}", std::env::consts::ARCH))
    }
}

/// Returns the newest version among entries `Name: GLIBC_2.34` printed by `readelf`. Versions of other
/// libraries and glibc's private symbols have other names.
fn newest(readelf: &str) -> Option<Glibc> {
    readelf.split_whitespace().filter_map(|word| version(word.strip_prefix("GLIBC_")?)).max()
}

/// Returns 2.34 for `2.34`, and 2.2 for `2.2.5`.
fn version(text: &str) -> Option<Glibc> {
    let mut numbers = text.split('.').map(|part| part.parse().ok());
    Some(Glibc(numbers.next()??, numbers.next()??))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    const TOLD: &str = "\
Version needs section '.gnu.version_r' contains 3 entries:
  0x0000: Version: 1  File: libgcc_s.so.1  Cnt: 2
  0x0010:   Name: GCC_4.2.0  Flags: none  Version: 14
  0x0030: Version: 1  File: libc.so.6  Cnt: 3
  0x0040:   Name: GLIBC_2.9  Flags: none  Version: 5
  0x0050:   Name: GLIBC_2.34  Flags: none  Version: 6
  0x0060:   Name: GLIBC_2.2.5  Flags: none  Version: 7
  0x0070:   Name: GLIBC_PRIVATE  Flags: none  Version: 8";

    #[test]
    fn the_newest_version_counts_by_number() {
        assert_eq!(newest(TOLD), Some(Glibc(2, 34)));
        assert_eq!(newest(""), None);
    }

    #[test]
    fn a_wheel_is_called_what_its_files_need() {
        if cfg!(all(target_os = "linux", target_env = "gnu")) {
            let arch = std::env::consts::ARCH;
            assert_eq!(Glibc(2, 34).platform().unwrap(), format!("manylinux_2_34_{arch}"));
            assert_eq!(Glibc(2, 17).platform().unwrap(), format!("manylinux_2_28_{arch}"));
        }
    }

    #[test]
    fn this_very_program_can_be_asked() {
        if cfg!(all(target_os = "linux", target_env = "gnu")) {
            let this = std::env::current_exe().unwrap();
            assert!(Glibc::needed_by(&this).unwrap() >= Glibc(2, 2));
        }
    }
}

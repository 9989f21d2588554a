//! The two libraries: their names on each platform, and the versions that file names carry.

use std::fmt;
use std::path::Path;

use crate::environment::Platform;

/// A native library that slidemill opens while it runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Library {
    /// Runs the models. The C interface of version 1.22 is used; every later version still offers it.
    OnnxRuntime,
    /// Reads the vendors' slide formats. Version 4 is the first with DICOM and a settable cache.
    OpenSlide,
}

impl Library {
    /// Both, in a fixed order.
    pub const ALL: [Self; 2] = [Self::OnnxRuntime, Self::OpenSlide];

    /// The variable that names the library's file.
    pub fn file_variable(self) -> &'static str {
        match self {
            Self::OnnxRuntime => "ORT_DYLIB_PATH",
            Self::OpenSlide => "OPENSLIDE_LIB",
        }
    }

    /// The Python package that brings the library.
    pub fn python_package(self) -> &'static str {
        match self {
            Self::OnnxRuntime => "onnxruntime",
            Self::OpenSlide => "openslide-bin",
        }
    }

    /// The library's folder under `site-packages`.
    pub fn site_folder(self) -> &'static str {
        match self {
            Self::OnnxRuntime => "onnxruntime/capi",
            Self::OpenSlide => "openslide_bin",
        }
    }

    /// The file name without a version, as messages show it.
    pub fn file_name(self, platform: Platform) -> &'static str {
        match (self, platform) {
            (Self::OnnxRuntime, Platform::Linux) => "libonnxruntime.so",
            (Self::OnnxRuntime, Platform::MacOs) => "libonnxruntime.dylib",
            (Self::OnnxRuntime, Platform::Windows) => "onnxruntime.dll",
            (Self::OpenSlide, Platform::Linux) => "libopenslide.so",
            (Self::OpenSlide, Platform::MacOs) => "libopenslide.dylib",
            (Self::OpenSlide, Platform::Windows) => "libopenslide.dll",
        }
    }

    /// The oldest version that can be used, in the numbers of file names: OpenSlide 3 is `libopenslide.so.0`
    /// and OpenSlide 4 is `libopenslide.so.1`.
    fn oldest(self) -> Version {
        match self {
            Self::OnnxRuntime => Version(vec![1, 22]),
            Self::OpenSlide => Version(vec![1]),
        }
    }

    /// Name of the oldest usable version in the library's own documentation.
    pub fn needs(self) -> &'static str {
        match self {
            Self::OnnxRuntime => "ONNX Runtime 1.22",
            Self::OpenSlide => "OpenSlide 4",
        }
    }

    /// The version in `name` if it is one of this library's file names, else `None`.
    ///
    /// `libonnxruntime.so` gives the empty version and `libonnxruntime.so.1.31.1` gives 1.31.1;
    /// `libonnxruntime_providers_shared.so` is another file.
    pub fn version_in(self, name: &str, platform: Platform) -> Option<Version> {
        let (stem, ending) = self.file_name(platform).rsplit_once('.')?;
        let rest = name.strip_prefix(stem)?;
        match platform {
            Platform::Linux => Version::after('.', rest.strip_prefix(".so")?),
            Platform::MacOs => Version::after('.', rest.strip_suffix(".dylib")?),
            Platform::Windows => Version::after('-', rest.strip_suffix(ending)?.strip_suffix('.')?),
        }
    }

    /// The version of a file, from its name or, where that is a symbolic link, from the name it leads to.
    pub fn version_of(self, path: &Path, platform: Platform) -> Option<Version> {
        let named = self.version_in(path.file_name()?.to_str()?, platform)?;
        let target = path.canonicalize().ok();
        let linked = target
            .as_deref()
            .and_then(Path::file_name)
            .and_then(|name| self.version_in(name.to_str()?, platform));
        Some(linked.map_or(named.clone(), |linked| linked.max(named)))
    }

    /// `true` if the version is known to be older than the oldest that can be used.
    pub fn is_too_old(self, version: &Version) -> bool {
        let Version(oldest) = self.oldest();
        version
            .0
            .iter()
            .zip(&oldest)
            .find(|(have, need)| have != need)
            .is_some_and(|(have, need)| have < need)
    }
}

impl fmt::Display for Library {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::OnnxRuntime => "ONNX Runtime",
            Self::OpenSlide => "OpenSlide",
        })
    }
}

/// The numbers in a library's file name, most significant first; empty when the name has none, which sorts
/// before every other.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version(pub Vec<u32>);

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let numbers: Vec<String> = self.0.iter().map(u32::to_string).collect();
        f.write_str(&numbers.join("."))
    }
}

impl Version {
    /// Reads `""` or, with the mark `.`, `".1.31.1"`; `None` for any other text.
    fn after(mark: char, text: &str) -> Option<Self> {
        match text.strip_prefix(mark) {
            None => text.is_empty().then(|| Self(Vec::new())),
            Some(numbers) => {
                let parts = numbers.split('.').map(|part| part.parse().ok());
                parts.collect::<Option<Vec<u32>>>().map(Self)
            }
        }
    }
}

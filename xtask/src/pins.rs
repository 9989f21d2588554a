//! Wheels that hold the native libraries, pinned by version and content.
//!
//! To move a pin: download the wheels with `pip download --no-deps --only-binary=:all: --platform …
//! --python-version 3.12 --implementation cp`, put their SHA-256 and that of the library inside here, and
//! run the tests; the reading and detecting ones compare with recorded results.
//!
//! ONNX Runtime ended at 1.23.2 for Intel Macs; slidemill asks for the interface of 1.22, so that still
//! serves. OpenSlide has no wheel for Windows on ARM.

use std::env::consts::{ARCH, OS};

use native::Library;

/// One library in one wheel for one kind of machine.
pub(crate) struct Pin {
    pub(crate) library: Library,
    /// Operating system and processor as Rust names them.
    host: (&'static str, &'static str),
    pub(crate) version: &'static str,
    /// The wheel's platform as pip names it.
    pub(crate) platform: &'static str,
    /// SHA-256 of the wheel.
    pub(crate) wheel: &'static str,
    /// The library's path in the wheel.
    pub(crate) member: &'static str,
    /// SHA-256 of the library.
    pub(crate) content: &'static str,
}

impl Pin {
    /// The library's file name in `.native`.
    pub(crate) fn file_name(&self) -> &'static str {
        self.member.rsplit('/').next().unwrap_or(self.member)
    }

    /// Returns the wheel as pip's command line names it.
    pub(crate) fn requirement(&self) -> String {
        format!("{}=={}", self.library.python_package(), self.version)
    }
}

/// Returns the pin for this machine, if a wheel exists for it. The Linux wheels need glibc 2.28.
pub(crate) fn pin_for(library: Library) -> Option<&'static Pin> {
    let glibc = !cfg!(all(target_os = "linux", not(target_env = "gnu")));
    PINS.iter().find(|pin| glibc && pin.library == library && pin.host == (OS, ARCH))
}

static PINS: [Pin; 11] = [
    Pin {
        library: Library::OnnxRuntime,
        host: ("linux", "x86_64"),
        version: "1.31.1",
        platform: "manylinux_2_28_x86_64",
        wheel: "1f3dea47f2f0e5117c2404cea7d21fd253ae7836a3bf167a501cdfbb2600d536",
        member: "onnxruntime/capi/libonnxruntime.so.1.31.1",
        content: "fc44112fbe06d7d689c57e11d3862031f64711007e4ee020f8eed5185fd2c1d3",
    },
    Pin {
        library: Library::OnnxRuntime,
        host: ("linux", "aarch64"),
        version: "1.31.1",
        platform: "manylinux_2_28_aarch64",
        wheel: "0b9a492176886992e0e875f06bc0367e333f5fff11711a2d642e18b02f3009cc",
        member: "onnxruntime/capi/libonnxruntime.so.1.31.1",
        content: "8aa3b76b28c778a2b1dd660d34161adb1d508c9ccd04ff9dc80e26eca5df8467",
    },
    Pin {
        library: Library::OnnxRuntime,
        host: ("macos", "aarch64"),
        version: "1.31.1",
        platform: "macosx_14_0_arm64",
        wheel: "96dd2564b10ea7153ad9c207e7cd8e5917cb3ba521e0e0a62ac03486fdc8d56c",
        member: "onnxruntime/capi/libonnxruntime.1.31.1.dylib",
        content: "d586cbe89effc085a09d3341b3cfbd5c322517f9d397aeb20814af21433f2b36",
    },
    Pin {
        library: Library::OnnxRuntime,
        host: ("macos", "x86_64"),
        version: "1.23.2",
        platform: "macosx_13_0_x86_64",
        wheel: "218295a8acae83905f6f1aed8cacb8e3eb3bd7513a13fe4ba3b2664a19fc4a6b",
        member: "onnxruntime/capi/libonnxruntime.1.23.2.dylib",
        content: "41e7960eccef34f60ca21d091d37bc97d0e70a0b4ce902babf5f795a76e1af74",
    },
    Pin {
        library: Library::OnnxRuntime,
        host: ("windows", "x86_64"),
        version: "1.31.1",
        platform: "win_amd64",
        wheel: "ae8a9a351efda685cc59a66226cdefaa37a126c1d66872ca23a2de9425326130",
        member: "onnxruntime/capi/onnxruntime.dll",
        content: "e45f61e50d8650885452be538a00bb14a715e46a1bc3691000ce947e89ed0306",
    },
    Pin {
        library: Library::OnnxRuntime,
        host: ("windows", "aarch64"),
        version: "1.31.1",
        platform: "win_arm64",
        wheel: "fe8b9ac1ae8e894e12c47ee82e4f6dfc1835768133687257866469fda80d0bf1",
        member: "onnxruntime/capi/onnxruntime.dll",
        content: "dc9e2fe646a72829386a24ac9185a7a4e26d7dbe5dc433d41df063603c00bbc7",
    },
    Pin {
        library: Library::OpenSlide,
        host: ("linux", "x86_64"),
        version: "4.0.1.2",
        platform: "manylinux_2_28_x86_64",
        wheel: "8ac4aa3a2277ed5e218ca0019db65bdd6e853f865eb4edd3da00e2f4acf0c923",
        member: "openslide_bin/libopenslide.so.1",
        content: "552b5b77901bc9c7e7cc6e02a0b4f2861ffa85572b036a063db4f19ed2f357df",
    },
    Pin {
        library: Library::OpenSlide,
        host: ("linux", "aarch64"),
        version: "4.0.1.2",
        platform: "manylinux_2_28_aarch64",
        wheel: "0dff14807e1b7ccfd476ca5b6945edf46908b76ec61777d35acb2a514e205c30",
        member: "openslide_bin/libopenslide.so.1",
        content: "71ee1bc265a5322a8d83a811faedd3473483a4c8e810e9725897830b01e56639",
    },
    Pin {
        library: Library::OpenSlide,
        host: ("macos", "aarch64"),
        version: "4.0.1.2",
        platform: "macosx_11_0_universal2",
        wheel: "230cdb1e2cfa88b9f28ca8f51a7b47065b20a855ad3e7ba141cd663e5a713e8c",
        member: "openslide_bin/libopenslide.1.dylib",
        content: "f31fd20609d00b0348d66b08dd5cded12bd7ae0d312aa357e5e556a87dc546f2",
    },
    Pin {
        library: Library::OpenSlide,
        host: ("macos", "x86_64"),
        version: "4.0.1.2",
        platform: "macosx_11_0_universal2",
        wheel: "230cdb1e2cfa88b9f28ca8f51a7b47065b20a855ad3e7ba141cd663e5a713e8c",
        member: "openslide_bin/libopenslide.1.dylib",
        content: "f31fd20609d00b0348d66b08dd5cded12bd7ae0d312aa357e5e556a87dc546f2",
    },
    Pin {
        library: Library::OpenSlide,
        host: ("windows", "x86_64"),
        version: "4.0.1.2",
        platform: "win_amd64",
        wheel: "0c882f0693e4b43e187a51469bff8057de381e865765ac5508a7e1feba319116",
        member: "openslide_bin/libopenslide-1.dll",
        content: "dc8e35ad0ce001c4e878f2bebc23e87fb85d2bdebec5a542af2ecec3cb5cd635",
    },
];

#[cfg(test)]
mod tests {
    use native::Platform;

    use super::*;

    #[test]
    fn every_pinned_file_is_one_that_the_search_takes() {
        for pin in &PINS {
            let platform = match pin.host.0 {
                "linux" => Platform::Linux,
                "macos" => Platform::MacOs,
                _ => Platform::Windows,
            };
            let version = pin.library.version_in(pin.file_name(), platform);
            assert!(version.is_some_and(|version| !pin.library.is_too_old(&version)), "{}", pin.member);
            assert_eq!(pin.member, format!("{}/{}", pin.library.site_folder(), pin.file_name()));
            assert!([pin.wheel, pin.content].iter().all(|hash| hash.len() == 64), "{}", pin.member);
        }
    }

    #[test]
    fn a_machine_has_one_pin_for_a_library() {
        for (index, pin) in PINS.iter().enumerate() {
            let same = |other: &&Pin| other.library == pin.library && other.host == pin.host;
            assert_eq!(PINS[index..].iter().filter(same).count(), 1, "{:?}", pin.host);
        }
    }
}

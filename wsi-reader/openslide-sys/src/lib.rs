//! OpenSlide's C interface, opened at run time.
//!
//! Stands in for the crate of the same name through `[patch.crates-io]`, so that
//! building needs neither OpenSlide nor its headers, and one binary serves
//! OpenSlide 3.4 and 4. [`load`] finds and opens the library; call it first to
//! learn why it is missing. Functions called without a library, or that an old
//! library lacks, do nothing and answer as OpenSlide answers a failure.

// Foreign functions are this crate's whole purpose.
#![allow(unsafe_code)]

use std::{
    path::{Path, PathBuf},
    sync::OnceLock,
};

use libloading::Library;

/// Reasons why OpenSlide cannot be called.
#[derive(Debug)]
pub enum LoadError {
    /// The library was not found; the message names the places that were searched, and what to do.
    NotFound(native::NotFound),
    /// The library is there and does not open, or is not OpenSlide.
    Broken {
        /// The file that was tried.
        path: PathBuf,
        /// Message of the system's loader.
        reason: String,
    },
}

impl std::fmt::Display for LoadError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::NotFound(why) => why.fmt(f),
            Self::Broken { path, reason } => {
                write!(f, "cannot load the OpenSlide library: {reason}: {}", path.display())
            }
        }
    }
}

impl std::error::Error for LoadError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::NotFound(why) => Some(why),
            Self::Broken { .. } => None,
        }
    }
}

/// Finds and opens OpenSlide once per process.
///
/// # Errors
///
/// [`LoadError`], the same one each time.
pub fn load() -> Result<(), &'static LoadError> {
    sys::api().map(|_| ())
}

/// `true` if the library is OpenSlide 4 or newer: that reads DICOM and ICC profiles and takes caches of the
/// caller.
#[must_use]
pub fn has_v4() -> bool {
    sys::api().is_ok_and(|api| api.v4.is_some())
}

/// The C functions, named as in `openslide.h`.
#[allow(non_camel_case_types, clippy::missing_safety_doc)]
pub mod sys {
    use std::ffi::{c_char, c_void};

    use super::{Library, LoadError, OnceLock, Path};

    /// An open slide.
    #[repr(C)]
    pub struct openslide_t {
        _opaque: [u8; 0],
    }

    /// A cache of decoded tiles (OpenSlide 4).
    #[repr(C)]
    pub struct openslide_cache_t {
        _opaque: [u8; 0],
    }

    /// Declares the table of function pointers, its loader, and one function per
    /// entry that calls through it or gives `$otherwise`.
    macro_rules! functions {
        ($table:ident: $($(#[$doc:meta])* fn $name:ident($($arg:ident: $ty:ty),*) -> $ret:ty = $otherwise:expr;)*) => {
            pub(super) struct $table { $($name: unsafe extern "C" fn($($ty),*) -> $ret,)* }

            impl $table {
                fn load(library: &Library) -> Result<Self, libloading::Error> {
                    Ok(Self {
                        // SAFETY: the name and signature are those of openslide.h, and
                        // the library stays open for as long as the process runs.
                        $($name: *unsafe { library.get::<unsafe extern "C" fn($($ty),*) -> $ret>(stringify!($name).as_bytes()) }?,)*
                    })
                }
            }

            $($(#[$doc])*
            ///
            /// # Safety
            ///
            /// As `openslide.h` states for the function of this name.
            pub unsafe fn $name($($arg: $ty),*) -> $ret {
                match $table::get() {
                    // SAFETY: the caller keeps openslide.h's contract.
                    Some(table) => unsafe { (table.$name)($($arg),*) },
                    None => $otherwise,
                }
            })*
        };
    }

    functions! { Core:
        /// Opens a slide; null when the file is not recognised.
        fn openslide_open(filename: *const c_char) -> *mut openslide_t = std::ptr::null_mut();
        /// Closes a slide.
        fn openslide_close(osr: *mut openslide_t) -> () = ();
        /// The vendor of a file, or null.
        fn openslide_detect_vendor(filename: *const c_char) -> *const c_char = std::ptr::null();
        /// Number of levels, or -1.
        fn openslide_get_level_count(osr: *mut openslide_t) -> i32 = -1;
        /// Size of a level in px, or -1.
        fn openslide_get_level_dimensions(osr: *mut openslide_t, level: i32, w: *mut i64, h: *mut i64) -> () = ();
        /// Downsample of a level, or -1.
        fn openslide_get_level_downsample(osr: *mut openslide_t, level: i32) -> f64 = -1.0;
        /// The level that serves a downsample, or -1.
        fn openslide_get_best_level_for_downsample(osr: *mut openslide_t, downsample: f64) -> i32 = -1;
        /// Reads premultiplied ARGB.
        fn openslide_read_region(osr: *mut openslide_t, dest: *mut u32, x: i64, y: i64, level: i32, w: i64, h: i64) -> () = ();
        /// The slide's terminal error, or null.
        fn openslide_get_error(osr: *mut openslide_t) -> *const c_char = std::ptr::null();
        /// Null-terminated list of names.
        fn openslide_get_property_names(osr: *mut openslide_t) -> *const *const c_char = std::ptr::null();
        /// A property's value, or null.
        fn openslide_get_property_value(osr: *mut openslide_t, name: *const c_char) -> *const c_char = std::ptr::null();
        /// Null-terminated list of names.
        fn openslide_get_associated_image_names(osr: *mut openslide_t) -> *const *const c_char = std::ptr::null();
        /// Size of an associated image in px, or -1.
        fn openslide_get_associated_image_dimensions(osr: *mut openslide_t, name: *const c_char, w: *mut i64, h: *mut i64) -> () = ();
        /// Reads premultiplied ARGB.
        fn openslide_read_associated_image(osr: *mut openslide_t, name: *const c_char, dest: *mut u32) -> () = ();
        /// The library's version.
        fn openslide_get_version() -> *const c_char = std::ptr::null();
    }

    functions! { V4:
        /// Bytes of the ICC profile; 0 when there is none.
        fn openslide_get_icc_profile_size(osr: *mut openslide_t) -> i64 = 0;
        /// Reads the ICC profile.
        fn openslide_read_icc_profile(osr: *mut openslide_t, dest: *mut c_void) -> () = ();
        /// Bytes of an associated image's ICC profile; 0 when there is none.
        fn openslide_get_associated_image_icc_profile_size(osr: *mut openslide_t, name: *const c_char) -> i64 = 0;
        /// Reads an associated image's ICC profile.
        fn openslide_read_associated_image_icc_profile(osr: *mut openslide_t, name: *const c_char, dest: *mut c_void) -> () = ();
        /// A new cache, or null.
        fn openslide_cache_create(capacity: usize) -> *mut openslide_cache_t = std::ptr::null_mut();
        /// Gives a slide a cache.
        fn openslide_set_cache(osr: *mut openslide_t, cache: *mut openslide_cache_t) -> () = ();
        /// Drops a reference to a cache.
        fn openslide_cache_release(cache: *mut openslide_cache_t) -> () = ();
    }

    impl Core {
        fn get() -> Option<&'static Self> {
            api().ok().map(|api| &api.core)
        }
    }

    impl V4 {
        fn get() -> Option<&'static Self> {
            api().ok().and_then(|api| api.v4.as_ref())
        }
    }

    /// The opened library.
    pub(super) struct Api {
        core: Core,
        pub(super) v4: Option<V4>,
        /// Keeps the code mapped.
        _library: Library,
    }

    pub(super) fn api() -> Result<&'static Api, &'static LoadError> {
        static API: OnceLock<Result<Api, LoadError>> = OnceLock::new();
        API.get_or_init(open_library).as_ref()
    }

    fn open_library() -> Result<Api, LoadError> {
        let path = native::find(native::Library::OpenSlide).map_err(LoadError::NotFound)?;
        load_from(&path).map_err(|error| LoadError::Broken { path, reason: error.to_string() })
    }

    fn load_from(path: &Path) -> Result<Api, libloading::Error> {
        // SAFETY: OpenSlide's initialisers only set up its own tables.
        let library = unsafe { Library::new(path) }?;
        let core = Core::load(&library)?;
        let v4 = V4::load(&library).ok();
        Ok(Api { core, v4, _library: library })
    }
}

//! For tests: what is computed several numbers at once gives the same on every processor.

use fearless_simd::Level;

/// Kinds of vector instructions that this processor has, narrowest first.
pub(crate) fn all() -> Vec<Level> {
    let best = Level::new();
    #[cfg(target_arch = "x86_64")]
    let narrower = [
        best.as_sse2().map(Level::Sse2),
        best.as_sse4_2().map(Level::Sse4_2),
        best.as_avx2().map(Level::Avx2),
        best.as_avx512().map(Level::Avx512),
    ];
    #[cfg(not(target_arch = "x86_64"))]
    let narrower = [Some(Level::baseline())];
    narrower.into_iter().flatten().chain([best]).collect()
}

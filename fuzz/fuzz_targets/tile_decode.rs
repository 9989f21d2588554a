#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| wsi_reader::fuzzing::fuzz_tiles(bytes));

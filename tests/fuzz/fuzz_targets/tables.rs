#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| hopmq_fuzz::tables::run(input));

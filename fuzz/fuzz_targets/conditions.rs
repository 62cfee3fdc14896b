#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| plainspan_fuzz::conditions(data));

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fcgipm_fuzz::conn::check(data));

//! Every binary of this package is this file: its own name says which target it feeds.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| fairground_fuzz::run(env!("CARGO_BIN_NAME"), input));

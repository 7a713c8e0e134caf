#![no_main]

#[path = "../../tests/common/arbitrary.rs"]
mod arbitrary;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| arbitrary::packed(bytes));

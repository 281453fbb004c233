#![no_main]

#[path = "../statement.rs"]
mod statement;

libfuzzer_sys::fuzz_target!(|data: &[u8]| statement::statement(data));

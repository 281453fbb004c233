#![no_main]

#[path = "../pod.rs"]
mod pod;

libfuzzer_sys::fuzz_target!(|data: &[u8]| pod::pod(data));

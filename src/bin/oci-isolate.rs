//! The shim: the engine's argv in, the real runtime out. The story is [`oci_isolate::shim`].

fn main() -> std::process::ExitCode {
    oci_isolate::shim::main()
}

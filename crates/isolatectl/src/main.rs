//! The operator's program: inspects isolated containers, and bundles of future ones. The code is in [the
//! library].

fn main() -> std::process::ExitCode {
    isolatectl::main()
}

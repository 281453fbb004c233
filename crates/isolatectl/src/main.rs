//! The operator's program: looks at isolated containers, and at bundles that may become one. The story is
//! [the library].

fn main() -> std::process::ExitCode {
    isolatectl::main()
}

//! The operator's program: looks at isolated containers, and at bundles that may become one. The story is
//! [`oci_isolate::ctl`].

fn main() -> std::process::ExitCode {
    oci_isolate::ctl::main()
}

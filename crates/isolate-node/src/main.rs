//! See the library.

fn main() -> std::process::ExitCode {
    isolate_node::main()
}

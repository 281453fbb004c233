//! The program. The story is [`isolate_job::cli`].

fn main() -> std::process::ExitCode {
    isolate_job::cli::main()
}

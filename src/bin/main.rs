//! The `fcgipm` command. What it does is in the library beside it.

fn main() -> std::process::ExitCode {
    fcgipm_command::run_command()
}

//! The `fcgipm` command: tools for whoever develops or runs a FastCGI application.
//!
//! Each subcommand is a module with its options (`Options`) and a `run` that returns the exit
//! status. Those that speak to an application do so through [`client`], but for `load`, whose cost
//! per request would drown in it.

mod args;
mod call;
mod cgi;
mod console;
mod fastcgi;
mod gateway;
mod load;
mod run;
mod status;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Tools for FastCGI applications.
#[derive(Parser)]
#[command(name = "fcgipm", version, about, disable_help_subcommand = true)]
struct Command {
    #[command(subcommand)]
    tool: Tool,
}

#[derive(Subcommand)]
enum Tool {
    Gateway(gateway::Options),
    Call(call::Options),
    Status(status::Options),
    Load(Box<load::Options>),
    Run(Box<run::Options>),
}

fn main() -> ExitCode {
    match Command::parse().tool {
        Tool::Gateway(options) => in_runtime(gateway::run(options)),
        Tool::Call(options) => in_runtime(call::run(options)),
        // These wait in loops of their own. What is run must not find threads of a runtime.
        Tool::Status(options) => ExitCode::from(status::run(&options)),
        Tool::Load(options) => ExitCode::from(load::run(&options)),
        Tool::Run(options) => ExitCode::from(run::run(*options)),
    }
}

/// Runs a tool that waits for many things at once.
fn in_runtime(tool: impl Future<Output = u8>) -> ExitCode {
    let runtime = match tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => {
            console::error(&format!("fcgipm: cannot start: {error}"));
            return ExitCode::FAILURE;
        }
    };
    let status = runtime.block_on(tool);
    // A read of standard input that is still blocking in its thread must not hold up the exit.
    runtime.shutdown_background();
    ExitCode::from(status)
}

//! The `fcgipm` command: tools for whoever develops or runs a FastCGI application.
//!
//! Each subcommand is a module with its options (`Options`) and a `run` that returns the exit
//! status. Those that speak to an application do so through [`client`], but for `load`, whose cost
//! per request would drown in it.

mod address;
mod body;
mod call;
mod client;
mod error_lines;
mod gateway;
mod load;
mod records;
mod reply;
mod status;
mod stream;
mod variables;

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
}

fn main() -> ExitCode {
    let command = Command::parse();
    let runtime = match tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => {
            error_lines::log(&format!("fcgipm: cannot start: {error}"));
            return ExitCode::FAILURE;
        }
    };
    let status = runtime.block_on(async {
        match command.tool {
            Tool::Gateway(options) => gateway::run(options).await,
            Tool::Call(options) => call::run(options).await,
            Tool::Status(options) => status::run(&options),
            // Waits in a loop of its own; nothing else runs here meanwhile.
            Tool::Load(options) => load::run(&options),
        }
    });
    // A read of standard input that is still blocking in its thread must not hold up the exit.
    runtime.shutdown_background();
    ExitCode::from(status)
}

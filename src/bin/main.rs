//! The `fcgipm` command: tools for whoever develops or runs a FastCGI application.
//!
//! Each subcommand is a module with its options (`Options`) and a `run` that returns the exit
//! status. All of them speak to the application through [`client`].

mod address;
mod body;
mod call;
mod client;
mod error_lines;
mod gateway;
mod records;
mod reply;
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
        }
    });
    // A read of standard input that is still blocking in its thread must not hold up the exit.
    runtime.shutdown_background();
    ExitCode::from(status)
}

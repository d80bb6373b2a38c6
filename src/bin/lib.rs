//! The `fcgipm` command: tools to develop and run FastCGI applications.
//!
//! It is a library for one reason: man pages and completions are generated from its [`definition`].
//!
//! Each subcommand is a module with its options (`Options`) and a `run` that returns the exit
//! status. Those that concern running managers find them with [`managers`]. `call` and `gateway` use [`fastcgi::client`]. `load` has a client of its own with less
//! work per request.

mod admin;
mod args;
mod backtrace;
mod call;
mod cgi;
mod check;
mod console;
mod fastcgi;
mod gateway;
mod load;
mod managers;
mod reload;
mod resize;
mod run;
mod signals;
mod status;
mod stop;
mod terminal;
mod top;
mod wait;

use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};

/// Tools for FastCGI applications.
#[derive(Parser)]
#[command(name = "fcgipm", version = env!("VERSION_SHOWN"), about, disable_help_subcommand = true)]
struct Command {
    #[command(subcommand)]
    tool: Tool,
}

#[derive(Subcommand)]
enum Tool {
    Gateway(gateway::Options),
    Call(call::Options),
    Status(status::Options),
    Top(top::Options),
    Backtrace(backtrace::Options),
    Admin(admin::Options),
    Reload(reload::Options),
    Stop(stop::Options),
    Resize(resize::Options),
    Check(check::Options),
    Wait(wait::Options),
    Load(Box<load::Options>),
    Run(Box<run::Options>),
}

/// The command line, as clap has it.
#[must_use]
pub fn definition() -> clap::Command {
    Command::command()
}

/// Runs the command with the arguments of this process.
#[must_use]
pub fn run_command() -> ExitCode {
    match Command::parse().tool {
        Tool::Gateway(options) => in_runtime(gateway::run(options)),
        Tool::Call(options) => in_runtime(call::run(options)),
        Tool::Admin(options) => in_runtime(admin::run(options)),
        Tool::Top(options) => in_runtime(top::run(options)),
        // These have event loops of their own. A manager forks, so it must not run beside the
        // threads of a runtime.
        Tool::Status(options) => ExitCode::from(status::run(&options)),
        Tool::Backtrace(options) => ExitCode::from(backtrace::run(&options)),
        Tool::Reload(options) => ExitCode::from(reload::run(&options)),
        Tool::Stop(options) => ExitCode::from(stop::run(&options)),
        Tool::Resize(options) => ExitCode::from(resize::run(&options)),
        Tool::Check(options) => ExitCode::from(check::run(&options)),
        Tool::Wait(options) => ExitCode::from(wait::run(&options)),
        Tool::Load(options) => ExitCode::from(load::run(&options)),
        Tool::Run(options) => ExitCode::from(run::run(*options)),
    }
}

/// Runs an asynchronous tool.
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
    // A thread that still reads standard input must not delay the exit.
    runtime.shutdown_background();
    ExitCode::from(status)
}

//! The test application, on each of the two interfaces of the engine.

use std::ops::{Deref, DerefMut};
use std::process::Command;

use super::peer::program::{Program, TRANSPORTS, Transport, compiled, compiled_on_dropin};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Api {
    /// `app.c`, on the library itself.
    Native,
    /// `app_fcgx.c`, on the drop-in for libfcgi. FCGX has one error for every way in which input can
    /// break off, reports aborts only to reads, and has only the parameters that fit into an
    /// environment.
    Fcgx,
}

pub(crate) const APIS: [Api; 2] = [Api::Native, Api::Fcgx];

/// Each interface with each transport.
pub(crate) fn ways() -> impl Iterator<Item = (Api, Transport)> {
    APIS.into_iter()
        .flat_map(|api| TRANSPORTS.map(|transport| (api, transport)))
}

impl Api {
    pub(crate) fn command(self, listen: &str) -> Command {
        let mut command = Command::new(match self {
            Self::Native => compiled("conformance/app.c"),
            Self::Fcgx => compiled_on_dropin("conformance/app_fcgx.c"),
        });
        command.arg(listen);
        command
    }

    /// Translates the names of errors of the native application to those of this one.
    pub(crate) fn translate(self, native: &str) -> String {
        match self {
            Self::Native => native.to_owned(),
            Self::Fcgx => native
                .replace("FCGIPM_EINCOMPLETE", "FCGX_PROTOCOL_ERROR")
                .replace("FCGIPM_EABORTED", "FCGX_PROTOCOL_ERROR")
                .replace("FCGIPM_EPROTOCOL", "FCGX_PROTOCOL_ERROR"),
        }
    }
}

/// A running application, which listens on descriptor 0.
#[derive(Debug)]
pub(crate) struct Application {
    pub(crate) api: Api,
    program: Program,
}

impl Application {
    pub(crate) fn start(api: Api, transport: Transport, environment: &[(&str, &str)]) -> Self {
        let mut command = api.command("fd:0");
        command.envs(environment.iter().copied());
        let mut program = Program::start(command, transport);
        program.line("app: ready");
        Self { api, program }
    }
}

impl Deref for Application {
    type Target = Program;

    fn deref(&self) -> &Program {
        &self.program
    }
}

impl DerefMut for Application {
    fn deref_mut(&mut self) -> &mut Program {
        &mut self.program
    }
}

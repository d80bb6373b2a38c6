//! lighttpd with mod_fastcgi.

use std::fs;
use std::path::Path;

use nix::sys::signal::Signal;

use crate::place::{Address, Port};
use crate::server::{Program, Server};

const PROGRAM: Program = Program {
    path: "/usr/sbin/lighttpd",
    package: "lighttpd",
    graceful_stop: Signal::SIGINT,
    // Its messages at the start and the stop.
    harmless: &["server started", "server stopped", "graceful shutdown"],
};

#[derive(Clone, Copy)]
pub(crate) struct Lighttpd {
    /// Whether bodies are forwarded as they arrive, in both directions.
    pub(crate) streams: bool,
}

impl Lighttpd {
    pub(crate) fn start(self, folder: &Path, application: &Address) -> Server {
        let port = Port::reserve();
        let config = self.config(folder, &port, application);
        let file = folder.join("lighttpd.conf");
        fs::write(&file, config).unwrap();
        let arguments = ["-D", "-f", file.to_str().unwrap()];
        Server::start(&PROGRAM, &arguments, folder, port)
    }

    fn config(self, folder: &Path, port: &Port, application: &Address) -> String {
        let folder = folder.display();
        let backend = match application {
            Address::Tcp(port) => format!(r#""host" => "127.0.0.1", "port" => {}"#, port.number),
            Address::Unix(path) => format!(r#""socket" => "{}""#, path.display()),
        };
        let stream = if self.streams { 2 } else { 0 };
        format!(
            r#"
server.bind = "127.0.0.1"
server.port = {}
server.document-root = "{folder}"
server.errorlog = "{folder}/error.log"
server.pid-file = "{folder}/lighttpd.pid"
server.upload-dirs = ( "{folder}" )
server.modules = ( "mod_fastcgi" )
server.max-keep-alive-requests = 10000
server.stream-request-body = {stream}
server.stream-response-body = {stream}
fastcgi.server = ( "/" => ( ( {backend}, "check-local" => "disable", "fix-root-scriptname" => "enable" ) ) )
"#,
            port.number
        )
    }
}

//! Apache with mod_proxy_fcgi.

use std::fs;
use std::path::Path;

use nix::sys::signal::Signal;

use crate::place::{Address, Port};
use crate::server::{Program, Server};

const PROGRAM: Program = Program {
    path: "/usr/sbin/apache2",
    package: "apache2",
    // At a SIGTERM its threads and their memory go at the same time, and it may crash.
    gentle_stop: Signal::SIGWINCH,
    // Configured, command line, caught SIGWINCH.
    harmless: &["AH00489", "AH00094", "AH00492"],
};

const MODULES: &str = "/usr/lib/apache2/modules";

#[derive(Clone, Copy)]
pub(crate) struct Apache {
    /// enablereuse=on
    pub(crate) reuses: bool,
}

impl Apache {
    pub(crate) fn start(self, folder: &Path, application: &Address) -> Server {
        let port = Port::reserve();
        let config = self.config(folder, &port, application);
        let file = folder.join("apache.conf");
        fs::write(&file, config).unwrap();
        let arguments = ["-D", "FOREGROUND", "-f", file.to_str().unwrap()];
        Server::start(&PROGRAM, &arguments, folder, port)
    }

    fn config(self, folder: &Path, port: &Port, application: &Address) -> String {
        let Address::Tcp(application) = application else {
            panic!("the configuration for Apache is one with TCP");
        };
        let folder = folder.display();
        let reuse = if self.reuses { "enablereuse=on" } else { "" };
        // It refuses to serve as root, and ignores these for anybody else.
        let identity = "User www-data\nGroup www-data";
        format!(
            r#"
ServerRoot "{folder}"
ServerName localhost
DefaultRuntimeDir "{folder}"
PidFile "{folder}/apache.pid"
ErrorLog "{folder}/error.log"
LogLevel warn
Listen 127.0.0.1:{}
{identity}
LoadModule mpm_event_module {MODULES}/mod_mpm_event.so
LoadModule authz_core_module {MODULES}/mod_authz_core.so
LoadModule proxy_module {MODULES}/mod_proxy.so
LoadModule proxy_fcgi_module {MODULES}/mod_proxy_fcgi.so
StartServers 1
ServerLimit 1
ThreadsPerChild 25
MaxRequestWorkers 25
MinSpareThreads 1
MaxSpareThreads 25
KeepAlive On
KeepAliveTimeout 60
MaxKeepAliveRequests 0
LimitRequestBody 0
ProxyPassMatch "^/(.*)$" "fcgi://localhost:{}/$1" {reuse}
"#,
            port.number, application.number
        )
    }
}

//! Apache with mod_proxy_fcgi.

use std::path::Path;
use std::time::{Duration, Instant};
use std::{fs, thread};

use nix::sys::signal::Signal;

use crate::http::Client;
use crate::place::{Address, Port};
use crate::process::LIMIT;
use crate::server::{Program, Server};

const PROGRAM: Program = Program {
    path: "/usr/sbin/apache2",
    package: "apache2",
    // At SIGTERM it frees memory that its threads still use, and may crash.
    graceful_stop: Signal::SIGWINCH,
    // Configured, command line, caught SIGWINCH.
    harmless: &["AH00489", "AH00094", "AH00492"],
};

const MODULES: &str = "/usr/lib/apache2/modules";

const THREADS: usize = 25;

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
        let server = Server::start(&PROGRAM, &arguments, folder, port);
        wait_until_idle(&server);
        server
    }

    fn config(self, folder: &Path, port: &Port, application: &Address) -> String {
        let Address::Tcp(application) = application else {
            panic!("the configuration for Apache is only for TCP");
        };
        let folder = folder.display();
        let reuse = if self.reuses { "enablereuse=on" } else { "" };
        // It refuses to serve as root, and ignores these lines as another user.
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
LoadModule status_module {MODULES}/mod_status.so
LoadModule proxy_module {MODULES}/mod_proxy.so
LoadModule proxy_fcgi_module {MODULES}/mod_proxy_fcgi.so
StartServers 1
ServerLimit 1
ThreadsPerChild {THREADS}
MaxRequestWorkers {THREADS}
MinSpareThreads 1
MaxSpareThreads {THREADS}
KeepAlive On
KeepAliveTimeout 60
MaxKeepAliveRequests 0
LimitRequestBody 0
<Location "/server-status">
    SetHandler server-status
</Location>
ProxyPassMatch "^/server-status$" "!"
ProxyPassMatch "^/(.*)$" "fcgi://localhost:{}/$1" {reuse}
"#,
            port.number, application.number
        )
    }
}

/// Waits until all threads have started. With fewer threads than clients, Apache closes keep-alive
/// connections, even if a request is arriving (mpm_event: "All workers are busy, will close idle
/// connections").
fn wait_until_idle(server: &Server) {
    // One thread answers this request.
    let all = format!("IdleWorkers: {}\n", THREADS - 1);
    let deadline = Instant::now() + LIMIT;
    loop {
        let status = Client::connect(server.port.address()).get("/server-status?auto");
        if status.text().contains(&all) {
            return;
        }
        assert!(Instant::now() < deadline, "{}", status.text());
        thread::sleep(Duration::from_millis(5));
    }
}

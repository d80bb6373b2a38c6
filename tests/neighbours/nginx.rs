//! nginx: TCP and unix sockets, keep-alive connections, with and without buffering.

use std::fs;
use std::path::Path;

use nix::sys::signal::Signal;

use crate::place::{Address, Port};
use crate::server::{Program, Server};

const PROGRAM: Program = Program {
    path: "/usr/sbin/nginx",
    package: "nginx-light",
    graceful_stop: Signal::SIGTERM,
    // At level warn it logs temporary files, which buffering needs.
    harmless: &[
        "a client request body is buffered to a temporary file",
        "an upstream response is buffered to a temporary file",
    ],
};

#[derive(Clone, Copy)]
pub(crate) struct Nginx {
    /// fastcgi_keep_conn, and a pool of keep-alive connections.
    pub(crate) keeps: bool,
    /// fastcgi_buffering and fastcgi_request_buffering.
    pub(crate) buffers: bool,
}

impl Nginx {
    pub(crate) fn start(self, folder: &Path, application: &Address) -> Server {
        let port = Port::reserve();
        let config = self.config(folder, &port, application);
        fs::write(folder.join("nginx.conf"), config).unwrap();
        let folder_argument = folder.to_str().unwrap();
        let arguments = ["-p", folder_argument, "-e", "error.log", "-c", "nginx.conf"];
        Server::start(&PROGRAM, &arguments, folder, port)
    }

    fn config(self, folder: &Path, port: &Port, application: &Address) -> String {
        let folder = folder.display();
        let upstream = match application {
            Address::Tcp(port) => format!("127.0.0.1:{}", port.number),
            Address::Unix(path) => format!("unix:{}", path.display()),
        };
        let (pool, keep_conn) = if self.keeps {
            ("keepalive 8;", "on")
        } else {
            ("", "off")
        };
        let buffering = if self.buffers { "on" } else { "off" };
        // If root runs the test, the folder belongs to root.
        let user = if nix::unistd::geteuid().is_root() {
            "user root;"
        } else {
            ""
        };
        format!(
            "
            daemon off;
            {user}
            worker_processes 2;
            pid {folder}/nginx.pid;
            error_log {folder}/error.log warn;
            events {{ worker_connections 256; }}
            http {{
                access_log off;
                client_body_temp_path {folder}/body;
                fastcgi_temp_path {folder}/fastcgi;
                proxy_temp_path {folder}/proxy;
                scgi_temp_path {folder}/scgi;
                uwsgi_temp_path {folder}/uwsgi;
                client_max_body_size 0;
                upstream application {{
                    server {upstream};
                    {pool}
                }}
                server {{
                    listen 127.0.0.1:{};
                    location / {{
                        include /etc/nginx/fastcgi_params;
                        fastcgi_pass application;
                        fastcgi_keep_conn {keep_conn};
                        fastcgi_buffering {buffering};
                        fastcgi_request_buffering {buffering};
                        fastcgi_buffer_size 32k;
                        fastcgi_buffers 8 32k;
                    }}
                }}
            }}
            ",
            port.number
        )
    }
}

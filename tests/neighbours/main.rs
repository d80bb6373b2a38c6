//! The applications behind the web servers they are made for, each of them started by the tests on
//! loopback, with a configuration and logs of its own in a temporary folder.

mod apache;
mod application;
mod content;
mod http;
mod lighttpd;
mod nginx;
mod place;
mod process;
mod promises;
mod server;
mod stack;

stack::stacks! {
    nginx_over_tcp: Tcp, false, Nginx { keeps: false, buffers: true };
    nginx_over_unix_unbuffered: Unix, false, Nginx { keeps: false, buffers: false };
    nginx_kept_over_tcp: Tcp, true, Nginx { keeps: true, buffers: true };
    nginx_kept_over_tcp_unbuffered: Tcp, true, Nginx { keeps: true, buffers: false };
    nginx_kept_over_unix: Unix, true, Nginx { keeps: true, buffers: true };
    apache_fresh: Tcp, false, Apache { reuses: false };
    apache_reuse: Tcp, true, Apache { reuses: true };
    lighttpd_over_tcp: Tcp, false, Lighttpd { streams: false };
    lighttpd_over_unix_streaming: Unix, false, Lighttpd { streams: true };
}

stack::unchanged! {
    unchanged_behind_nginx: Unix, true, Nginx { keeps: true, buffers: true };
    unchanged_behind_apache: Tcp, false, Apache { reuses: false };
}

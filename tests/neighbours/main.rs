//! Applications behind web servers. The tests start both on loopback, with their own configuration
//! and logs in a temporary folder.

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
    nginx_keep_alive_over_tcp: Tcp, true, Nginx { keeps: true, buffers: true };
    nginx_keep_alive_over_tcp_unbuffered: Tcp, true, Nginx { keeps: true, buffers: false };
    nginx_keep_alive_over_unix: Unix, true, Nginx { keeps: true, buffers: true };
    apache_new_connections: Tcp, false, Apache { reuses: false };
    apache_reused_connections: Tcp, true, Apache { reuses: true };
    lighttpd_over_tcp: Tcp, false, Lighttpd { streams: false };
    lighttpd_over_unix_streaming: Unix, false, Lighttpd { streams: true };
}

stack::unchanged! {
    unchanged_behind_nginx: Unix, true, Nginx { keeps: true, buffers: true };
    unchanged_behind_apache: Tcp, false, Apache { reuses: false };
}

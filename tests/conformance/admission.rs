//! Which peers may connect (section 3.2).

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::process::Stdio;

use super::application::{APIS, Api, Application, ways};
use super::peer::connection::Address;
use super::peer::program::{Program, Transport};
use super::peer::records::request;

#[test]
fn a_tcp_peer_that_is_not_listed_is_closed_immediately() {
    for api in APIS {
        let mut program = Application::start(
            api,
            Transport::Tcp,
            &[("FCGI_WEB_SERVER_ADDRS", "192.0.2.1,2001:db8::1")],
        );
        let mut connection = program.connect();
        // Before it has sent anything.
        connection.assert_closed();
        program.line("connection from 127.0.0.1:");
    }
}

#[test]
fn a_listed_peer_is_served_in_any_notation_of_its_address() {
    for api in APIS {
        for list in [
            "127.0.0.1",
            " 192.0.2.1 , 127.0.0.1",
            "::1,::ffff:127.0.0.1",
            "::ffff:7f00:1",
        ] {
            let program =
                Application::start(api, Transport::Tcp, &[("FCGI_WEB_SERVER_ADDRS", list)]);
            assert_eq!(program.call(&request("/mixed")).stdout, b"ac", "{list}");
        }
    }
}

#[test]
fn unix_peers_are_not_subject_to_the_list() {
    for api in APIS {
        let program = Application::start(
            api,
            Transport::Unix,
            &[("FCGI_WEB_SERVER_ADDRS", "192.0.2.1")],
        );
        assert_eq!(program.call(&request("/mixed")).stdout, b"ac");
    }
}

#[test]
fn on_a_socket_for_both_families_ipv4_and_ipv6_peers_are_compared_correctly() {
    let lists = [
        ("127.0.0.1", true, false),
        ("::1", false, true),
        ("::1,127.0.0.1", true, true),
    ];
    for (api, (list, v4, v6)) in APIS
        .into_iter()
        .flat_map(|api| lists.map(|list| (api, list)))
    {
        let listener = TcpListener::bind((Ipv6Addr::UNSPECIFIED, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let mut child = api
            .command("fd:0")
            .env("FCGI_WEB_SERVER_ADDRS", list)
            .stdin(Stdio::from(OwnedFd::from(listener)))
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        for (address, admitted) in [
            (SocketAddr::from((Ipv4Addr::LOCALHOST, port)), v4),
            (SocketAddr::from((Ipv6Addr::LOCALHOST, port)), v6),
        ] {
            let mut connection = Address::Tcp(address).connect();
            if admitted {
                assert_eq!(
                    connection.call(&request("/mixed")).stdout,
                    b"ac",
                    "{address} in {list}"
                );
            } else {
                connection.assert_closed();
            }
        }
        child.kill().unwrap();
        child.wait().unwrap();
    }
}

#[test]
fn an_invalid_list_prevents_the_start_and_is_named() {
    for (api, transport) in ways() {
        for (list, named) in [
            ("localhost", "'localhost'"),
            ("127.0.0.1,", "''"),
            ("", "''"),
            ("1.2.3.4/8", "'1.2.3.4/8'"),
        ] {
            let mut command = api.command("fd:0");
            command.env("FCGI_WEB_SERVER_ADDRS", list);
            let mut program = Program::start(command, transport);
            let line = program.line(match api {
                Api::Native => "app: request:",
                // FCGX has no message, so the library logs it.
                Api::Fcgx => "libfcgi:",
            });
            assert!(
                line.contains(&format!(
                    "FCGI_WEB_SERVER_ADDRS: {named} is not an IP address"
                )),
                "{line}"
            );
            assert_eq!(program.wait().code(), Some(1));
        }
    }
}

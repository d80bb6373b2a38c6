//! The units and the example of the configuration, as they are installed.

use std::fs;
use std::process::Command;

use super::peer::connection::Address;
use super::peer::program::{Program, folder, product};
use super::peer::records::request;
use super::tree::{PREFIX, at, empty, said};

fn unit(name: &str) -> String {
    fs::read_to_string(at("lib/systemd/system").join(name)).unwrap()
}

/// The values of a key in a unit.
fn values<'u>(unit: &'u str, key: &str) -> Vec<&'u str> {
    let values = unit
        .lines()
        .filter_map(|line| line.strip_prefix(key)?.strip_prefix('='));
    values.collect()
}

const INSTANCES: [&str; 4] = [
    "fcgipm@shop.service",
    "fcgipm@shop.socket",
    "fcgipm-perl@shop.service",
    "fcgipm-perl@shop.socket",
];

#[test]
fn systemd_accepts_the_templates() {
    // A copy of the units for a system that has the programs where the units say.
    let units = empty("units");
    for name in INSTANCES {
        let template = name.replace("shop", "");
        let text = unit(&template).replace(
            &format!("{PREFIX}/bin/"),
            &format!("{}/", at("bin").display()),
        );
        fs::write(units.join(&template), &text).unwrap();
        let mut verify = Command::new("systemd-analyze");
        // What systemd's own units depend on may be missing where no system runs.
        verify.args(["verify", "--man=no", "--recursive-errors=no"]);
        assert_eq!(said(verify.arg(units.join(name))), "", "{name}");
    }
}

#[test]
fn the_service_stops_and_reloads_as_the_manager_expects() {
    let service = unit("fcgipm@.service");
    assert_eq!(
        values(&service, "ExecStart"),
        [format!(
            "{PREFIX}/bin/fcgipm run --config /etc/fcgipm/%i.toml"
        )]
    );
    // Mistakes: in the file, and in the name of a program.
    let mistakes = values(&service, "RestartPreventExitStatus");
    assert_eq!(mistakes, ["2 126 127"]);
    for name in ["fcgipm", "fcgipm-perl"] {
        let service = unit(&format!("{name}@.service"));
        let all = values(&service, "KillMode").into_iter();
        let all = all.chain(values(&service, "Type"));
        let all: Vec<_> = all.chain(values(&service, "OOMPolicy")).collect();
        assert_eq!(all, ["process", "notify", "continue"], "{name}");
        let reload = format!("{PREFIX}/bin/fcgipm reload $MAINPID");
        assert_eq!(values(&service, "ExecReload"), [reload]);
        // The manager kills its workers after die_timeout, before systemd ends the manager.
        let stop: u64 = values(&service, "TimeoutStopSec")[0].parse().unwrap();
        let die_timeout = fcgipm::options::TABLE
            .iter()
            .find(|spec| spec.name == "die_timeout");
        assert!(stop > die_timeout.unwrap().default.parse().unwrap());
        // One for each instance: systemd removes it when the instance stops.
        let directory = format!("{name}/%i");
        assert_eq!(values(&service, "RuntimeDirectory"), [directory]);
        let socket = unit(&format!("{name}@.socket"));
        let listen = format!("/run/{name}/%i.sock");
        assert_eq!(values(&socket, "ListenStream"), [listen]);
        assert_eq!(values(&socket, "SocketMode"), ["0660"]);
    }
}

/// The example, with a program and places that a test may use.
#[test]
fn the_example_is_valid_and_its_comments_are_options() {
    let text = fs::read_to_string(at("share/doc/fcgipm/examples/fcgipm.toml")).unwrap();
    assert!(text.contains("/etc/fcgipm/shop.toml"), "{text}");
    let run = folder();
    let own = |text: &str| {
        let text = text.replace("/run/fcgipm/shop/", &format!("{}/", run.display()));
        let text = text.replace(
            "/usr/sbin/fcgiwrap",
            product("examples/hello").to_str().unwrap(),
        );
        text.replace("\"www-data\"", "\"root\"")
    };
    // What is commented out is valid, too.
    let uncommented: Vec<_> = text
        .lines()
        .map(|line| match line.strip_prefix("# ") {
            Some(setting) if setting.split(' ').nth(1) == Some("=") => setting,
            _ => line,
        })
        .collect();
    assert!(uncommented.join("\n").contains("\npm = \"dynamic\"\n"));
    for (name, text) in [
        ("example", own(&text)),
        ("uncommented", own(&uncommented.join("\n"))),
    ] {
        let file = run.join(name);
        fs::write(&file, text).unwrap();
        let mut check = Command::new(at("bin/fcgipm"));
        assert_eq!(
            said(check.args(["run", "--check", "--config"]).arg(&file)),
            ""
        );
    }
    fs::remove_dir_all(run).unwrap();
}

/// What the socket unit and the service do together: systemd passes the socket as descriptor 3.
#[test]
fn a_pool_serves_on_the_socket_that_systemd_made() {
    let run = folder();
    let (file, socket) = (run.join("shop.toml"), run.join("shop.sock"));
    let config = format!(
        "[[pool]]\nname = \"shop\"\nlisten = \"fd:3\"\nworkers = 2\ncommand = [\"{}\", \"fd:0\"]\n",
        product("examples/hello").display()
    );
    fs::write(&file, config).unwrap();
    let mut activate = Command::new("systemd-socket-activate");
    activate.arg("-l").arg(&socket);
    activate
        .arg(at("bin/fcgipm"))
        .args(["run", "--config"])
        .arg(&file);
    let mut program = Program::start_opening(activate, Address::Unix(socket));
    program.line("Listening on");
    let answer = program.call(&request("/"));
    assert!(answer.stdout.starts_with(b"Content-Type"), "{answer:?}");
    drop(program);
    fs::remove_dir_all(run).unwrap();
}

/// The installed command finds its drop-in without a variable, and no loader finds it on its own.
#[test]
fn the_installed_command_preloads_the_installed_drop_in() {
    let run = folder();
    let socket = run.join("s");
    let program = "echo preloaded=$LD_PRELOAD >&2; exec sleep 60";
    let mut command = Command::new(at("bin/fcgipm"));
    command
        .args(["run", "--workers", "1", "--listen"])
        .arg(&socket);
    command.args(["--", "/bin/sh", "-c", program]);
    let mut program = Program::start_opening(command, Address::Unix(socket));
    let line = program.line("preloaded=");
    let dropin = at("lib/fcgipm/libfcgi.so.0").canonicalize().unwrap();
    assert!(
        line.ends_with(&format!("preloaded={}", dropin.display())),
        "{line}"
    );
    drop(program);
    fs::remove_dir_all(run).unwrap();
}

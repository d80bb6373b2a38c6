//! The recipes in docs/PROGRAMS.md, and the environment in which they run.

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use crate::peer::connection::{Address, LIMIT};
use crate::peer::program::{Program, product};
use crate::peer::records::{Request, Response, request};
use crate::place::{self, Port};
use crate::side::Side;

/// The recipe for one program.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Recipe {
    pub(crate) before: Vec<String>,
    pub(crate) after: Vec<String>,
    /// The files that it shows, by path.
    pub(crate) files: BTreeMap<String, String>,
}

/// The recipes, by the bold name at the beginning of the paragraph.
pub(crate) fn recipes() -> BTreeMap<String, Recipe> {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/PROGRAMS.md");
    let page = fs::read_to_string(page).unwrap().replace("\\\n", " ");
    let mut recipes = BTreeMap::<String, Recipe>::new();
    let mut name = None;
    let mut file = None;
    for line in page.lines() {
        if line.starts_with("## ") {
            name = None;
        }
        if let Some((bold, _)) = line
            .strip_prefix("**")
            .and_then(|rest| rest.split_once("**"))
        {
            name = Some(bold.trim_end_matches('.').to_owned());
        }
        let text = line.trim_start();
        let is_shown = line.starts_with("    ");
        if !is_shown && !line.is_empty() {
            file = None;
        }
        let Some(name) = name.as_ref().filter(|_| is_shown) else {
            continue;
        };
        let recipe = recipes.entry(name.clone()).or_default();
        if let Some(path) = text.strip_prefix("# /") {
            let path = path.split(',').next().unwrap();
            file = Some(format!("/{path}"));
        } else if text.starts_with("fcgipm run ") {
            recipe.after.push(text.to_owned());
        } else if let Some(command) = text.strip_prefix("ExecStart=/usr/bin/") {
            recipe.after.push(command.to_owned());
        } else if text.contains("spawn-fcgi -") {
            recipe.before.push(text.to_owned());
        }
        if let Some(file) = &file {
            if !text.starts_with("# /") {
                let content = recipe.files.entry(file.clone()).or_default();
                content.push_str(text);
                content.push('\n');
            }
        }
    }
    recipes.retain(|_, recipe| !recipe.after.is_empty());
    recipes
}

/// A folder and a port in place of those on the page.
pub(crate) struct Machine {
    pub(crate) folder: tempfile::TempDir,
    pub(crate) port: Port,
}

impl Machine {
    pub(crate) fn new() -> Self {
        let folder = place::folder();
        for name in ["srv", "run"] {
            fs::create_dir(folder.path().join(name)).unwrap();
        }
        let port = Port::reserve();
        Self { folder, port }
    }

    pub(crate) fn srv(&self, name: &str) -> String {
        self.folder
            .path()
            .join("srv")
            .join(name)
            .display()
            .to_string()
    }

    pub(crate) fn write(&self, name: &str, content: &str) -> String {
        let path = self.srv(name);
        fs::write(&path, content).unwrap();
        path
    }

    pub(crate) fn here(&self, text: &str) -> String {
        let folder = self.folder.path().display();
        text.replace("/srv/", &format!("{folder}/srv/"))
            .replace("/run/", &format!("{folder}/run/"))
            .replace("9010", &self.port.number.to_string())
    }

    /// The address of a command on the page.
    pub(crate) fn address(&self, command: &str) -> Address {
        let words: Vec<_> = command.split_whitespace().collect();
        let behind = |name: &str| {
            let at = words.iter().position(|word| *word == name)?;
            words.get(at + 1).copied()
        };
        let address = behind("--listen").or(behind("-s")).unwrap_or("9010");
        let address = self.here(address);
        if address.starts_with('/') {
            // A folder of systemd's RuntimeDirectory.
            fs::create_dir_all(Path::new(&address).parent().unwrap()).unwrap();
            return Address::Unix(address.into());
        }
        Address::Tcp(SocketAddr::from(([127, 0, 0, 1], self.port.number)))
    }

    pub(crate) fn start(&self, command: &str, environment: &[(&str, &str)]) -> Program {
        let address = self.address(command);
        if let Address::Unix(path) = &address {
            // A killed program has left it.
            let _ = fs::remove_file(path);
        }
        let fcgipm = product("fcgipm");
        let path = format!(
            "{}:/usr/local/bin:/usr/bin:/bin:/usr/sbin",
            fcgipm.parent().unwrap().display()
        );
        let mut shell = Command::new("env");
        // Signals that the test run ignores would be ignored by the program as well.
        shell
            .args(["--default-signal=HUP,INT,QUIT,TERM", "sh", "-c"])
            .arg(format!("exec env {}", self.here(command)))
            .env_clear()
            .env("PATH", path)
            .envs(environment.iter().copied());
        Program::start_opening(shell, address)
    }
}

/// Sends a request as soon as the address is open.
pub(crate) fn call_when_open(address: &Address, request: &Request) -> Response {
    until(|| address.try_connect().is_ok(), "the address is not open");
    address.call(request)
}

pub(crate) fn until(is_there: impl Fn() -> bool, otherwise: &str) {
    let limit = Instant::now() + LIMIT;
    while !is_there() {
        assert!(Instant::now() < limit, "{otherwise}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Runs the recipe of this name. The answer to each request must contain the text beside it.
pub(crate) fn assert_runs(
    name: &str,
    machine: &Machine,
    environment: &[(&str, &str)],
    pages: &[(Request, &str)],
) {
    assert_program_runs("", name, machine, environment, pages);
}

/// The same, only for the commands with this program.
pub(crate) fn assert_program_runs(
    program: &str,
    name: &str,
    machine: &Machine,
    environment: &[(&str, &str)],
    pages: &[(Request, &str)],
) {
    let recipe = &recipes()[name];
    let ask = |program: &Program| -> Vec<_> {
        let answers = pages.iter().map(|(request, expected)| {
            let response = call_when_open(&program.address, request);
            let text = String::from_utf8_lossy(&response.stdout);
            assert!(text.contains(expected), "{name}: no {expected} in {text}");
            response.stdout
        });
        answers.collect()
    };
    let mut before = Vec::new();
    for command in recipe
        .before
        .iter()
        .filter(|command| command.ends_with(program))
    {
        let program = machine.start(command, environment);
        before = ask(&program);
        let address = program.address.clone();
        // Dropping it kills it: with stock libfcgi some do not exit at SIGTERM. The last process
        // closes the socket.
        drop(program);
        until(|| address.try_connect().is_err(), "it still listens");
    }
    assert!(!recipe.after.is_empty());
    for command in recipe
        .after
        .iter()
        .filter(|command| command.ends_with(program))
    {
        let mut pool = machine.start(command, environment);
        let (_, workers) = command.split_once("--workers ").unwrap();
        let workers = workers.split(' ').next().unwrap().parse().unwrap();
        for _ in 0..workers {
            wait_for_worker(name, &mut pool);
        }
        let after = ask(&pool);
        assert!(
            recipe.before.is_empty() || before == after,
            "{name}: {command}\nbefore {:?}\nafter {:?}",
            before
                .iter()
                .map(|page| String::from_utf8_lossy(page))
                .collect::<Vec<_>>(),
            after
                .iter()
                .map(|page| String::from_utf8_lossy(page))
                .collect::<Vec<_>>(),
        );
        // A program without libfcgi counts as ready after a delay.
        if name != "php-cgi" {
            pool.signal(Signal::SIGHUP);
            pool.line_within("reload done", 3 * LIMIT);
            assert!(ask(&pool) == after, "{name}: {command}: after a reload");
        }
        pool.signal(Signal::SIGTERM);
        let status = pool.wait();
        assert_eq!(status.code(), Some(0), "{name}: {:#?}", pool.lines());
        let failed = pool.lines().iter().any(|line| {
            line.contains("kill") || line.contains("with status") && !line.contains("status 0")
        });
        assert!(!failed, "{name}: {:#?}", pool.lines());
    }
}

/// Waits for another worker. Those on libfcgi must have loaded the drop-in.
pub(crate) fn wait_for_worker(name: &str, pool: &mut Program) {
    // Some take long to load.
    let line = pool.line_within(") ready", 3 * LIMIT);
    let pid = line
        .rsplit_once("(pid ")
        .unwrap()
        .1
        .split(')')
        .next()
        .unwrap();
    if name != "php-cgi" {
        Side::DropIn.assert_loaded(pid.parse().unwrap());
    }
}

/// A request as from a web server, for a page of this script.
pub(crate) fn page(script: &str, path: &str, query: &str) -> Request {
    request(&format!("{path}?{query}"))
        .param("REQUEST_METHOD", "GET")
        .param("REQUEST_URI", format!("{script}{path}?{query}"))
        .param("SCRIPT_NAME", script)
        .param("SERVER_NAME", "here.example")
        .param("SERVER_PORT", "80")
        .param("SERVER_PROTOCOL", "HTTP/1.1")
        .param("HTTP_HOST", "here.example")
        .param("REMOTE_ADDR", "127.0.0.1")
}

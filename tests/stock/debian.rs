//! Programs of Debian behind nginx: each answer is identical to the one with stock libfcgi.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::Command;

use nix::sys::signal::Signal;

use crate::nginx::Nginx;
use crate::peer::program::{Program, compiled_on_dropin};
use crate::peer::records::{Request, request};
use crate::place::{self, Address};
use crate::process::LIMIT;
use crate::side::{Side, bound, built, source};

/// The bytes of an HTTP request. With version 1.0 the answer ends with the connection, and has no
/// chunks, whose sizes may differ.
fn http(method: &str, path: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    let length = if method == "POST" {
        format!("Content-Length: {}\r\n", body.len())
    } else {
        String::new()
    };
    let head = format!("{method} {path} HTTP/1.0\r\nHost: here\r\n{headers}{length}\r\n");
    [head.as_bytes(), body].concat()
}

/// Sends a request, and returns the answer without its date.
fn ask(server: SocketAddr, bytes: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(server).unwrap();
    stream.set_read_timeout(Some(LIMIT)).unwrap();
    stream.write_all(bytes).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    let end = answer.windows(4).position(|w| w == b"\r\n\r\n");
    let end = end.unwrap_or_else(|| panic!("no answer: {:?}", String::from_utf8_lossy(&answer)));
    let head = String::from_utf8(answer[..end].to_vec()).unwrap();
    let head: Vec<_> = head
        .split("\r\n")
        .filter(|line| !line.starts_with("Date: "))
        .collect();
    [head.join("\r\n").as_bytes(), &answer[end..]].concat()
}

fn bytes(count: u32) -> Vec<u8> {
    (0..count)
        .map(|n| (n * 7 % 251 + n / 1009 % 3) as u8)
        .collect()
}

/// The requests to each page.
fn page_requests(path: &str) -> Vec<Vec<u8>> {
    let get = |query: &str| http("GET", &format!("{path}?{query}"), "", b"");
    let post = |query: &str, body: &[u8]| http("POST", &format!("{path}?{query}"), "", body);
    vec![
        http(
            "GET",
            &format!("{path}?a=1&b=%20"),
            "X-Test: yes\r\nCookie: c=d\r\n",
            b"",
        ),
        http("GET", path, "", b""),
        http("HEAD", &format!("{path}?a"), "", b""),
        get("status"),
        get("304"),
        get("stderr"),
        get("nothing"),
        get("large"),
        post("body", b""),
        post("body", b"a short one"),
        post("body", &bytes(1 << 20)),
        post("ignore", &bytes(1 << 20)),
        post("variables", b"x"),
    ]
}

/// Requests to the same page without a web server, to compare the error stream and the status.
fn direct(page: &Path) -> Vec<Request> {
    ["a=1", "status", "stderr", "body"]
        .map(|query| {
            request(&format!("/page?{query}"))
                .param("SCRIPT_FILENAME", page.to_str().unwrap())
                .param("SCRIPT_NAME", "/page")
                .param("REQUEST_METHOD", "POST")
                .body(bytes(70_000))
        })
        .to_vec()
}

#[derive(Debug, PartialEq, Eq)]
struct Answers {
    http: Vec<Vec<u8>>,
    /// Output, error stream and status.
    direct: Vec<(Vec<u8>, Vec<u8>, u32)>,
}

/// With the drop-in, nginx also uses keep-alive connections. With stock they would block all other
/// clients.
const BOTH: &[bool] = &[false, true];

/// Runs a program with both libraries behind nginx, whose document root is `html`.
fn same(
    folder: &Path,
    program: impl Fn() -> Command,
    keeps: &[bool],
    requests: &[Vec<u8>],
    direct: &[Request],
) -> Answers {
    let socket = folder.join("socket");
    let answers = |side: Side, keeps: bool| {
        let mut running = side.start(program(), &socket);
        let nginx = Nginx {
            keeps,
            buffers: true,
        };
        let server = nginx.start(folder, &Address::Unix(socket.clone()));
        let http = requests
            .iter()
            .map(|bytes| ask(server.port.address(), bytes));
        let http = http.collect();
        side.assert_loaded(running.pid());
        drop(server);
        let direct = direct.iter().map(|request| {
            let response = running.call(request);
            (response.stdout, response.stderr, response.app_status)
        });
        let direct = direct.collect();
        if side == Side::DropIn {
            assert_exits(&mut running);
        }
        Answers { http, direct }
    };
    let stock = answers(Side::Stock, false);
    for &keeps in keeps {
        let ours = answers(Side::DropIn, keeps);
        for (number, (a, b)) in stock.http.iter().zip(&ours.http).enumerate() {
            let question =
                String::from_utf8_lossy(&requests[number][..requests[number].len().min(200)]);
            let (text_a, text_b) = (String::from_utf8_lossy(a), String::from_utf8_lossy(b));
            assert!(
                a == b,
                "keep-alive {keeps}: {question}\n--- stock, {} bytes\n{:.2000}\n--- drop-in, {} bytes\n{:.2000}",
                a.len(),
                text_a,
                b.len(),
                text_b
            );
        }
        for (a, b) in stock.direct.iter().zip(&ours.direct) {
            assert_eq!((&a.1, a.2), (&b.1, b.2));
            assert!(a.0 == b.0);
        }
        assert!(stock == ours);
    }
    stock
}

/// An idle program on the drop-in exits at SIGTERM.
fn assert_exits(running: &mut Program) {
    running.signal(Signal::SIGTERM);
    let status = running.wait();
    assert_eq!(status.code().or(Some(0)), Some(0), "{status:?}");
}

fn text(answer: &[u8]) -> String {
    String::from_utf8_lossy(answer).into_owned()
}

fn assert_page(answers: &Answers, path: &str, error: &str) {
    let first = text(&answers.http[0]);
    assert!(first.starts_with("HTTP/1.1 200 OK\r\n"), "{first}");
    for line in [
        "QUERY_STRING=a=1&b=%20",
        "HTTP_X_TEST=yes",
        &format!("DOCUMENT_URI={path}"),
    ] {
        assert!(first.contains(line), "{first}");
    }
    assert!(text(&answers.http[3]).starts_with("HTTP/1.1 418 "));
    assert!(text(&answers.http[4]).starts_with("HTTP/1.1 304 "));
    assert!(answers.http[7].len() > 3_000_000);
    let echo = &answers.http[10];
    let length = echo.len();
    assert!(
        echo.ends_with(&bytes(1 << 20)),
        "{length} bytes: {:.300}",
        text(echo)
    );
    assert!(answers.http[11].ends_with(b"ignored\n"));
    assert_eq!(text(&answers.direct[2].1), error);
    assert!(answers.direct[3].0.ends_with(&bytes(70_000)));
}

fn program(path: &str, package: &str) -> Command {
    assert!(
        Path::new(path).exists(),
        "{path} is missing: apt-get install {package}"
    );
    Command::new(path)
}

pub(crate) fn fcgiwrap_runs_cgi_scripts() {
    let folder = place::folder();
    let html = folder.path().join("html");
    fs::create_dir(&html).unwrap();
    let page = html.join("page");
    fs::copy(source("page.sh"), &page).unwrap();
    let run = || program("/usr/sbin/fcgiwrap", "fcgiwrap");
    let mut requests = page_requests("/page");
    requests.push(http("GET", "/missing", "", b""));
    let answers = same(folder.path(), run, BOTH, &requests, &direct(&page));
    // fcgiwrap writes the errors of a script to its own standard error.
    assert_page(&answers, "/page", "");
    let missing = text(answers.http.last().unwrap());
    assert!(missing.starts_with("HTTP/1.1 403 "), "{missing}");
}

fn script(interpreter: &str, package: &str, name: &str, keeps: &[bool], preload: Option<&Path>) {
    let folder = place::folder();
    let page = source(name);
    let run = || {
        let mut command = program(interpreter, package);
        command.arg(&page);
        if let Some(library) = preload {
            command.env("LD_PRELOAD", library);
        }
        command
    };
    let answers = same(
        folder.path(),
        run,
        keeps,
        &page_requests("/any"),
        &direct(&page),
    );
    assert_page(&answers, "/any", "a line for the log\n");
}

pub(crate) fn the_xs_module_of_perl_serves() {
    script("/usr/bin/perl", "libfcgi-perl", "page.pl", BOTH, None);
}

/// The extension in Debian 12 needs functions that Ruby removed in 3.0. Without them the package
/// falls back to pure Ruby, so the test preloads them. The extension waits for the listening socket
/// by select(2), and does not return to a keep-alive connection with either library.
pub(crate) fn the_extension_of_ruby_fcgi_serves() {
    let levels = built("ruby_levels.c", &["-shared", "-fPIC"]);
    script(
        "/usr/bin/ruby",
        "ruby-fcgi",
        "page.rb",
        &[false],
        Some(&levels),
    );
}

pub(crate) fn lua_wsapi_serves() {
    script("/usr/bin/lua5.1", "lua-wsapi-fcgi", "page.lua", BOTH, None);
}

/// A grey, uncompressed picture of one tile with 256 by 256 pixels.
pub(crate) fn tiff() -> Vec<u8> {
    const SIDE: u32 = 256;
    const FIELDS: [(u16, u16, u32); 10] = [
        (256, 4, SIDE),
        (257, 4, SIDE),
        (258, 3, 8),
        (259, 3, 1),
        (262, 3, 1),
        (277, 3, 1),
        (322, 4, SIDE),
        (323, 4, SIDE),
        // The offset of the tile, after the header and this table.
        (324, 4, 8 + 2 + 10 * 12 + 4),
        (325, 4, SIDE * SIDE),
    ];
    let mut file = b"II*\0\x08\0\0\0".to_vec();
    file.extend(10_u16.to_le_bytes());
    for (tag, kind, value) in FIELDS {
        file.extend(tag.to_le_bytes());
        file.extend(kind.to_le_bytes());
        file.extend(1_u32.to_le_bytes());
        file.extend(value.to_le_bytes());
    }
    file.extend(0_u32.to_le_bytes());
    file.extend(bytes(SIDE * SIDE));
    file
}

pub(crate) fn iipsrv_serves_pictures() {
    let folder = place::folder();
    let picture = folder.path().join("picture.tif");
    fs::write(&picture, tiff()).unwrap();
    let run = || {
        let mut command = program("/usr/lib/iipimage-server/iipsrv.fcgi", "iipimage-server");
        command.env("LOGFILE", "/dev/null").env("VERBOSITY", "0");
        command
    };
    let get = |query: &str| {
        http(
            "GET",
            &format!("/iip?FIF={}&{query}", picture.display()),
            "",
            b"",
        )
    };
    let requests = [
        get("obj=IIP,1.0&obj=Max-size&obj=Tile-size&obj=Resolution-number"),
        get("JTL=0,0"),
        get("WID=100&CVT=jpeg"),
        get("nothing=known"),
        http("GET", "/iip?FIF=/nowhere.tif&obj=Max-size", "", b""),
        http("GET", "/iip", "", b""),
    ];
    let answers = same(folder.path(), run, BOTH, &requests, &[]);
    let sizes = text(&answers.http[0]);
    assert!(sizes.contains("Max-size:256 256"), "{sizes}");
    let tile = text(&answers.http[1]);
    assert!(
        tile.contains("image/jpeg") && answers.http[1].ends_with(&[0xff, 0xd9]),
        "{tile}"
    );
}

/// cgi-fcgi is a CGI script for web servers without FastCGI. Here it runs under fcgiwrap.
pub(crate) fn cgi_fcgi_connects_to_a_program() {
    let folder = place::folder();
    let html = folder.path().join("html");
    fs::create_dir(&html).unwrap();
    program("/usr/bin/cgi-fcgi", "libfcgi-bin");
    let (listener, address) = bound(&folder.path().join("echo"));
    let mut application = Command::new(compiled_on_dropin("conformance/app_fcgx.c"));
    application.arg("fd:0");
    let application = Program::start_on(application, listener, address);
    let crate::peer::connection::Address::Unix(path) = &application.address else {
        unreachable!("it is bound to a path");
    };
    let page = html.join("page");
    let line = format!(
        "#!/bin/sh\nPATH_INFO=/read QUERY_STRING=2000000; export PATH_INFO QUERY_STRING\nprintf 'Content-Type: text/plain\\r\\n\\r\\n'\nexec /usr/bin/cgi-fcgi -bind -connect {}\n",
        path.display()
    );
    fs::write(&page, line).unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    fs::set_permissions(&page, mode).unwrap();
    let body = bytes(1 << 20);
    let requests = [
        http("POST", "/page", "", b"a short one"),
        http("POST", "/page", "", &body),
        http("GET", "/page", "", b""),
    ];
    let run = || program("/usr/sbin/fcgiwrap", "fcgiwrap");
    let answers = same(folder.path(), run, BOTH, &requests, &[]);
    assert!(text(&answers.http[0]).ends_with("a short one|ok end=1"));
    let end = [&body[..], b"|ok end=1"].concat();
    assert!(answers.http[1].ends_with(&end), "{}", answers.http[1].len());
}

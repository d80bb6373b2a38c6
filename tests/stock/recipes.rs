//! docs/PROGRAMS.md: each of its recipes is run as it is written, with the program of Debian that it is for. Only the
//! folders and the ports are others. Where the page also has the command as it was before, the pages of both are compared
//! byte for byte.

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use crate::debian;
use crate::peer::connection::{Address, LIMIT};
use crate::peer::program::{Program, product};
use crate::peer::records::{AUTHORIZER, Request, Response, request};
use crate::place::{self, Port};
use crate::side::{Side, built, source};

/// What the page says about one program.
#[derive(Debug, Default, PartialEq, Eq)]
struct Recipe {
    before: Vec<String>,
    after: Vec<String>,
    /// The files that it shows, by their names.
    files: BTreeMap<String, String>,
}

/// The recipes, by the bold name that begins the paragraph.
fn recipes() -> BTreeMap<String, Recipe> {
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
        if let Some(file) = &file
            && !text.starts_with("# /")
        {
            let content = recipe.files.entry(file.clone()).or_default();
            content.push_str(text);
            content.push('\n');
        }
    }
    recipes.retain(|_, recipe| !recipe.after.is_empty());
    recipes
}

/// What the page's names stand for here.
struct Machine {
    folder: tempfile::TempDir,
    port: Port,
}

impl Machine {
    fn new() -> Self {
        let folder = place::folder();
        for name in ["srv", "run"] {
            fs::create_dir(folder.path().join(name)).unwrap();
        }
        let port = Port::reserve();
        Self { folder, port }
    }

    fn srv(&self, name: &str) -> String {
        self.folder
            .path()
            .join("srv")
            .join(name)
            .display()
            .to_string()
    }

    fn write(&self, name: &str, content: &str) -> String {
        let path = self.srv(name);
        fs::write(&path, content).unwrap();
        path
    }

    fn here(&self, text: &str) -> String {
        let folder = self.folder.path().display();
        text.replace("/srv/", &format!("{folder}/srv/"))
            .replace("/run/", &format!("{folder}/run/"))
            .replace("9010", &self.port.number.to_string())
    }

    /// Where a command of the page listens.
    fn address(&self, command: &str) -> Address {
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

    fn start(&self, command: &str, environment: &[(&str, &str)]) -> Program {
        let address = self.address(command);
        if let Address::Unix(path) = &address {
            // What one that was killed has left.
            let _ = fs::remove_file(path);
        }
        let fcgipm = product("fcgipm");
        let path = format!(
            "{}:/usr/local/bin:/usr/bin:/bin:/usr/sbin",
            fcgipm.parent().unwrap().display()
        );
        let mut shell = Command::new("env");
        // What the test run ignores stays ignored.
        shell
            .args(["--default-signal=HUP,INT,QUIT,TERM", "sh", "-c"])
            .arg(format!("exec env {}", self.here(command)))
            .env_clear()
            .env("PATH", path)
            .envs(environment.iter().copied());
        Program::start_opening(shell, address)
    }
}

/// Asks as soon as somebody listens.
fn first_of(address: &Address, request: &Request) -> Response {
    until(|| address.try_connect().is_ok(), "nobody listens");
    address.call(request)
}

fn until(is_there: impl Fn() -> bool, otherwise: &str) {
    let limit = Instant::now() + LIMIT;
    while !is_there() {
        assert!(Instant::now() < limit, "{otherwise}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Runs the recipe of this name; each request's page, as text, must contain what stands beside it.
fn runs(name: &str, machine: &Machine, environment: &[(&str, &str)], pages: &[(Request, &str)]) {
    runs_program("", name, machine, environment, pages);
}

/// The same for the commands with this program alone.
fn runs_program(
    program: &str,
    name: &str,
    machine: &Machine,
    environment: &[(&str, &str)],
    pages: &[(Request, &str)],
) {
    let recipe = &recipes()[name];
    let ask = |program: &Program| -> Vec<_> {
        let answers = pages.iter().map(|(request, expected)| {
            let response = first_of(&program.address, request);
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
        // KILL: at TERM some continue to wait on stock libfcgi. Of several processes the last one closes the socket.
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
            ready(name, &mut pool);
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
        // Each worker of a program that is not on libfcgi is waited for by time.
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

/// Waits for one more worker; those on libfcgi have loaded the drop-in.
fn ready(name: &str, pool: &mut Program) {
    // Some load for long.
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

/// A request as web servers send them, for a page of this script.
fn page(script: &str, path: &str, query: &str) -> Request {
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

pub(crate) fn every_recipe_of_the_page_is_run() {
    let names: Vec<_> = recipes().into_keys().collect();
    let known = [
        "IIPImage",
        "MapCache",
        "MapServer",
        "QGIS Server",
        "Shibboleth",
        "fcgiwrap",
        "php-cgi",
    ];
    assert_eq!(names, known);
}

pub(crate) fn the_recipe_of_fcgiwrap() {
    let machine = Machine::new();
    let script = machine.srv("page");
    fs::copy(source("page.sh"), &script).unwrap();
    let request = page("/page", "", "status").param("SCRIPT_FILENAME", script);
    runs("fcgiwrap", &machine, &[], &[(request, "short and stout")]);
}

pub(crate) fn the_recipe_of_php_cgi() {
    let machine = Machine::new();
    let script = machine.write("page.php", "<?php echo 'a page for ', $_GET['who'];");
    let request = page("/page.php", "", "who=you")
        .param("REDIRECT_STATUS", "200")
        .param("SCRIPT_FILENAME", script);
    runs("php-cgi", &machine, &[], &[(request, "a page for you")]);
}

pub(crate) fn the_recipe_of_iipimage() {
    let machine = Machine::new();
    fs::create_dir(machine.srv("pictures")).unwrap();
    fs::write(machine.srv("pictures/grey.tif"), debian::tiff()).unwrap();
    let ask = |query: &str| page("/iip", "", &format!("FIF=grey.tif&{query}"));
    let pages = [
        (ask("obj=IIP,1.0&obj=Max-size"), "Max-size:256 256"),
        (ask("JTL=0,0"), "image/jpeg"),
    ];
    runs("IIPImage", &machine, &[], &pages);
}

/// A square in a plain.
const MAP: &str = r#"MAP
  SIZE 64 64
  EXTENT 0 0 100 100
  IMAGETYPE png
  PROJECTION "init=epsg:4326" END
  WEB METADATA "wms_title" "The city" "ows_enable_request" "*" "wms_onlineresource" "http://here.example/maps" END END
  LAYER
    NAME "square"
    TYPE POLYGON
    STATUS DEFAULT
    FEATURE POINTS 10 10 10 60 60 60 60 10 10 10 END END
    CLASS STYLE COLOR 200 30 30 END END
  END
END
"#;

pub(crate) fn the_recipe_of_mapserver() {
    let machine = Machine::new();
    fs::create_dir(machine.srv("maps")).unwrap();
    machine.write("maps/city.map", MAP);
    let shown = &recipes()["MapServer"].files["/srv/maps/mapserver.conf"];
    machine.write("maps/mapserver.conf", &machine.here(shown));
    let pages = [
        (page("/maps", "", "mode=map"), "Content-Type: image/png"),
        (
            page(
                "/maps",
                "",
                "SERVICE=WMS&VERSION=1.3.0&REQUEST=GetCapabilities",
            ),
            "<Title>The city</Title>",
        ),
        // Each request begins anew.
        (page("/maps", "", "mode=map"), "Content-Type: image/png"),
    ];
    runs("MapServer", &machine, &[], &pages);
}

pub(crate) fn the_recipe_of_mapcache() {
    let machine = Machine::new();
    fs::create_dir(machine.srv("maps")).unwrap();
    let folder = machine.srv("maps");
    machine.write(
        "maps/mapcache.xml",
        &format!(
            r#"<mapcache>
  <source name="maps" type="wms">
    <getmap><params><FORMAT>image/png</FORMAT><LAYERS>square</LAYERS></params></getmap>
    <http><url>http://127.0.0.1:1/maps?</url></http>
  </source>
  <cache name="disk" type="disk"><base>{folder}</base></cache>
  <tileset name="city"><source>maps</source><cache>disk</cache><grid>WGS84</grid><format>PNG</format></tileset>
  <default_format>PNG</default_format>
  <service type="tms" enabled="true"/>
  <lock_dir>{folder}</lock_dir>
</mapcache>
"#
        ),
    );
    let list = page("/cache", "/tms/1.0.0/", "");
    runs("MapCache", &machine, &[], &[(list, "1.0.0/city@WGS84")]);
}

pub(crate) fn the_recipe_of_qgis_server() {
    let machine = Machine::new();
    fs::create_dir(machine.srv("qgis")).unwrap();
    machine.write(
        "qgis/city.qgs",
        "<!DOCTYPE qgis PUBLIC 'http://mrcc.com/qgis.dtd' 'SYSTEM'>\n<qgis version=\"3.22.16\" projectname=\"city\">\n\
         <title>The city</title>\n<properties><WMSServiceTitle type=\"QString\">The city</WMSServiceTitle></properties>\n</qgis>\n",
    );
    let request = page(
        "/qgis",
        "",
        "SERVICE=WMS&VERSION=1.3.0&REQUEST=GetCapabilities",
    );
    // In what order it writes attributes depends on a random number in each process.
    // It keeps a cache below HOME.
    let home = machine.srv("qgis");
    let environment = [("QT_HASH_SEED", "0"), ("HOME", &*home)];
    runs(
        "QGIS Server",
        &machine,
        &environment,
        &[(request, "<Title>The city</Title>")],
    );
}

/// A daemon that responders and authorizers of Shibboleth ask.
struct Shibd(Child);

impl Shibd {
    fn start(machine: &Machine, config: &str) -> Self {
        let folder = machine.srv("sp");
        let mut command = Command::new("/usr/sbin/shibd");
        command.args(["-f", "-F", "-c", config, "-p", &machine.srv("sp/pid")]);
        command.env("SHIBSP_CONFIG", config);
        for name in ["SHIBSP_RUNDIR", "SHIBSP_LOGDIR", "SHIBSP_CACHEDIR"] {
            command.env(name, &folder);
        }
        let child = command.spawn().expect("shibd, of shibboleth-sp-utils");
        let socket = Address::Unix(machine.srv("sp/shibd.sock").into());
        let shibd = Self(child);
        until(|| socket.try_connect().is_ok(), "shibd does not listen");
        shibd
    }
}

impl Drop for Shibd {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

pub(crate) fn the_recipe_of_shibboleth() {
    let machine = Machine::new();
    fs::create_dir(machine.srv("sp")).unwrap();
    let folder = machine.srv("sp");
    machine.write(
        "sp/logger",
        "log4j.rootCategory=ERROR, err\nlog4j.appender.err=org.apache.log4j.ConsoleAppender\n\
         log4j.appender.err.layout=org.apache.log4j.BasicLayout\n",
    );
    let config = machine.write(
        "sp/shibboleth2.xml",
        &format!(
            r#"<SPConfig xmlns="urn:mace:shibboleth:3.0:native:sp:config" logger="{folder}/logger">
  <OutOfProcess logger="{folder}/logger"/>
  <UnixListener address="{folder}/shibd.sock"/>
  <ApplicationDefaults entityID="https://sp.example/shibboleth">
    <Sessions lifetime="28800" timeout="3600" relayState="cookie" checkAddress="false" handlerSSL="false" cookieProps="http" redirectLimit="exact">
      <SSO entityID="https://idp.example/idp">SAML2</SSO>
      <Handler type="MetadataGenerator" Location="/Metadata" signing="false"/>
      <Handler type="Session" Location="/Session" showAttributeValues="false"/>
    </Sessions>
  </ApplicationDefaults>
  <SecurityPolicyProvider type="XML" validate="true" path="/etc/shibboleth/security-policy.xml"/>
  <ProtocolProvider type="XML" validate="true" reloadChanges="false" path="/etc/shibboleth/protocols.xml"/>
</SPConfig>
"#
        ),
    );
    let _shibd = Shibd::start(&machine, &config);
    let responder = |path: &str| page("", path, "");
    let pages = [
        (
            responder("/Shibboleth.sso/Session"),
            "A valid session was not found.",
        ),
        // shibd writes it.
        (
            responder("/Shibboleth.sso/Metadata"),
            "entityID=\"https://sp.example/shibboleth\"",
        ),
    ];
    runs_program("/shibresponder", "Shibboleth", &machine, &[], &pages);
    let pages = [(responder("/open").role(AUTHORIZER), "Status: 200 OK")];
    runs_program("/shibauthorizer", "Shibboleth", &machine, &[], &pages);
}

/// How a variable that a program was started with reaches it, and what becomes of it when the request has one of that
/// name: under spawn-fcgi on stock libfcgi, and under `fcgipm run`.
pub(crate) fn the_environment_reaches_what_the_page_says() {
    let machine = Machine::new();
    let script = machine.write(
        "script",
        "#!/bin/sh\nprintf 'Content-Type: text/plain\\r\\n\\r\\n-, %s' \"${SITE-none}\"\n",
    );
    fs::set_permissions(&script, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let php = machine.write("script.php", "<?php echo '-, ', getenv('SITE') ?: 'none';");
    let stdio = built("environment.c", &["-DSTDIO"]);
    let fcgiapp = built("environment.c", &[]);
    for (program, script, without, with) in [
        (stdio.to_str().unwrap(), "", "unit, none", "unit, request"),
        (fcgiapp.to_str().unwrap(), "", "unit, unit", "unit, unit"),
        ("/usr/sbin/fcgiwrap", &script, "-, unit", "-, request"),
        ("/usr/bin/php-cgi", &php, "-, unit", "-, request"),
    ] {
        let request = page("/script", "", "")
            .param("REDIRECT_STATUS", "200")
            .param("SCRIPT_FILENAME", script);
        for command in [
            format!("SITE=unit spawn-fcgi -s /run/socket -n -- {program}"),
            format!("fcgipm run --listen /run/socket --workers 1 --env SITE=unit -- {program}"),
        ] {
            let running = machine.start(&command, &[]);
            let with_one = request.clone().param("SITE", "request");
            for (request, expected) in [(&request, without), (&with_one, with), (&request, without)]
            {
                let text = first_of(&running.address, request).text();
                assert!(
                    text.ends_with(&format!("\r\n\r\n{expected}")),
                    "{command}: {text}"
                );
            }
        }
    }
}

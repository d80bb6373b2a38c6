//! Runs each recipe of docs/PROGRAMS.md as it is written, with Debian's program, except for folders
//! and ports. If the page also has the previous command, the answers of both are compared.

use std::fs;
use std::process::{Child, Command};

use crate::debian;
use crate::peer::connection::Address;
use crate::peer::records::AUTHORIZER;
use crate::recipe::*;
use crate::side::{built, source};

pub(crate) fn every_recipe_of_the_page_is_tested() {
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
    assert_runs("fcgiwrap", &machine, &[], &[(request, "short and stout")]);
}

pub(crate) fn the_recipe_of_php_cgi() {
    let machine = Machine::new();
    let script = machine.write("page.php", "<?php echo 'a page for ', $_GET['who'];");
    let request = page("/page.php", "", "who=you")
        .param("REDIRECT_STATUS", "200")
        .param("SCRIPT_FILENAME", script);
    assert_runs("php-cgi", &machine, &[], &[(request, "a page for you")]);
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
    assert_runs("IIPImage", &machine, &[], &pages);
}

/// A map with one square.
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
        // Once more, after another request.
        (page("/maps", "", "mode=map"), "Content-Type: image/png"),
    ];
    assert_runs("MapServer", &machine, &[], &pages);
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
    assert_runs("MapCache", &machine, &[], &[(list, "1.0.0/city@WGS84")]);
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
    // Without the seed, the order of attributes is random. The cache is in HOME.
    let home = machine.srv("qgis");
    let environment = [("QT_HASH_SEED", "0"), ("HOME", &*home)];
    assert_runs(
        "QGIS Server",
        &machine,
        &environment,
        &[(request, "<Title>The city</Title>")],
    );
}

/// The daemon for the responders and authorizers of Shibboleth.
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
        // The answer of shibd.
        (
            responder("/Shibboleth.sso/Metadata"),
            "entityID=\"https://sp.example/shibboleth\"",
        ),
    ];
    assert_program_runs("/shibresponder", "Shibboleth", &machine, &[], &pages);
    let pages = [(responder("/open").role(AUTHORIZER), "Status: 200 OK")];
    assert_program_runs("/shibauthorizer", "Shibboleth", &machine, &[], &pages);
}

/// The environment of a program, with and without a parameter of the same name in the request:
/// under spawn-fcgi with stock libfcgi, and under `fcgipm run`.
pub(crate) fn programs_get_the_environment_that_the_page_describes() {
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
                let text = call_when_open(&running.address, request).text();
                assert!(
                    text.ends_with(&format!("\r\n\r\n{expected}")),
                    "{command}: {text}"
                );
            }
        }
    }
}

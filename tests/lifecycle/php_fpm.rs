//! php-fpm, whose interfaces are matched.

use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::peer::connection::LIMIT;
use super::peer::program::{folder, product};

/// php-fpm with one worker. It is killed with the test.
pub(super) struct Fpm {
    child: Child,
    pub(super) folder: PathBuf,
}

impl Fpm {
    /// With these directives for its pool.
    pub(super) fn start(directives: &str) -> Self {
        let folder = folder();
        let configuration = folder.join("fpm.conf");
        let socket = folder.join("socket");
        let text = format!(
            "[global]\nerror_log = {0}/log\ndaemonize = no\n[default]\nuser = nobody\n\
             group = nogroup\nlisten = {0}/socket\npm = static\npm.max_children = 1\n{1}",
            folder.display(),
            directives.replace("FOLDER", &folder.display().to_string())
        );
        fs::write(&configuration, text).unwrap();
        let program = fs::read_dir("/usr/sbin").unwrap().find_map(|entry| {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            name.starts_with("php-fpm").then_some(path)
        });
        let child = Command::new(program.expect("php-fpm"))
            .args(["-n", "-d", "expose_php=0", "-y"])
            .arg(&configuration)
            .env("TZ", "UTC")
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let until = Instant::now() + LIMIT;
        while !socket.exists() {
            assert!(Instant::now() < until);
            std::thread::sleep(Duration::from_millis(5));
        }
        Self { child, folder }
    }

    /// Its response. Not by the client of these tests: reserved bytes of END_REQUEST are not 0.
    pub(super) fn get(&self, path: &str, script: &str, query: &str) -> String {
        let output = Command::new(product("fcgipm"))
            .args(["call", "--include", "--script-name", path, "--to"])
            .arg(self.folder.join("socket"))
            .arg(format!("--param=SCRIPT_FILENAME={script}"))
            .arg(format!("{path}?{query}"))
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    }
}

impl Drop for Fpm {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_dir_all(&self.folder);
    }
}

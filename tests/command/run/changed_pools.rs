//! A reload of several pools reads their file again.

use std::fs;
use std::path::PathBuf;

use super::{Run, call, hello, plain};
use crate::process::fcgipm;

/// A file of pools, and the command that runs them.
struct Changed {
    run: Run,
    folder: PathBuf,
    file: PathBuf,
}

impl Changed {
    fn start(pools: &[(&str, String)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("run.toml");
        let path = folder.path().to_owned();
        fs::write(&file, text(&path, pools)).unwrap();
        let run = Run::start(folder, &["--config", file.to_str().unwrap()], &[]);
        let mut this = Self {
            run,
            folder: path,
            file,
        };
        this.run.ready_ones(pools.len());
        this
    }

    fn write(&self, pools: &[(&str, String)]) {
        fs::write(&self.file, text(&self.folder, pools)).unwrap();
    }

    fn socket(&self, name: &str) -> String {
        self.folder.join(name).to_str().unwrap().to_owned()
    }
}

fn text(folder: &std::path::Path, pools: &[(&str, String)]) -> String {
    let pool = |(name, rest): &(&str, String)| {
        let listen = folder.join(name);
        format!(
            "[[pool]]\nname = \"{name}\"\nlisten = \"{}\"\npreload = false\nready_delay = 0.1\n{rest}\n",
            listen.display()
        )
    };
    pools.iter().map(pool).collect()
}

fn of_hello() -> String {
    format!("command = [\"{}\", \"fd:0\"]", hello())
}

fn of_plain() -> String {
    format!("command = [\"{}\", \"graceful\"]", plain())
}

#[test]
fn pools_are_started_and_stopped_as_the_file_says() {
    let mut pools = Changed::start(&[("shop", of_hello()), ("old", of_plain())]);
    pools.write(&[("shop", of_hello()), ("new", of_plain())]);
    pools.run.signal("HUP");
    // In any order.
    for text in [
        "pool 'old': removed from the file",
        ": stopped",
        "reload done",
    ] {
        pools.run.lines_with(text, 1);
    }
    pools.run.lines_with(") ready", 4);
    assert!(call(&pools.socket("shop")).contains("Hello"));
    assert!(call(&pools.socket("new")).contains("plain"));
    assert!(!fs::exists(pools.socket("old")).unwrap());
    let lines = pools.run.stop();
    assert!(
        !lines.iter().any(|line| line.contains("exited (")),
        "{lines:#?}"
    );
}

#[test]
fn a_changed_pool_gets_its_settings_and_the_others_only_reload() {
    let mut pools = Changed::start(&[("shop", of_hello()), ("wiki", of_hello())]);
    pools.write(&[("shop", of_plain() + "\nworkers = 2"), ("wiki", of_hello())]);
    pools.run.signal("HUP");
    let lines = [pools.run.line("reload done"), pools.run.line("reload done")];
    for name in ["shop", "wiki"] {
        assert!(lines.iter().any(|line| line.contains(name)), "{lines:?}");
    }
    assert!(call(&pools.socket("shop")).contains("plain"));
    assert!(call(&pools.socket("wiki")).contains("Hello"));
    let lines = pools.run.stop();
    let count = |text: &str| lines.iter().filter(|line| line.contains(text)).count();
    assert_eq!(count("template (pid"), 1, "{lines:#?}");
    assert_eq!(count("number of workers set to 2"), 1, "{lines:#?}");
}

#[test]
fn the_status_of_the_first_process_shows_all_pools() {
    let mut pools = Changed::start(&[("shop", of_hello()), ("wiki", of_hello())]);
    let pid = pools.run.pid().to_string();
    let output = fcgipm(&["status", &pid], b"");
    let text = String::from_utf8(output.stdout).unwrap();
    for name in ["shop", "wiki"] {
        assert!(
            text.contains(&format!("pool      {name}\nmanager ")),
            "{text}"
        );
    }
    let output = fcgipm(&["status", "--json", &pid], b"");
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    for name in ["shop", "wiki"] {
        assert_eq!(json["pools"][name]["ready"], 1, "{json}");
    }
    pools.run.stop();
}

#[test]
fn a_file_with_mistakes_changes_nothing() {
    let mut pools = Changed::start(&[("shop", of_hello())]);
    pools.write(&[("shop", of_plain() + "\nworker = 2")]);
    pools.run.signal("HUP");
    pools.run.line("unknown key 'worker'");
    pools.run.line("the pools continue with their settings");
    pools.run.line("reload done");
    assert!(call(&pools.socket("shop")).contains("Hello"));
    pools.write(&[("shop", of_plain())]);
    pools.run.signal("HUP");
    pools.run.line("reload done");
    assert!(call(&pools.socket("shop")).contains("plain"));
    pools.run.stop();
}

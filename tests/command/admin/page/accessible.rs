//! The rules of axe-core, which is fetched from npm.

use std::process::Command;

use serde_json::{Value, json};

use super::browser::Browser;
use super::canned::{Canned, busy, history, pool, worker};

const PACKAGE: &str = "axe-core@4.10.3";
const FILE: &str = "axe-core-4.10.3.tgz";
const SHA256: &str = "0f2b4d7dcdf7d1219df8d1959ad68e565f51d14c3f0d88bb71cd59abeb956292";

/// The script of axe-core.
fn axe() -> String {
    let folder = tempfile::tempdir().unwrap();
    let script = format!(
        "npm pack --silent {PACKAGE} >&2 && echo '{SHA256}  {FILE}' | sha256sum --check --quiet >&2 && \
         tar -xzOf {FILE} package/axe.min.js"
    );
    let output = Command::new("sh")
        .args(["-ec", &script])
        .current_dir(folder.path())
        .env("npm_config_cache", folder.path().join("cache"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// Everything that a pool can show together.
fn all_of_it() -> (Value, Value) {
    let mut workers = Vec::from_iter((0..30).map(worker));
    workers[1] = busy(1, "GET", &format!("/{}", "long/".repeat(60)), 34.6);
    for (number, state) in ["starting", "reading", "exiting", "silent", "finishing"]
        .into_iter()
        .enumerate()
    {
        workers[number + 5]["state"] = json!(state);
    }
    let message = "Can't locate Shop.pm in @INC\nBEGIN failed.";
    let mut shop = pool(workers);
    shop["listen_queue"] = json!(3);
    shop["reload"] =
        json!({ "state": "failed", "done": 2, "failed": 1, "age": 190.0, "message": message });
    let reloads = json!([
        { "result": "failed", "time": 1_782_829_000.0, "age": 190.0, "duration": 1.2, "message": message, "unseen": 1 },
        { "result": "done", "time": 1_782_820_000.0, "age": 9_190.0, "duration": 2.4, "message": "", "unseen": 0 },
    ]);
    let past = history(
        900,
        |age| [Some(age), Some(0.1), Some(2.0), Some(3.0)],
        reloads,
    );
    let wiki = json!({ "error": "the manager has ended" });
    (
        json!({ "pools": { "shop": shop, "wiki": wiki } }),
        json!({ "pools": { "shop": past } }),
    )
}

#[test]
fn no_rule_of_axe_is_violated() {
    let axe = axe();
    let (status, past) = all_of_it();
    let canned = Canned::start(status, past);
    let browser = Browser::start();
    for (scheme, width) in [
        ("light", 1_200),
        ("dark", 1_200),
        ("light", 360),
        ("dark", 360),
    ] {
        browser.prefer(scheme, "reduce");
        browser.resize(width, 900, 1);
        browser.open(&canned.url);
        browser.wait_for("document.querySelectorAll('.chart .line[d]').length === 4 && document.querySelectorAll('.reloads li').length === 2");
        let found = browser.finish(&format!(
            "{axe}; axe.run().then(result => done({{ passes: result.passes.length, \
             violations: result.violations.map(one => [one.id, one.help, one.nodes.map(node => node.html)]) }}), \
             error => done(String(error)));"
        ));
        assert_eq!(
            found["violations"],
            json!([]),
            "{scheme} {width}: {found:#}"
        );
        assert!(
            found["passes"].as_u64().is_some_and(|count| count > 20),
            "{found}"
        );
    }
}

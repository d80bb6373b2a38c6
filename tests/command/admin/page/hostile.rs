//! What clients and workers write is shown as text, whatever it is.

use std::process::{Command, Stdio};

use serde_json::{Value, json};

use super::super::Admin;
use super::browser::Browser;
use super::canned::{Canned, busy, history, pool, worker};
use crate::managed::Pool;

/// Markup, and characters that reorder, hide, or combine with others.
const TEXTS: [(&str, &str); 6] = [
    (
        "<script>document.title = 'owned'</script><img src=x onerror=\"document.title = 'owned'\">",
        "<script>document.title = 'owned'</script><img src=x onerror=\"document.title = 'owned'\">",
    ),
    (
        "/a\u{202e}gpj.exe\u{2066}b\u{2069}",
        "/a\\u{202e}gpj.exe\\u{2066}b\\u{2069}",
    ),
    (
        "/\u{1b}[2J\u{7}\r\n\u{85}\u{0}",
        "/\\u{1b}[2J\\u{7}\\u{d}\\u{a}\\u{85}\\u{0}",
    ),
    (
        "/\u{200b}\u{feff}\u{2028}\u{a0}\u{3164}\u{e0041}",
        "/\\u{200b}\\u{feff}\\u{2028}\\u{a0}\\u{3164}\\u{e0041}",
    ),
    ("/a\u{301}\u{336}\u{489}", "/a\\u{301}\\u{336}\\u{489}"),
    (
        "/\u{5d0}\u{5d1}/\\xff\u{fffd}",
        "/\u{5d0}\u{5d1}/\\xff\u{fffd}",
    ),
];

/// Nothing but the page's own script and text, and nothing wider than the page.
fn assert_unharmed(browser: &Browser) {
    for (expression, wanted) in [
        ("document.scripts.length", json!(1)),
        ("document.images.length", json!(0)),
        ("document.title.includes('owned')", json!(false)),
        (
            "/[\\u0000-\\u0009\\u000b-\\u001f\\u007f-\\u009f\\u00a0\\u200b-\\u200f\\u2028-\\u202e\\u2060-\\u206f\\u3164\\ufeff]/.test(document.body.textContent)",
            json!(false),
        ),
        // What is wider than the page.
        (
            "[...document.querySelectorAll('body *')].filter(one => one.getBoundingClientRect().right > \
             document.documentElement.clientWidth + 1).map(one => `${one.tagName} ${one.className}`)",
            json!([]),
        ),
        (
            "document.documentElement.scrollWidth <= document.documentElement.clientWidth",
            json!(true),
        ),
    ] {
        assert_eq!(browser.value(expression), wanted, "{expression}");
    }
}

#[test]
fn hostile_text_is_shown_escaped_and_shortened() {
    let long = format!("/{}", "x".repeat(8_000));
    let texts = TEXTS.iter().map(|(text, _)| *text).chain([&*long]);
    let workers = Vec::from_iter((0..).zip(texts).map(|(number, text)| {
        let mut worker = busy(number, "GET", text, 5.0);
        worker["method"] = json!(
            text[..text.len().min(60)]
                .chars()
                .take(20)
                .collect::<String>()
        );
        worker
    }));
    let mut hostile = pool(workers);
    let message = Vec::from_iter(TEXTS.iter().map(|(text, _)| *text)).join("\n");
    hostile["reload"] =
        json!({ "state": "failed", "done": 0, "failed": 1, "age": 1.0, "message": message });
    hostile["pm"] = json!(TEXTS[0].0);
    hostile["version"] = json!(TEXTS[1].0);
    hostile["listeners"] = json!([{ "address": TEXTS[2].0, "waiting": 0 }]);
    let name = format!("{}{}", TEXTS[0].0, TEXTS[1].0);
    let pools = json!({ "pools": { name.clone(): hostile, "other": { "error": message } } });
    let reloads = json!([{ "result": "failed", "time": 1.0, "age": 1.0, "duration": null, "message": message, "unseen": 0 }]);
    let past = history(60, |_| [Some(1.0), None, Some(1.0), Some(0.0)], reloads);
    let canned = Canned::start(pools, json!({ "pools": { name: past } }));
    let browser = Browser::start();
    browser.resize(360, 740, 1);
    browser.open(&canned.url);
    browser.wait_for("document.querySelectorAll('tbody tr').length === 7 && document.querySelector('.reloads pre')");
    assert_unharmed(&browser);
    let shown = browser.value("[...document.querySelectorAll('.uri')].map(uri => uri.textContent)");
    let wanted = TEXTS.iter().map(|(_, wanted)| json!(wanted));
    let cut = format!("{}…", &long[..120]);
    assert_eq!(shown, Value::from_iter(wanted.chain([json!(cut)])));
    // The whole on demand, and it remains while the page is updated.
    let last = "[...document.querySelectorAll('tbody tr')].at(-1).querySelector";
    assert_eq!(
        browser.value(&format!("{last}('button').textContent")),
        json!("Show all 8,001 characters")
    );
    browser.value(&format!("{last}('button').click()"));
    browser.finish("setTimeout(done, 2500)");
    assert_eq!(
        browser.value(&format!("{last}('.uri').textContent")),
        json!(long)
    );
    assert_eq!(
        browser.value(&format!("{last}('button').getAttribute('aria-expanded')")),
        json!("true")
    );
    assert_unharmed(&browser);
    browser.value(&format!("{last}('button').click()"));
    assert_eq!(
        browser.value(&format!("{last}('.uri').textContent")),
        json!(cut)
    );
    assert_eq!(browser.console(), [""; 0]);
}

#[test]
fn a_hostile_request_of_a_real_pool_is_shown_escaped() {
    let (pool, _socket, address) = Pool::on_unix(1);
    let admin = Admin::of(&pool.pid_file());
    let browser = Browser::start();
    browser.resize(360, 740, 1);
    browser.open(&format!("http://{}/", admin.address));
    let uri = format!("/pause?<script>\u{202e}\u{2066}{}", "x".repeat(8_000));
    // The command sends only URIs that are valid, but any parameter.
    let mut client = Command::new(env!("CARGO_BIN_EXE_fcgipm"))
        .args(["call", "--to", &address, "/pause"])
        .arg(format!("--param=REQUEST_URI={uri}"))
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    browser.wait_for_text("/pause?<script>\\u{202e}\\u{2066}xxx");
    browser.value("document.querySelector('tbody button').click()");
    // All that the worker has room for.
    let shown = browser.text("tbody .uri");
    assert!((350..500).contains(&shown.len()), "{}", shown.len());
    assert!(shown.ends_with("xxx…"), "{shown}");
    assert_unharmed(&browser);
    assert_eq!(browser.console(), [""; 0]);
    client.kill().unwrap();
    client.wait().unwrap();
}

#[test]
fn values_that_are_missing_or_wild_break_nothing() {
    let mut odd = busy(1, "GET", "/", 1e300);
    for name in ["memory", "cpu", "since", "requests", "generation"] {
        odd[name] = Value::Null;
    }
    let mut wild = worker(2);
    wild["memory"] = json!(u64::MAX);
    wild["state"] = json!("constructor");
    let mut status = pool(vec![odd, wild, worker(3)]);
    status["listen_queue"] = Value::Null;
    status["busy"] = json!(u64::MAX);
    let past = history(
        900,
        |age| [Some(1e300), None, Some(age * 1e12), None],
        json!([]),
    );
    let canned = Canned::start(status.clone(), past);
    let browser = Browser::start();
    browser.resize(360, 740, 1);
    browser.open(&canned.url);
    browser.wait_for("document.querySelectorAll('tbody tr').length === 3 && document.querySelector('.chart .line').getAttribute('d')");
    assert_unharmed(&browser);
    let paths = browser.value(
        "[...document.querySelectorAll('path')].map(path => path.getAttribute('d')).join('')",
    );
    assert!(!paths.as_str().unwrap().contains("NaN"), "{paths}");
    canned.set_status(pool(vec![]));
    browser.wait_for("document.querySelectorAll('tbody tr').length === 0");
    assert_eq!(browser.text("#connection"), "● live");
    assert_eq!(browser.console(), [""; 0]);
}

//! The pictures of docs/, of example data. `make screenshots` writes them there; the test checks that it can.

use std::f64::consts::TAU;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use super::browser::Browser;
use super::canned::{Canned, busy, history, pool, worker};

/// The maximum size of a file, in bytes.
const SIZE_MAX: u64 = 150_000;

fn example() -> (Value, Value) {
    let mut workers = Vec::from_iter((0..8).map(worker));
    workers[1] = busy(1, "GET", "/search?q=winter+boots&page=2", 0.2);
    workers[3] = busy(3, "POST", "/checkout/payment", 1.4);
    workers[6] = busy(
        6,
        "GET",
        "/export/orders.csv?from=2026-01-01&to=2026-06-30",
        34.6,
    );
    let mut pool = pool(workers);
    pool["listen_queue"] = json!(0);
    pool["forks"] = json!(40);
    pool["deaths"] = json!(32);
    pool["recycled"] = json!(8);
    let message = "Can't locate Shop/Invoice.pm in @INC (you may need to install the Shop::Invoice module) at /srv/shop/lib/Shop.pm line 12.\nBEGIN failed--compilation aborted at /srv/shop/app.fcgi line 7.";
    pool["reload"] =
        json!({ "state": "failed", "done": 2, "failed": 1, "age": 190.0, "message": message });
    // 2026-06-30, in the afternoon.
    let time = 1_782_829_000.0;
    let reloads = json!([
        { "result": "failed", "time": time, "age": 190.0, "duration": 1.2, "message": message, "unseen": 0 },
        { "result": "done", "time": time - 3_312.0, "age": 3_502.0, "duration": 2.4, "message": "", "unseen": 0 },
        { "result": "done", "time": time - 9_041.0, "age": 9_231.0, "duration": 2.1, "message": "", "unseen": 0 },
    ]);
    let past = history(
        900,
        |age| {
            let wave = (age / 240.0 * TAU).sin()
                + 0.4 * (age / 63.0 * TAU).sin()
                + 0.25 * (age / 17.0 * TAU).cos();
            let rush = if (300.0..380.0).contains(&age) {
                1.0
            } else {
                0.0
            };
            let requests = (64.0 + 14.0 * wave + 70.0 * rush).max(4.0);
            let mean = 0.042 + 0.006 * wave + 0.055 * rush;
            let busy = (requests * mean).round().clamp(1.0, 8.0);
            let queue = if rush > 0.0 {
                (7.0 + 3.0 * (age / 11.0).sin()).round()
            } else {
                0.0
            };
            [Some(requests), Some(mean), Some(busy), Some(queue)]
                .map(|value| value.map(|v: f64| (v * 1e4).round() / 1e4))
        },
        reloads,
    );
    (pool, past)
}

/// Fewer colours: a quarter of the size.
fn save(png: &str, name: &str) {
    let folder = std::env::var_os("FCGIPM_SCREENSHOTS")
        .map_or_else(|| PathBuf::from(env!("CARGO_TARGET_TMPDIR")), PathBuf::from);
    let path = folder.join(name);
    let script =
        "base64 -d | pngquant --strip --speed 1 --nofs 128 - >\"$0.new\" && mv \"$0.new\" \"$0\"";
    let mut child = Command::new("sh")
        .args(["-ec", script])
        .arg(&path)
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(png.as_bytes())
        .unwrap();
    assert!(
        child.wait().unwrap().success(),
        "pngquant: packaging/setup.sh test installs it"
    );
    let size = std::fs::metadata(&path).unwrap().len();
    assert!((5_000..SIZE_MAX).contains(&size), "{name}: {size} bytes");
}

#[test]
fn the_page_can_be_pictured() {
    let (pool, past) = example();
    let canned = Canned::start(pool, past);
    let browser = Browser::start();
    browser.prefer("light", "reduce");
    browser.resize(1_200, 1_000, 1);
    browser.open(&canned.url);
    browser.wait_for("document.querySelectorAll('.chart .line[d]').length === 4 && document.querySelectorAll('.reloads li').length === 3");
    let height = |browser: &Browser| {
        let height =
            browser.value("document.querySelector('footer').getBoundingClientRect().top + scrollY");
        height.as_f64().unwrap().ceil() as u32
    };
    let all = height(&browser);
    save(&browser.picture(1_200, all, 1), "status-page-light.png");
    browser.prefer("dark", "reduce");
    save(&browser.picture(1_200, all, 1), "status-page-dark.png");
    browser.prefer("light", "reduce");
    browser.resize(360, 740, 2);
    save(&browser.picture(360, 1_480, 2), "status-page-phone.png");
}

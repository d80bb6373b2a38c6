//! The page of a real pool, while that changes.

use serde_json::json;

use super::super::{Admin, shop_and_wiki};
use super::browser::Browser;
use crate::managed::{Pool, signal};

use crate::run::{Run, hello};

/// The number of workers that the page shows in a state.
fn rows(state: &str) -> String {
    format!(
        "[...document.querySelectorAll('tbody tr')].filter(row => row.cells[1].textContent.includes('{state}')).length"
    )
}

fn url(admin: &Admin) -> String {
    format!("http://{}/", admin.address)
}

#[test]
fn it_loads_without_errors_and_shows_a_stuck_worker_within_two_seconds() {
    let (pool, _socket, address) = Pool::on_unix(3);
    let admin = Admin::of(&pool.pid_file());
    let browser = Browser::start();
    browser.open(&url(&admin));
    browser.wait_for(&format!("{} === 3", rows("idle")));
    assert_eq!(browser.text("#connection"), "● live");
    // The requests have arrived when the workers have opened the gate.
    let (mut client, gate) = pool.paused(&address, "/pause?one");
    let waited = browser.wait_for_text("/pause?one");
    assert!(waited < 2_000, "{waited} ms");
    // Its worker, stopped, continues to age.
    let pid = browser.text("tbody tr th").parse().unwrap();
    signal("STOP", pid);
    let age = "parseFloat(document.querySelector('tbody tr td.number').textContent)";
    let before = browser.value(age).as_f64().unwrap();
    browser.wait_for(&format!("{age} > {before} + 1"));
    browser.wait_for(&format!("{} === 1 && {} === 2", rows("busy"), rows("idle")));
    // It is the first row, as it has the longest request.
    assert_eq!(browser.text("tbody tr .uri"), "/pause?one");
    signal("CONT", pid);
    drop(gate);
    assert!(client.wait().unwrap().success());
    browser.wait_for(&format!("{} === 3", rows("idle")));
    assert_eq!(browser.console(), [""; 0]);
}

#[test]
fn it_loads_and_updates_while_every_process_of_the_pool_is_stopped() {
    let (pool, _socket, address) = Pool::on_unix(2);
    let admin = Admin::of(&address);
    let (mut client, _gate) = pool.paused(&address, "/pause");
    pool.stop_all();
    let browser = Browser::start();
    browser.open(&url(&admin));
    browser.wait_for(&format!("{} === 1 && {} === 1", rows("busy"), rows("idle")));
    let _queued = std::os::unix::net::UnixStream::connect(&address).unwrap();
    browser.wait_for("document.querySelectorAll('.now')[3].textContent === '1'");
    // The history continues: two samples make a line.
    browser.wait_for("/L/.test(document.querySelectorAll('.chart .line')[2].getAttribute('d'))");
    assert_eq!(browser.console(), [""; 0]);
    client.kill().unwrap();
    client.wait().unwrap();
}

#[test]
fn it_survives_reloads_and_a_restart_of_the_pool() {
    let folder = tempfile::tempdir().unwrap();
    let pid_file = folder.path().join("pid").to_str().unwrap().to_owned();
    let options = ["--pid-fname", &pid_file, "--workers", "2"];
    let mut run = Run::pool(&options, &[&hello(), "fd:0"]);
    run.ready_ones(2);
    let admin = Admin::of(&pid_file);
    let browser = Browser::start();
    browser.open(&url(&admin));
    browser.wait_for(&format!("{} === 2", rows("idle")));
    browser.value("window.isSame = true");
    run.signal("HUP");
    browser.wait_for("/● done/.test(document.querySelector('.reloads li')?.textContent)");
    // More than the page has seen: requests of the pool that ends.
    for _ in 0..5 {
        run.call();
    }
    browser.wait_for_text("5 finished");
    run.stop();
    browser.wait_for("document.querySelector('#connection').textContent === '▲ no data'");
    let place = folder.path().join("again");
    let again = place.to_str().unwrap();
    let arguments = ["--no-preload", "--listen", again, "--", &hello(), "fd:0"];
    let mut run = Run::start(
        tempfile::tempdir().unwrap(),
        &[&options[..], &arguments].concat(),
        &[],
    );
    run.ready_ones(2);
    browser.wait_for("document.querySelector('#connection').textContent === '● live'");
    browser.wait_for_text("0 finished");
    browser.wait_for(&format!("{} === 2", rows("idle")));
    assert_eq!(browser.value("window.isSame"), json!(true));
    // The reload of the manager that has ended is still listed, and no rate is below zero.
    assert!(browser.text(".reloads li").contains("done"));
    let history = admin.get("/history.json").text();
    assert!(!history.contains("-"), "{history}");
    run.stop();
}

#[test]
fn a_lost_connection_is_shown_and_found_again() {
    let (pool, _socket, _) = Pool::on_unix(1);
    let mut admin = Admin::of(&pool.pid_file());
    let address = admin.address.clone();
    let browser = Browser::start();
    browser.open(&url(&admin));
    browser.wait_for(&format!("{} === 1", rows("idle")));
    assert_eq!(browser.console(), [""; 0]);
    // One that does not answer, and one that has ended.
    signal("STOP", admin.child.id());
    browser.wait_for("document.querySelector('#connection').textContent === '▲ connection lost'");
    browser.wait_for_text("no answer for 3 s");
    signal("CONT", admin.child.id());
    browser.wait_for("document.querySelector('#connection').textContent === '● live'");
    admin.child.kill().unwrap();
    admin.child.wait().unwrap();
    browser.wait_for("document.querySelector('#connection').textContent === '▲ connection lost'");
    assert!(
        browser
            .value("document.title")
            .as_str()
            .unwrap()
            .starts_with('▲')
    );
    // What was known is still there.
    browser.wait_for(&format!("{} === 1", rows("idle")));
    let _again = Admin::with(&["--listen", &address, &pool.pid_file()]);
    browser.wait_for("document.querySelector('#connection').textContent === '● live'");
    assert!(
        !browser
            .value("document.title")
            .as_str()
            .unwrap()
            .starts_with('▲')
    );
}

#[test]
fn each_of_several_pools_has_a_section_and_a_link() {
    let (mut run, _) = shop_and_wiki();
    let admin = Admin::of(&run.pid().to_string());
    let browser = Browser::start();
    browser.open(&url(&admin));
    browser.wait_for("document.querySelectorAll('#index a').length === 2");
    browser.wait_for("document.querySelectorAll('.chart .line[d^=M]').length >= 4");
    let titles = "[...document.querySelectorAll('#index a')].map(a => document.querySelector(a.hash).querySelector('h2').textContent)";
    assert_eq!(browser.value(titles), json!(["shop", "wiki"]));
    assert_eq!(browser.text("#index li"), "shop ● ready");
    // A manager that was killed is shown, and the other pool's section remains.
    browser.value("document.querySelector('#pool-shop').isSame = true");
    signal("STOP", run.pid());
    let wiki = admin.json()["pools"]["wiki"]["manager"].as_u64().unwrap();
    signal("KILL", wiki as u32);
    browser
        .wait_for("document.querySelector('#index').textContent.includes('wiki ▲ cannot be read')");
    browser.wait_for("document.querySelector('#news').textContent === 'Pool wiki: cannot be read'");
    assert_eq!(
        browser.value("document.querySelector('#pool-shop').isSame"),
        json!(true)
    );
    signal("CONT", run.pid());
    browser.wait_for("document.querySelector('#index').textContent.includes('wiki ● ready')");
    assert_eq!(browser.console(), [""; 0]);
    run.stop();
}

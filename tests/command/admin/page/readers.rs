//! The page for all who read it: with a keyboard, a screen reader, a phone, and of many workers.

use serde_json::{Value, json};

use super::browser::Browser;
use super::canned::{Canned, busy, history, pool, worker};

const TAB: char = '\u{e004}';
const ENTER: char = '\u{e007}';

/// A pool with 1,000 workers, of which these have requests.
fn thousand() -> Value {
    pool(Vec::from_iter((0..1_000).map(|number| match number {
        500 => busy(number, "GET", "/slow/report", 90.0),
        501 => busy(number, "GET", &format!("/{}", "long/".repeat(60)), 3.0),
        _ => worker(number),
    })))
}

fn past() -> Value {
    history(
        300,
        |age| [Some(age), Some(0.1), Some(2.0), Some(0.0)],
        json!([]),
    )
}

#[test]
fn all_controls_are_reached_and_used_by_keyboard() {
    let canned = Canned::start(thousand(), past());
    let browser = Browser::start();
    browser.resize(1_200, 900, 1);
    browser.open(&canned.url);
    browser.wait_for("document.querySelectorAll('tbody tr').length === 20");
    let focused = |browser: &Browser| {
        let shown = browser.value("(e => e.labels?.[0]?.firstChild.textContent.trim() || e.textContent.replace(/ [↓↑]$/, ''))(document.activeElement)");
        shown.as_str().unwrap().to_owned()
    };
    let mut stops = Vec::new();
    for _ in 0..40 {
        browser.press(&TAB.to_string());
        let stop = focused(&browser);
        let is_last = stop == "readyz";
        // What has the focus is visible, and so is the focus.
        let outline = browser.value("getComputedStyle(document.activeElement).outlineStyle");
        assert_ne!(outline, json!("none"), "{stop}");
        stops.push(stop);
        if is_last {
            break;
        }
    }
    let wanted = [
        "Skip to the pools",
        "State",
        "URI contains",
        "PID",
        "State",
        "For",
        "Request",
        "Requests",
        "Memory",
        "CPU",
        "Age",
        "Show all 301 characters",
        "Show all 1,000",
        "status.json",
        "history.json",
        "metrics",
        "readyz",
    ];
    assert_eq!(stops, wanted);
    let first = || browser.text("tbody tr th");
    assert_eq!(first(), "4500");
    let focus =
        |selector: &str| browser.value(&format!("document.querySelector('{selector}').focus()"));
    // Sorted by memory, then in the other direction.
    focus("thead th:nth-child(6) button");
    for (wanted, sort) in [(44, "descending"), (38, "ascending")] {
        browser.press(&ENTER.to_string());
        let memory = browser.text("tbody tr td:nth-child(6)");
        assert_eq!(memory, format!("{wanted}.0 MiB"));
        assert_eq!(
            browser.value("document.querySelector('[aria-sort]').getAttribute('aria-sort')"),
            json!(sort)
        );
        assert_eq!(
            browser.value("document.querySelectorAll('[aria-sort]').length"),
            json!(1)
        );
    }
    focus("input");
    browser.press("REPORT");
    browser.wait_for("document.querySelectorAll('tbody tr').length === 1");
    assert_eq!(browser.text(".end .shown"), "1 of 1,000 workers");
    focus("select");
    browser.press("idle");
    browser.wait_for("document.querySelectorAll('tbody tr').length === 0 && !document.querySelector('.none').hidden");
    assert_eq!(browser.console(), [""; 0]);
}

#[test]
fn a_thousand_workers_are_shown_on_demand_and_updated_without_new_rows() {
    let canned = Canned::start(thousand(), past());
    let browser = Browser::start();
    browser.resize(1_200, 900, 1);
    browser.open(&canned.url);
    browser.wait_for("document.querySelectorAll('tbody tr').length === 20");
    browser.value("document.querySelector('.end button').click()");
    browser.wait_for("document.querySelectorAll('tbody tr').length === 1000");
    // A reading that differs in one worker changes only its row.
    let mut next = thousand();
    next["workers"][500]["uri"] = json!("/another");
    let script = "const changed = new Set(); const seen = new MutationObserver(all => { \
        for (const one of all) { const row = one.target.parentElement.closest('tr'); \
          changed.add(row ? row.cells[0].textContent : 'another place'); } \
        if (document.body.innerText.includes('/another')) { seen.disconnect(); done([...changed]); } }); \
        seen.observe(document.querySelector('tbody'), { childList: true, subtree: true, characterData: true });";
    canned.set_status(next);
    assert_eq!(browser.finish(script), json!(["4500"]));
    // A row with the focus keeps it when it moves.
    browser.value(
        "[...document.querySelectorAll('tbody button')].find(button => !button.hidden).focus()",
    );
    let mut next = thousand();
    next["workers"][501]["request_age"] = json!(1_000.0);
    canned.set_status(next);
    browser.wait_for("document.querySelector('tbody tr th').textContent === '4501'");
    assert_eq!(
        browser.value("document.activeElement.closest('tr')?.cells[0].textContent"),
        json!("4501")
    );
    browser.value("document.querySelector('.end button').click()");
    browser.wait_for("document.querySelectorAll('tbody tr').length === 20");
    assert_eq!(browser.console(), [""; 0]);
}

#[test]
fn charts_have_a_text_and_gaps_where_nothing_was_measured() {
    let seen = |age: f64| (!(100.0..=200.0).contains(&age)).then_some(age);
    let canned = Canned::start(
        pool(vec![worker(1)]),
        history(600, |age| [seen(age), None, Some(1.0), None], json!([])),
    );
    let browser = Browser::start();
    browser.open(&canned.url);
    browser.wait_for("document.querySelector('.chart .line[d]')");
    let texts = browser.value("[...document.querySelectorAll('svg[role=img]')].map(svg => svg.getAttribute('aria-label'))");
    assert_eq!(
        texts,
        json!([
            "Requests/s over the last 15 minutes: lowest 0, highest 600",
            "Mean duration over the last 15 minutes: nothing is known yet",
            "Busy workers over the last 15 minutes: lowest 1, highest 1",
            "Listen queue over the last 15 minutes: nothing is known yet",
        ])
    );
    let line = browser.value("document.querySelector('.chart .line').getAttribute('d')");
    assert_eq!(line.as_str().unwrap().matches('M').count(), 2, "{line}");
}

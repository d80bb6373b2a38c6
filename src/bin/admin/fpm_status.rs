//! The status page of php-fpm (`pm.status_path`) in its formats, for programs that read it: what
//! `status_path` shows. What a pool does not know is `-` or 0.

use std::fmt::Write as _;
use std::time::Duration;

use fcgipm::log::time::CommonLog;
use serde_json::Value;

use super::exposition::Format;
use super::reading::Reading;
use super::{metrics, phpfpm};
use crate::managers::report::{Report, WorkerReport};

/// As of php-fpm: no answer is to be stored.
const NOT_STORED: &str = "Expires: Thu, 01 Jan 1970 00:00:00 GMT\r\n\
    Cache-Control: no-cache, no-store, must-revalidate, max-age=0\r\n";

/// A value of a field.
enum Datum<'r> {
    Text(&'r str),
    Count(u64),
    /// Seconds since the epoch. In JSON and XML it is a number.
    Time(u64),
    /// With two decimals.
    Decimal(f64),
}

/// The name of a field, and its value.
type Field<'r> = (&'static str, Datum<'r>);

/// The answer to a request with this query, in the form of CGI.
pub(super) fn answer(reading: &Reading, query: &str) -> String {
    let has = |word: &str| query.split('&').any(|part| part == word);
    if has("openmetrics") {
        let body = metrics::of(reading, Format::OpenMetrics, true);
        return with_head(Format::OpenMetrics.content_type(), &body);
    }
    let Some((name, report)) = reading.first() else {
        return unavailable("the manager cannot be read");
    };
    let pool = pool(name, report, reading.epoch);
    let workers = report.workers.iter().filter(|_| has("full"));
    let workers: Vec<_> = workers.map(|one| worker(one, reading.epoch)).collect();
    if has("json") {
        with_head("application/json", &json(&pool, has("full"), &workers))
    } else if has("xml") {
        with_head("text/xml;charset=UTF-8", &xml(&pool, has("full"), &workers))
    } else if has("html") {
        with_head("text/html;charset=UTF-8", &html(&pool, &workers))
    } else {
        with_head("text/plain;charset=UTF-8", &text(&pool, &workers))
    }
}

/// The answer if there is nothing to show.
pub(super) fn unavailable(why: &str) -> String {
    let body = with_head("text/plain;charset=UTF-8", &format!("{why}\n"));
    format!("Status: 503 Service Unavailable\r\n{body}")
}

fn with_head(kind: &str, body: &str) -> String {
    format!("Content-type: {kind}\r\n{NOT_STORED}\r\n{body}")
}

fn pool<'r>(name: &'r str, report: &'r Report, epoch: Duration) -> Vec<Field<'r>> {
    // php-fpm counts a request when it has accepted it.
    let running = report.workers.iter().filter(|w| w.request_age.is_some());
    vec![
        ("pool", Datum::Text(name)),
        ("process manager", Datum::Text(&report.pm)),
        (
            "start time",
            Datum::Time((epoch + report.started).as_secs()),
        ),
        ("start since", Datum::Count(report.uptime as u64)),
        (
            "accepted conn",
            Datum::Count(report.requests + running.count() as u64),
        ),
        ("listen queue", waiting(report.listen_queue)),
        ("max listen queue", waiting(report.highest.waiting)),
        ("listen queue len", Datum::Count(0)),
        ("idle processes", Datum::Count(report.idle as u64)),
        ("active processes", Datum::Count(report.busy as u64)),
        ("total processes", Datum::Count(report.processes as u64)),
        (
            "max active processes",
            Datum::Count(report.highest.busy as u64),
        ),
        ("max children reached", Datum::Count(report.saturated)),
        ("slow requests", Datum::Count(report.slow)),
    ]
}

fn waiting(count: Option<u32>) -> Datum<'static> {
    Datum::Count(count.unwrap_or_default().into())
}

fn worker(worker: &WorkerReport, epoch: Duration) -> Vec<Field<'_>> {
    let duration = worker.request_age.map_or(0.0, |age| age * 1e6);
    vec![
        ("pid", Datum::Count(worker.pid.unsigned_abs().into())),
        ("state", Datum::Text(phpfpm::state(worker))),
        ("start time", Datum::Time((epoch + worker.born).as_secs())),
        ("start since", Datum::Count(worker.age as u64)),
        (
            "requests",
            Datum::Count(worker.requests.unwrap_or_default()),
        ),
        ("request duration", Datum::Count(duration as u64)),
        ("request method", known(worker.method.as_deref())),
        ("request uri", known(worker.uri.as_deref())),
        ("content length", Datum::Count(0)),
        ("user", known(None)),
        ("script", known(None)),
        ("last request cpu", Datum::Decimal(0.0)),
        ("last request memory", Datum::Count(0)),
    ]
}

fn known(text: Option<&str>) -> Datum<'_> {
    Datum::Text(text.filter(|text| !text.is_empty()).unwrap_or("-"))
}

/// In the text and HTML formats.
fn shown(datum: &Datum<'_>) -> String {
    match datum {
        Datum::Text(text) => (*text).to_owned(),
        Datum::Count(count) => count.to_string(),
        Datum::Time(seconds) => CommonLog(*seconds).to_string(),
        Datum::Decimal(number) => format!("{number:.2}"),
    }
}

fn text(pool: &[Field<'_>], workers: &[Vec<Field<'_>>]) -> String {
    let mut out = String::new();
    lines(&mut out, pool);
    for worker in workers {
        out.push_str("\n************************\n");
        lines(&mut out, worker);
    }
    out
}

fn lines(out: &mut String, fields: &[Field<'_>]) {
    for (name, datum) in fields {
        // The one name that php-fpm writes in another way here.
        let name = match *name {
            "request uri" => "request URI",
            name => name,
        };
        let _ = writeln!(out, "{:<22}{}", format!("{name}:"), shown(datum));
    }
}

/// In the order of php-fpm, as everything here.
fn json(pool: &[Field<'_>], is_full: bool, workers: &[Vec<Field<'_>>]) -> String {
    let mut members = members(pool);
    if is_full {
        let workers: Vec<_> = workers
            .iter()
            .map(|one| format!("{{{}}}", self::members(one)))
            .collect();
        let _ = write!(members, ",\"processes\":[{}]", workers.join(","));
    }
    format!("{{{members}}}")
}

fn members(fields: &[Field<'_>]) -> String {
    let member = |(name, datum): &Field<'_>| {
        let value = match datum {
            Datum::Text(text) => Value::from(*text).to_string(),
            Datum::Time(seconds) => seconds.to_string(),
            Datum::Count(_) | Datum::Decimal(_) => shown(datum),
        };
        format!("\"{name}\":{value}")
    };
    let members: Vec<_> = fields.iter().map(member).collect();
    members.join(",")
}

fn xml(pool: &[Field<'_>], is_full: bool, workers: &[Vec<Field<'_>>]) -> String {
    let element = |(name, datum): &Field<'_>| {
        let name = name.replace(' ', "-");
        let value = match datum {
            Datum::Time(seconds) => seconds.to_string(),
            other => escaped(&shown(other)),
        };
        format!("<{name}>{value}</{name}>")
    };
    let mut out = "<?xml version=\"1.0\" ?>\n<status>\n".to_owned();
    for field in pool {
        out += &element(field);
        out.push('\n');
    }
    if is_full {
        out.push_str("<processes>\n");
        for worker in workers {
            let fields: String = worker.iter().map(element).collect();
            let _ = writeln!(out, "<process>{fields}</process>");
        }
        out.push_str("</processes>\n");
    }
    out + "</status>"
}

fn html(pool: &[Field<'_>], workers: &[Vec<Field<'_>>]) -> String {
    let mut out = "<!DOCTYPE html>\n<html lang=\"en\">\n<head><meta charset=\"utf-8\">\
        <title>Status of the pool</title></head>\n<body>\n<table>\n"
        .to_owned();
    for (name, datum) in pool {
        let value = escaped(&shown(datum));
        let _ = writeln!(
            out,
            "<tr><th scope=\"row\">{name}</th><td>{value}</td></tr>"
        );
    }
    out.push_str("</table>\n");
    if let Some(first) = workers.first() {
        out.push_str("<table>\n<tr>");
        for (name, _) in first {
            let _ = write!(out, "<th scope=\"col\">{name}</th>");
        }
        out.push_str("</tr>\n");
        for worker in workers {
            let cells = worker
                .iter()
                .map(|(_, datum)| format!("<td>{}</td>", escaped(&shown(datum))));
            let cells: String = cells.collect();
            let _ = writeln!(out, "<tr>{cells}</tr>");
        }
        out.push_str("</table>\n");
    }
    out + "</body>\n</html>\n"
}

/// Text in XML and HTML. What no document may contain becomes U+FFFD.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            '\u{FFFE}' | '\u{FFFF}' => out.push('\u{FFFD}'),
            control if control.is_control() => out.push('\u{FFFD}'),
            other => out.push(other),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_format_escapes_what_a_client_chose() {
        let uri = "/<b>&\"'\u{1b}[2J\n";
        let fields = [("request uri", Datum::Text(uri))];
        let worker = || vec![("request uri", Datum::Text(uri))];
        let safe = "/&lt;b&gt;&amp;&quot;&#39;\u{FFFD}[2J\u{FFFD}";
        let page = html(&fields, &[worker()]);
        assert_eq!(page.matches(&format!("<td>{safe}</td>")).count(), 2);
        assert!(xml(&fields, true, &[worker()]).contains(safe));
        let parsed: Value = serde_json::from_str(&json(&fields, true, &[worker()])).unwrap();
        assert_eq!(parsed["processes"][0]["request uri"], uri);
    }

    #[test]
    fn times_are_those_of_the_common_log_format() {
        let text = shown(&Datum::Time(1_796_107_504));
        assert_eq!(text, "01/Dec/2026:06:45:04 +0000");
    }
}

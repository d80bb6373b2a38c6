//! The metrics of all pools. docs/OPERATIONS.md lists them.

use std::time::Duration;

use super::exposition::{Exposition, Family, Format, Kind, counter, gauge, seconds};
use super::phpfpm;
use super::reading::{Pools, Reading, UNNAMED};
use super::worker_metrics::of_workers;
use crate::managers::counted::{Counted, Durations};
use crate::managers::report::{Report, STATES};

/// The text of all metrics; `with_phpfpm`: also those with the names of an exporter for php-fpm.
pub(super) fn of(reading: &Reading, format: Format, with_phpfpm: bool) -> String {
    let mut out = Exposition::new(format);
    let seen = reading.pools.as_ref().map_or(&[][..], |pools| &pools[..]);
    let name = |pool: &'_ Option<String>| pool.clone().unwrap_or_else(|| UNNAMED.to_owned());
    let named: Vec<_> = seen.iter().map(|seen| (name(&seen.pool), seen)).collect();
    let readable = named
        .iter()
        .filter_map(|(name, seen)| Some((name.as_str(), &seen.state.as_ref().ok()?.report)));
    let pools: Pools<'_> = readable.collect();

    out.family(&gauge(
        "fcgipm_up",
        "",
        "Whether the pool can be read: 1 or 0.",
    ));
    for (name, seen) in &named {
        out.sample(&[("pool", name)], u8::from(seen.state.is_ok()));
    }
    if named.is_empty() {
        out.sample(&[("pool", UNNAMED)], 0);
    }
    out.family(&gauge(
        "fcgipm_ready",
        "",
        "Whether the pool is ready, as /readyz reports it: 1 or 0.",
    ));
    for (name, seen) in &named {
        let is_ready = seen.state.as_ref().is_ok_and(|s| s.readiness.is_ok());
        out.sample(&[("pool", name)], u8::from(is_ready));
    }
    of_pools(&mut out, &pools, reading.epoch);
    of_workers(&mut out, &pools, reading.epoch);
    if with_phpfpm {
        let all = named
            .iter()
            .map(|(name, seen)| (name.as_str(), seen.state.is_ok()));
        phpfpm::add(&mut out, &pools, all);
    }
    out.family(&gauge(
        "fcgipm_admin_read_duration_seconds",
        "seconds",
        "The time that reading all pools took.",
    ));
    out.sample(&[], reading.took.as_secs_f64());
    out.finish()
}

fn of_pools(out: &mut Exposition, pools: &Pools<'_>, epoch: Duration) {
    out.family(&Family {
        name: "fcgipm_manager",
        kind: Kind::Info,
        unit: "",
        help: "The version of the library that the manager runs, and its pm.",
    });
    for (pool, report) in pools {
        let labels = [
            ("pool", *pool),
            ("version", &report.version),
            ("pm", pm(report)),
        ];
        out.sample(&labels, 1);
    }
    out.family(&gauge(
        "fcgipm_start_time_seconds",
        "seconds",
        "When the manager started, since the epoch.",
    ));
    for (pool, report) in pools {
        out.sample(&[("pool", pool)], seconds(epoch + report.started));
    }
    out.family(&gauge(
        "fcgipm_workers",
        "",
        "Workers by state, as `fcgipm status` shows it.",
    ));
    for (pool, report) in pools {
        // Each has a sample, even if no worker is in it.
        for state in STATES {
            let count = report.workers.iter().filter(|w| w.state == state).count();
            out.sample(&[("pool", pool), ("state", state)], count);
        }
    }
    for (family, value) in NUMBERS {
        out.family(family);
        for (pool, report) in pools {
            out.sample(&[("pool", pool)], value(report));
        }
    }
    for (family, label, values) in LABELLED {
        out.family(family);
        for (pool, report) in pools {
            for (value, count) in values(report) {
                out.sample(&[("pool", pool), (label, value)], count);
            }
        }
    }
    for (family, durations) in HISTOGRAMS {
        out.family(family);
        for (pool, report) in pools {
            let durations = durations(&report.counted);
            let buckets = durations.buckets.iter();
            let buckets = buckets.map(|bucket| (bucket.le, bucket.count));
            out.histogram(&[("pool", pool)], buckets, durations.sum);
        }
    }
    out.family(&gauge(
        "fcgipm_last_reload_time_seconds",
        "seconds",
        "When the last reload began or ended, since the epoch.",
    ));
    for (pool, report) in pools
        .iter()
        .filter(|(_, report)| report.reload.age.is_some())
    {
        out.sample(&[("pool", pool)], seconds(epoch + report.reload.at));
    }
    out.family(&gauge(
        "fcgipm_listen_queue_connections",
        "connections",
        "Connections that wait in the listen queue, by listen address.",
    ));
    for (pool, report) in pools {
        for listener in &report.listeners {
            if let Some(waiting) = listener.waiting {
                out.sample(&[("pool", pool), ("address", &listener.address)], waiting);
            }
        }
    }
}

type Histogram = fn(&Counted) -> Durations;

const HISTOGRAMS: &[(Family, Histogram)] = &[
    (
        Family {
            name: "fcgipm_request_duration_seconds",
            kind: Kind::Histogram,
            unit: "seconds",
            help: "The time from the parameters of a request to the end of its response.",
        },
        Counted::durations,
    ),
    (
        Family {
            name: "fcgipm_request_queue_wait_seconds",
            kind: Kind::Histogram,
            unit: "seconds",
            help: "The time from the arrival of a request at the web server to its first byte here.",
        },
        Counted::queue_waits,
    ),
];

type Values = fn(&Report) -> Vec<(&'static str, u64)>;

/// Counters with one more label.
const LABELLED: &[(Family, &str, Values)] = &[
    (
        counter("fcgipm_reloads", "Reloads that ended, by result."),
        "result",
        |report| {
            vec![
                ("done", report.reload.done),
                ("failed", report.reload.failed),
            ]
        },
    ),
    (
        counter("fcgipm_worker_exits", "Workers that exited, by cause."),
        "cause",
        |report| report.exits.by_cause(),
    ),
    (
        counter(
            "fcgipm_responses",
            "Requests that were finished, by the class of the response's status.",
        ),
        "class",
        |report| report.counted.by_class(),
    ),
];

type Number = fn(&Report) -> u64;

/// Those with one sample per pool.
const NUMBERS: &[(Family, Number)] = &[
    (
        gauge("fcgipm_workers_wanted", "", "Workers to keep."),
        |report| report.wanted,
    ),
    (
        gauge("fcgipm_workers_max", "", "The maximum number of workers."),
        |report| report.max,
    ),
    (
        gauge("fcgipm_workers_ready", "", "Workers that serve."),
        |report| report.ready as u64,
    ),
    (
        gauge(
            "fcgipm_workers_idle",
            "",
            "Workers that wait for a request.",
        ),
        |report| report.idle as u64,
    ),
    (
        gauge(
            "fcgipm_workers_busy",
            "",
            "Workers that serve and do not wait for a request.",
        ),
        |report| report.busy as u64,
    ),
    (
        gauge(
            "fcgipm_draining",
            "",
            "Whether the pool will stop after drain_delay: 1 or 0.",
        ),
        |report| u64::from(report.draining),
    ),
    (
        gauge("fcgipm_stopping", "", "Whether the pool stops: 1 or 0."),
        |report| u64::from(report.stopping),
    ),
    (
        counter("fcgipm_requests", "Requests that were finished."),
        |report| report.requests,
    ),
    (
        counter(
            "fcgipm_requests_disconnected",
            "Requests that were not run, because their clients had disconnected.",
        ),
        |report| report.disconnected,
    ),
    (
        counter(
            "fcgipm_requests_overloaded",
            "Requests that were refused, because they had waited longer than max_queue_age.",
        ),
        |report| report.overloaded,
    ),
    (
        counter(
            "fcgipm_requests_aborted",
            "Requests that the web server aborted, or whose connection it closed early.",
        ),
        |report| report.counted.0.aborted,
    ),
    (
        counter(
            "fcgipm_requests_slow",
            "Requests that ran for longer than slow_request.",
        ),
        |report| report.slow,
    ),
    (
        counter(
            "fcgipm_requests_timed_out",
            "Requests that ran for longer than request_timeout.",
        ),
        |report| report.timed_out,
    ),
    (
        Family {
            unit: "bytes",
            ..counter("fcgipm_received_bytes", "Bytes of request bodies.")
        },
        |report| report.counted.0.received,
    ),
    (
        Family {
            unit: "bytes",
            ..counter("fcgipm_sent_bytes", "Bytes of responses.")
        },
        |report| report.counted.0.sent,
    ),
    (
        counter(
            "fcgipm_saturations",
            "Times that connections waited while all workers were busy, and no more could be started.",
        ),
        |report| report.saturated,
    ),
    (
        counter(
            "fcgipm_access_log_dropped_lines",
            "Lines of the access log that were not written.",
        ),
        |report| report.access_log_dropped,
    ),
    (
        counter("fcgipm_worker_forks", "Workers that were forked."),
        |report| report.forks,
    ),
    (
        counter(
            "fcgipm_worker_recycles",
            "Workers that were replaced because they reached a limit.",
        ),
        |report| report.recycled,
    ),
    (
        gauge(
            "fcgipm_reload_running",
            "",
            "Whether a reload is in progress: 1 or 0.",
        ),
        |report| u64::from(report.reload.state == "running"),
    ),
    (
        gauge(
            "fcgipm_last_reload_failed",
            "",
            "Whether the last reload failed: 1 or 0.",
        ),
        |report| u64::from(report.reload.state == "failed"),
    ),
];

fn pm(report: &Report) -> &str {
    if report.pm.is_empty() {
        "static"
    } else {
        &report.pm
    }
}

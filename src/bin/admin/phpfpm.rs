//! The metrics of an exporter for php-fpm (hipages/php-fpm_exporter), as far as a pool has them, for
//! dashboards that exist.
//!
//! Its counters lack the suffix `_total`, so their type is unknown here: OpenMetrics requires the suffix.

use super::exposition::{Exposition, Family, Kind};
use super::reading::Pools;
use crate::managers::report::{Report, WorkerReport};

type Number = fn(&Report) -> Option<f64>;

const NUMBERS: &[(Family, Number)] = &[
    (
        of(
            "phpfpm_start_since",
            Kind::Unknown,
            "Seconds since the manager started.",
        ),
        |report| Some(report.uptime),
    ),
    (
        of(
            "phpfpm_accepted_connections",
            Kind::Unknown,
            "Requests that were finished.",
        ),
        |report| Some(report.requests as f64),
    ),
    (
        of(
            "phpfpm_listen_queue",
            Kind::Gauge,
            "Connections that wait in the listen queue.",
        ),
        |report| report.listen_queue.map(f64::from),
    ),
    (
        of(
            "phpfpm_max_listen_queue",
            Kind::Gauge,
            "The maximum of phpfpm_listen_queue in any reading of this process.",
        ),
        |report| report.highest.waiting.map(f64::from),
    ),
    (
        of("phpfpm_idle_processes", Kind::Gauge, "Idle workers."),
        |report| Some(report.idle as f64),
    ),
    (
        of("phpfpm_active_processes", Kind::Gauge, "Busy workers."),
        |report| Some(report.busy as f64),
    ),
    (
        of("phpfpm_total_processes", Kind::Gauge, "Workers."),
        |report| Some(report.processes as f64),
    ),
    (
        of(
            "phpfpm_max_active_processes",
            Kind::Gauge,
            "The maximum of phpfpm_active_processes in any reading of this process.",
        ),
        |report| Some(report.highest.busy as f64),
    ),
    (
        of(
            "phpfpm_max_children_reached",
            Kind::Unknown,
            "Times that connections waited while the maximum number of workers was busy.",
        ),
        |report| Some(report.saturated as f64),
    ),
    (
        of(
            "phpfpm_slow_requests",
            Kind::Unknown,
            "Requests that ran for longer than slow_request.",
        ),
        |report| Some(report.slow as f64),
    ),
];

type OfWorker = fn(&WorkerReport) -> Option<f64>;

const WORKER_NUMBERS: &[(Family, OfWorker)] = &[
    (
        of(
            "phpfpm_process_requests",
            Kind::Unknown,
            "Requests that the worker has finished.",
        ),
        |worker| worker.requests.map(|count| count as f64),
    ),
    (
        of(
            "phpfpm_process_request_duration",
            Kind::Gauge,
            "How long the worker has been running its current request, in microseconds.",
        ),
        |worker| worker.request_age.map(|age| (age * 1e6).round()),
    ),
];

/// Adds them; `all`: the names of all pools, and whether each can be read.
pub(super) fn add<'p>(
    out: &mut Exposition,
    pools: &Pools<'_>,
    all: impl Iterator<Item = (&'p str, bool)>,
) {
    out.family(&of(
        "phpfpm_up",
        Kind::Gauge,
        "Whether the pool can be read.",
    ));
    for (pool, is_up) in all {
        out.sample(&[("pool", pool)], u8::from(is_up));
    }
    for (family, value) in NUMBERS {
        out.family(family);
        for (pool, report) in pools {
            if let Some(number) = value(report) {
                out.sample(&[("pool", pool)], number);
            }
        }
    }
    for (family, value) in WORKER_NUMBERS {
        out.family(family);
        for_each_worker(pools, |pool, child, worker| {
            if let Some(number) = value(worker) {
                out.sample(&[("pool", pool), ("child", child)], number);
            }
        });
    }
    let states = "The state of the worker, in the words of php-fpm.";
    out.family(&of("phpfpm_process_state", Kind::Gauge, states));
    for_each_worker(pools, |pool, child, worker| {
        let labels = [("pool", pool), ("child", child), ("state", state(worker))];
        out.sample(&labels, 1);
    });
}

fn for_each_worker(pools: &Pools<'_>, mut each: impl FnMut(&str, &str, &WorkerReport)) {
    for (pool, report) in pools {
        for worker in &report.workers {
            each(pool, &worker.slot.to_string(), worker);
        }
    }
}

/// The state of a worker, in the words of php-fpm.
pub(super) fn state(worker: &WorkerReport) -> &'static str {
    match worker.activity {
        Some("reading") => "Reading headers",
        Some("busy") => "Running",
        Some("finishing" | "exiting") => "Finishing",
        _ => "Idle",
    }
}

const fn of(name: &'static str, kind: Kind, help: &'static str) -> Family {
    Family {
        name,
        kind,
        unit: "",
        help,
    }
}

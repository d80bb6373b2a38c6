//! The metrics of each worker.

use std::time::Duration;

use super::exposition::{Exposition, Family, counter, gauge, seconds};
use super::reading::Pools;
use crate::managers::report::WorkerReport;

/// Only with the parameter `pss`.
const PROPORTIONAL: &str = "fcgipm_worker_proportional_memory_bytes";

type OfWorker = fn(&WorkerReport, Duration) -> Option<f64>;

/// Those with one sample per worker.
const WORKER_NUMBERS: &[(Family, OfWorker)] = &[
    (
        gauge(
            "fcgipm_worker_start_time_seconds",
            "seconds",
            "When the worker was forked, since the epoch.",
        ),
        |worker, epoch| Some(seconds(epoch + worker.born)),
    ),
    (
        gauge(
            "fcgipm_worker_resident_memory_bytes",
            "bytes",
            "Resident memory of the worker.",
        ),
        |worker, _| worker.memory.map(|bytes| bytes as f64),
    ),
    (
        gauge(
            PROPORTIONAL,
            "bytes",
            "Resident memory of the worker, of which shared pages count in proportion.",
        ),
        |worker, _| worker.pss.map(|bytes| bytes as f64),
    ),
    (
        Family {
            unit: "seconds",
            ..counter(
                "fcgipm_worker_cpu_seconds",
                "User and system time of the worker.",
            )
        },
        |worker, _| worker.cpu,
    ),
    (
        counter(
            "fcgipm_worker_requests",
            "Requests that the worker has finished.",
        ),
        |worker, _| worker.requests.map(|count| count as f64),
    ),
    (
        gauge(
            "fcgipm_worker_request_age_seconds",
            "seconds",
            "How long the worker has been running its current request.",
        ),
        |worker, _| worker.request_age,
    ),
];

pub(super) fn of_workers(out: &mut Exposition, pools: &Pools<'_>, epoch: Duration) {
    let all = || pools.iter().flat_map(|(_, report)| &report.workers);
    for (family, value) in WORKER_NUMBERS {
        if family.name == PROPORTIONAL && all().all(|worker| worker.pss.is_none()) {
            continue;
        }
        out.family(family);
        for (pool, report) in pools {
            for worker in &report.workers {
                if let Some(number) = value(worker, epoch) {
                    let slot = worker.slot.to_string();
                    out.sample(&[("pool", pool), ("slot", &slot)], number);
                }
            }
        }
    }
}

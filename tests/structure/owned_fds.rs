//! Where descriptors are owned outside of `src/sys`.

/// Files outside of `src/sys` that may name `OwnedFd`, and why.
pub(crate) const OWNED_FD: [(&str, &str); 21] = [
    ("src/manager/child_start/kit.rs", "pipes"),
    ("src/manager/children/fork.rs", "pipes"),
    ("src/manager/children/mod.rs", "pipes"),
    ("src/manager/children/startup_output.rs", "a pipe"),
    ("src/manager/connections/handover.rs", "a socket pair"),
    (
        "src/manager/connections/shedding/refuser.rs",
        "a socket pair",
    ),
    ("src/manager/connections/shedding/work.rs", "a socket pair"),
    ("src/manager/event_loop/mod.rs", "pipes"),
    (
        "src/manager/generations/mod.rs",
        "a region for a worker, and pipes",
    ),
    ("src/manager/generations/process.rs", "the same"),
    ("src/manager/generations/start.rs", "pipes, a socket pair"),
    ("src/manager/template/message.rs", "the same"),
    (
        "src/manager/template/mod.rs",
        "a template's link to its manager",
    ),
    ("src/server/connection.rs", "what the host gets or gives"),
    (
        "src/server/listen/kept.rs",
        "what a manager stored, in the parent of several",
    ),
    (
        "src/server/listen/open.rs",
        "what OpenSocket returns to the host",
    ),
    (
        "src/server/listen/owned.rs",
        "what OpenSocket returns to the host",
    ),
    ("src/server/low_level.rs", "what the host gets or gives"),
    ("src/worker/exec_env.rs", "a worker's link to its manager"),
    ("src/worker/mod.rs", "a worker's link to its manager"),
    (
        "src/worker/template_env.rs",
        "a template's link to its manager",
    ),
];

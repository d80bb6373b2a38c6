//! Reloads of the whole program: what the manager loaded before its workers were forked is renewed, and
//! nothing is lost.

#[allow(dead_code)] // Each test target uses a part of it.
#[path = "../storms/load.rs"]
mod load;
#[path = "../peer/mod.rs"]
mod peer;

#[allow(dead_code)] // Each test target uses a part of it.
#[path = "../lifecycle/service_manager.rs"]
mod service_manager;

mod code;
mod commands;
mod failures;
mod options;
mod queued;
mod refork;
mod refork_options;
mod renewal;
mod service;
mod standard_error;
mod storms;
mod templates;

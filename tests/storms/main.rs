//! Stress tests with real processes, which count lost requests and measure times.
//!
//! The tests run one at a time, because several measure time, and print their results. The hosts
//! are the C example, with a single thread, and Perl, which has support for threads in Debian.

#[macro_use]
#[path = "../peer/in_turn.rs"]
mod in_turn;
#[path = "../peer/mod.rs"]
mod peer;

mod board;
mod garbage;
mod host;
mod load;
mod manager_loop;
mod random;
mod reload;
mod reload_silence;
mod sigkill;
mod signals;
mod sigterm;
mod stopped_manager;

tests! {
    reload::reload_storms_lose_nothing_in_c
    reload::reload_storms_lose_nothing_in_perl
    reload::reloads_requested_during_reloads_lose_nothing
    reload_silence::a_reload_of_slow_starting_workers_at_most_doubles_the_longest_silence
    sigkill::killed_workers_lose_exactly_their_own_requests
    sigkill::kills_under_load_lose_no_more_than_one_request_each
    sigterm::ten_thousand_terms_at_random_phases_lose_nothing
    sigterm::terms_at_random_phases_lose_nothing_in_perl
    sigterm::an_idle_worker_exits_within_a_tenth_of_a_second
    stopped_manager::a_manager_that_was_stopped_for_ten_seconds_kills_no_worker_too_early
    garbage::random_bytes_in_a_workers_records_change_no_decision
    garbage::random_bytes_in_a_whole_region_affect_only_that_worker
    signals::signal_storms_leave_bodies_byte_exact_in_c
    signals::signal_storms_leave_bodies_byte_exact_in_perl
    manager_loop::an_idle_manager_wakes_at_most_once_per_second
    manager_loop::a_thousand_workers_reload_without_a_pause_in_the_loop
}

fn main() {
    in_turn::run(TESTS);
}

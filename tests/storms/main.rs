//! Real processes under everything at once: what the promises are worth in numbers.
//!
//! One test at a time, because several measure time; each prints what it counted. The C example is the
//! host with a single thread; Perl is the other one, and Debian's has threads.

#[path = "../peer/mod.rs"]
mod peer;

mod board;
mod bounds;
mod chance;
mod garbage;
mod host;
mod kills;
mod load;
mod reload;
mod signals;
mod silence;
mod stopped;
mod terms;

macro_rules! tests {
    ($($module:ident :: $name:ident)*) => {
        const TESTS: &[(&str, fn())] = &[$((stringify!($name), $module::$name)),*];
    };
}

tests! {
    reload::reload_storms_lose_nothing_in_c
    reload::reload_storms_lose_nothing_in_perl
    reload::reloads_that_are_asked_for_during_reloads_lose_nothing
    silence::a_reload_of_slow_starters_is_no_more_silent_than_twice_the_calm
    kills::killed_workers_lose_exactly_the_requests_they_had
    kills::kills_under_load_lose_no_more_than_one_request_each
    terms::ten_thousand_terms_at_random_phases_lose_nothing
    terms::terms_at_random_phases_lose_nothing_in_perl
    terms::an_idle_worker_is_gone_within_a_tenth_of_a_second
    stopped::a_manager_that_was_stopped_for_ten_seconds_kills_nobody_by_mistake
    garbage::random_bytes_in_a_workers_records_change_no_decision
    garbage::random_bytes_in_a_whole_region_harm_that_worker_alone
    signals::signal_storms_leave_bodies_byte_exact_in_c
    signals::signal_storms_leave_bodies_byte_exact_in_perl
    bounds::an_idle_manager_sleeps
    bounds::a_thousand_workers_reload_without_a_pause_in_the_loop
}

/// A filter is a part of a name; `--exact` and other options of the usual harness mean nothing here.
fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let filter = arguments.iter().find(|a| !a.starts_with('-'));
    if arguments.iter().any(|a| a == "--list") {
        TESTS.iter().for_each(|(name, _)| println!("{name}: test"));
        return;
    }
    let (mut passed, mut failed) = (0, 0);
    for (name, test) in TESTS {
        if filter.is_some_and(|filter| !name.contains(filter.as_str())) {
            continue;
        }
        let start = std::time::Instant::now();
        let is_ok = std::panic::catch_unwind(test).is_ok();
        let outcome = if is_ok { "ok" } else { "FAILED" };
        println!("test {name} ... {outcome} ({:.1?})", start.elapsed());
        if is_ok {
            passed += 1;
        } else {
            failed += 1;
        }
    }
    let verdict = if failed == 0 { "ok" } else { "FAILED" };
    println!("\ntest result: {verdict}. {passed} passed; {failed} failed");
    std::process::exit(i32::from(failed > 0));
}

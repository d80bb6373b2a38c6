//! Options that the new program sets apply to its pool.

use super::code::{Language, Preloaded};
use super::peer::program::Transport;

#[test]
fn the_number_of_workers_follows_the_new_program() {
    let mut preloaded = Preloaded::start(Language::C, Transport::Unix, &[]);
    preloaded.reload("three");
    // Two old ones, two new ones, and one more, which may be ready before the reload is done.
    while preloaded.pool.program.count(") ready") < 5 {
        preloaded.pool.program.line(") ready");
    }
    let set = preloaded.pool.program.count("number of workers set to 3");
    assert_eq!(set, 1, "{:#?}", preloaded.pool.program.lines());
    preloaded.assert_serves("three");
    preloaded.reload("second");
    // One that is not needed any more has to exit before the reload is done.
    let set = preloaded.pool.program.count("number of workers set to 2");
    assert_eq!(set, 1, "{:#?}", preloaded.pool.program.lines());
    preloaded.stop();
}

#[test]
fn limits_follow_the_new_program_unless_it_fails() {
    let mut preloaded = Preloaded::start(Language::C, Transport::Unix, &[]);
    preloaded.failed_reload("dying");
    preloaded.assert_serves("first");
    preloaded.reload("limited");
    assert_eq!(preloaded.ask().word, "limited");
    preloaded.pool.program.line("it has reached max_requests");
    preloaded.reload("second");
    let recycled = preloaded.pool.program.count("recycling worker");
    preloaded.assert_serves("second");
    assert_eq!(preloaded.pool.program.count("recycling worker"), recycled);
    preloaded.stop();
}

#[test]
fn an_option_of_the_managers_own_process_needs_a_restart() {
    let mut preloaded = Preloaded::start(Language::C, Transport::Unix, &[]);
    preloaded.deploy("dynamic");
    preloaded
        .pool
        .program
        .signal(nix::sys::signal::Signal::SIGUSR2);
    preloaded
        .pool
        .program
        .line("option pm: 'dynamic' needs a restart; it stays 'static'");
    preloaded.pool.program.line("reload done");
    preloaded.assert_serves("dynamic");
    preloaded.stop();
}

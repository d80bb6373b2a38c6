//! Templates and managers that end when they should not.

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::code::{Language, Preloaded, exists};
use super::peer::program::{Transport, ended_within, wait_until_asleep};
use super::peer::sleeps::assert_sleeps;
use super::peer::tracer::Tracer;

fn signal(pid: i32, signal: Signal) {
    kill(Pid::from_raw(pid), signal).unwrap();
}

#[test]
fn a_template_that_is_killed_is_started_again() {
    for language in [Language::C, Language::Perl] {
        let mut preloaded = Preloaded::start(language, Transport::Unix, &[]);
        preloaded.reload("second");
        let template = preloaded.await_templates(1)[0];
        signal(template, Signal::SIGKILL);
        preloaded.pool.program.line("no worker can be forked until");
        let again = preloaded.await_templates(1)[0];
        assert_ne!(again, template);
        preloaded.assert_serves("second");
        // It replaces a worker.
        let worker = preloaded.ask().worker;
        signal(worker, Signal::SIGKILL);
        preloaded.pool.program.line("started");
        preloaded.assert_serves("second");
        preloaded.stop();
    }
}

#[test]
fn signals_to_a_template_have_no_effect() {
    let mut preloaded = Preloaded::start(Language::Perl, Transport::Unix, &[]);
    preloaded.reload("second");
    let template = preloaded.await_templates(1)[0];
    for one in [
        Signal::SIGTERM,
        Signal::SIGHUP,
        Signal::SIGUSR1,
        Signal::SIGUSR2,
        Signal::SIGCHLD,
    ] {
        signal(template, one);
    }
    preloaded.pool.program.signal(Signal::SIGHUP);
    preloaded.pool.program.line("reload done");
    assert!(exists(template));
    preloaded.assert_serves("second");
    preloaded.stop();
}

#[test]
fn a_template_and_its_workers_end_with_a_killed_manager() {
    for language in [Language::C, Language::Perl] {
        let mut preloaded = Preloaded::start(language, Transport::Unix, &[]);
        preloaded.reload("second");
        let template = preloaded.await_templates(1)[0];
        let worker = preloaded.ask().worker;
        preloaded.pool.program.signal(Signal::SIGKILL);
        let limit = super::peer::connection::LIMIT;
        for pid in [template, worker] {
            assert!(ended_within(pid, limit), "{language:?}: {pid} remains");
        }
    }
}

#[test]
fn a_stopped_template_does_not_stop_the_manager() {
    let environment = [("FCGIPM_START_TIMEOUT", "2")];
    let mut preloaded = Preloaded::start(Language::C, Transport::Unix, &environment);
    preloaded.reload("second");
    let template = preloaded.await_templates(1)[0];
    signal(template, Signal::SIGSTOP);
    signal(preloaded.ask().worker, Signal::SIGKILL);
    preloaded
        .pool
        .program
        .line("did not fork a worker in time; no worker can be forked until");
    preloaded.pool.program.line(") ready");
    preloaded.assert_serves("second");
    preloaded.stop();
}

#[test]
fn a_killed_template_that_a_debugger_holds_does_not_occupy_the_manager() {
    let mut preloaded = Preloaded::start(Language::C, Transport::Unix, &[]);
    preloaded.reload("second");
    let template = preloaded.await_templates(1)[0];
    let tracer = Tracer::attach(template);
    signal(template, Signal::SIGKILL);
    tracer.await_end(template);
    assert_sleeps(preloaded.pool.program.pid(), 20, || ());
    drop(tracer);
    preloaded.pool.program.line("no worker can be forked until");
    preloaded.await_templates(1);
    preloaded.assert_serves("second");
    preloaded.stop();
}

/// From the first template on, the manager reaps orphans, and looks for them among its children.
#[test]
fn an_exited_child_of_the_host_does_not_occupy_the_manager() {
    let environment = [("PRELOADED_CHILD", "1")];
    let mut preloaded = Preloaded::start(Language::C, Transport::Unix, &environment);
    preloaded.reload("second");
    let manager = preloaded.pool.program.pid();
    wait_until_asleep(manager);
    let program = &mut preloaded.pool.program;
    assert_sleeps(manager, 20, || {
        program.signal(Signal::SIGUSR1);
        program.line("received SIGUSR1");
    });
    preloaded.assert_serves("second");
    preloaded.stop();
}

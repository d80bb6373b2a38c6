//! Copies of a warm worker together with other options.

use std::os::unix::fs::MetadataExt as _;

use super::code::{Language, Preloaded, address_text, command, deploy, exists};
use super::load::Load;
use super::peer::connection::LIMIT;
use super::peer::pool::{call, shell};
use super::peer::program::{Program, Transport, ended_within, folder, unused};
use super::peer::records::ID;
use super::refork::{assert_warm, pid_after, ready_template, until};

/// Starts the program with these options, and has its workers replaced by copies of a warm one while
/// clients send requests. None is lost. Returns the template.
fn reforked_under_load(
    language: Language,
    at_the_start: usize,
    options: &[(&str, &str)],
) -> (Preloaded, i32) {
    let environment = [&[("FCGIPM_REFORK_AFTER", "10")], options].concat();
    let transport = Transport::Unix;
    let mut preloaded = Preloaded::start_with(at_the_start, language, transport, &environment);
    let address = address_text(&preloaded.pool.program.address);
    if at_the_start == 0 {
        let listens = match language {
            Language::C => "managing",
            Language::Perl => "initialized",
        };
        preloaded.pool.program.line(listens);
    }
    let load = Load::start(
        &address,
        &["-c", "4", "-n", "100000000", "--expect", "worker"],
    );
    let template = ready_template(&mut preloaded);
    let line = preloaded.pool.program.line("by a copy of the template");
    let worker = pid_after(&line, "recycling worker (pid ");
    assert!(ended_within(worker, LIMIT), "worker {worker} remains");
    // The others, too.
    until(|| {
        let workers = workers(&preloaded);
        !workers.is_empty() && workers.into_iter().all(|pid| born(pid) >= born(template))
    });
    let tally = load.stop();
    assert_eq!(tally.lost(), 0, "{language:?} {options:?}: {tally:?}");
    println!(
        "measured: a refork, {language:?} {options:?}: {} requests, lost=0",
        tally.requests()
    );
    assert!(exists(template));
    (preloaded, template)
}

fn workers(preloaded: &Preloaded) -> Vec<i32> {
    let status = preloaded.pool.status();
    let workers = status["workers"].as_array().unwrap().iter();
    let pids = workers.filter_map(|worker| worker["pid"].as_i64());
    pids.map(|pid| i32::try_from(pid).unwrap()).collect()
}

/// When a process was started, in ticks of the kernel (proc(5), stat). 0: it has exited.
fn born(pid: i32) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let fields = stat.rsplit_once(") ").map_or("", |(_, fields)| fields);
    let time = fields.split_ascii_whitespace().nth(19);
    time.map_or(0, |time| time.parse().unwrap())
}

fn number(preloaded: &Preloaded, name: &str) -> u64 {
    preloaded.pool.status()[name].as_u64().unwrap()
}

fn await_workers(preloaded: &Preloaded, count: u64) {
    until(|| number(preloaded, "ready") == count && number(preloaded, "retiring") == 0);
}

fn owner(pid: i32) -> (u32, u32) {
    let process = std::fs::metadata(format!("/proc/{pid}")).unwrap();
    (process.uid(), process.gid())
}

#[test]
fn workers_of_another_user() {
    assert!(
        nix::unistd::geteuid().is_root(),
        "this test changes the user: run it as root"
    );
    let options = [("FCGIPM_USER", "nobody"), ("FCGIPM_GROUP", "nogroup")];
    for language in [Language::C, Language::Perl] {
        let (preloaded, template) = reforked_under_load(language, 2, &options);
        await_workers(&preloaded, 2);
        assert_warm(&preloaded);
        let nobody = (65_534, 65_534);
        assert_eq!(owner(template), nobody);
        assert_eq!(owner(preloaded.ask().worker), nobody);
        assert_eq!(owner(preloaded.pool.program.pid()), (0, 0));
        preloaded.stop();
    }
}

#[test]
fn one_worker() {
    for language in [Language::C, Language::Perl] {
        let options = [("FCGIPM_N_PROCESSES", "1")];
        let (preloaded, _) = reforked_under_load(language, 1, &options);
        await_workers(&preloaded, 1);
        assert_warm(&preloaded);
        preloaded.stop();
    }
}

#[test]
fn workers_by_load() {
    let many = ("FCGIPM_N_PROCESSES", "6");
    let dynamic = [
        many,
        ("FCGIPM_PM", "dynamic"),
        ("FCGIPM_MIN_SPARE", "1"),
        ("FCGIPM_MAX_SPARE", "2"),
    ];
    let ondemand = [
        many,
        ("FCGIPM_PM", "ondemand"),
        ("FCGIPM_PROCESS_IDLE_TIMEOUT", "0.5"),
    ];
    for language in [Language::C, Language::Perl] {
        let (preloaded, _) = reforked_under_load(language, 1, &dynamic);
        until(|| (1..=2).contains(&number(&preloaded, "ready")));
        assert_warm(&preloaded);
        preloaded.stop();
        let (preloaded, template) = reforked_under_load(language, 0, &ondemand);
        // Its next worker is a copy, too.
        await_workers(&preloaded, 0);
        assert!(exists(template));
        assert_warm(&preloaded);
        preloaded.stop();
    }
}

#[test]
fn a_worker_that_is_killed_for_its_request() {
    let options = [
        ("FCGIPM_REQUEST_TIMEOUT", "3"),
        ("FCGIPM_REQUEST_TIMEOUT_GRACE", "0.1"),
    ];
    for language in [Language::C, Language::Perl] {
        let (mut preloaded, template) = reforked_under_load(language, 2, &options);
        await_workers(&preloaded, 2);
        let mut stuck = preloaded.pool.program.connect();
        stuck.send(&call("/stuck").bytes());
        preloaded.pool.program.line("killing");
        let text = stuck.response_to(ID).text();
        assert!(
            text.starts_with("Status: 504 Gateway Timeout\r\n"),
            "{text}"
        );
        await_workers(&preloaded, 2);
        assert_warm(&preloaded);
        assert!(exists(template));
        preloaded.stop();
    }
}

#[test]
fn without_the_compiled_part_of_the_perl_modules() {
    let (preloaded, _) = reforked_under_load(Language::Perl, 2, &[("FCGIPM_XS", "0")]);
    await_workers(&preloaded, 2);
    assert_warm(&preloaded);
    preloaded.stop();
}

#[test]
fn a_limit_that_no_worker_outlives_is_refused() {
    for (jitter, limit) in [
        ("0", "max_requests = 10: "),
        (
            "5",
            "max_requests = 5 and max_requests_jitter = 5 together: ",
        ),
    ] {
        let folder = folder();
        let file = folder.join("word");
        deploy(&file, "first");
        let address = unused(Transport::Unix);
        let mut command = command(Language::C, &file, &address);
        let most = if jitter == "0" { "10" } else { "5" };
        command.envs([
            ("FCGIPM_REFORK_AFTER", "10"),
            ("FCGIPM_MAX_REQUESTS", most),
            ("FCGIPM_MAX_REQUESTS_JITTER", jitter),
        ]);
        let mut program = Program::start_opening(command, address);
        let line = program.line("refork_after");
        let reason = format!("option refork_after: 10 is not less than {limit}");
        assert!(line.contains(&reason), "{line}");
        assert_eq!(program.wait().code(), Some(1));
        std::fs::remove_dir_all(folder).unwrap();
    }
}

/// The manager keeps one for each worker, of the old generation as well.
#[test]
fn the_descriptors_for_orders_are_counted() {
    let [without, with] = ["0", "10"].map(|after| {
        let options = [("FCGIPM_REFORK_AFTER", after)];
        let limited = |command| shell("ulimit -n 64", &command);
        let mut preloaded = Preloaded::start_by(limited, Language::C, Transport::Unix, &options);
        let lines = preloaded.pool.program.lines().iter();
        let needed = lines.filter_map(|line| {
            let (_, rest) = line.split_once("may need ")?;
            rest.split_once(' ')?.0.parse::<usize>().ok()
        });
        let needed = needed.max().unwrap();
        preloaded.stop();
        needed
    });
    assert_eq!(with - without, 2 + 3);
}

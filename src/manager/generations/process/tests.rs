use std::process::Stdio;

use super::*;
use crate::sys::fd::packets;

const NOW: Duration = Duration::from_secs(1);

/// A warm template that has reported this, and what became of it.
#[cfg(test)]
fn reported(reports: &[Report], change: impl FnOnce(&mut TemplateProcess)) -> Vec<News> {
    let (ours, its) = packets::pair("test").unwrap();
    let mut template = TemplateProcess::new(1, None, ours, None);
    change(&mut template);
    for report in reports {
        its.send(&report.encode(), &[]).unwrap();
    }
    let mut news = template.take_news(NOW, |pid| pid == 4711);
    // Its connection is open until here.
    news.extend(template.take_news(NOW + EXIT_PATIENCE, |_| false));
    news
}

#[cfg(test)]
fn assert_ended(news: &[News], why: &str) {
    let Some(News::Ended(reason)) = news.last() else {
        panic!("{news:?}");
    };
    assert_eq!(reason, why);
}

#[cfg(test)]
fn ready(pid: i32) -> Report {
    let options = String::new();
    Report::Ready { pid, options }
}

#[test]
fn a_worker_cannot_report_another_process_as_its_template_or_its_worker() {
    let why = "has reported the pid of another process";
    assert_ended(&reported(&[ready(4711)], |_| {}), why);
    let before = |template: &mut TemplateProcess| {
        template.others = vec![1234];
        template.due = Due::Worker(3);
    };
    assert_ended(&reported(&[ready(1234)], before), why);
    for pid in [4711, 1234] {
        let news = reported(&[Report::Forked { slot: 3, pid }], before);
        assert_eq!(news.len(), 1, "{news:?}");
        assert_ended(&news, why);
    }
}

#[test]
fn a_template_that_reports_what_is_not_due_is_ended() {
    let why = "has sent what this library does not send";
    let (forked, failed) = (
        Report::Forked { slot: 3, pid: 5 },
        Report::Failed { slot: 3, errno: 11 },
    );
    let awaits = |due| move |template: &mut TemplateProcess| template.due = due;
    assert_ended(&reported(&[ready(1 << 30), ready(1 << 30)], |_| {}), why);
    for due in [Due::Ready, Due::Nothing, Due::Worker(2)] {
        for report in [&forked, &failed] {
            assert_ended(&reported(std::slice::from_ref(report), awaits(due)), why);
        }
    }
    let news = reported(&[forked.clone(), forked], awaits(Due::Worker(3)));
    assert!(
        matches!(news[..], [News::Forked { slot: 3, pid: 5 }, _]),
        "{news:?}"
    );
    assert_ended(&news, why);
}

#[test]
fn how_a_template_has_exited_is_reported_although_it_exits_late() {
    let late = |exit: &dyn Fn(&mut std::process::Child)| {
        let mut command = std::process::Command::new("cat");
        let mut cat = command.stdin(Stdio::piped()).spawn().unwrap();
        let pid = i32::try_from(cat.id()).unwrap();
        let (ours, its) = packets::pair("test").unwrap();
        let child = Child::of_this_process(pid);
        let mut template = TemplateProcess::new(1, child, ours, None);
        drop(its);
        assert!(template.take_news(NOW, |_| false).is_empty());
        exit(&mut cat);
        loop {
            if let [News::Ended(reason)] = &template.take_news(NOW + EXIT_PATIENCE, |_| false)[..] {
                return reason.clone();
            }
        }
    };
    let exiting = |cat: &mut std::process::Child| {
        let pid = i32::try_from(cat.id()).unwrap();
        while !inspect::is_exiting(pid) {
            std::thread::yield_now();
        }
    };
    let killed = late(&|cat| {
        nix::sys::signal::kill(
            nix::unistd::Pid::from_raw(i32::try_from(cat.id()).unwrap()),
            nix::sys::signal::Signal::SIGKILL,
        )
        .unwrap();
        exiting(cat);
    });
    assert_eq!(killed, "killed by SIGKILL");
    let exited = late(&|cat| {
        drop(cat.stdin.take());
        exiting(cat);
    });
    assert_eq!(exited, "exited with status 0");
    let not = "has closed its connection to the manager, and did not exit";
    assert_eq!(late(&|_| ()), not);
}

#[test]
fn a_warm_template_that_cannot_fork_is_abandoned() {
    let failed = Report::Failed { slot: 3, errno: 11 };
    let news = reported(&[failed], |template| template.due = Due::Worker(3));
    assert!(
        matches!(news[..], [News::Failed { slot: 3, errno: 11 }, _]),
        "{news:?}"
    );
    let why = "could not fork a worker: Resource temporarily unavailable";
    assert_ended(
        &news,
        &why.replace("Resource temporarily unavailable", Errno::EAGAIN.desc()),
    );
}

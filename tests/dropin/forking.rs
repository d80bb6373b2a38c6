//! Programs that fork in a request, and what their children can do with it.

use crate::peer::records::{Request, request};
use crate::side_by_side::{Peer, Run, SIDES, Side, command, same, serve_all, serve_peers};

fn run(requests: Vec<Request>) -> Run {
    let run = same(|side| {
        let mut command = command("forking.c", side);
        command.arg(requests.len().to_string());
        let peers: Vec<_> = requests.iter().map(|r| Peer::Waits(r.bytes())).collect();
        serve_peers(command, &peers)
    });
    assert_eq!(run.ended, "code Some(0), signal None");
    run
}

#[test]
fn a_child_responds_to_a_request_that_its_parent_detached() {
    for (length, keep) in [(10, false), (10, true), (300_000, false), (300_000, true)] {
        let body: String = ('a'..='z').cycle().take(length).collect();
        let run = run(vec![request("/answer").body(&body).keep(keep)]);
        let response = &run.responses[0];
        assert_eq!(response.stdout, format!("begun {body}").as_bytes());
        assert_eq!(response.stderr, b"a message");
    }
}

#[test]
fn a_finished_request_ends_for_the_client_while_a_child_holds_its_connection() {
    let run = run(vec![request("/hold"), request("/add")]);
    assert_eq!(run.responses[0].stdout, b"held");
}

#[test]
fn a_child_can_add_to_the_response_before_it_ends() {
    let run = run(vec![request("/add")]);
    assert_eq!(run.responses[0].stdout, b"one two three");
}

#[test]
fn output_of_a_child_after_its_request_does_not_reach_the_next_request() {
    for side in SIDES {
        let mut command = command("forking.c", side);
        command.arg("2");
        let run = serve_all(command, |address| {
            let mut connection = address.connect();
            let mut call = |path| connection.call(&request(path).keep(true)).into();
            vec![call("/late"), call("/second")]
        });
        assert_eq!(run.responses[0].stdout, b"first");
        let [stdout, stderr] = if side == Side::Stock {
            ["latesecond", "late"]
        } else {
            ["second", ""]
        };
        assert_eq!(run.responses[1].stdout, stdout.as_bytes(), "{side:?}");
        assert_eq!(run.responses[1].stderr, stderr.as_bytes(), "{side:?}");
    }
}

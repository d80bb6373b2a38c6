//! The functions of fcgi_stdio.h, in a FastCGI program and in a CGI program.

use crate::peer::records::{DATA, FILTER, Request, STDIN, request, stream};
use crate::side_by_side::{Run, Side, asking, command, run, same, serve};

const BODY: &[u8] = b"line one\nline two\n\nfourth line\nthe last one has no end";

pub(crate) const GROUPS: [&str; 7] = [
    "/input",
    "/output",
    "/positions",
    "/files",
    "/parameters",
    "/silence",
    // Last, because with stock the next request has the same status.
    "/status",
];

fn served(requests: &[Request], before: bool) -> Run {
    let bytes: Vec<_> = requests.iter().map(Request::bytes).collect();
    served_bytes(&bytes, before)
}

fn served_bytes(bytes: &[Vec<u8>], before: bool) -> Run {
    same(|side| {
        let mut command = command("stdio.c", side);
        command.arg(bytes.len().to_string());
        if before {
            command.env("BEFORE", "1");
        }
        serve(command, bytes)
    })
}

#[test]
fn every_function_behaves_for_a_request_as_in_libfcgi() {
    let requests = GROUPS.map(|group| asking(group, BODY));
    let run = served(&requests, true);
    for group in GROUPS {
        assert!(
            run.report.contains(&format!("-- {group}\n")),
            "{}",
            run.report
        );
    }
    assert_eq!(run.responses[6].app_status, -7_i32 as u32);
}

#[test]
fn large_bodies_are_copied_completely() {
    let body: Vec<u8> = (0..250_000_u32).map(|n| (n * 7 % 251) as u8).collect();
    let run = served(&[asking("/large", &body)], false);
    assert_eq!(run.responses[0].stdout.len(), 257_000);
}

#[test]
fn a_closed_file_stays_closed_until_the_next_request() {
    served(
        &["/closing", "/input", "/closing"].map(|group| asking(group, BODY)),
        false,
    );
}

#[test]
fn a_response_can_be_redirected_to_a_file_until_the_next_request() {
    let run = served(
        &["/reopening", "/output"].map(|group| asking(group, BODY)),
        false,
    );
    assert!(
        run.files
            .iter()
            .any(|(name, bytes)| name == "reopened" && !bytes.is_empty())
    );
}

#[test]
fn a_request_can_be_finished_before_the_next_accept() {
    let requests = ["/parameters", "/finishing"].map(|group| asking(group, b""));
    let run = served(&requests, false);
    assert_eq!(run.responses[1].app_status, 5);
}

#[test]
fn exit_in_the_middle_of_a_request_finishes_it() {
    let run = served(&[asking("/exit", b"unread")], false);
    assert_eq!(run.responses[0].stdout, b"in the middle");
    assert_eq!(run.responses[0].app_status, 9);
}

#[test]
fn a_filter_reads_its_data_after_its_input() {
    let filter = |group: &str| {
        let request = request(group).role(FILTER).param("FCGI_DATA_LENGTH", "9");
        [
            request.head(),
            stream(STDIN, request.id, b"input|"),
            stream(DATA, request.id, b"the file\n"),
        ]
        .concat()
    };
    let run = served_bytes(&[filter("/filter"), filter("/filter-early")], false);
    assert_eq!(run.responses[0].stdout, b"input|the file\n");
}

#[test]
fn a_cgi_program_has_one_request_on_the_files_of_the_process() {
    for group in [
        "/input",
        "/output",
        "/positions",
        "/files",
        "/closing",
        "/reopening",
        "/status",
        "/exit",
        "/finishing",
        "/large",
    ] {
        let run = same(|side| {
            let mut command = command("stdio.c", side);
            command.arg("5").env("PATH_INFO", group);
            run(command, BODY)
        });
        assert!(
            run.report.contains(&format!("-- {group}\n")),
            "{}",
            run.report
        );
    }
}

/// Stock's own printf has fewer formats, and its functions do not check for NULL.
#[test]
fn every_format_of_printf_is_written_and_null_is_an_error() {
    for side in [Side::Moved, Side::DropIn] {
        let mut command = command("stdio.c", side);
        command.arg("1");
        let run = serve(command, &[asking("/formats", b"").bytes()]);
        let expected = format!("{:1500}|\n1 2 3|\ntwo one|\n", 7);
        assert_eq!(String::from_utf8_lossy(&run.responses[0].stdout), expected);
        assert_eq!(run.report.matches(" = -1,").count(), 5, "{}", run.report);
        assert!(
            run.report.contains("fopen(NULL, \"r\") is NULL"),
            "{}",
            run.report
        );
    }
}

/// Stock frees these strings.
#[test]
fn strings_returned_by_getenv_stay_readable() {
    for side in [Side::Moved, Side::DropIn] {
        let requests: Vec<_> = (0..40_usize)
            .map(|n| {
                let mut request = request("/").param("SAVED", format!("value {n}"));
                for name in 0..n * 13 % 200 {
                    request = request.param(format!("NAME_{name}"), "v".repeat(n * 31 % 900));
                }
                request.bytes()
            })
            .collect();
        let mut command = command("saved.c", side);
        command.arg(requests.len().to_string());
        let run = serve(command, &requests);
        assert_eq!(run.report, "40 requests\n", "{side:?}");
        assert_eq!(run.responses[39].stdout, b"value 39");
    }
}

//! The C++ streams of fcgio.h.

use crate::peer::records::Request;
use crate::side_by_side::{asking, command, same, serve};

const BODY: &[u8] =
    b"words in a line\nanother line, which is longer than a buffer of sixteen\nthe end";

#[test]
fn cpp_streams_behave_as_in_libfcgi() {
    let groups = [
        "/unbuffered",
        "/buffered",
        "/own",
        "/deprecated",
        "/exchanged",
    ];
    let requests: Vec<_> = groups.iter().map(|group| asking(group, BODY)).collect();
    let bytes: Vec<_> = requests.iter().map(Request::bytes).collect();
    let run = same(|side| {
        let mut command = command("streams.cpp", side);
        command.arg(bytes.len().to_string());
        serve(command, &bytes)
    });
    for group in groups {
        assert!(
            run.report.contains(&format!("-- {group}\n")),
            "{}",
            run.report
        );
    }
    assert_eq!(run.stdout, b"the process's own\n");
}

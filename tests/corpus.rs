//! Replays the corpus of the fuzzers with a stable compiler.
//!
//! `FCGIPM_WRITE=1 cargo test --test corpus` writes the seeds, whose names begin with `seed-`. The
//! fuzzers found the others, minimised with `-set_cover_merge=1`.

#[path = "../fuzz/src/lib.rs"]
#[allow(dead_code, missing_docs, unreachable_pub)]
mod checks;

use std::fs;
use std::path::{Path, PathBuf};

use checks::records::{self, put, put_begin, put_pair};

fn replay(target: &str, check: fn(&[u8])) {
    let mut files = 0;
    let mut bytes = 0;
    for entry in fs::read_dir(folder(target)).unwrap() {
        let path = entry.unwrap().path();
        let data = fs::read(&path).unwrap();
        files += 1;
        bytes += data.len();
        let outcome = std::panic::catch_unwind(|| check(&data));
        assert!(outcome.is_ok(), "{} fails its check", path.display());
    }
    assert!(files >= 10, "only {files} files in the corpus of {target}");
    assert!(files < 200, "{files} files: merge them, see above");
    assert!(bytes < 1 << 19, "{bytes} bytes: merge them, see above");
}

fn folder(target: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("fuzz/corpus")
        .join(target)
}

#[test]
fn the_corpus_of_wire_passes() {
    replay("wire", checks::wire::check);
}

#[test]
fn the_corpus_of_conn_passes() {
    replay("conn", checks::conn::check);
}

#[test]
fn the_seeds_are_up_to_date() {
    for (target, seeds) in [("wire", wire_seeds()), ("conn", conn_seeds())] {
        for (name, data) in seeds {
            let path = folder(target).join(format!("seed-{name}"));
            if std::env::var_os("FCGIPM_WRITE").is_some() {
                fs::write(&path, &data).unwrap();
            }
            let found = fs::read(&path).unwrap_or_default();
            assert!(
                found == data,
                "{} is out of date, see above",
                path.display()
            );
        }
    }
}

type Seeds = Vec<(&'static str, Vec<u8>)>;

fn wire_seeds() -> Seeds {
    let pairs = |pairs: &[(&[u8], &[u8])]| {
        // The first bytes select the pieces and the limits, here the widest ones.
        let mut bytes = vec![15, 19, 23, 7];
        for (name, value) in pairs {
            put_pair(&mut bytes, name, value);
        }
        bytes
    };
    let mut overlong = vec![15, 19, 23, 7];
    overlong.extend([0x80, 0, 0, 1, 0x80, 0, 0, 2]);
    overlong.extend(b"AbbHTTP");
    vec![
        ("one-pair", pairs(&[(b"NAME", b"value")])),
        ("empty", pairs(&[(b"", b""), (b"", b"v"), (b"N", b"")])),
        (
            "long-value",
            pairs(&[(b"N", &[b'v'; 128]), (b"M", &[b'w'; 127])]),
        ),
        ("long-name", pairs(&[(&[b'N'; 300], &[b'v'; 300])])),
        ("long-form-of-short-lengths", overlong),
        (
            "two-gigabytes",
            vec![
                15, 19, 23, 7, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1,
            ],
        ),
        ("over-count", [vec![0, 19, 23, 7], vec![0; 40]].concat()),
        (
            "over-total",
            [
                vec![15, 5, 5, 7],
                pairs(&[(&b"ABCDEFGH"[..], &b"IJKLMNOP"[..]); 4]),
            ]
            .concat(),
        ),
        (
            "header",
            vec![0, 0, 0, 0, 1, 6, 0xff, 0xff, 0xff, 0xff, 7, 0],
        ),
        (
            "cgi",
            pairs(&[
                (b"GATEWAY_INTERFACE", b"CGI/1.1"),
                (b"REQUEST_METHOD", b"POST"),
                (b"CONTENT_LENGTH", b"12"),
                (b"QUERY_STRING", b""),
                (b"HTTP_PROXY", b"http://evil/"),
                (b"A=B", b"x"),
                (b"N", b"a\0b"),
            ]),
        ),
    ]
}

fn conn_seeds() -> Seeds {
    // The first bytes of a session: how the application behaves, and its limits.
    const PLAIN: [u8; 5] = [0, 255, 255, 19, 3];
    const LINGERS: [u8; 5] = [1, 255, 255, 19, 3];
    const PARKS: [u8; 5] = [2, 255, 255, 19, 3];
    const READS_NOTHING: [u8; 5] = [2, 0, 255, 19, 3];
    const READS_LITTLE: [u8; 5] = [0, 2, 255, 19, 3];
    const NARROW: [u8; 5] = [0, 255, 1, 4, 3];
    let session = |behaviour: [u8; 5], write: &dyn Fn(&mut Vec<u8>)| {
        let mut bytes = behaviour.to_vec();
        write(&mut bytes);
        bytes
    };
    let params = |out: &mut Vec<u8>, id: u16| {
        let mut pairs = Vec::new();
        put_pair(&mut pairs, b"REQUEST_METHOD", b"POST");
        put_pair(&mut pairs, b"HTTP_PROXY", b"x");
        put_pair(&mut pairs, b"QUERY_STRING", &[b'q'; 130]);
        let (first, second) = pairs.split_at(21);
        put(out, records::PARAMS, id, first, 3);
        put(out, records::PARAMS, id, second, 0);
        put(out, records::PARAMS, id, &[], 0);
    };
    let request = |out: &mut Vec<u8>, id: u16, role: u16, keep: bool| {
        put_begin(out, id, role, keep, 0);
        params(out, id);
        if role != 2 {
            put(out, records::STDIN, id, b"standard input", 2);
            put(out, records::STDIN, id, &[], 8);
        }
        if role == 3 {
            put(out, records::DATA, id, b"data", 4);
            put(out, records::DATA, id, &[], 0);
        }
    };
    let management = |out: &mut Vec<u8>| {
        let mut asked = Vec::new();
        for name in [
            "FCGI_MAX_CONNS",
            "FCGI_MPXS_CONNS",
            "NONE",
            "FCGI_MAX_REQS",
            "FCGI_MAX_REQS",
        ] {
            put_pair(&mut asked, name.as_bytes(), b"");
        }
        put(out, records::GET_VALUES, 0, &asked, 5);
        put(out, records::GET_VALUES, 0, &[], 0);
        put(out, 77, 0, b"what", 4);
        put(out, records::STDIN, 0, b"none of yours", 0);
    };
    let two_of = |role: u16| {
        move |out: &mut Vec<u8>| {
            request(out, 1, role, true);
            request(out, 2, role, false);
        }
    };
    vec![
        ("responder", session(PLAIN, &two_of(1))),
        ("authorizer", session(PLAIN, &two_of(2))),
        ("filter", session(PARKS, &two_of(3))),
        ("unknown-role", session(PARKS, &two_of(9))),
        ("pipelined-while-lingering", session(LINGERS, &two_of(1))),
        ("reads-nothing", session(READS_NOTHING, &two_of(1))),
        ("reads-little", session(READS_LITTLE, &two_of(3))),
        ("over-a-limit", session(NARROW, &two_of(1))),
        (
            "management-everywhere",
            session(PARKS, &|out| {
                management(out);
                put_begin(out, 1, 1, true, 9);
                management(out);
                params(out, 1);
                management(out);
                put(out, records::STDIN, 1, b"body", 255);
                management(out);
                put(out, records::STDIN, 1, &[], 0);
                management(out);
            }),
        ),
        (
            "second-begin",
            session(LINGERS, &|out| {
                put_begin(out, 1, 1, true, 0);
                put_begin(out, 2, 1, true, 0);
                params(out, 1);
                put_begin(out, 3, 9, true, 0);
                put_begin(out, 1, 1, true, 0);
                put(out, records::STDIN, 1, b"body", 0);
                put(out, records::STDIN, 2, b"other", 0);
                put(out, records::STDIN, 1, &[], 0);
                put_begin(out, 2, 1, true, 0);
                params(out, 2);
            }),
        ),
        (
            "abort-early",
            session(PLAIN, &|out| {
                put_begin(out, 1, 1, true, 0);
                put(out, records::ABORT, 2, &[], 0);
                put(out, records::ABORT, 1, &[], 0);
                request(out, 1, 1, true);
            }),
        ),
        (
            "abort-late",
            session(LINGERS, &|out| {
                put_begin(out, 1, 1, true, 0);
                params(out, 1);
                put(out, records::STDIN, 1, b"bo", 0);
                put(out, records::ABORT, 1, &[], 0);
                request(out, 1, 1, true);
                put(out, records::ABORT, 1, &[], 0);
            }),
        ),
        (
            "unknown-types",
            session(PLAIN, &|out| {
                put_begin(out, 1, 1, true, 0);
                put(out, 99, 1, b"payload", 1);
                params(out, 1);
                put(out, 99, 1, b"payload", 1);
                put(out, records::STDOUT, 1, b"payload", 1);
                put(out, records::STDIN, 1, &[], 0);
            }),
        ),
        (
            "truncated-pair",
            session(PLAIN, &|out| {
                put_begin(out, 1, 1, true, 0);
                put(out, records::PARAMS, 1, &[5, 5, b'A'], 0);
                put(out, records::PARAMS, 1, &[], 0);
            }),
        ),
        (
            "two-gigabytes",
            session(PLAIN, &|out| {
                put_begin(out, 1, 1, true, 0);
                put(out, records::PARAMS, 1, &[0xff; 8], 0);
            }),
        ),
        (
            "out-of-order",
            session(PLAIN, &|out| {
                put_begin(out, 1, 1, true, 0);
                put(out, records::STDIN, 1, b"early", 0);
            }),
        ),
        (
            "version",
            session(PLAIN, &|out| out.extend([2, 1, 0, 1, 0, 8, 0, 0])),
        ),
        (
            "begin-length",
            session(PLAIN, &|out| put(out, records::BEGIN, 1, &[0; 9], 0)),
        ),
        // From here on, the output of an application.
        (
            "response-small",
            vec![0x80, 0, 0, 0, 0, 0, 0, 100, 8, 0, 20, 0, 0, 7, 5, 0, 3],
        ),
        (
            "response-large",
            vec![
                0x80, 0, 0, 0, 0, 2, 0xff, 0xff, 14, 0xff, 0xff, 2, 0xff, 0xf8, 0, 0, 1,
            ],
        ),
        (
            "response-full-buffer",
            vec![
                0x80, 0, 0, 0, 0, 0, 0x7f, 0xf0, 12, 0x80, 1, 0, 0x7f, 0xff, 5, 0, 0,
            ],
        ),
        (
            "response-answers",
            vec![
                0x80, 0, 0, 0, 0, 0, 0, 5, 3, 0, 8, 0, 0, 5, 3, 1, 3, 4, 0, 0, 5, 0, 9, 3, 0, 8,
            ],
        ),
    ]
}

//! Parameters: their limits, the environment, and separation of requests.

use super::application::{APIS, Api, Application};
use super::peer::program::Transport;
use super::peer::records::*;
use super::{assert_refused, echo, every_way};

// FCGX returns the well-formed parameters for each of the three, since its `envp` has only those.
const ENVIRONMENT: &str = "/params?0";
const WELL_FORMED: &str = "/params?1";
const ALL: &str = "/params?2";

/// The lengths of a pair, without the bytes.
fn claimed_lengths(name: u32, value: u32) -> Vec<u8> {
    [
        (name | 1 << 31).to_be_bytes(),
        (value | 1 << 31).to_be_bytes(),
    ]
    .concat()
}

#[test]
fn claimed_lengths_that_overflow_are_refused_without_an_allocation() {
    for api in APIS {
        let mut program = Application::start(api, Transport::Unix, &[]);
        // The first request allocates what every request needs.
        program.served();
        let before = program.memory();
        for (name, value) in [
            (0x7fff_ffff, 0x7fff_ffff),
            (1, 0x7fff_ffff),
            (0x7fff_ffff, 1),
            (600_000, 600_000),
        ] {
            let bytes = [
                begin(ID, RESPONDER, false),
                record(PARAMS, ID, &claimed_lengths(name, value)),
            ]
            .concat();
            assert_refused(&program, &bytes);
            let size = u64::from(name) + u64::from(value);
            program.line(&format!(
                "a parameter of {size} bytes, over max_param_size = 1048576"
            ));
        }
        // Within the limit, but only claimed.
        let open = [
            begin(ID, RESPONDER, false),
            record(PARAMS, ID, &claimed_lengths(4, 1_048_000)),
        ]
        .concat();
        let mut waiting: Vec<_> = Vec::new();
        for _ in 0..3 {
            let mut connection = program.connect();
            connection.send(&open);
            connection.end();
            waiting.push(connection);
        }
        waiting
            .iter_mut()
            .for_each(|connection| connection.assert_closed());
        let grown = program.memory().saturating_sub(before);
        assert!(grown < 512, "{grown} KiB more than before");
    }
}

#[test]
fn requests_over_a_limit_are_refused_and_logged() {
    for api in APIS {
        let limits = [
            ("FCGIPM_MAX_PARAMS", "20"),
            ("FCGIPM_MAX_PARAM_SIZE", "100"),
            ("FCGIPM_MAX_PARAMS_SIZE", "1k"),
        ];
        let mut program = Application::start(api, Transport::Tcp, &limits);
        let numbered = |count: usize, size: usize| {
            let start = request(ALL);
            (0..count).fold(start, |request, i| {
                request.param(format!("N{i:03}"), vec![b'x'; size])
            })
        };
        // With PATH_INFO and QUERY_STRING these are 20.
        let at_the_limit = program.call(&numbered(18, 1)).params().len();
        assert_eq!(at_the_limit, 20 + 1, "all of them, and FCGI_ROLE");
        assert_refused(&program, &numbered(19, 1).bytes());
        program.line("more than max_params = 20 parameters");

        assert_eq!(
            program.call(&numbered(1, 96)).param("N000"),
            Some(vec![b'x'; 96])
        );
        assert_refused(&program, &numbered(1, 97).bytes());
        program.line("a parameter of 101 bytes, over max_param_size = 100");

        assert_eq!(
            program.call(&numbered(10, 90)).param("N009"),
            Some(vec![b'x'; 90])
        );
        assert_refused(&program, &numbered(12, 90).bytes());
        program.line("parameters over max_params_size = 1024 bytes");
        assert_eq!(program.call(&echo(b"x")).protocol_status, REQUEST_COMPLETE);
    }
}

#[test]
fn three_hundred_and_ten_thousand_parameters_arrive_and_a_million_do_not() {
    for api in APIS {
        let mut program = Application::start(api, Transport::Unix, &[]);
        for count in [300, 10_000] {
            let full = (0..count).fold(request(ALL), |r, i| {
                r.param(format!("NAME_{i}"), format!("value {i}"))
            });
            let params = program.call(&full).params();
            assert_eq!(params.len(), count + 3);
            let last = (
                format!("NAME_{}", count - 1).into_bytes(),
                format!("value {}", count - 1).into_bytes(),
            );
            assert!(params.contains(&last));
        }
        let many = (0..20_000).fold(request(ALL), |r, i| r.param(format!("{i}"), ""));
        assert_refused(&program, &many.bytes());
        program.line("more than max_params = 20000 parameters");
        // Empty parameters, of two bytes each.
        let flood = [
            begin(ID, RESPONDER, false),
            stream(PARAMS, ID, &vec![0; 2 << 20]),
        ]
        .concat();
        assert_refused(&program, &flood);
        program.line("more than max_params = 20000 parameters");
    }
}

/// `app.c` gets the array twice, and its answer differs if the array has moved.
#[test]
fn the_array_of_parameters_does_not_move_during_a_request() {
    let program = Application::start(Api::Native, Transport::Unix, &[]);
    for count in [10, 1_200, 1_500, 2_000, 3_000, 10, 9_000, 1_500, 10] {
        let full = (0..count).fold(request(ENVIRONMENT), |r, i| {
            r.param(format!("NAME_{i}"), "value")
                .param(format!("A=_{i}"), "")
        });
        assert_eq!(program.call(&full).params().len(), count + 3);
    }
}

#[test]
fn parameters_that_would_corrupt_an_environment_are_not_in_it() {
    every_way(|program, piece| {
        let bad: [(&[u8], &[u8]); 6] = [
            (b"NUL\0NAME", b"1"),
            (b"NUL_VALUE", b"a\0b"),
            (b"WITH=SIGN", b"2"),
            (b"=", b"3"),
            (b"", b"4"),
            (b"\0", b""),
        ];
        for scope in [ENVIRONMENT, WELL_FORMED] {
            let mixed = bad
                .iter()
                .fold(request(scope), |r, (n, v)| r.param(n, v))
                .param("GOOD", "yes");
            let params = super::exchange(program, &mixed.bytes(), piece).params();
            assert!(params.iter().all(|(n, v)| !n.is_empty()
                && !n.contains(&b'=')
                && !n.contains(&0)
                && !v.contains(&0)));
            assert_eq!(
                params.len(),
                4,
                "PATH_INFO, QUERY_STRING, GOOD and FCGI_ROLE: {params:?}"
            );
        }
        let mixed = bad.iter().fold(request(ALL), |r, (n, v)| r.param(n, v));
        let params = super::exchange(program, &mixed.bytes(), piece).params();
        if program.api == Api::Fcgx {
            assert_eq!(params.len(), 3, "FCGX has no malformed ones: {params:?}");
            return;
        }
        for (name, value) in bad {
            assert!(
                params.contains(&(name.to_vec(), value.to_vec())),
                "{name:?} is not in the scope ALL"
            );
        }
    });
}

#[test]
fn http_proxy_is_a_parameter_but_not_in_the_environment() {
    every_way(|program, piece| {
        let with = |scope| {
            request(scope)
                .param("HTTP_PROXY", "http://evil:1")
                .param("HTTP_PROXYX", "fine")
        };
        let environment = super::exchange(program, &with(ENVIRONMENT).bytes(), piece);
        // FCGX does not set the environment of the process. fcgi_stdio does, which tests/dropin
        // tests.
        if program.api == Api::Native {
            assert_eq!(environment.param("HTTP_PROXY"), None);
        }
        assert_eq!(environment.param("HTTP_PROXYX"), Some(b"fine".to_vec()));
        for scope in [WELL_FORMED, ALL] {
            let response = super::exchange(program, &with(scope).bytes(), piece);
            assert_eq!(
                response.param("HTTP_PROXY"),
                Some(b"http://evil:1".to_vec())
            );
        }
    });
}

#[test]
fn the_role_is_added() {
    every_way(|program, piece| {
        for (role, name) in [
            (RESPONDER, "RESPONDER"),
            (AUTHORIZER, "AUTHORIZER"),
            (FILTER, "FILTER"),
        ] {
            let bytes = [
                request(ENVIRONMENT).role(role).bytes(),
                stream(DATA, ID, b""),
            ]
            .concat();
            let response = super::exchange(program, &bytes, piece);
            assert_eq!(response.param("FCGI_ROLE"), Some(name.into()));
        }
    });
}

#[test]
fn a_request_has_nothing_of_the_previous_one() {
    every_way(|program, _| {
        let mut connection = program.connect();
        let first = request(ALL)
            .param("SECRET", "s")
            .param("HTTP_PROXY", "p")
            .param("A=B", "m")
            .keep(true);
        let named = match program.api {
            Api::Native => 6,
            // FCGX has no name with a '='.
            Api::Fcgx => 5,
        };
        assert_eq!(connection.call(&first).params().len(), named);
        let second = connection.call(&request(ALL).keep(true)).params();
        let names: Vec<_> = second
            .iter()
            .map(|(name, _)| String::from_utf8_lossy(name))
            .collect();
        // In FCGX the role comes first, as in libfcgi.
        let expected = match program.api {
            Api::Native => ["PATH_INFO", "QUERY_STRING", "FCGI_ROLE"],
            Api::Fcgx => ["FCGI_ROLE", "PATH_INFO", "QUERY_STRING"],
        };
        assert_eq!(names, expected);
        // The exit status and the unread body are not kept either.
        assert_eq!(
            connection
                .call(&request("/status?7").body("unread").keep(true))
                .app_status,
            7
        );
        let third = connection.call(&echo(b"").keep(true));
        assert_eq!(
            (third.app_status, third.text().as_str()),
            (0, "|ok ok ok end=1")
        );
        assert_eq!(connection.call(&request("/mixed").keep(true)).stderr, b"b");
        assert!(connection.call(&request(ALL)).stderr.is_empty());
    });
}

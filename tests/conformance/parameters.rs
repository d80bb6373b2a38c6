//! Parameters: limits, what may become an environment, and nothing of the request before.

use super::application::{APIS, Api, Application};
use super::peer::program::Transport;
use super::peer::records::*;
use super::{echo, every_way, refused};

// With FCGX all three are its `envp`, which is what it has for asking: everything that is well-formed.
const ENVIRONMENT: &str = "/params?0";
const WELL_FORMED: &str = "/params?1";
const ALL: &str = "/params?2";

/// A pair whose lengths are claims: `name` and `value` bytes are said to follow.
fn claim(name: u32, value: u32) -> Vec<u8> {
    [
        (name | 1 << 31).to_be_bytes(),
        (value | 1 << 31).to_be_bytes(),
    ]
    .concat()
}

#[test]
fn lengths_that_overflow_when_summed_run_nothing_and_cost_no_memory() {
    for api in APIS {
        let mut program = Application::start(api, Transport::Unix, &[]);
        // With its first request it comes to have what it needs for any.
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
                record(PARAMS, ID, &claim(name, value)),
            ]
            .concat();
            refused(&program, &bytes);
            let size = u64::from(name) + u64::from(value);
            program.line(&format!(
                "a parameter of {size} bytes, over max_param_size = 1048576"
            ));
        }
        // Within the limit, but only claimed.
        let open = [
            begin(ID, RESPONDER, false),
            record(PARAMS, ID, &claim(4, 1_048_000)),
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
fn over_each_limit_there_is_a_log_line_and_nothing_runs() {
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
        // With PATH_INFO and QUERY_STRING.
        let at_the_limit = program.call(&numbered(18, 1)).params().len();
        assert_eq!(at_the_limit, 20 + 1, "all of them and FCGI_ROLE");
        refused(&program, &numbered(19, 1).bytes());
        program.line("more than max_params = 20 parameters");

        assert_eq!(
            program.call(&numbered(1, 96)).param("N000"),
            Some(vec![b'x'; 96])
        );
        refused(&program, &numbered(1, 97).bytes());
        program.line("a parameter of 101 bytes, over max_param_size = 100");

        assert_eq!(
            program.call(&numbered(10, 90)).param("N009"),
            Some(vec![b'x'; 90])
        );
        refused(&program, &numbered(12, 90).bytes());
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
        refused(&program, &many.bytes());
        program.line("more than max_params = 20000 parameters");
        // Many empty ones, a cheap flood: two bytes each.
        let flood = [
            begin(ID, RESPONDER, false),
            stream(PARAMS, ID, &vec![0; 2 << 20]),
        ]
        .concat();
        refused(&program, &flood);
        program.line("more than max_params = 20000 parameters");
    }
}

/// `app.c` asks for the list of them twice, and says so where it has moved meanwhile.
#[test]
fn parameters_given_to_a_host_stay_in_place_whatever_earlier_requests_had() {
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
fn what_would_corrupt_an_environment_never_reaches_it() {
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
            assert_eq!(params.len(), 3, "nobody can ask for all: {params:?}");
            return;
        }
        for (name, value) in bad {
            assert!(
                params.contains(&(name.to_vec(), value.to_vec())),
                "{name:?} is there for who asks for all"
            );
        }
    });
}

#[test]
fn http_proxy_is_readable_and_not_exported() {
    every_way(|program, piece| {
        let with = |scope| {
            request(scope)
                .param("HTTP_PROXY", "http://evil:1")
                .param("HTTP_PROXYX", "fine")
        };
        let environment = super::exchange(program, &with(ENVIRONMENT).bytes(), piece);
        // No process environment is made by FCGX: fcgi_stdio makes one, which is tested beside stock.
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
fn nothing_of_one_request_shows_in_the_next() {
    every_way(|program, _| {
        let mut connection = program.connect();
        let first = request(ALL)
            .param("SECRET", "s")
            .param("HTTP_PROXY", "p")
            .param("A=B", "m")
            .keep(true);
        let named = match program.api {
            Api::Native => 6,
            // A=B is not a name there.
            Api::Fcgx => 5,
        };
        assert_eq!(connection.call(&first).params().len(), named);
        let second = connection.call(&request(ALL).keep(true)).params();
        let names: Vec<_> = second
            .iter()
            .map(|(name, _)| String::from_utf8_lossy(name))
            .collect();
        // As with libfcgi, the role comes first there.
        let expected = match program.api {
            Api::Native => ["PATH_INFO", "QUERY_STRING", "FCGI_ROLE"],
            Api::Fcgx => ["FCGI_ROLE", "PATH_INFO", "QUERY_STRING"],
        };
        assert_eq!(names, expected);
        // The exit status, and what was not read of a body.
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

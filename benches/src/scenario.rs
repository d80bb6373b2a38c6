//! The requests: scenarios with one case, or with several along an axis.

use crate::peer::Peer;

/// A case to measure, for several peers.
#[derive(Clone, Debug)]
pub(crate) struct Case {
    pub(crate) scenario: &'static str,
    /// Within its scenario. Empty for the only case.
    pub(crate) name: String,
    /// Its position on the axis of the scenario.
    pub(crate) x: f64,
    pub(crate) uri: String,
    pub(crate) parameters: u32,
    pub(crate) body: Body,
    pub(crate) keep: bool,
    pub(crate) clients: u32,
    pub(crate) workers: usize,
    /// A correct response contains this text.
    pub(crate) expected: String,
    pub(crate) floor: Canned,
    pub(crate) peers: Vec<Peer>,
    /// The number of requests for counts of system calls and instructions, if they are counted.
    pub(crate) counted: Option<u32>,
    /// Whether the server is reloaded meanwhile, with parameters in two segments.
    pub(crate) reload: bool,
}

/// The body of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Body {
    None,
    Bytes(u64),
    /// 64 KiB in lines of 26 bytes
    Lines,
}

/// The answer of the floor.
#[derive(Clone, Debug, Default)]
pub(crate) struct Canned {
    pub(crate) text: String,
    pub(crate) filler: u64,
}

/// The parameters that a request with few parameters leaves out.
pub(crate) const DISPENSABLE: [&str; 6] = [
    "REQUEST_SCHEME",
    "SERVER_SOFTWARE",
    "REMOTE_PORT",
    "SERVER_ADDR",
    "SERVER_PORT",
    "SERVER_NAME",
];

/// The number of parameters that nginx sends by default.
const USUAL_PARAMETERS: u32 = 28;

/// Enough that no worker waits for the load generator.
const CLIENTS: u32 = 8;

const WORKERS: usize = 2;

const KIB: u64 = 1024;
const MIB: u64 = 1024 * KIB;

/// The line length of [`Body::Lines`].
const LINE: usize = 26;

use Peer::{
    CompatEnv, CompatHash, Dropin, FcgiEnv, FcgiHash, Fcgipm, Floor, FloorPerl, Libfcgi, PhpFpm,
};

/// Every case, in the order in which they are measured.
pub(crate) fn all() -> Vec<Case> {
    let mut cases = Vec::new();
    let everybody = [
        Floor, Libfcgi, Dropin, Fcgipm, FloorPerl, FcgiEnv, CompatEnv, FcgiHash, CompatHash, PhpFpm,
    ];
    let c = [Floor, Libfcgi, Dropin, Fcgipm];
    let c_and_perl = [Floor, Libfcgi, Dropin, Fcgipm, FcgiEnv, CompatEnv];
    let perl = [FcgiEnv, CompatEnv, FcgiHash, CompatHash];

    cases.push(Case {
        counted: Some(400),
        ..Case::hello("small", &everybody)
    });
    cases.push(Case {
        keep: true,
        clients: WORKERS as u32,
        counted: Some(400),
        ..Case::hello("kept", &everybody)
    });
    for parameters in [10, 28, 100, 300, 1000] {
        let counted = (parameters == 1000).then_some(50);
        cases.push(Case {
            counted,
            ..Case::parameters("params", parameters, &c_and_perl)
        });
    }
    for parameters in [28, 300] {
        cases.push(Case::parameters("environment", parameters, &perl));
    }
    for size in [KIB, 8 * KIB, 64 * KIB, MIB, 8 * MIB, 64 * MIB] {
        let peers = if size == MIB {
            [&c_and_perl[..], &[PhpFpm]].concat()
        } else {
            c_and_perl.to_vec()
        };
        let counted = (size == MIB).then_some(10);
        cases.push(Case {
            counted,
            ..Case::response(size, &peers)
        });
    }
    for size in [KIB, 8 * KIB, 64 * KIB, MIB, 8 * MIB, 64 * MIB] {
        let peers = if size == MIB {
            [&c_and_perl[..], &[PhpFpm]].concat()
        } else {
            c_and_perl.to_vec()
        };
        let counted = (size == MIB).then_some(10);
        cases.push(Case {
            counted,
            ..Case::body("body", "/body", Body::Bytes(size), &peers)
        });
    }
    cases.push(Case {
        uri: "/prints?500".to_owned(),
        expected: "<li>item 500</li>".to_owned(),
        counted: Some(40),
        ..Case::hello("prints", &[&c[1..], &perl[..]].concat())
    });
    for (name, uri) in [("scalar", "/lines"), ("list", "/list")] {
        let case = Case::body("lines", uri, Body::Lines, &perl);
        cases.push(Case {
            name: name.to_owned(),
            counted: Some(4),
            ..case
        });
    }
    for workers in [1, 2, 4, 16, 64] {
        let case = Case::hello("workers", &c_and_perl);
        cases.push(Case {
            name: workers.to_string(),
            x: workers as f64,
            workers,
            clients: 64,
            ..case
        });
    }
    for clients in [1, 2, 8, 32, 128, 512] {
        let case = Case::hello("clients", &c_and_perl);
        cases.push(Case {
            name: clients.to_string(),
            x: f64::from(clients),
            clients,
            ..case
        });
    }
    cases.push(Case {
        reload: true,
        ..Case::hello("reload", &[Fcgipm, FcgiEnv, CompatEnv, PhpFpm])
    });
    cases
}

/// The named cases, or all if there are no names.
pub(crate) fn select(names: &[String]) -> Result<Vec<Case>, String> {
    let all = all();
    for name in names {
        if !all.iter().any(|case| case.is_called(name)) {
            let mut known: Vec<&str> = all.iter().map(|case| case.scenario).collect();
            known.dedup();
            return Err(format!(
                "there is no scenario '{name}': the scenarios are {}",
                known.join(", ")
            ));
        }
    }
    let is_wanted = |case: &Case| names.is_empty() || names.iter().any(|name| case.is_called(name));
    Ok(all.into_iter().filter(is_wanted).collect())
}

impl Case {
    fn hello(scenario: &'static str, peers: &[Peer]) -> Self {
        let uri = format!("/hello?{scenario}");
        Self {
            scenario,
            name: String::new(),
            x: 0.0,
            parameters: USUAL_PARAMETERS,
            body: Body::None,
            keep: false,
            clients: CLIENTS,
            workers: WORKERS,
            expected: format!("hello {uri}"),
            floor: Canned::text(&format!("hello {uri}\n")),
            uri,
            peers: peers.to_vec(),
            counted: None,
            reload: false,
        }
    }

    fn parameters(scenario: &'static str, parameters: u32, peers: &[Peer]) -> Self {
        Self {
            name: parameters.to_string(),
            x: f64::from(parameters),
            parameters,
            uri: "/count".to_owned(),
            expected: format!("\n{parameters} parameters"),
            floor: Canned::text(&format!("{parameters} parameters\n")),
            ..Self::hello(scenario, peers)
        }
    }

    fn response(size: u64, peers: &[Peer]) -> Self {
        let begin = "start:";
        let head =
            format!("Content-Type: text/plain\\r\\nContent-Length: {size}\\r\\n\\r\\n{begin}");
        Self {
            name: in_words(size),
            x: size as f64,
            uri: format!("/bytes?{size}"),
            expected: begin.to_owned(),
            floor: Canned {
                text: head,
                filler: size - begin.len() as u64,
            },
            clients: clients_for(size),
            ..Self::hello("response", peers)
        }
    }

    fn body(scenario: &'static str, uri: &str, body: Body, peers: &[Peer]) -> Self {
        let size = body.size();
        let line = match body {
            Body::None | Body::Bytes(_) => format!("{size} bytes"),
            Body::Lines => format!("{} lines, {size} bytes", (size as usize).div_ceil(LINE)),
        };
        Self {
            name: in_words(size),
            x: size as f64,
            uri: uri.to_owned(),
            body,
            expected: format!("\n{line}"),
            floor: Canned::text(&format!("{line}\n")),
            clients: clients_for(size),
            ..Self::hello(scenario, peers)
        }
    }

    /// The scenario and the name.
    pub(crate) fn id(&self) -> String {
        if self.name.is_empty() {
            self.scenario.to_owned()
        } else {
            format!("{}/{}", self.scenario, self.name.replace(' ', ""))
        }
    }

    fn is_called(&self, name: &str) -> bool {
        self.scenario == name || self.id() == name
    }

    /// A line of text for users.
    pub(crate) fn describe(&self) -> String {
        let way = if self.keep { "kept" } else { "closed" };
        let body = match self.body {
            Body::None => String::new(),
            Body::Bytes(size) => format!(", body {}", in_words(size)),
            Body::Lines => format!(", body {} in lines", in_words(self.body.size())),
        };
        let reload = if self.reload {
            ", reloads meanwhile"
        } else {
            ""
        };
        format!(
            "{} {way}, {} parameters{body}, {} workers, {} clients{reload}",
            self.uri, self.parameters, self.workers, self.clients
        )
    }
}

impl Canned {
    fn text(body: &str) -> Self {
        let body = body.replace('\n', "\\n");
        Self {
            text: format!("Content-Type: text/plain\\r\\n\\r\\n{body}"),
            filler: 0,
        }
    }
}

impl Body {
    pub(crate) const fn size(self) -> u64 {
        match self {
            Self::None => 0,
            Self::Bytes(size) => size,
            Self::Lines => 64 * KIB,
        }
    }

    /// The content of [`Body::Lines`].
    pub(crate) fn lines() -> Vec<u8> {
        let mut bytes = Vec::new();
        for number in 1.. {
            bytes.extend_from_slice(format!("{number:0width$}\n", width = LINE - 1).as_bytes());
            if bytes.len() as u64 >= Self::Lines.size() {
                break;
            }
        }
        bytes.truncate(64 * KIB as usize);
        bytes
    }
}

/// Fewer clients for large bodies, or the memory for their buffers would be measured.
const fn clients_for(size: u64) -> u32 {
    if size > MIB { WORKERS as u32 } else { CLIENTS }
}

fn in_words(size: u64) -> String {
    if size >= MIB {
        format!("{} MiB", size / MIB)
    } else {
        format!("{} KiB", size / KIB)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cases_are_found_by_scenario_and_by_case() {
        assert_eq!(select(&[]).unwrap().len(), all().len());
        assert_eq!(select(&["params".to_owned()]).unwrap().len(), 5);
        let one = select(&["response/1MiB".to_owned()]).unwrap();
        assert_eq!(one.len(), 1);
        assert_eq!(one[0].floor.filler, 1024 * 1024 - 6);
        assert!(
            select(&["respond".to_owned()])
                .unwrap_err()
                .contains("response, body")
        );
    }

    #[test]
    fn names_of_cases_are_unique() {
        let mut ids: Vec<String> = all().iter().map(Case::id).collect();
        ids.sort();
        let before = ids.len();
        ids.dedup();
        assert_eq!(ids.len(), before);
    }

    #[test]
    fn the_lines_have_the_expected_number() {
        let lines = Body::lines();
        assert_eq!(lines.len() as u64, Body::Lines.size());
        assert_eq!(lines.iter().filter(|byte| **byte == b'\n').count(), 2520);
        assert!(lines.starts_with(b"0000000000000000000000001\n"));
        let case = &select(&["lines/list".to_owned()]).unwrap()[0];
        assert_eq!(case.expected, "\n2521 lines, 65536 bytes");
    }
}

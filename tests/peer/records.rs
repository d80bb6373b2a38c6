//! The web server's side of FastCGI 1.0, written from the specification without any code of the
//! library.

pub(crate) const BEGIN: u8 = 1;
pub(crate) const ABORT: u8 = 2;
pub(crate) const END: u8 = 3;
pub(crate) const PARAMS: u8 = 4;
pub(crate) const STDIN: u8 = 5;
pub(crate) const STDOUT: u8 = 6;
pub(crate) const STDERR: u8 = 7;
pub(crate) const DATA: u8 = 8;
pub(crate) const GET_VALUES: u8 = 9;
pub(crate) const GET_VALUES_RESULT: u8 = 10;
pub(crate) const UNKNOWN_TYPE: u8 = 11;

pub(crate) const RESPONDER: u16 = 1;
pub(crate) const AUTHORIZER: u16 = 2;
pub(crate) const FILTER: u16 = 3;

/// END_REQUEST's protocol status (section 5.5).
pub(crate) const REQUEST_COMPLETE: u8 = 0;
pub(crate) const CANT_MPX_CONN: u8 = 1;
pub(crate) const UNKNOWN_ROLE: u8 = 3;

/// The request id of most tests.
pub(crate) const ID: u16 = 1;

/// A received record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Record {
    pub(crate) kind: u8,
    pub(crate) id: u16,
    pub(crate) content: Vec<u8>,
    pub(crate) padding: usize,
}

/// A record with padding that is not zero, and that the program must ignore.
pub(crate) fn padded(kind: u8, id: u16, content: &[u8], padding: u8) -> Vec<u8> {
    let length = u16::try_from(content.len()).unwrap().to_be_bytes();
    let id = id.to_be_bytes();
    let mut bytes = vec![1, kind, id[0], id[1], length[0], length[1], padding, 0xee];
    bytes.extend_from_slice(content);
    bytes.extend(std::iter::repeat_n(0xaa, usize::from(padding)));
    bytes
}

pub(crate) fn record(kind: u8, id: u16, content: &[u8]) -> Vec<u8> {
    padded(kind, id, content, 0)
}

pub(crate) fn begin(id: u16, role: u16, keep: bool) -> Vec<u8> {
    let role = role.to_be_bytes();
    record(
        BEGIN,
        id,
        &[role[0], role[1], u8::from(keep), 0, 0, 0, 0, 0],
    )
}

fn length(n: usize) -> Vec<u8> {
    match u8::try_from(n) {
        Ok(short) if short < 128 => vec![short],
        _ => (u32::try_from(n).unwrap() | 1 << 31).to_be_bytes().to_vec(),
    }
}

/// Name-value pairs (section 3.4).
pub(crate) fn pairs(list: &[(&[u8], &[u8])]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (name, value) in list {
        bytes.extend(length(name.len()));
        bytes.extend(length(value.len()));
        bytes.extend_from_slice(name);
        bytes.extend_from_slice(value);
    }
    bytes
}

/// A stream in records of the largest size, with the empty one that closes it.
pub(crate) fn stream(kind: u8, id: u16, content: &[u8]) -> Vec<u8> {
    let mut bytes: Vec<u8> = content
        .chunks(65_535)
        .flat_map(|piece| record(kind, id, piece))
        .collect();
    bytes.extend(record(kind, id, &[]));
    bytes
}

/// A request that a test composes.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) id: u16,
    pub(crate) role: u16,
    pub(crate) keep: bool,
    params: Vec<(Vec<u8>, Vec<u8>)>,
    body: Vec<u8>,
}

/// A request for a command of the test application, "/command?argument".
pub(crate) fn request(path: &str) -> Request {
    let (command, query) = path.split_once('?').unwrap_or((path, ""));
    Request {
        id: ID,
        role: RESPONDER,
        keep: false,
        params: Vec::new(),
        body: Vec::new(),
    }
    .param("PATH_INFO", command)
    .param("QUERY_STRING", query)
}

impl Request {
    pub(crate) fn param(mut self, name: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Self {
        self.params
            .push((name.as_ref().to_vec(), value.as_ref().to_vec()));
        self
    }

    pub(crate) fn body(self, body: impl AsRef<[u8]>) -> Self {
        let length = body.as_ref().len().to_string();
        let mut this = self.param("CONTENT_LENGTH", length);
        this.body = body.as_ref().to_vec();
        this
    }

    pub(crate) fn keep(mut self, keep: bool) -> Self {
        self.keep = keep;
        self
    }

    pub(crate) fn role(mut self, role: u16) -> Self {
        self.role = role;
        self
    }

    pub(crate) fn id(mut self, id: u16) -> Self {
        self.id = id;
        self
    }

    pub(crate) fn pairs(&self) -> Vec<u8> {
        let list: Vec<_> = self
            .params
            .iter()
            .map(|(n, v)| (n.as_slice(), v.as_slice()))
            .collect();
        pairs(&list)
    }

    /// BEGIN_REQUEST, and all parameters.
    pub(crate) fn head(&self) -> Vec<u8> {
        [
            begin(self.id, self.role, self.keep),
            stream(PARAMS, self.id, &self.pairs()),
        ]
        .concat()
    }

    /// The complete request.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        [self.head(), stream(STDIN, self.id, &self.body)].concat()
    }
}

/// The response to one request.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Response {
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: Vec<u8>,
    pub(crate) app_status: u32,
    pub(crate) protocol_status: u8,
    pub(crate) records: Vec<Record>,
}

impl Response {
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }

    /// The parameters in the answer, which have the form of fcgipm_request_params().
    pub(crate) fn params(&self) -> Vec<(Vec<u8>, Vec<u8>)> {
        let mut fields = Vec::new();
        let mut rest = self.stdout.as_slice();
        while let Some((length, after)) = rest.split_first_chunk::<4>() {
            let (field, after) = after.split_at(u32::from_be_bytes(*length) as usize);
            assert_eq!(after[0], 0, "each field is followed by a NUL");
            fields.push(field.to_vec());
            rest = &after[1..];
        }
        fields
            .chunks(2)
            .map(|pair| (pair[0].clone(), pair[1].clone()))
            .collect()
    }

    /// The value of a parameter in the answer.
    pub(crate) fn param(&self, name: &str) -> Option<Vec<u8>> {
        let found = self
            .params()
            .into_iter()
            .find(|(n, _)| n == name.as_bytes());
        found.map(|(_, value)| value)
    }
}

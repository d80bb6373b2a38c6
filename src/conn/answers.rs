//! Records that the protocol itself requires as answers.

use crate::wire::{
    EndRequest, Header, NULL_REQUEST_ID, Pairs, ProtocolStatus, RecordType, encode_pair,
    unknown_type_body,
};

/// The end of a request (section 5.5).
pub(super) fn put_end_request(
    out: &mut Vec<u8>,
    request_id: u16,
    app_status: u32,
    status: ProtocolStatus,
) {
    let end = EndRequest {
        app_status,
        protocol_status: status.number(),
    };
    put(out, RecordType::EndRequest, request_id, &end.encode());
}

/// The answer to a management record of an unknown type (section 4.2).
pub(super) fn put_unknown_type(out: &mut Vec<u8>, kind: RecordType) {
    let body = unknown_type_body(kind.to_byte());
    put(out, RecordType::UnknownType, NULL_REQUEST_ID, &body);
}

/// The values of the queried variables that are known, each once, so that the answer always fits
/// one record (section 4.1). Anything after a truncated pair is ignored.
pub(super) fn put_values(out: &mut Vec<u8>, asked: &[u8], capacity: u32) {
    let capacity = capacity.to_string();
    let known = [
        ("FCGI_MAX_CONNS", capacity.as_str()),
        ("FCGI_MAX_REQS", capacity.as_str()),
        ("FCGI_MPXS_CONNS", "0"),
    ];
    let mut body = Vec::new();
    for (name, value) in known {
        if Pairs::new(asked)
            .map_while(Result::ok)
            .any(|(wanted, _)| wanted == name.as_bytes())
        {
            encode_pair(name.as_bytes(), value.as_bytes(), &mut body);
        }
    }
    put(out, RecordType::GetValuesResult, NULL_REQUEST_ID, &body);
}

/// Appends a record. The contents here are far below the maximum.
fn put(out: &mut Vec<u8>, kind: RecordType, request_id: u16, content: &[u8]) {
    let header = Header::new(kind, request_id, content.len() as u16);
    out.extend_from_slice(&header.encode());
    out.extend_from_slice(content);
    out.resize(out.len() + usize::from(header.padding_length), 0);
}

//! Formats that are valid, and what is wrong with others.

use super::*;

#[test]
fn json_has_every_named_field() {
    let pieces = Format::parse("json", b"ID").unwrap().pieces;
    assert_eq!(pieces.len(), 2 * OF_JSON.len() + 1);
}

#[test]
fn literals_and_values_alternate() {
    let format = Format::parse("%R 100%% %{micro}d%{A B}e%{request_id}x%{A B}e.", b"ID");
    let format = format.unwrap();
    let param = |place, limit| Piece::Value(Field::Param { place, limit });
    assert_eq!(
        format.pieces,
        [
            param(0, SHORT),
            Piece::Literal(b" 100% ".to_vec()),
            Piece::Value(duration(1_000_000, 0)),
            param(1, LONG),
            param(2, SHORT),
            param(1, LONG),
            Piece::Literal(b".\n".to_vec()),
        ]
    );
    let mut wanted = Wanted::default();
    for name in [&b"REMOTE_ADDR"[..], b"A B", b"ID"] {
        wanted.add(name);
    }
    assert_eq!(format.wanted, wanted);
    assert_eq!(
        Format::parse("", b"ID").unwrap().pieces,
        [Piece::Literal(b"\n".to_vec())]
    );
}

#[test]
fn what_is_wrong_is_named_with_its_place() {
    for (text, why) in [
        ("%R %", "at byte 4: % at the end"),
        ("%{REMOTE", "at byte 1: %{ without }"),
        ("%{x}R", "%{x}R: %R has no {}"),
        ("%{x}q", "%{x}q: %q has no {}"),
        ("%e", "%e without the name"),
        ("%{}e", "%e without the name"),
        ("%x", "%x without the name"),
        ("ab%z", "at byte 3: %z: unknown letter"),
        ("%{days}d", "%{days}d: unknown unit"),
        ("%{days}M", "%{days}M: unknown unit"),
        ("%{all}C", "%{all}C: not user, system or total"),
        ("%{Content-Type}o", "%o: header fields of responses"),
        ("%{%s}t", "{%s}: not iso or epoch"),
        ("%{nothing}x", "%{nothing}x: unknown field"),
        ("a\nb", "control character"),
    ] {
        let error = Format::parse(text, b"ID").unwrap_err();
        assert!(error.contains(why), "{text:?}: {error}");
    }
}

#!/bin/sh
# A CGI script that does what the query asks for.
# Left unread, fcgiwrap's answer depends on when the script ends.
[ "$QUERY_STRING" = body ] || cat >/dev/null
case ${QUERY_STRING%%&*} in
    status) printf 'Status: 418 Teapot\r\nContent-Type: text/plain\r\n\r\nshort and stout\n' ;;
    304) printf 'Status: 304 Not Modified\r\nETag: "x"\r\n\r\n' ;;
    stderr) echo "said to the log" >&2; printf 'Content-Type: text/plain\r\n\r\nsaid\n' ;;
    large) printf 'Content-Type: text/plain\r\n\r\n'; head -c 3000000 /dev/zero | tr '\0' x ;;
    nothing) printf 'Content-Type: text/plain\r\n\r\n' ;;
    body)
        # All of it first: fcgiwrap passes a body on before it reads.
        body=$(mktemp)
        cat >"$body"
        printf 'Content-Type: application/octet-stream\r\n\r\n'
        cat "$body"
        rm -f "$body"
        ;;
    ignore) printf 'Content-Type: text/plain\r\n\r\nignored\n' ;;
    *)
        printf 'Content-Type: text/plain\r\n\r\n'
        for name in REQUEST_METHOD QUERY_STRING CONTENT_LENGTH CONTENT_TYPE SCRIPT_NAME DOCUMENT_URI SERVER_PROTOCOL \
            HTTP_X_TEST HTTP_COOKIE; do
            eval "echo \"$name=\$$name\""
        done
        ;;
esac

#!/bin/sh
# The test page, as a CGI script.
# If the body is not read, the response of fcgiwrap depends on when the script exits.
[ "$QUERY_STRING" = body ] || cat >/dev/null
case ${QUERY_STRING%%&*} in
    status) printf 'Status: 418 Teapot\r\nContent-Type: text/plain\r\n\r\nshort and stout\n' ;;
    304) printf 'Status: 304 Not Modified\r\nETag: "x"\r\n\r\n' ;;
    stderr) echo "a line for the log" >&2; printf 'Content-Type: text/plain\r\n\r\nsaid\n' ;;
    large) printf 'Content-Type: text/plain\r\n\r\n'; head -c 3000000 /dev/zero | tr '\0' x ;;
    nothing) printf 'Content-Type: text/plain\r\n\r\n' ;;
    body)
        # Reads all of it first: fcgiwrap writes the whole body before it reads the response.
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

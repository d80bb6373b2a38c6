/* fastcgi.h: the records of FastCGI 1.0 as they are sent, and their numbers. All fields are single bytes, so there is
   neither padding nor a byte order; in numbers of several bytes the high one is first (B1, B3). */

#ifndef _FASTCGI_H
#define _FASTCGI_H

/* The descriptor of the listening socket that a web server passes to a program. */
#define FCGI_LISTENSOCK_FILENO 0

/* Section 3.3: the header of each record. */
typedef struct {
    unsigned char version;          /* FCGI_VERSION_1 */
    unsigned char type;             /* FCGI_BEGIN_REQUEST to FCGI_UNKNOWN_TYPE */
    unsigned char requestIdB1;
    unsigned char requestIdB0;
    unsigned char contentLengthB1;  /* bytes after the header */
    unsigned char contentLengthB0;
    unsigned char paddingLength;    /* bytes of padding after these */
    unsigned char reserved;
} FCGI_Header;

#define FCGI_MAX_LENGTH  0xffff     /* of a record's content */
#define FCGI_HEADER_LEN  8
#define FCGI_VERSION_1   1

/* FCGI_Header.type */
#define FCGI_BEGIN_REQUEST       1
#define FCGI_ABORT_REQUEST       2
#define FCGI_END_REQUEST         3
#define FCGI_PARAMS              4
#define FCGI_STDIN               5
#define FCGI_STDOUT              6
#define FCGI_STDERR              7
#define FCGI_DATA                8
#define FCGI_GET_VALUES          9
#define FCGI_GET_VALUES_RESULT  10
#define FCGI_UNKNOWN_TYPE       11
#define FCGI_MAXTYPE (FCGI_UNKNOWN_TYPE)

/* The request id of records that belong to no request. */
#define FCGI_NULL_REQUEST_ID     0

/* Section 5.1: FCGI_BEGIN_REQUEST. */
typedef struct {
    unsigned char roleB1;
    unsigned char roleB0;
    unsigned char flags;
    unsigned char reserved[5];
} FCGI_BeginRequestBody;

typedef struct {
    FCGI_Header header;
    FCGI_BeginRequestBody body;
} FCGI_BeginRequestRecord;

/* In FCGI_BeginRequestBody.flags: the web server wants to use the connection again. */
#define FCGI_KEEP_CONN  1

/* FCGI_BeginRequestBody's role */
#define FCGI_RESPONDER  1
#define FCGI_AUTHORIZER 2
#define FCGI_FILTER     3

/* Section 5.5: FCGI_END_REQUEST. */
typedef struct {
    unsigned char appStatusB3;
    unsigned char appStatusB2;
    unsigned char appStatusB1;
    unsigned char appStatusB0;
    unsigned char protocolStatus;
    unsigned char reserved[3];
} FCGI_EndRequestBody;

typedef struct {
    FCGI_Header header;
    FCGI_EndRequestBody body;
} FCGI_EndRequestRecord;

/* FCGI_EndRequestBody.protocolStatus */
#define FCGI_REQUEST_COMPLETE 0
#define FCGI_CANT_MPX_CONN    1
#define FCGI_OVERLOADED       2
#define FCGI_UNKNOWN_ROLE     3

/* Section 4.1: the names in FCGI_GET_VALUES and its answer. */
#define FCGI_MAX_CONNS  "FCGI_MAX_CONNS"
#define FCGI_MAX_REQS   "FCGI_MAX_REQS"
#define FCGI_MPXS_CONNS "FCGI_MPXS_CONNS"

/* Section 4.2: FCGI_UNKNOWN_TYPE. */
typedef struct {
    unsigned char type;
    unsigned char reserved[7];
} FCGI_UnknownTypeBody;

typedef struct {
    FCGI_Header header;
    FCGI_UnknownTypeBody body;
} FCGI_UnknownTypeRecord;

#endif

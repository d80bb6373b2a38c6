// fcgio.h: C++ streams for FastCGI. The interface of libfcgi++ 2.4, completely in this header, so that only libfcgi.so
// is needed.
//
// A fcgi_streambuf owns neither its FCGX_Stream nor its buffer: both must live as long as it does, or until it is attached
// to another stream. Without a buffer it passes each byte to FCGX, which has buffers of its own, and one byte can be put
// back. With a buffer more bytes can be put back, and output must be flushed, or the streambuf destroyed, before the
// request ends.
// Threads: as FCGX_Stream.

#ifndef FCGIO_H
#define FCGIO_H

#include <climits>
#include <cstdio>
#include <iostream>

#include "fcgiapp.h"

#ifndef DLLAPI
#define DLLAPI
#endif

#if ! HAVE_STREAMBUF_CHAR_TYPE
typedef char char_type;
#endif

class DLLAPI fcgi_streambuf : public std::streambuf
{
public:
    fcgi_streambuf(FCGX_Stream * stream, char * memory, int len) : fcgx(stream), buf(0), bufsize(0)
    {
        fcgi_streambuf::setbuf(memory, len);
    }

    fcgi_streambuf(char_type * memory, std::streamsize len) : fcgx(0), buf(0), bufsize(0)
    {
        fcgi_streambuf::setbuf(memory, len);
    }

    fcgi_streambuf(FCGX_Stream * stream = 0) : fcgx(stream), buf(0), bufsize(0)
    {
        reset();
    }

    // Passes its buffer to FCGX. The request's end sends it.
    ~fcgi_streambuf(void)
    {
        drain();
    }

    // Attaches it to this stream; the content of the buffer is dropped. Returns 0.
    int attach(FCGX_Stream * stream)
    {
        fcgx = stream;
        if (bufsize)
            reset();
        return 0;
    }

protected:
    // Passes the put area to FCGX, and c if it is not EOF. Returns 0, or EOF.
    virtual int overflow(int c)
    {
        if (!drain())
            return EOF;
        return c == EOF || FCGX_PutChar(c, fcgx) == c ? 0 : EOF;
    }

    // Passes the put area to FCGX and flushes the stream. Returns 0, or EOF.
    virtual int sync()
    {
        return drain() && FCGX_FFlush(fcgx) == 0 ? 0 : EOF;
    }

    // Returns the next byte and advances, or EOF.
    virtual int uflow()
    {
        if (!bufsize)
            return FCGX_GetChar(fcgx);
        const int c = fcgi_streambuf::underflow();
        if (c != EOF)
            gbump(1);
        return c;
    }

    // Returns the next byte, or EOF.
    virtual int underflow()
    {
        if (!bufsize)
            return FCGX_UnGetChar(FCGX_GetChar(fcgx), fcgx);
        if (gptr() == egptr()) {
            const int count = FCGX_GetStr(buf, bounded(bufsize), fcgx);
            if (count <= 0)
                return EOF;
            setg(buf, buf, buf + count);
        }
        return static_cast<unsigned char>(*gptr());
    }

    // Sets its buffer, once. Returns this, or NULL if it has one.
    virtual std::streambuf * setbuf(char_type * memory, std::streamsize len)
    {
        if (bufsize)
            return 0;
        buf = memory;
        bufsize = len;
        reset();
        return this;
    }

    virtual std::streamsize xsgetn(char_type * s, std::streamsize n)
    {
        if (bufsize)
            return std::streambuf::xsgetn(s, n);
        std::streamsize done = 0;
        while (done < n) {
            const int piece = bounded(n - done);
            const int count = FCGX_GetStr(s + done, piece, fcgx);
            done += count;
            if (count < piece)
                break;
        }
        return done;
    }

    virtual std::streamsize xsputn(const char_type * s, std::streamsize n)
    {
        if (bufsize)
            return std::streambuf::xsputn(s, n);
        if (n <= INT_MAX)
            return FCGX_PutStr(s, static_cast<int>(n), fcgx);
        std::streamsize done = 0;
        while (done < n) {
            const int count = FCGX_PutStr(s + done, bounded(n - done), fcgx);
            if (count < 0)
                break;
            done += count;
        }
        return done;
    }

private:
    FCGX_Stream * fcgx;
    char_type * buf;
    std::streamsize bufsize;

    static int bounded(std::streamsize size)
    {
        return size > INT_MAX ? INT_MAX : static_cast<int>(size);
    }

    // One buffer serves both directions: a FCGX_Stream has one direction.
    void reset(void)
    {
        setg(buf, buf, buf);
        setp(buf, buf + bufsize);
    }

    bool drain()
    {
        while (bufsize && pptr() != pbase()) {
            const int piece = bounded(pptr() - pbase());
            if (FCGX_PutStr(pbase(), piece, fcgx) != piece)
                return false;
            const std::streamsize rest = pptr() - pbase() - piece;
            std::char_traits<char>::move(pbase(), pbase() + piece, static_cast<std::size_t>(rest));
            setp(buf, buf + bufsize);
            pbump(bounded(rest));
        }
        return true;
    }
};

// A std::istream with its own fcgi_streambuf. Deprecated in libfcgi++.
class DLLAPI fcgi_istream : public std::istream
{
public:
    fcgi_istream(FCGX_Stream * stream = 0) : std::istream(0)
    {
        init(&fcgi_strmbuf);
        fcgi_strmbuf.attach(stream);
    }

    ~fcgi_istream(void) {}

    virtual void attach(FCGX_Stream * stream)
    {
        fcgi_strmbuf.attach(stream);
    }

private:
    fcgi_streambuf fcgi_strmbuf;
};

// The same for std::ostream.
class DLLAPI fcgi_ostream : public std::ostream
{
public:
    fcgi_ostream(FCGX_Stream * stream = 0) : std::ostream(0)
    {
        init(&fcgi_strmbuf);
        fcgi_strmbuf.attach(stream);
    }

    ~fcgi_ostream(void) {}

    virtual void attach(FCGX_Stream * stream)
    {
        fcgi_strmbuf.attach(stream);
    }

private:
    fcgi_streambuf fcgi_strmbuf;
};

#endif

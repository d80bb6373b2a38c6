// C++ streams for a request, as programs on libfcgi++ use them. Argument: the number of requests.

#include <iostream>
#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>

#include "fcgiapp.h"
#include "fcgio.h"
#include "report.h"

// A class of the program that calls and overrides protected members.
class counting : public fcgi_streambuf
{
public:
    explicit counting(FCGX_Stream * stream) : fcgi_streambuf(stream), overflows(0) {}
    counting(FCGX_Stream * stream, char * memory, int size) : fcgi_streambuf(stream, memory, size), overflows(0) {}

    int overflows;

    int next() { return uflow(); }
    int look() { return underflow(); }
    std::streambuf * take(char * memory, std::streamsize size) { return setbuf(memory, size); }

protected:
    virtual int overflow(int c)
    {
        overflows++;
        return fcgi_streambuf::overflow(c);
    }
};

static void unbuffered(FCGX_Request & request)
{
    fcgi_streambuf in(request.in), out(request.out), err(request.err);
    std::istream input(&in);
    std::ostream output(&out), errors(&err);
    std::string word, line;
    char text[16] = "";

    input >> word;
    say("word '%s'\n", word.c_str());
    say("peek %d, get %d\n", input.peek(), input.get());
    std::getline(input, line);
    say("line '%s'\n", line.c_str());
    input.read(text, 4);
    say("read %ld '%s'\n", static_cast<long>(input.gcount()), text);
    input.read(text, 400 < sizeof text ? 400 : sizeof text);
    std::string rest(std::istreambuf_iterator<char>(input), (std::istreambuf_iterator<char>()));
    say("rest %zu, eof %d, fail %d, get %d\n", rest.size(), input.eof(), input.fail(), input.get());
    output << "text " << 42 << ' ' << 2.5 << std::hex << 255 << std::endl << std::string(20000, 'x') << '\n';
    output.put('\xff').write("bytes\0too", 9).flush();
    errors << "to the log" << std::endl;
    say("good %d %d\n", output.good(), errors.good());
}

static void buffered(FCGX_Request & request)
{
    char in_memory[16], out_memory[16], err_memory[1];
    fcgi_streambuf in(request.in, in_memory, sizeof in_memory), out(request.out, out_memory, sizeof out_memory);
    fcgi_streambuf err(err_memory, static_cast<std::streamsize>(sizeof err_memory));
    std::istream input(&in);
    std::ostream output(&out), errors(&err);
    std::string word, line;

    err.attach(request.err);
    say("get %d\n", input.get());
    input.unget();
    input >> word;
    say("word '%s'\n", word.c_str());
    say("putback %d\n", input.putback(word[word.size() - 1]).good());
    std::getline(input, line);
    say("line '%s'\n", line.c_str());
    say("available %ld\n", static_cast<long>(in.in_avail()));
    std::string rest(std::istreambuf_iterator<char>(input), (std::istreambuf_iterator<char>()));
    say("rest %zu '%s'\n", rest.size(), rest.size() < 1000 ? rest.c_str() : "");
    output << "a line that is longer than the buffer\n" << 12345 << std::flush << "kept until the end";
    errors << "one byte at a time\n";
    say("good %d %d\n", output.good(), errors.good());
}

static void own(FCGX_Request & request)
{
    char memory[8];
    counting in(request.in), out(request.out), small(request.out, memory, sizeof memory);

    say("take again %d\n", small.take(memory, sizeof memory) != 0);
    say("look %d, next %d, next %d\n", in.look(), in.next(), in.next());
    std::ostream output(&out), buffered_output(&small);
    output << 'a' << "bc" << std::flush;
    buffered_output << "twenty bytes of text" << std::flush;
    say("overflows %s\n", small.overflows > 0 && out.overflows > 0 ? "seen" : "not seen");
    while (in.next() != EOF)
        ;
    say("at the end: look %d, next %d\n", in.look(), in.next());
}

static void deprecated(FCGX_Request & request)
{
    fcgi_istream input(request.in), later;
    fcgi_ostream output, errors(request.err);
    std::string word;

    output.attach(request.out);
    input >> word;
    later.attach(request.in);
    output << "word " << word;
    later >> word;
    output << ", and " << word << std::endl;
    errors << "to the log" << std::flush;
}

// cin and cout are those of the request, as in MapServer, QGIS and other programs.
static void exchanged(FCGX_Request & request)
{
    std::streambuf *cin_before = std::cin.rdbuf(), *cout_before = std::cout.rdbuf();
    {
        fcgi_streambuf in(request.in), out(request.out);
        std::string line;

        std::cin.clear();
        std::cin.rdbuf(&in);
        std::cout.rdbuf(&out);
        while (std::getline(std::cin, line))
            std::cout << '[' << line << "]\n";
        std::cout.flush();
        std::cin.rdbuf(cin_before);
        std::cout.rdbuf(cout_before);
    }
}

int main(int argc, char ** argv)
{
    int left = argc > 1 ? atoi(argv[1]) : 1;
    FCGX_Request request;

    report_open();
    FCGX_Init();
    FCGX_InitRequest(&request, 0, 0);
    for (; left > 0 && FCGX_Accept_r(&request) == 0; left--) {
        const std::string group = FCGX_GetParam("PATH_INFO", request.envp);

        say("-- %s\n", group.c_str());
        if (group == "/unbuffered")
            unbuffered(request);
        else if (group == "/buffered")
            buffered(request);
        else if (group == "/own")
            own(request);
        else if (group == "/deprecated")
            deprecated(request);
        else if (group == "/exchanged")
            exchanged(request);
    }
    FCGX_Finish_r(&request);
    std::cout << "the process's own" << std::endl;
    return 0;
}

# The test page, with ruby-fcgi.
require 'fcgi'

FCGI.each_request do |request|
  out = request.out
  case request.env.fetch('QUERY_STRING', '').split('&').first
  when 'status'
    out.print "Status: 418 Teapot\r\nContent-Type: text/plain\r\n\r\nshort and stout\n"
  when '304'
    out.print "Status: 304 Not Modified\r\nETag: \"x\"\r\n\r\n"
  when 'stderr'
    request.err.print "a line for the log\n"
    out.print "Content-Type: text/plain\r\n\r\nsaid\n"
  when 'large'
    out.print "Content-Type: text/plain\r\n\r\n", 'x' * 3_000_000
  when 'nothing'
    out.print "Content-Type: text/plain\r\n\r\n"
  when 'body'
    # Without a length, the extension returns nothing for a body of a mebibyte.
    body = +''
    while (piece = request.in.read(7000))
      body << piece
    end
    out.print "Content-Type: application/octet-stream\r\n\r\n", body
  when 'ignore'
    out.print "Content-Type: text/plain\r\n\r\nignored\n"
  else
    out.print "Content-Type: text/plain\r\n\r\n"
    %w[REQUEST_METHOD QUERY_STRING CONTENT_LENGTH CONTENT_TYPE SCRIPT_NAME DOCUMENT_URI SERVER_PROTOCOL HTTP_X_TEST
       HTTP_COOKIE].each { |name| out.print "#{name}=#{request.env[name]}\n" }
  end
  request.finish
end

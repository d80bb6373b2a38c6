//! CGI (RFC 3875): the variables of a request, and the header of a response.

pub(crate) mod reply;
pub(crate) mod variables;

package FCGIPM::Request::Fork;

# A request in a child of the process that accepted it. The request stays the parent's until the
# parent leaves it to its children (Detach, or Finish while detached), or the child continues it
# explicitly (Flush or Finish).

use strict;
use warnings;

use FCGIPM::Library;
use FCGIPM::Stream::Output;

our $VERSION = '0.1.0';

# Milliseconds that an exiting child waits for its parent to leave it the request.
use constant CHILD_WAIT => 1000;

# From now on the request is the child's.
sub continue_in_child {
    my ($request) = @_;
    FCGIPM::Library::request_continue_in_child(${ $request->{handle} });
    return;
}

# Whether the parent has left the request to this child, which exits. A child that has output waits
# for a parent that has not decided yet.
sub is_left_to_child {
    my ($request) = @_;
    return 0 if !$request->{bound};
    my $has_output = length ${ $request->{out} } > 1 || length ${ $request->{err} } > 1
        || grep { length $$_ } @{ $request->{held} };
    return FCGIPM::Library::request_belongs_here(${ $request->{handle} }, $has_output ? CHILD_WAIT : 0) == 1;
}

# Whether a stream has continued the request in this process. Its handle must then not be freed:
# that would end the request.
sub is_continued {
    my ($request) = @_;
    return FCGIPM::Stream::Output::is_continued($request->{handle});
}

1;

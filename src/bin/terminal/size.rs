//! The size of the terminal.

use std::io;

use rustix::termios::tcgetwinsize;

/// Columns and rows of the terminal that standard output is; 80 by 24 for one that does not know them, as a
/// serial line.
pub(crate) fn of_stdout() -> (usize, usize) {
    let size = tcgetwinsize(io::stdout());
    let known = size.ok().filter(|size| size.ws_col > 0 && size.ws_row > 0);
    known.map_or((80, 24), |size| {
        (usize::from(size.ws_col), usize::from(size.ws_row))
    })
}

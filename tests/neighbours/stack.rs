//! A web server with an application, and the matrix of both with a test for each promise.

use std::path::Path;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;

use tempfile::TempDir;

use crate::application::{Application, Language};
use crate::http::Client;
use crate::place::{self, Address, Port};
use crate::server::Server;

/// The time from the end of a reload to the next.
const PACE: Duration = Duration::from_millis(50);

pub(crate) struct Stack {
    pub(crate) application: Application,
    pub(crate) server: Server,
    /// Whether the server keeps its connections to the application.
    pub(crate) keeps: bool,
    _folder: TempDir,
}

#[derive(Clone, Copy)]
pub(crate) enum Way {
    Tcp,
    Unix,
}

impl Stack {
    pub(crate) fn new(
        language: Language,
        way: Way,
        keeps: bool,
        server: impl FnOnce(&Path, &Address) -> Server,
    ) -> Self {
        let folder = place::folder();
        let address = match way {
            Way::Tcp => Address::Tcp(Port::reserve()),
            Way::Unix => Address::Unix(folder.path().join("application.sock")),
        };
        let application = Application::start(language, address, folder.path());
        let server = server(folder.path(), &application.address);
        Self {
            application,
            server,
            keeps,
            _folder: folder,
        }
    }

    pub(crate) fn client(&self) -> Client {
        Client::connect(self.server.port.address())
    }

    /// Runs `work` during repeated reloads, and returns the number of reloads.
    pub(crate) fn during_reloads(&self, work: impl FnOnce()) -> usize {
        let (working, done) = channel::<()>();
        thread::scope(|scope| {
            let reloads = scope.spawn(move || {
                let mut count = 0;
                loop {
                    count += 1;
                    self.application.reload(count);
                    if done.recv_timeout(PACE) == Err(RecvTimeoutError::Disconnected) {
                        return count;
                    }
                }
            });
            // Dropped even if the work panics.
            let working = working;
            work();
            drop(working);
            reloads.join().unwrap()
        })
    }

    /// Stops both, and fails if one of them has logged anything unexpected except for these texts.
    pub(crate) fn close(mut self, harmless: &[&str]) {
        self.server.stop(harmless);
        self.application.stop(harmless);
    }
}

/// Tests of every promise, for each combination.
macro_rules! stacks {
    ($($name:ident: $way:ident, $keeps:literal, $server:expr;)*) => {$(
        mod $name {
            mod c {
                $crate::stack::promises!(C, $way, $keeps, $server);
            }
            mod perl {
                $crate::stack::promises!(Perl, $way, $keeps, $server);
            }
        }
    )*};
}

/// A test of all requests during reloads, for each unchanged program.
macro_rules! unchanged {
    ($($name:ident: $way:ident, $keeps:literal, $server:expr;)*) => {$(
        mod $name {
            $crate::stack::unchanged!(@ daemon, Daemon, $way, $keeps, $server);
            $crate::stack::unchanged!(@ cgi_fast, CgiFast, $way, $keeps, $server);
            $crate::stack::unchanged!(@ plack, Plack, $way, $keeps, $server);
            $crate::stack::unchanged!(@ catalyst, Catalyst, $way, $keeps, $server);
        }
    )*};
    (@ $test:ident, $program:ident, $way:ident, $keeps:literal, $server:expr) => {
        #[test]
        fn $test() {
            use $crate::application::{Language, Program};
            use $crate::stack::{Stack, Way};
            #[allow(unused_imports)]
            use $crate::{apache::Apache, nginx::Nginx};
            let language = Language::Unchanged(Program::$program);
            let stack = Stack::new(language, Way::$way, $keeps, |folder, address| {
                $server.start(folder, address)
            });
            $crate::promises::nothing_is_lost_during_reloads(stack);
        }
    };
}

macro_rules! promises {
    ($language:ident, $way:ident, $keeps:literal, $server:expr) => {
        fn stack() -> $crate::stack::Stack {
            use $crate::application::Language;
            use $crate::stack::{Stack, Way};
            #[allow(unused_imports)]
            use $crate::{apache::Apache, lighttpd::Lighttpd, nginx::Nginx};
            Stack::new(Language::$language, Way::$way, $keeps, |folder, address| {
                $server.start(folder, address)
            })
        }

        #[test]
        fn bodies_of_every_size_arrive_unchanged() {
            $crate::promises::bodies_of_every_size_arrive_unchanged(stack());
        }

        #[test]
        fn responses_of_every_size_arrive_unchanged() {
            $crate::promises::responses_of_every_size_arrive_unchanged(stack());
        }

        #[test]
        fn an_answer_that_ignores_its_body_arrives() {
            $crate::promises::an_answer_that_ignores_its_body_arrives(stack());
        }

        #[test]
        fn lines_on_stderr_are_in_the_error_log() {
            $crate::promises::lines_on_stderr_are_in_the_error_log(stack());
        }

        #[test]
        fn a_client_that_disconnects_does_not_affect_others() {
            $crate::promises::a_client_that_disconnects_does_not_affect_others(stack());
        }

        #[test]
        fn a_thousand_requests_on_keep_alive_connections_are_answered() {
            $crate::promises::a_thousand_requests_on_keep_alive_connections_are_answered(stack());
        }

        #[test]
        fn nothing_is_lost_during_reloads() {
            $crate::promises::nothing_is_lost_during_reloads(stack());
        }
    };
}

pub(crate) use promises;
pub(crate) use stacks;
pub(crate) use unchanged;

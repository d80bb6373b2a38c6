//! Programs on stock libfcgi, of Debian or built with its headers, run with the drop-in: their
//! answers, exits and costs. The tests run one at a time, because some measure time, and print
//! their results.

#[macro_use]
#[path = "../peer/in_turn.rs"]
mod in_turn;
#[path = "../peer/mod.rs"]
mod peer;

#[path = "../neighbours/nginx.rs"]
mod nginx;
#[allow(dead_code)]
#[path = "../neighbours/place.rs"]
mod place;
#[allow(dead_code)]
#[path = "../neighbours/process.rs"]
mod process;
#[allow(dead_code)]
#[path = "../neighbours/server.rs"]
mod server;

mod cost;
mod debian;
mod exit_requests;
#[allow(dead_code)]
#[path = "../storms/load.rs"]
mod load;
mod orphaned;
mod recipe;
mod recipes;
mod side;
mod supervised;
mod threads;

tests! {
    cost::a_small_request_on_a_new_connection_costs_four_system_calls
    debian::fcgiwrap_runs_cgi_scripts
    debian::the_xs_module_of_perl_serves
    debian::the_extension_of_ruby_fcgi_serves
    debian::lua_wsapi_serves
    debian::iipsrv_serves_pictures
    debian::cgi_fcgi_connects_to_a_program
    exit_requests::ten_thousand_programs_asked_to_exit_at_random_complete_their_answers
    recipes::programs_get_the_environment_that_the_page_describes
    recipes::every_recipe_of_the_page_is_tested
    recipes::the_recipe_of_fcgiwrap
    recipes::the_recipe_of_iipimage
    recipes::the_recipe_of_mapcache
    recipes::the_recipe_of_mapserver
    recipes::the_recipe_of_php_cgi
    recipes::the_recipe_of_qgis_server
    recipes::the_recipe_of_shibboleth
    orphaned::fcgiwrap_finishes_its_script_when_the_manager_is_killed
    orphaned::fcgiwrap_finishes_its_script_when_only_the_manager_gets_term
    orphaned::a_script_is_killed_when_its_request_times_out
    supervised::fcgiwrap_loses_nothing
    supervised::programs_on_libfcgi_lose_nothing
    supervised::php_cgi_loses_nothing_without_keep_alive_connections
    supervised::php_cgi_finishes_its_request_only_at_term_and_usr1
    supervised::a_script_behind_fcgiwrap_has_the_environment_without_a_manager
    supervised::accept_returns_a_negative_errno_when_the_worker_must_exit
    threads::threads_that_accept_together_answer_as_on_libfcgi
    threads::threads_that_accept_one_at_a_time_answer_as_on_libfcgi
    threads::more_threads_than_clients_and_a_single_thread_answer_as_on_libfcgi
}

fn main() {
    in_turn::run(TESTS);
}

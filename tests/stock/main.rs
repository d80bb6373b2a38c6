//! Programs on stock libfcgi, as Debian ships them or built against its headers, with the drop-in in its place: what
//! they answer, how they leave, and what they cost. One test at a time, because some measure time; each prints what it
//! counted.

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
    cost::a_small_request_on_a_connection_of_its_own_costs_four_system_calls
    debian::fcgiwrap_runs_cgi_scripts
    debian::the_xs_module_of_perl_serves
    debian::the_extension_of_ruby_fcgi_serves
    debian::lua_wsapi_serves
    debian::iipsrv_serves_pictures
    debian::cgi_fcgi_connects_to_a_program
    exit_requests::ten_thousand_programs_asked_to_exit_at_random_answer_what_they_have
    recipes::the_environment_reaches_what_the_page_says
    recipes::every_recipe_of_the_page_is_run
    recipes::the_recipe_of_fcgiwrap
    recipes::the_recipe_of_iipimage
    recipes::the_recipe_of_mapcache
    recipes::the_recipe_of_mapserver
    recipes::the_recipe_of_php_cgi
    recipes::the_recipe_of_qgis_server
    recipes::the_recipe_of_shibboleth
    orphaned::fcgiwrap_finishes_its_script_when_the_manager_is_killed
    orphaned::fcgiwrap_finishes_its_script_when_only_the_manager_gets_term
    orphaned::a_request_that_times_out_takes_the_script_with_it
    supervised::fcgiwrap_loses_nothing
    supervised::programs_on_libfcgi_lose_nothing
    supervised::php_cgi_loses_nothing_where_connections_are_closed
    supervised::php_cgi_finishes_its_request_on_term_and_usr1_alone
    supervised::a_script_behind_fcgiwrap_sees_nothing_of_its_manager
    supervised::accept_returns_a_negative_errno_when_the_worker_has_to_exit
    threads::threads_that_accept_together_answer_as_on_libfcgi
    threads::threads_that_accept_one_at_a_time_answer_as_on_libfcgi
    threads::more_threads_than_clients_and_one_thread_alone_answer_as_on_libfcgi
}

fn main() {
    in_turn::run(TESTS);
}

//! Reloads of the program, one after another, while clients send requests.

use super::code::{Language, Preloaded, address_text};
use super::load::Load;
use super::peer::program::TRANSPORTS;

fn storm(language: Language, reloads: usize) {
    for transport in TRANSPORTS {
        for options in [&["-c", "8"][..], &["-c", "8", "--keep"]] {
            let mut preloaded = Preloaded::start(language, transport, &[]);
            let address = address_text(&preloaded.pool.program.address);
            let forever = ["-n", "100000000", "--expect", "worker"];
            let load = Load::start(&address, &[options, &forever[..]].concat());
            for round in 0..reloads {
                let word = format!("round-{round}");
                preloaded.reload(&word);
                // A broken one in between is not noticed by any client.
                if round % 10 == 5 {
                    preloaded.failed_reload("broken");
                }
            }
            let tally = load.stop();
            assert_eq!(tally.lost(), 0, "{language:?} {transport:?}: {tally:?}");
            println!(
                "measured: {reloads} reloads of the program, {language:?} {transport:?} {options:?}: {} requests, \
                 lost=0",
                tally.requests()
            );
            preloaded.stop();
        }
    }
}

#[test]
fn thirty_reloads_of_a_c_program_lose_nothing() {
    storm(Language::C, 30);
}

#[test]
fn thirty_reloads_of_a_perl_program_lose_nothing() {
    storm(Language::Perl, 30);
}

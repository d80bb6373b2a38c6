//! A harness that runs tests one at a time on the main thread, and shows their output.

/// Names the tests for [`run`].
macro_rules! tests {
    ($($name:ident)*) => {
        const TESTS: &[(&str, fn())] = &[$((stringify!($name), $name)),*];
    };
    ($($module:ident :: $name:ident)*) => {
        const TESTS: &[(&str, fn())] = &[$((stringify!($name), $module::$name)),*];
    };
}

/// Runs the tests that the command line selects, and exits. A filter is a part of a name. It ignores
/// `--exact` and other options of the standard harness.
pub(crate) fn run(tests: &[(&str, fn())]) -> ! {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let filter = arguments.iter().find(|a| !a.starts_with('-'));
    if arguments.iter().any(|a| a == "--list") {
        tests.iter().for_each(|(name, _)| println!("{name}: test"));
        std::process::exit(0);
    }
    let (mut passed, mut failed) = (0, 0);
    for (name, test) in tests {
        if filter.is_some_and(|filter| !name.contains(filter.as_str())) {
            continue;
        }
        let start = std::time::Instant::now();
        let is_ok = std::panic::catch_unwind(test).is_ok();
        let outcome = if is_ok { "ok" } else { "FAILED" };
        println!("test {name} ... {outcome} ({:.1?})", start.elapsed());
        if is_ok {
            passed += 1;
        } else {
            failed += 1;
        }
    }
    let verdict = if failed == 0 { "ok" } else { "FAILED" };
    println!("\ntest result: {verdict}. {passed} passed; {failed} failed");
    std::process::exit(i32::from(failed > 0));
}

//! A short run of the whole benchmark with two peers, not for its numbers.

use std::path::Path;
use std::process::Command;

use serde_json::Value;

#[test]
fn a_run_measures_each_peer_and_checks_the_bounds() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let out = tempfile::tempdir().unwrap();
    let run = Command::new(env!("CARGO_BIN_EXE_fcgipm-bench"))
        .args([
            "--scenario",
            "small",
            "--peers",
            "floor,fcgipm",
            "--rounds",
            "2",
            "--seconds",
            "0.1",
        ])
        .arg("--products")
        .arg(root.join("target/release"))
        .arg("--out")
        .arg(out.path())
        .output()
        .unwrap();
    let table = String::from_utf8_lossy(&run.stdout);
    let code = run.status.code();
    assert!(
        matches!(code, Some(0 | 1)),
        "{table}{}",
        String::from_utf8_lossy(&run.stderr)
    );

    let json = std::fs::read(out.path().join("results.json")).unwrap();
    let results: Value = serde_json::from_slice(&json).unwrap();
    assert!(results["machine"]["processors"].as_u64().unwrap() > 0);
    let case = &results["cases"][0];
    assert_eq!(
        (&case["id"], &case["workers"]),
        (&"small".into(), &2.into())
    );
    let peers = case["peers"].as_array().unwrap();
    assert_eq!(peers.len(), 2);
    for peer in peers {
        assert_eq!(peer["rounds"].as_array().unwrap().len(), 2, "{peer}");
        assert_eq!(peer["lost"], 0);
        for name in [
            "requests", "rate", "cpu_us", "load_us", "p50_us", "p99_us", "p999_us",
        ] {
            assert!(
                peer["median"][name].as_f64().unwrap() > 0.0,
                "{name}: {peer}"
            );
        }
        assert!(peer["resident_kib"].as_f64() >= peer["proportional_kib"].as_f64());
        assert!(peer["proportional_kib"].as_f64().unwrap() > 0.0);
        // accept4, recv, send, close: for both of them.
        let calls = peer["syscalls"]["all"].as_f64().unwrap();
        assert!((calls - 4.0).abs() < 0.05, "{peer}");
        assert!(peer["instructions"].as_f64().unwrap() > 10.0, "{peer}");
    }
    let bounds = results["bounds"].as_array().unwrap();
    let measures: Vec<_> = bounds.iter().map(|bound| &bound["measure"]).collect();
    assert_eq!(measures, ["requests/s", "cpu/request"]);
    let is_met = bounds.iter().all(|bound| bound["met"] == true);
    let budgets = results["budgets"].as_array().unwrap();
    assert_eq!(budgets.len(), 1, "{budgets:?}");
    let is_cheap = budgets[0]["met"] == true;
    assert_eq!(code, Some(i32::from(!(is_met && is_cheap))));
    assert!(
        table.contains(if is_met { "0 missed" } else { "MISSED" }),
        "{table}"
    );

    let plot = std::fs::read_to_string(out.path().join("benchmark.svg")).unwrap();
    assert!(plot.starts_with("<svg") && plot.contains("requests per second"));
}

#[test]
fn an_unknown_scenario_is_an_error_that_lists_the_existing_ones() {
    let run = Command::new(env!("CARGO_BIN_EXE_fcgipm-bench"))
        .args(["--scenario", "smal"])
        .output()
        .unwrap();
    assert_eq!(run.status.code(), Some(2));
    let errors = String::from_utf8_lossy(&run.stderr);
    assert!(
        errors.contains("'smal'") && errors.contains("small, kept"),
        "{errors}"
    );
}

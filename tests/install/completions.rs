//! Completions in the shells themselves.

use std::process::Command;

use super::tree::{at, said};

#[test]
fn bash_completes_subcommands_and_options() {
    let script = r#"
        source "$0"
        complete -p fcgipm
        for words in 'fcgipm sta' 'fcgipm run --max-req'; do
            COMP_WORDS=($words) COMP_CWORD=$((${#COMP_WORDS[@]} - 1)) COMPREPLY=()
            _fcgipm fcgipm "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD - 1]}"
            echo "${COMPREPLY[@]}"
        done"#;
    let mut bash = Command::new("bash");
    bash.args(["--norc", "-ec", script]);
    let said = said(bash.arg(at("share/bash-completion/completions/fcgipm")));
    let lines: Vec<_> = said.lines().collect();
    assert!(
        lines[0].ends_with("_fcgipm -o nosort -o bashdefault -o default fcgipm")
            || lines[0].ends_with(" fcgipm"),
        "{said}"
    );
    assert_eq!(
        lines[1..],
        ["status", "--max-requests --max-requests-jitter"]
    );
}

#[test]
fn zsh_loads_the_function_by_its_name() {
    let script = r#"
        fpath=("$0" $fpath)
        autoload -Uz compinit && compinit -D -u
        [[ ${_comps[fcgipm]} == _fcgipm ]] || exit 3
        autoload +X _fcgipm
        functions _fcgipm | grep -c -e '--max-requests-jitter='"#;
    let mut zsh = Command::new("zsh");
    zsh.args(["-f", "-ec", script]);
    let said = said(zsh.arg(at("share/zsh/site-functions")));
    assert_eq!(said.trim(), "1");
}

#[test]
fn fish_completes_subcommands_and_options() {
    let file = at("share/fish/vendor_completions.d/fcgipm.fish");
    let mut fish = Command::new("fish");
    fish.env("HOME", env!("CARGO_TARGET_TMPDIR"));
    fish.args(["--no-config", "-c"]).arg(format!(
        "source {}; complete -C 'fcgipm sta'; complete -C 'fcgipm run --max-requests-'",
        file.display()
    ));
    let said = said(&mut fish);
    let lines: Vec<_> = said.lines().collect();
    assert_eq!(lines.len(), 2, "{said}");
    assert!(lines[0].starts_with("status\tShow what"), "{said}");
    assert!(lines[1].starts_with("--max-requests-jitter\t"), "{said}");
}

//! The machine and the versions of the measured programs.

use std::fs;
use std::process::Command;

use serde::Serialize;

use crate::peer::Places;

/// The machine and the versions.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Machine {
    pub(crate) date: String,
    pub(crate) processor: String,
    pub(crate) processors: usize,
    pub(crate) kernel: String,
    pub(crate) system: String,
    pub(crate) virtualised: bool,
    /// Name and version.
    pub(crate) versions: Vec<(String, String)>,
}

impl Machine {
    pub(crate) fn here(places: &Places) -> Self {
        let read = |path| fs::read_to_string(path).unwrap_or_default();
        let cpu = read("/proc/cpuinfo");
        let release = read("/etc/os-release");
        let git = Command::new("git")
            .arg("-C")
            .arg(&places.root)
            .args(["describe", "--always", "--dirty"])
            .output();
        let commit = git.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned());
        let mut versions = vec![(
            "fcgipm".to_owned(),
            format!(
                "{} ({})",
                env!("CARGO_PKG_VERSION"),
                commit.unwrap_or_default()
            ),
        )];
        let packages = [
            "libfcgi0ldbl",
            "libfcgi-perl",
            "libfcgi-procmanager-perl",
            "perl",
            "libffi-platypus-perl",
            "php8.2-fpm",
            "gcc",
            "libc6",
        ];
        for package in packages {
            if let Some(version) = installed(package) {
                versions.push((package.to_owned(), version));
            }
        }
        if let Some(version) = output_of("rustc", &["--version"]) {
            versions.push((
                "rustc".to_owned(),
                version.split(' ').nth(1).unwrap_or_default().to_owned(),
            ));
        }
        Self {
            date: output_of("date", &["-u", "+%Y-%m-%d %H:%M UTC"]).unwrap_or_default(),
            processor: after(&cpu, "model name", ':')
                .unwrap_or_else(|| std::env::consts::ARCH.to_owned()),
            processors: std::thread::available_parallelism().map_or(1, usize::from),
            kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
            system: after(&release, "PRETTY_NAME", '=')
                .unwrap_or_default()
                .trim_matches('"')
                .to_owned(),
            virtualised: cpu.split_whitespace().any(|flag| flag == "hypervisor"),
            versions,
        }
    }

    /// One line.
    pub(crate) fn line(&self) -> String {
        let kind = if self.virtualised { " (virtual)" } else { "" };
        format!(
            "{} x {}{kind}, Linux {}, {}, {}",
            self.processors, self.processor, self.kernel, self.system, self.date
        )
    }

    pub(crate) fn versions_line(&self) -> String {
        let versions: Vec<String> = self
            .versions
            .iter()
            .map(|(name, version)| format!("{name} {version}"))
            .collect();
        versions.join(", ")
    }
}

fn output_of(program: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program).args(arguments).output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    (output.status.success() && !text.is_empty()).then_some(text)
}

fn installed(package: &str) -> Option<String> {
    output_of("dpkg-query", &["-W", "-f=${Version}", package])
}

/// The text after a key, on the first line that begins with it.
fn after(text: &str, key: &str, separator: char) -> Option<String> {
    let line = text.lines().find(|line| line.starts_with(key))?;
    line.split_once(separator)
        .map(|(_, value)| value.trim().to_owned())
}

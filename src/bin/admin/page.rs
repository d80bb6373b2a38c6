//! The status page: one file, with its script and its style.

use std::fs::File;
use std::io::{self, Read as _};

const PAGE: &str = concat!(
    include_str!("page/head.html"),
    "<style nonce=\"NONCE\">\n",
    include_str!("page/style.css"),
    "</style>\n",
    include_str!("page/body.html"),
    "<script nonce=\"NONCE\">\n\"use strict\";\n(() => {\n",
    include_str!("page/text.js"),
    include_str!("page/chart.js"),
    include_str!("page/workers.js"),
    include_str!("page/pool.js"),
    include_str!("page/script.js"),
    "})();\n</script>\n</body>\n</html>\n"
);

/// The page, and the Content-Security-Policy under which only its own script and style work.
pub(super) fn with_nonce() -> io::Result<(String, String)> {
    let mut random = [0; 16];
    File::open("/dev/urandom")?.read_exact(&mut random)?;
    let nonce: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
    let policy = format!(
        "default-src 'none'; script-src 'nonce-{nonce}'; style-src 'nonce-{nonce}'; \
         connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; \
         frame-ancestors 'none'"
    );
    Ok((PAGE.replace("NONCE", &nonce), policy))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_has_no_foreign_resources_and_inserts_only_text() {
        let (page, policy) = with_nonce().unwrap();
        assert!(!policy.contains("unsafe"));
        for wrong in [
            "http:",
            "https:",
            "src=",
            "innerHTML",
            "outerHTML",
            "insertAdjacent",
            "document.write",
            "eval(",
            "style=",
            "onclick",
            "NONCE",
        ] {
            assert!(!page.contains(wrong), "{wrong}");
        }
        assert_eq!(page.matches("nonce=\"").count(), 2);
        assert_ne!(page, with_nonce().unwrap().0);
    }
}

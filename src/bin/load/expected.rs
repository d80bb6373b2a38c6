//! The expected response, and the search for a text in bytes that arrive in pieces. Pure.

/// The expected response.
#[derive(Debug)]
pub(crate) struct Expected {
    pub(crate) status: u16,
    /// The response to a HEAD request announces a body that is not sent.
    pub(crate) bodiless: bool,
    text: Option<Pattern>,
}

/// A text and the failure function of Knuth, Morris and Pratt: for each prefix, the longest proper
/// prefix that is also its suffix. So a match can continue across pieces.
#[derive(Debug)]
struct Pattern {
    text: Vec<u8>,
    fallback: Vec<usize>,
}

/// The search in one response.
#[derive(Debug, Default)]
pub(crate) struct Search {
    matched: usize,
    found: bool,
}

impl Expected {
    pub(crate) fn new(status: u16, bodiless: bool, text: Option<&str>) -> Self {
        Self {
            status,
            bodiless,
            text: text.map(|text| Pattern::new(text.as_bytes())),
        }
    }
}

impl Pattern {
    fn new(text: &[u8]) -> Self {
        let mut pattern = Self {
            text: text.to_vec(),
            fallback: vec![0; text.len()],
        };
        let mut matched = 0;
        for (at, &byte) in text.iter().enumerate().skip(1) {
            matched = pattern.step(matched, byte);
            if let Some(fallback) = pattern.fallback.get_mut(at) {
                *fallback = matched;
            }
        }
        pattern
    }

    /// The length of the match after this byte.
    fn step(&self, mut matched: usize, byte: u8) -> usize {
        loop {
            if self.text.get(matched) == Some(&byte) {
                return matched + 1;
            }
            if matched == 0 {
                return 0;
            }
            matched = self.fallback.get(matched - 1).copied().unwrap_or(0);
        }
    }
}

impl Search {
    /// The next bytes of the response.
    pub(crate) fn push(&mut self, piece: &[u8], expected: &Expected) {
        let Some(pattern) = expected.text.as_ref().filter(|_| !self.found) else {
            return;
        };
        for &byte in piece {
            self.matched = pattern.step(self.matched, byte);
            if self.matched == pattern.text.len() {
                self.found = true;
                return;
            }
        }
    }

    pub(crate) const fn is_satisfied(&self, expected: &Expected) -> bool {
        self.found || expected.text.is_none()
    }
}

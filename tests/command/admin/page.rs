//! The status page in a real browser.

mod accessible;
mod browser;
mod canned;
mod hostile;
mod live;
mod readers;
mod screenshots;

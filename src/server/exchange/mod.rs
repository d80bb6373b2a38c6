//! One request on one connection.

pub(in crate::server) mod forked;
mod input;
mod output;
mod params;
mod scatter;
#[cfg(test)]
mod tests_input;

//! Programs on stock libfcgi, as Debian ships them or built against its headers, with the drop-in in its place: what
//! they answer, how they leave, and what they cost.

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
mod leaving;
#[allow(dead_code)]
#[path = "../storms/load.rs"]
mod load;
mod side;
mod supervised;
mod threads;

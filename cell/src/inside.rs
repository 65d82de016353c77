//! What is started in a container for people who are let in by [`crate::ssh`], and to look at it:
//! the program that is its init as well, so that the image needs nothing for that.

use lattice_shim_protocol::program::{CONNECT, INSIDE, NOTHING, PATH_INSIDE, SFTP};

/// Starts something inside that ends at once.
pub(crate) fn nothing() -> Vec<String> {
    [PATH_INSIDE, INSIDE, NOTHING].map(str::to_owned).to_vec()
}

/// Starts the file server inside.
pub(crate) fn sftp() -> Vec<String> {
    [PATH_INSIDE, INSIDE, SFTP].map(str::to_owned).to_vec()
}

/// Starts a connection from inside.
pub(crate) fn connect(host: &str, port: u16) -> Vec<String> {
    let port = port.to_string();
    [PATH_INSIDE, INSIDE, CONNECT, host, &port].map(str::to_owned).to_vec()
}

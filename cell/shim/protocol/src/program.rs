//! What the program `lattice-shim` is told to be by its first argument, and where it is shown in
//! containers. An upgraded cell says these words to the program of the version before, which its
//! older containers have, so that they are as much of the protocol as its frames are.

/// The process that makes and holds the container of the directory that follows.
pub const SHIM: &str = "shim";
/// The OCI runtime, for one command; `runc`'s words follow.
pub const OCI: &str = "oci";
/// PID 1 of a container.
pub const INIT: &str = "init";
/// What serves people who are let into a container; one of [`NOTHING`], [`SFTP`] and [`CONNECT`]
/// follows.
pub const INSIDE: &str = "inside";

/// Where the program is in a container.
pub const PATH_INSIDE: &str = "/.lattice/init";

/// Does nothing, well: the cell wants to know whether it can start something.
pub const NOTHING: &str = "nothing";
/// Serves files on its standard streams, as SSH's subsystem of that name.
pub const SFTP: &str = "sftp";
/// Connects its standard streams to the host and port that follow.
pub const CONNECT: &str = "connect";
/// What [`CONNECT`] says first once it is connected.
pub const CONNECTED: u8 = b'+';

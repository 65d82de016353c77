//! What this program does inside a container for people who are let in by [`crate::ssh`]: it
//! carries files and connections. It is started there like every other process, so that it sees the
//! container's files and network, no others, and has its limits; the image needs nothing for that.

mod connect;
mod sftp;

use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::os::fd::BorrowedFd;
use std::process::ExitCode;

use crate::runtime::init;

/// The first argument of this program when it is started for this.
pub const ARGUMENT: &str = "inside";
/// What [`CONNECT`] says first once it is connected.
pub const CONNECTED: u8 = b'+';

/// Does nothing, well: the cell wants to know whether it can start something.
const NOTHING: &str = "nothing";
/// Serves files on its standard streams, as SSH's subsystem of that name.
const SFTP: &str = "sftp";
/// Connects its standard streams to a host and port.
const CONNECT: &str = "connect";

/// Starts something inside that ends at once.
pub(crate) fn nothing() -> Vec<String> {
    [init::PATH_INSIDE, ARGUMENT, NOTHING].map(str::to_owned).to_vec()
}

/// Starts the file server inside.
pub(crate) fn sftp() -> Vec<String> {
    [init::PATH_INSIDE, ARGUMENT, SFTP].map(str::to_owned).to_vec()
}

/// Starts a connection from inside.
pub(crate) fn connect(host: &str, port: u16) -> Vec<String> {
    let port = port.to_string();
    [init::PATH_INSIDE, ARGUMENT, CONNECT, host, &port].map(str::to_owned).to_vec()
}

/// Does what the words say, on the standard streams.
pub fn run(words: impl Iterator<Item = OsString>) -> ExitCode {
    let words: Vec<String> = words.map(|word| word.to_string_lossy().into_owned()).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let outcome = match words.as_slice() {
        [NOTHING] => Ok(()),
        [SFTP] => streams().and_then(|(input, output)| sftp::serve(input, output)),
        [CONNECT, host, port] => connect::run(host, port),
        _ => Err(io::Error::other("this is started by the platform itself")),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => complain(&why),
    }
}

/// The standard streams as they are: what is written is gone at once.
fn streams() -> io::Result<(File, File)> {
    let own = |stream: BorrowedFd<'static>| stream.try_clone_to_owned().map(File::from);
    Ok((own(rustix::stdio::stdin())?, own(rustix::stdio::stdout())?))
}

#[allow(clippy::print_stderr, reason = "it reaches the person who was let in")]
fn complain(why: &io::Error) -> ExitCode {
    eprintln!("{why}");
    ExitCode::FAILURE
}

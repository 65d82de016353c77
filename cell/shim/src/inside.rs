//! What this program does inside a container for people who are let in by SSH: it
//! carries files and connections. It is started there like every other process, so that it sees the
//! container's files and network, no others, and has its limits; the image needs nothing for that.

mod connect;
mod sftp;

use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::os::fd::BorrowedFd;
use std::process::ExitCode;

use lattice_shim_protocol::program::{CONNECT, NOTHING, SFTP};

/// Does what the words say, on the standard streams.
pub(crate) fn run(words: impl Iterator<Item = OsString>) -> ExitCode {
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

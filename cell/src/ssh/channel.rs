//! One channel: what is asked for first, then what goes to and fro until the process ends or whoever
//! asked for it goes.

use std::time::Duration;

use lattice_model::action::EnvVar;
use lattice_model::desired_lrp::StopSignal;
use lattice_shim_protocol::program::CONNECTED;
use russh::server::{ChannelOpenHandle, Handle, Msg};
use russh::{Channel, ChannelMsg, ChannelOpenFailure, ChannelReadHalf, ChannelWriteHalf, Sig};
use tokio::io::{AsyncRead, AsyncReadExt as _};

use super::guest::{Guest, Manner, Program};
use super::input::{STALL_MAX, Stalled, WAITING_BYTES_MAX, input};
use crate::runtime::{Attached, ExitStatus, RuntimeError, Signal, WindowSize};

/// The most variables that a client adds, and the longest.
const VARIABLES_MAX: usize = 64;
const VARIABLE_BYTES_MAX: usize = 4 << 10;
/// How much is read of a process at once, in bytes.
const READ_BYTES: usize = 16 << 10;
/// How long a process's output is read on after its end: a child of it may hold the pipe.
const DRAIN_PATIENCE: Duration = Duration::from_secs(1);
/// How long a client that takes no output is tried to be told why there is no more.
const FAREWELL_MAX: Duration = Duration::from_secs(5);
/// Which stream of a channel is standard error.
const STDERR: u32 = 1;
/// What a shell says of what cannot be started, and of what is not there.
const NOT_EXECUTABLE: u32 = 126;
const NOT_FOUND: u32 = 127;
/// What is said of a process whose end nobody knows.
const UNKNOWN: u32 = 255;

/// The channel's write side.
type Towards = ChannelWriteHalf<Msg>;

/// A session: answers requests until one of them is to start something, and then sees to that.
pub(super) async fn serve(mut channel: Channel<Msg>, replies: Handle, guest: &Guest) {
    let id = channel.id();
    let mut manner = Manner::default();
    let program = loop {
        let Some(message) = channel.wait().await else { return };
        let is_well = match message {
            ChannelMsg::RequestPty { term, col_width, row_height, .. } => {
                manner.terminal = Some((term, size(col_width, row_height)));
                true
            }
            ChannelMsg::SetEnv { variable_name, variable_value, .. } => {
                add_variable(&mut manner.env, variable_name, variable_value)
            }
            ChannelMsg::RequestShell { .. } => break Program::Shell,
            ChannelMsg::Exec { command, .. } => {
                break Program::Command(String::from_utf8_lossy(&command).into_owned());
            }
            ChannelMsg::RequestSubsystem { name, .. } if name == "sftp" => break Program::Files,
            ChannelMsg::RequestSubsystem { .. }
            | ChannelMsg::RequestX11 { .. }
            | ChannelMsg::AgentForward { .. } => false,
            ChannelMsg::Close => return,
            _ => continue,
        };
        // Whether an answer is wanted is known to the library.
        let replied = match is_well {
            true => replies.channel_success(id).await,
            false => replies.channel_failure(id).await,
        };
        if replied.is_err() {
            return;
        }
    };
    if replies.channel_success(id).await.is_err() {
        return;
    }
    let (from, towards) = channel.split();
    let status = match guest.start(&program, &manner).await {
        Ok(attached) => converse(attached, from, &towards).await,
        Err(error) => {
            // Nobody listens any more to what the client says.
            drop(from);
            Some(tell_failure(&error, &towards).await)
        }
    };
    if let Some(status) = status {
        // One that has gone needs no farewell.
        let _ = towards.exit_status(status).await;
        let _ = towards.eof().await;
        let _ = towards.close().await;
    }
}

/// A connection from inside; the channel is open once it stands.
pub(super) async fn connect(
    mut channel: Channel<Msg>,
    reply: ChannelOpenHandle,
    guest: &Guest,
    (host, port): (String, u16),
) {
    let program = Program::Connection(host, port);
    let mut attached = match guest.start(&program, &Manner::default()).await {
        Ok(attached) => attached,
        Err(error) => {
            tracing::info!(%error, "no connection could be made from inside");
            return reply.reject(ChannelOpenFailure::ConnectFailed).await;
        }
    };
    let answer = tokio::select! {
        answer = attached.output.read_u8() => answer.ok(),
        // Nothing is said on a channel that is not open: whoever wanted it has gone.
        _ = channel.wait() => return,
    };
    if answer != Some(CONNECTED) {
        return reply.reject(ChannelOpenFailure::ConnectFailed).await;
    }
    reply.accept().await;
    let (from, towards) = channel.split();
    if converse(attached, from, &towards).await.is_some() {
        let _ = towards.eof().await;
        let _ = towards.close().await;
    }
}

/// Carries everything both ways until the process ends, and says how; `None` when the other side
/// went first. The process goes with its handles.
async fn converse(attached: Attached, from: ChannelReadHalf, towards: &Towards) -> Option<u32> {
    let Attached { input: stream, output, errors, resize, control } = attached;
    let (mut input, feed) = input(stream, resize.is_some());
    let heard = async {
        let mut from = from;
        while let Some(message) = from.wait().await {
            match message {
                ChannelMsg::Data { data } => input.write(data).await?,
                ChannelMsg::Eof => input.end().await?,
                ChannelMsg::WindowChange { col_width, row_height, .. } => {
                    if let Some(resize) = &resize {
                        resize(size(col_width, row_height));
                    }
                }
                ChannelMsg::Signal { signal } => {
                    if let Some(signal) = signal_of(&signal) {
                        // One that has ended needs no signal.
                        let _ = control.signal(signal).await;
                    }
                }
                ChannelMsg::Close => break,
                _ => {}
            }
        }
        Ok::<(), Stalled>(())
    };
    let said = async {
        let errors = async {
            if let Some(errors) = errors {
                carry(errors, towards, Some(STDERR)).await;
            }
        };
        let all = async { tokio::join!(carry(output, towards, None), errors) };
        tokio::pin!(all);
        let status = tokio::select! {
            status = control.wait() => {
                let _ = tokio::time::timeout(DRAIN_PATIENCE, all).await;
                status
            }
            _ = &mut all => control.wait().await,
        };
        exit_status(status)
    };
    let fed = async {
        feed.run().await;
        // It may say something all the same.
        std::future::pending().await
    };
    tokio::select! {
        gone = heard => match gone {
            Ok(()) => None,
            Err(Stalled) => Some(tell_stall(towards).await),
        },
        status = said => Some(status),
        never = fed => never,
    }
}

async fn carry(mut from: Box<dyn AsyncRead + Send + Unpin>, towards: &Towards, kind: Option<u32>) {
    let mut bytes = vec![0; READ_BYTES];
    while let Ok(count @ 1..) = from.read(&mut bytes).await {
        let piece = bytes[..count].to_vec();
        let sent = match kind {
            None => towards.data_bytes(piece).await,
            Some(kind) => towards.extended_data_bytes(kind, piece).await,
        };
        if sent.is_err() {
            return;
        }
    }
}

/// Says something on standard error, to a client that takes it.
async fn complain(words: &str, towards: &Towards) {
    let words = format!("{words}\r\n").into_bytes();
    // One that does not take it needs none.
    let _ = tokio::time::timeout(FAREWELL_MAX, towards.extended_data_bytes(STDERR, words)).await;
}

/// Tells why a process was ended that others would wait for.
async fn tell_stall(towards: &Towards) -> u32 {
    let (seconds, kib) = (STALL_MAX.as_secs(), WAITING_BYTES_MAX >> 10);
    let words = format!(
        "the process was ended: for {seconds} s it has read nothing, with {kib} KiB before it; \
         give it its input in a file"
    );
    complain(&words, towards).await;
    UNKNOWN
}

/// Tells why nothing was started, and with what status a shell would.
async fn tell_failure(error: &RuntimeError, towards: &Towards) -> u32 {
    complain(&error.to_string(), towards).await;
    match error {
        RuntimeError::NotExecutable { .. } => NOT_FOUND,
        RuntimeError::Failed { .. } | RuntimeError::Unavailable(_) | RuntimeError::NotFound(_) => {
            NOT_EXECUTABLE
        }
    }
}

/// Who someone is they cannot say themselves.
fn add_variable(env: &mut Vec<EnvVar>, name: String, value: String) -> bool {
    let is_ours = name.is_empty() || ["HOME", "USER"].contains(&name.as_str());
    let is_odd = name.contains(['=', '\0']) || value.contains('\0');
    let is_too_much = env.len() >= VARIABLES_MAX || name.len() + value.len() > VARIABLE_BYTES_MAX;
    let is_well = !is_ours && !is_odd && !is_too_much;
    if is_well {
        env.push(EnvVar { name, value });
    }
    is_well
}

fn size(columns: u32, rows: u32) -> WindowSize {
    let cut = |n: u32| u16::try_from(n).unwrap_or(u16::MAX);
    WindowSize { columns: cut(columns), rows: cut(rows) }
}

fn signal_of(signal: &Sig) -> Option<Signal> {
    match signal {
        Sig::HUP => Some(Signal::Stop(StopSignal::Sighup)),
        Sig::INT => Some(Signal::Stop(StopSignal::Sigint)),
        Sig::QUIT => Some(Signal::Stop(StopSignal::Sigquit)),
        Sig::TERM => Some(Signal::Stop(StopSignal::Sigterm)),
        Sig::USR1 => Some(Signal::Stop(StopSignal::Sigusr1)),
        Sig::KILL => Some(Signal::Kill),
        _ => None,
    }
}

fn exit_status(status: ExitStatus) -> u32 {
    u32::try_from(status.code).unwrap_or(UNKNOWN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_cannot_say_who_it_is_nor_say_too_much() {
        let mut env = Vec::new();
        for (name, value, is_well) in [
            ("LC_ALL", "C", true),
            ("HOME", "/", false),
            ("USER", "root", false),
            ("", "x", false),
            ("A=B", "x", false),
            ("A", "x\0y", false),
            ("A", &*"x".repeat(VARIABLE_BYTES_MAX), false),
        ] {
            assert_eq!(add_variable(&mut env, name.into(), value.into()), is_well, "{name}");
        }
        let rest = (0..).take_while(|n| add_variable(&mut env, format!("V{n}"), "x".into()));
        assert_eq!(rest.count(), VARIABLES_MAX - 1);
    }

    #[test]
    fn a_lost_process_has_a_status_all_the_same() {
        assert_eq!(exit_status(ExitStatus { code: 3, out_of_memory: false }), 3);
        assert_eq!(exit_status(ExitStatus::LOST), UNKNOWN);
    }
}

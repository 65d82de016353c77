//! Those who held containers before this cell began: of the version before, or of another boot.

use std::fs;
use std::io::{self, Read as _, Write as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::process::Command;
use std::thread;

use lattice_cell::runtime::oci::Engine;
use lattice_cell::runtime::{ContainerId, Runtime as _, Signal};
use lattice_shim_protocol::{Answer, Frames, Request, SOCKET, STAMP, Stamp};

use crate::contract::{read_all, spec};
use crate::machine::Machine;
use crate::real::{InPath as _, shell};

#[tokio::test]
async fn what_a_process_of_the_version_before_holds_is_taken_over() {
    let machine = Machine::with(Engine::Embedded);
    let id = ContainerId::new("elder");
    let first = machine.runtime();
    first.create(machine.blueprint("elder")).await.unwrap();
    let words = shell("echo ready; trap 'exit 9' TERM; while true; do sleep 0.1; done");
    let mut talker = spec(&words.iter().map(String::as_str).collect::<Vec<_>>()).in_path();
    talker.keep_as = Some("talker".to_owned());
    drop(first.exec(&id, talker.clone()).await.unwrap());
    drop(first);
    speak_version_1(&machine.path("data/containers/elder"));

    let after = machine.runtime();
    after.adopt(&id, false).await.unwrap();
    let mut talker = after.exec(&id, talker).await.unwrap();
    assert_eq!(talker.stdout.next().await.unwrap().bytes, b"ready\n");
    let mut new = after.exec(&id, spec(&["/bin/echo", "new"])).await.unwrap();
    assert_eq!(read_all(&mut new.stdout).await, "new\n");
    let attached = after.attach(&id, spec(&["/bin/true"]), None).await.err().unwrap().to_string();
    assert!(attached.contains("which can attach nobody; restart the instance"), "{attached}");
    talker.control.signal(Signal::TERMINATE).await.unwrap();
    assert_eq!(talker.control.wait().await.code, 9);
    after.delete(&id).await.unwrap();
    assert_eq!(after.list().await.unwrap(), []);
}

#[tokio::test]
async fn who_has_the_number_of_a_holder_of_another_boot_or_of_an_earlier_process_is_left_alone() {
    let machine = Machine::with(Engine::Embedded);
    let mut stranger = Command::new("/bin/sleep").arg("1000").spawn().unwrap();
    let pid = i32::try_from(stranger.id()).unwrap();
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let began = stat.rsplit_once(") ").unwrap().1.split(' ').nth(19).unwrap().parse().unwrap();
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap().trim().to_owned();
    let another = "00000000-0000-0000-0000-000000000000".to_owned();
    for (name, stamp) in [
        ("boot", Stamp { pid, began, boot: another }),
        ("number", Stamp { pid, began: began - 1, boot }),
    ] {
        let runtime = machine.runtime();
        let id = ContainerId::new(name);
        runtime.create(machine.blueprint(name)).await.unwrap();
        let own = machine.path("data/containers").join(name).join(STAMP);
        let holder = Stamp::parse(&fs::read_to_string(&own).unwrap()).unwrap();
        fs::write(&own, stamp.print()).unwrap();
        let refused = runtime.adopt(&id, false).await.expect_err("nobody of this boot holds it");
        assert!(refused.to_string().contains(name), "{refused}");
        runtime.delete(&id).await.unwrap();
        assert_eq!(stranger.try_wait().unwrap(), None, "{name}: it was ended");
        // Whose stamp was lost is this test's to end.
        let _ = Command::new("kill").args(["-9", &holder.pid.to_string()]).output().unwrap();
    }
    stranger.kill().unwrap();
    stranger.wait().unwrap();
}

/// Stands before the process that holds the container of `dir`, and lets nothing through that is not
/// of version 1.
fn speak_version_1(dir: &Path) {
    let (socket, behind) = (dir.join(SOCKET), dir.join("behind.sock"));
    fs::rename(&socket, &behind).unwrap();
    let listener = UnixListener::bind(&socket).unwrap();
    thread::spawn(move || {
        for cell in listener.incoming() {
            let (cell, holder) = (cell.unwrap(), UnixStream::connect(&behind).unwrap());
            let (cells, holders) = (cell.try_clone().unwrap(), holder.try_clone().unwrap());
            thread::spawn(move || carry_requests(cells, holders));
            thread::spawn(move || carry_answers(holder, cell));
        }
    });
}

fn carry_requests(mut cell: UnixStream, mut holder: UnixStream) {
    carry(&mut cell, &mut |frame| {
        let mut bytes = Vec::new();
        match Request::decode(&frame).unwrap() {
            Request::Hello { oldest, newest } => {
                assert!((oldest..=newest).contains(&1), "{oldest} to {newest}");
                Request::Hello { oldest: 1, newest: 1 }.encode(&mut bytes);
            }
            Request::Attach { .. } => panic!("version 1 has no such request"),
            request => request.encode(&mut bytes),
        }
        holder.write_all(&bytes)
    });
    let _ = holder.shutdown(std::net::Shutdown::Both);
}

fn carry_answers(mut holder: UnixStream, mut cell: UnixStream) {
    carry(&mut holder, &mut |frame| {
        let mut bytes = Vec::new();
        Answer::decode(&frame).unwrap().encode(&mut bytes);
        cell.write_all(&bytes)
    });
    let _ = cell.shutdown(std::net::Shutdown::Both);
}

/// Until one of both hangs up.
fn carry(from: &mut UnixStream, give: &mut dyn FnMut(Vec<u8>) -> io::Result<()>) {
    let (mut frames, mut bytes) = (Frames::default(), [0; 4096]);
    while let Ok(count @ 1..) = from.read(&mut bytes) {
        frames.push(&bytes[..count]);
        while let Some(frame) = frames.take().unwrap() {
            if give(frame).is_err() {
                return;
            }
        }
    }
}

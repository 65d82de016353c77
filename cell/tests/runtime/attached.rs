//! Processes whose input and output are the caller's, on every engine.

use std::time::Duration;

use lattice_cell::runtime::oci::{Engine, OciRuntime};
use lattice_cell::runtime::{
    Attached, ContainerId, ProcessSpec, Runtime, RuntimeError, Signal, WindowSize,
};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};

use crate::contract::{PATIENCE, spec};
use crate::machine::Machine;
use crate::real::{InPath as _, shell};

const SIZE: WindowSize = WindowSize { columns: 77, rows: 11 };

async fn container(machine: &Machine) -> (OciRuntime, ContainerId) {
    let (runtime, blueprint) = (machine.runtime(), machine.blueprint("attached"));
    let id = blueprint.id.clone();
    runtime.create(blueprint).await.unwrap_or_else(|e| panic!("{e}"));
    (runtime, id)
}

fn script(text: &str) -> ProcessSpec {
    let argv = shell(text);
    spec(&argv.iter().map(String::as_str).collect::<Vec<_>>()).in_path()
}

async fn read_all(stream: &mut (impl AsyncRead + Unpin)) -> String {
    let mut text = String::new();
    let read = tokio::time::timeout(PATIENCE, stream.read_to_string(&mut text)).await;
    read.expect("the stream has an end").unwrap();
    text
}

/// Reads until all of this has been said.
async fn until(attached: &mut Attached, wanted: &[&str]) -> String {
    let mut said = Vec::new();
    let lacks = |said: &[u8]| {
        let said = String::from_utf8_lossy(said).into_owned();
        wanted.iter().any(|wanted| !said.contains(wanted))
    };
    let read = async {
        while lacks(&said) {
            let count = attached.output.read_buf(&mut said).await.unwrap();
            assert!(count > 0, "it ended: {}", String::from_utf8_lossy(&said));
        }
    };
    let read = tokio::time::timeout(PATIENCE, read).await;
    let said = String::from_utf8_lossy(&said).into_owned();
    read.unwrap_or_else(|_| panic!("{wanted:?} was never said: {said:?}"));
    said
}

#[tokio::test]
async fn a_process_reads_what_its_caller_writes_and_both_see_each_others_end() {
    for engine in Engine::ALL {
        let machine = Machine::with(engine);
        let (runtime, id) = container(&machine).await;
        let mut attached =
            runtime.attach(&id, script("cat; echo done >&2; exit 7"), None).await.unwrap();
        attached.input.write_all(b"hello\n").await.unwrap();
        until(&mut attached, &["hello\n"]).await;
        drop(attached.input);
        assert_eq!(read_all(&mut attached.output).await, "", "{engine:?}");
        assert_eq!(read_all(&mut attached.errors.unwrap()).await, "done\n");
        assert_eq!(attached.control.wait().await.code, 7);
        runtime.delete(&id).await.unwrap();
    }
}

#[tokio::test]
async fn a_terminal_has_a_size_that_changes_and_signals_come_from_its_keys() {
    for engine in Engine::ALL {
        let machine = Machine::with(engine);
        let (runtime, id) = container(&machine).await;
        let program = "trap 'echo resized; stty size' WINCH; tty; stty size; echo ready; \
                       while true; do read line && echo got $line; done";
        let mut attached = runtime.attach(&id, script(program), Some(SIZE)).await.unwrap();
        let said = until(&mut attached, &["ready"]).await;
        assert!(said.contains("/dev/pts/") && said.contains("11 77"), "{engine:?}: {said:?}");
        assert!(attached.errors.is_none(), "a terminal carries both");
        attached.resize.as_ref().unwrap()(WindowSize { columns: 100, rows: 50 });
        attached.input.write_all(b"word\n").await.unwrap();
        until(&mut attached, &["got word", "50 100"]).await;
        attached.input.write_all(&[3]).await.unwrap();
        let status = tokio::time::timeout(PATIENCE, attached.control.wait()).await.unwrap();
        assert_eq!(status.code, 130, "{engine:?}");
        runtime.delete(&id).await.unwrap();
        let left = std::fs::read_dir(machine.path("data/containers")).unwrap().count();
        assert_eq!(left, 0);
    }
}

#[tokio::test]
async fn it_is_signalled_and_goes_with_its_caller() {
    let machine = Machine::with(Engine::Embedded);
    let (runtime, id) = container(&machine).await;
    let mut attached = runtime.attach(&id, script("echo up; sleep 1000"), None).await.unwrap();
    until(&mut attached, &["up"]).await;
    attached.control.signal(Signal::Kill).await.unwrap();
    assert_eq!(attached.control.wait().await.code, 137);

    let mut attached = runtime.attach(&id, script("sleep 1000 & echo up; wait"), Some(SIZE)).await;
    until(attached.as_mut().unwrap(), &["up"]).await;
    assert!(runtime.usage(&id).await.unwrap().pids > 2);
    drop(attached);
    crate::contract::idle(&runtime, &id).await;
    runtime.delete(&id).await.unwrap();
}

#[tokio::test]
async fn what_cannot_be_started_is_told_as_ever_and_leaves_no_socket() {
    let machine = Machine::with(Engine::Embedded);
    let (runtime, id) = container(&machine).await;
    for terminal in [None, Some(SIZE)] {
        let error = runtime.attach(&id, spec(&["/nothing"]), terminal).await.err().unwrap();
        assert!(matches!(error, RuntimeError::NotExecutable { .. }), "{error:?}");
    }
    let nobody = ContainerId::new("nobody");
    let error = runtime.attach(&nobody, spec(&["/bin/true"]), None).await.err().unwrap();
    assert!(matches!(error, RuntimeError::NotFound(_)), "{error:?}");
    let files = std::fs::read_dir(machine.path("data/containers/attached")).unwrap().flatten();
    let names: Vec<String> = files.map(|f| f.file_name().to_string_lossy().into_owned()).collect();
    assert!(names.iter().all(|name| !name.starts_with("console-")), "{names:?}");
    tokio::time::timeout(Duration::from_secs(60), runtime.delete(&id)).await.unwrap().unwrap();
}

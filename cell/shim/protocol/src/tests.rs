use proptest::prelude::*;

use super::*;

fn requests() -> impl Strategy<Value = Request> {
    let stream = prop_oneof![Just(Stream::Out), Just(Stream::Err)];
    prop_oneof![
        (any::<u16>(), any::<u16>()).prop_map(|(oldest, newest)| Request::Hello { oldest, newest }),
        (".{0,20}", proptest::collection::vec(any::<u8>(), 0..200))
            .prop_map(|(name, process)| Request::Run { name, process }),
        (stream, any::<u64>())
            .prop_map(|(stream, position)| Request::Consumed { stream, position }),
        (any::<u8>(), any::<bool>())
            .prop_map(|(number, family)| Request::Signal { number, family }),
        Just(Request::Quit),
        (proptest::collection::vec(any::<u8>(), 0..200), ".{0,20}")
            .prop_map(|(process, console)| Request::Attach { process, console }),
    ]
}

fn answers() -> impl Strategy<Value = Answer> {
    let stream = || prop_oneof![Just(Stream::Out), Just(Stream::Err)];
    let bytes = proptest::collection::vec(any::<u8>(), 0..200);
    prop_oneof![
        any::<u16>().prop_map(|version| Answer::Welcome { version }),
        (any::<u64>(), any::<u64>())
            .prop_map(|(out, err)| Answer::Started { positions: [out, err] }),
        ".{0,20}".prop_map(|why| Answer::Refused { why }),
        (stream(), any::<u64>(), bytes).prop_map(|(stream, position, bytes)| Answer::Output {
            stream,
            position,
            bytes
        }),
        stream().prop_map(|stream| Answer::Closed { stream }),
        (any::<i32>(), any::<bool>())
            .prop_map(|(code, out_of_memory)| Answer::Ended { code, out_of_memory }),
    ]
}

fn frames(bytes: &[u8], chunk: usize) -> Vec<Vec<u8>> {
    let mut frames = Frames::default();
    let mut found = Vec::new();
    for piece in bytes.chunks(chunk) {
        frames.push(piece);
        while let Some(frame) = frames.take().unwrap() {
            found.push(frame);
        }
    }
    found
}

proptest! {
    #[test]
    fn requests_arrive_as_they_were_sent_however_they_are_cut(
        sent in proptest::collection::vec(requests(), 0..8), chunk in 1_usize..40,
    ) {
        let mut bytes = Vec::new();
        sent.iter().for_each(|request| request.encode(&mut bytes));
        let read: Vec<Request> =
            frames(&bytes, chunk).iter().map(|frame| Request::decode(frame).unwrap()).collect();
        prop_assert_eq!(read, sent);
    }

    #[test]
    fn answers_arrive_as_they_were_sent_and_what_a_later_version_adds_is_skipped(
        sent in answers(), added in proptest::collection::vec(any::<u8>(), 0..9),
    ) {
        let mut bytes = Vec::new();
        sent.encode(&mut bytes);
        let mut frame = frames(&bytes, bytes.len()).remove(0);
        frame.extend(added);
        prop_assert_eq!(Answer::decode(&frame).unwrap(), sent);
    }

    #[test]
    fn no_bytes_make_a_reader_panic(bytes in proptest::collection::vec(any::<u8>(), 0..60)) {
        let _ = Request::decode(&bytes);
        let _ = Answer::decode(&bytes);
        let mut frames = Frames::default();
        frames.push(&bytes);
        while let Ok(Some(_)) = frames.take() {}
    }
}

/// Version 1 as it is on the wire: a cell of the next version must still read and write this.
#[test]
fn version_1_stays_as_it_is() {
    let check_request = |request: Request, expected: &[u8]| {
        let mut bytes = Vec::new();
        request.encode(&mut bytes);
        assert_eq!(bytes, expected, "{request:?}");
    };
    check_request(Request::Hello { oldest: 1, newest: 2 }, &[0, 0, 0, 5, 1, 0, 1, 0, 2]);
    let run = Request::Run { name: "a".into(), process: b"{}".to_vec() };
    check_request(run, &[0, 0, 0, 12, 2, 0, 0, 0, 1, b'a', 0, 0, 0, 2, b'{', b'}']);
    let consumed = Request::Consumed { stream: Stream::Err, position: 258 };
    check_request(consumed, &[0, 0, 0, 10, 3, 1, 0, 0, 0, 0, 0, 0, 1, 2]);
    check_request(Request::Signal { number: 15, family: true }, &[0, 0, 0, 3, 4, 15, 1]);
    check_request(Request::Quit, &[0, 0, 0, 1, 5]);

    let check_answer = |answer: Answer, expected: &[u8]| {
        let mut bytes = Vec::new();
        answer.encode(&mut bytes);
        assert_eq!(bytes, expected, "{answer:?}");
    };
    check_answer(Answer::Welcome { version: 1 }, &[0, 0, 0, 3, 1, 0, 1]);
    let started = Answer::Started { positions: [1, 2] };
    check_answer(started, &[0, 0, 0, 17, 2, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 2]);
    check_answer(Answer::Refused { why: "x".into() }, &[0, 0, 0, 6, 3, 0, 0, 0, 1, b'x']);
    let output = Answer::Output { stream: Stream::Out, position: 7, bytes: b"y".to_vec() };
    check_answer(output, &[0, 0, 0, 15, 4, 0, 0, 0, 0, 0, 0, 0, 0, 7, 0, 0, 0, 1, b'y']);
    check_answer(Answer::Closed { stream: Stream::Err }, &[0, 0, 0, 2, 5, 1]);
    let ended = Answer::Ended { code: 137, out_of_memory: true };
    check_answer(ended, &[0, 0, 0, 6, 6, 0, 0, 0, 137, 1]);
}

/// What version 2 has besides.
#[test]
fn version_2_stays_as_it_is() {
    let mut bytes = Vec::new();
    Request::Attach { process: b"{}".to_vec(), console: "c".into() }.encode(&mut bytes);
    assert_eq!(bytes, [0, 0, 0, 12, 6, 0, 0, 0, 2, b'{', b'}', 0, 0, 0, 1, b'c']);
}

#[test]
fn the_newest_version_that_both_know_is_agreed_on() {
    for (oldest, newest, expected) in [
        (1, 1, Some(1)),
        (VERSION_OLDEST, VERSION + 1, Some(VERSION)),
        (VERSION + 1, VERSION + 2, None),
        (0, VERSION_OLDEST - 1, None),
    ] {
        assert_eq!(agree(oldest, newest), expected, "{oldest} to {newest}");
    }
}

#[test]
fn what_makes_no_sense_is_refused_with_the_field() {
    let mut frames = Frames::default();
    frames.push(&[0xff; 5]);
    assert_eq!(frames.take(), Err(ProtocolError::TooLong(0xffff_ffff)));
    for (frame, expected) in [
        (&[][..], ProtocolError::BadField("kind")),
        (&[99], ProtocolError::UnknownKind(99)),
        (&[1, 0], ProtocolError::BadField("oldest")),
        (&[2, 0, 0, 0, 9, b'a'], ProtocolError::BadField("name")),
        (&[3, 7], ProtocolError::BadField("stream")),
        (&[4, 9, 2], ProtocolError::BadField("family")),
    ] {
        assert_eq!(Request::decode(frame), Err(expected), "{frame:?}");
    }
}

#[test]
fn settings_and_stamps_are_read_as_they_were_written() {
    let settings = Settings {
        id: "web-1".into(),
        program: "/usr/bin/runc".into(),
        arguments: vec!["oci".into()],
        hides_cgroup2: true,
        root: "/a b/oci".into(),
        cgroups: vec!["/sys/fs/cgroup/memory/x".into(), "/sys/fs/cgroup/pids/x".into()],
        memory_events: "/sys/fs/cgroup/memory/x/memory.oom_control".into(),
    };
    assert_eq!(Settings::parse(&settings.print().unwrap()), Ok(settings.clone()));
    let odd = Settings { root: "/a\nb".into(), ..settings };
    assert_eq!(odd.print(), Err(SettingsError::Bad("root")));
    assert_eq!(Settings::parse("id x\n"), Err(SettingsError::Missing("program")));

    let stamp = Stamp { pid: 12, began: 34, boot: "b-1".into() };
    assert_eq!(Stamp::parse(&stamp.print()), Ok(stamp));
    for pid in ["1", "0", "-5", "x", ""] {
        let text = format!("pid {pid}\nbegan 1\nboot b\n");
        assert!(Stamp::parse(&text).is_err(), "{pid:?} could be killed");
    }
}

#[test]
fn the_programs_words_stay_as_they_are() {
    use super::program::{CONNECT, CONNECTED, INIT, INSIDE, NOTHING, OCI, PATH_INSIDE, SFTP, SHIM};
    let beside = [SHIM, OCI, INIT];
    assert_eq!(beside, ["shim", "oci", "init"]);
    let inside = [PATH_INSIDE, INSIDE, NOTHING, SFTP, CONNECT];
    assert_eq!(inside, ["/.lattice/init", "inside", "nothing", "sftp", "connect"]);
    assert_eq!(CONNECTED, b'+');
}

use std::sync::Arc;

use proptest::prelude::*;

use super::*;

fn line() -> Envelope {
    Envelope::log("web".into(), "0".into(), Time(1), Log::out("APP".into(), "hi"))
}

/// Written by hand from the schema: tag and wire type, length, content.
const LINE_BYTES: &[u8] = b"\x0a\x07lattice\x10\x05\x30\x01\
    \x42\x15\x0a\x02hi\x10\x01\x18\x01\x22\x03web\x2a\x03APP\x32\x010";

#[test]
fn a_line_has_the_bytes_that_the_schema_gives_it() {
    assert_eq!(encode(&line()), LINE_BYTES);
    assert_eq!(decode(LINE_BYTES), Ok(line()));
}

#[test]
fn what_a_server_counts_has_the_bytes_that_the_schema_gives_it() {
    let name = || "n".to_owned();
    for (metric, expected) in [
        (
            Metric::Counter { name: name(), delta: 2, total: 300 },
            &b"\x0a\x01r\x10\x07\x30\x01\x52\x08\x0a\x01n\x10\x02\x18\xac\x02"[..],
        ),
        (
            Metric::Value { name: name(), value: 0.5, unit: "ms" },
            b"\x0a\x01r\x10\x06\x30\x01\x4a\x10\x0a\x01n\x11\0\0\0\0\0\0\xe0\x3f\x1a\x02ms",
        ),
    ] {
        assert_eq!(encode_metric("r", Time(1), &metric), expected);
        assert!(matches!(decode(expected), Err(DecodeError::Unsupported(_))));
    }
}

#[test]
fn a_metric_has_the_bytes_that_the_schema_gives_it() {
    let metric = ContainerMetric {
        instance_index: 1,
        cpu_percentage: 0.5,
        memory_bytes: 300,
        disk_bytes: 2,
        memory_bytes_quota: 3,
        disk_bytes_quota: 4,
        ..ContainerMetric::default()
    };
    let envelope = Envelope {
        source_id: "web".into(),
        instance_id: "1".into(),
        timestamp: Time(2),
        message: Message::ContainerMetric(metric),
    };
    let bytes: &[u8] = b"\x0a\x07lattice\x10\x09\x30\x02\x62\x19\x0a\x03web\x10\x01\
        \x19\x00\x00\x00\x00\x00\x00\xe0\x3f\x20\xac\x02\x28\x02\x30\x03\x38\x04";
    assert_eq!(encode(&envelope), bytes);
    assert_eq!(decode(bytes), Ok(envelope.clone()));
    let more = ContainerMetric { sent_bytes: 5, ..metric };
    let envelope = Envelope { message: Message::ContainerMetric(more), ..envelope };
    let bytes: &[u8] = b"\x0a\x07lattice\x10\x09\x30\x02\x62\x1c\x0a\x03web\x10\x01\
        \x19\x00\x00\x00\x00\x00\x00\xe0\x3f\x20\xac\x02\x28\x02\x30\x03\x38\x04\xc0\x06\x05";
    assert_eq!(encode(&envelope), bytes);
    assert_eq!(decode(bytes), Ok(envelope));
}

#[test]
fn fields_of_another_sender_are_passed_over() {
    let mut bytes = LINE_BYTES.to_vec();
    bytes.extend_from_slice(b"\x6a\x03dep\x72\x03job\x7a\x010\x82\x01\x02ip"); // 13 to 16
    bytes.extend_from_slice(b"\x8a\x01\x06\x0a\x01k\x12\x01v"); // 17, a map's entry
    bytes.extend_from_slice(b"\xfa\x01\x01x"); // 31, which the schema does not have
    assert_eq!(decode(&bytes), Ok(line()));
}

#[test]
fn what_is_not_carried_is_refused_by_name() {
    let missing = DecodeError::Missing;
    for (bytes, expected) in [
        (&b"\x0a\x01x"[..], missing("event type")),
        (b"\x0a\x01x\x10\x05", missing("log message")),
        (b"\x0a\x01x\x10\x05\x42\x04\x0a\x00\x18\x01", missing("message type")),
        (b"\x0a\x01x\x10\x09", missing("container metric")),
        (b"\x0a\x01x\x10\x04", DecodeError::Unsupported(proto::EventType::HttpStartStop)),
        (b"\x0a\x01x\x10\x07", DecodeError::Unsupported(proto::EventType::CounterEvent)),
        (b"\x0a\x01x\x10\x63", DecodeError::Unknown { field: "event type", value: 99 }),
        (
            b"\x0a\x01x\x10\x05\x42\x06\x0a\x00\x10\x03\x18\x01",
            DecodeError::Unknown { field: "message type", value: 3 },
        ),
    ] {
        assert_eq!(decode(bytes), Err(expected), "{bytes:02x?}");
    }
    let told = DecodeError::Unsupported(proto::EventType::ValueMetric).to_string();
    assert_eq!(told, "a dropsonde envelope of kind ValueMetric, which is not carried");
    assert!(matches!(decode(b"\x0a\xff"), Err(DecodeError::Malformed(_))));
}

fn text() -> impl Strategy<Value = Arc<str>> {
    ".{0,20}".prop_map(Into::into)
}

fn log() -> impl Strategy<Value = Message> {
    let stream = prop_oneof![Just(LogStream::Out), Just(LogStream::Err)];
    (prop::collection::vec(any::<u8>(), 0..200), stream, text()).prop_map(
        |(payload, stream, source_type)| {
            Message::Log(Log { payload: payload.into(), stream, source_type })
        },
    )
}

fn metric() -> impl Strategy<Value = Message> {
    let cpu = prop::num::f64::NORMAL | prop::num::f64::ZERO;
    (any::<i32>(), cpu, any::<[u64; 7]>()).prop_map(|(instance_index, cpu_percentage, amounts)| {
        let [memory_bytes, disk_bytes, memory_bytes_quota, disk_bytes_quota, ..] = amounts;
        let [.., age_ns, received_bytes, sent_bytes] = amounts;
        Message::ContainerMetric(ContainerMetric {
            instance_index,
            cpu_percentage,
            memory_bytes,
            disk_bytes,
            memory_bytes_quota,
            disk_bytes_quota,
            cpu_entitlement_percentage: cpu_percentage.abs(),
            age: Duration::from_nanos(age_ns),
            received_bytes,
            sent_bytes,
        })
    })
}

fn envelope() -> impl Strategy<Value = Envelope> {
    (text(), text(), any::<i64>(), prop_oneof![log(), metric()]).prop_map(
        |(source_id, instance_id, timestamp, message)| {
            let instance_id = match &message {
                Message::Log(_) => instance_id,
                Message::ContainerMetric(metric) => metric.instance_index.to_string().into(),
            };
            Envelope { source_id, instance_id, timestamp: Time(timestamp), message }
        },
    )
}

proptest! {
    #[test]
    fn what_is_encoded_is_decoded(envelope in envelope()) {
        prop_assert_eq!(decode(&encode(&envelope)), Ok(envelope));
    }

    #[test]
    fn garbage_is_refused_and_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = decode(&bytes);
    }

    #[test]
    fn a_broken_envelope_never_panics(at in 0..LINE_BYTES.len(), byte: u8, cut in 0..40_usize) {
        let mut bytes = LINE_BYTES.to_vec();
        bytes[at] = byte;
        bytes.truncate(cut);
        let _ = decode(&bytes);
    }
}

//! Declarative health checks (Diego's check definition, with thresholds and start-up checks of their
//! own).
//!
//! The serde form is Diego's: an object with exactly one key, the check's kind; what follows the
//! interval is ours.

use serde::{Deserialize, Serialize};

/// The most checks of one kind.
pub const CHECKS_MAX: usize = 32;
/// The longest time that a check may be told to wait, in milliseconds.
pub const MILLIS_MAX: u64 = 3_600_000;
/// The shortest interval between two checks, in milliseconds.
pub const INTERVAL_MS_MIN: u64 = 100;
/// The most failures in a row that may be borne.
pub const THRESHOLD_MAX: u32 = 1_000;
/// The longest path of an HTTP check, in bytes.
pub const PATH_BYTES_MAX: usize = 2_048;

/// How an instance is found to be up, alive, and ready for requests.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CheckDefinition {
    /// All of these have to pass before the instance runs, unless there are start-up checks; and
    /// when one fails afterwards, the instance has crashed.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub checks: Vec<Check>,
    /// All of these have to pass before the instance runs.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub startup_checks: Vec<Check>,
    /// The instance gets requests while all of these pass; it is left alone when one does not.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub readiness_checks: Vec<Check>,
    /// Where lines about the checks are said to come from; empty is `HEALTH`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub log_source: String,
}

/// One check, against the instance's own address.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Check {
    /// A connection comes about.
    TcpCheck(TcpCheck),
    /// A GET is answered with 200.
    HttpCheck(HttpCheck),
}

/// See [`Check::TcpCheck`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TcpCheck {
    /// The port.
    pub port: u16,
    /// How long the connection may take, in milliseconds; 0 is a second.
    pub connect_timeout_ms: u64,
    /// How long to wait after a check of a healthy instance, in milliseconds; 0 is 30 seconds.
    pub interval_ms: u64,
    /// After how many failures in a row it counts; 0 is the first.
    pub failure_threshold: u32,
}

/// See [`Check::HttpCheck`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HttpCheck {
    /// The port.
    pub port: u16,
    /// The path; empty is `/`.
    pub path: String,
    /// How long the answer may take, in milliseconds; 0 is a second.
    pub request_timeout_ms: u64,
    /// How long to wait after a check of a healthy instance, in milliseconds; 0 is 30 seconds.
    pub interval_ms: u64,
    /// After how many failures in a row it counts; 0 is the first.
    pub failure_threshold: u32,
}

// === impl CheckDefinition ===

impl CheckDefinition {
    /// True when nothing is checked.
    pub fn is_empty(&self) -> bool {
        self.checks.is_empty() && self.startup_checks.is_empty() && self.readiness_checks.is_empty()
    }

    /// What has to pass before the instance runs.
    pub fn startup(&self) -> &[Check] {
        if self.startup_checks.is_empty() { &self.checks } else { &self.startup_checks }
    }

    /// What is wrong with it, for people.
    pub fn faults(&self) -> Vec<String> {
        let lists = [
            ("checks", &self.checks),
            ("startup_checks", &self.startup_checks),
            ("readiness_checks", &self.readiness_checks),
        ];
        let mut faults = Vec::new();
        for (name, list) in lists {
            if list.len() > CHECKS_MAX {
                faults.push(format!("{name} are {}, at most {CHECKS_MAX}", list.len()));
            }
            for (at, check) in list.iter().enumerate() {
                faults.extend(check.faults().into_iter().map(|why| format!("{name}[{at}] {why}")));
            }
        }
        faults
    }
}

// === impl Check ===

impl Check {
    /// The port that is checked.
    pub const fn port(&self) -> u16 {
        match self {
            Self::TcpCheck(check) => check.port,
            Self::HttpCheck(check) => check.port,
        }
    }

    /// How long to wait after a check of a healthy instance, in milliseconds; 0 is the usual time.
    pub const fn interval_ms(&self) -> u64 {
        match self {
            Self::TcpCheck(check) => check.interval_ms,
            Self::HttpCheck(check) => check.interval_ms,
        }
    }

    /// How long it may take, in milliseconds; 0 is the usual time.
    pub const fn timeout_ms(&self) -> u64 {
        match self {
            Self::TcpCheck(check) => check.connect_timeout_ms,
            Self::HttpCheck(check) => check.request_timeout_ms,
        }
    }

    /// After how many failures in a row it counts; at least 1.
    pub const fn failure_threshold(&self) -> u32 {
        let told = match self {
            Self::TcpCheck(check) => check.failure_threshold,
            Self::HttpCheck(check) => check.failure_threshold,
        };
        if told == 0 { 1 } else { told }
    }

    fn faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        if self.port() == 0 {
            faults.push("has no port".to_owned());
        }
        let interval_ms = self.interval_ms();
        if interval_ms != 0 && !(INTERVAL_MS_MIN..=MILLIS_MAX).contains(&interval_ms) {
            faults.push(format!(
                "has an interval of {interval_ms} ms, not from {INTERVAL_MS_MIN} to {MILLIS_MAX}"
            ));
        }
        if self.timeout_ms() > MILLIS_MAX {
            let timeout_ms = self.timeout_ms();
            faults.push(format!("has a timeout of {timeout_ms} ms, at most {MILLIS_MAX}"));
        }
        if self.failure_threshold() > THRESHOLD_MAX {
            let threshold = self.failure_threshold();
            faults.push(format!("bears {threshold} failures, at most {THRESHOLD_MAX}"));
        }
        if let Self::HttpCheck(check) = self
            && !is_path(&check.path)
        {
            faults.push("has a path that is not one of visible characters after a /".to_owned());
        }
        faults
    }
}

/// Empty, or what can stand in a request's first line and nothing else.
fn is_path(path: &str) -> bool {
    path.is_empty()
        || (path.starts_with('/')
            && path.len() <= PATH_BYTES_MAX
            && path.bytes().all(|b| b.is_ascii_graphic()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_definition_is_read_as_diego_writes_it() {
        let body = json!({
            "checks": [{"tcp_check": {"port": 8080, "connect_timeout_ms": 500}},
                {"http_check": {"port": 8080, "path": "/up", "request_timeout_ms": 1_000,
                    "interval_ms": 5_000}}],
            "readiness_checks": [{"http_check": {"port": 8080, "failure_threshold": 3}}],
            "log_source": "CHECK"});
        let read: CheckDefinition = serde_json::from_value(body).unwrap();
        assert_eq!(read.faults(), [""; 0]);
        assert_eq!((read.startup().len(), read.checks[1].interval_ms()), (2, 5_000));
        assert_eq!(read.checks[0].failure_threshold(), 1);
        assert_eq!(read.readiness_checks[0].failure_threshold(), 3);
        let again: CheckDefinition =
            serde_json::from_value(serde_json::to_value(&read).unwrap()).unwrap();
        assert_eq!(again, read);
        assert!(CheckDefinition::default().is_empty() && !read.is_empty());
        assert!(serde_json::from_value::<CheckDefinition>(json!({"checks": [{}]})).is_err());
        assert!(serde_json::from_value::<CheckDefinition>(json!({"check": []})).is_err());
    }

    #[test]
    fn start_up_checks_stand_in_for_the_others_at_the_start() {
        let tcp = |port| Check::TcpCheck(TcpCheck { port, ..TcpCheck::default() });
        let both = CheckDefinition {
            checks: vec![tcp(1)],
            startup_checks: vec![tcp(2)],
            ..CheckDefinition::default()
        };
        assert_eq!(both.startup(), [tcp(2)]);
    }

    #[test]
    fn what_makes_no_sense_is_named_with_its_place_and_bounds() {
        let http = |change: fn(&mut HttpCheck)| {
            let mut check = HttpCheck { port: 80, ..HttpCheck::default() };
            change(&mut check);
            Check::HttpCheck(check)
        };
        for (check, why) in [
            (http(|c| c.port = 0), "has no port"),
            (http(|c| c.interval_ms = 99), "has an interval of 99 ms, not from 100 to 3600000"),
            (
                http(|c| c.request_timeout_ms = 3_600_001),
                "has a timeout of 3600001 ms, at most 3600000",
            ),
            (http(|c| c.failure_threshold = 1_001), "bears 1001 failures, at most 1000"),
            (
                http(|c| c.path = "up".into()),
                "has a path that is not one of visible characters after a /",
            ),
            (
                http(|c| c.path = "/ HTTP/1.1\r\nX: y".into()),
                "has a path that is not one of visible characters after a /",
            ),
        ] {
            let readiness_checks = vec![http(|_| {}), check];
            let definition = CheckDefinition { readiness_checks, ..CheckDefinition::default() };
            assert_eq!(definition.faults(), [format!("readiness_checks[1] {why}")]);
        }
        let checks = vec![http(|_| {}); 33];
        let many = CheckDefinition { checks, ..CheckDefinition::default() };
        assert_eq!(many.faults(), ["checks are 33, at most 32"]);
    }
}

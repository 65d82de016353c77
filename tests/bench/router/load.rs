//! What a proxy is asked for: by `wrk`, under new handshakes by `ab`, or in HTTP/2 by `h2load`.

use std::path::Path;
use std::time::Duration;

use lattice_tests::machine::run;

/// How requests come.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Load<'a> {
    /// Over so many connections in HTTP/1.1, with further words for `wrk`, and a beginning of its
    /// script.
    Http1 { connections: u32, words: &'a [&'a str], script: &'a str },
    /// Over so many connections at once, each of which ends with its request, as does its session of
    /// TLS.
    Handshakes { connections: u32 },
    /// Over so many connections in HTTP/2, each with so many requests at once.
    Http2 { connections: u32, streams: u32 },
}

/// What came of it.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Served {
    pub(crate) requests: f64,
    pub(crate) per_second: f64,
    pub(crate) p50_ms: f64,
    pub(crate) p99_ms: f64,
    pub(crate) p999_ms: f64,
}

/// Has `wrk` say what it saw in one line.
const REPORT: &str = r#"
done = function(summary, latency, requests)
  local e = summary.errors
  io.write(string.format("SERVED %d %d %d %d %d %d\n", summary.requests, summary.duration,
    latency:percentile(50), latency:percentile(99), latency:percentile(99.9),
    e.connect + e.status + e.timeout))
end
"#;

// === impl Load ===

impl Load<'_> {
    /// Asks a proxy at a port of loopback for what stands at `path` of `host`.
    pub(crate) fn run(
        self,
        (scheme, port): (&str, u16),
        (host, path): (&str, &str),
        time: Duration,
        dir: &Path,
    ) -> Served {
        let seconds = time.as_secs().to_string();
        match self {
            Load::Http1 { connections, words, script } => {
                let file = dir.join("wrk.lua");
                std::fs::write(&file, format!("{script}{REPORT}")).unwrap();
                let (connections, host) = (connections.to_string(), format!("Host: {host}"));
                let time = format!("{seconds}s");
                let url = format!("{scheme}://127.0.0.1:{port}{path}");
                let file = file.to_str().unwrap();
                let usual = ["-t", "1", "-c", &connections, "-d", &time, "-s", file, "-H", &host];
                http1(&run("wrk", &[&usual, words, &[url.as_str()]].concat()))
            }
            Load::Handshakes { connections } => {
                let file = dir.join("ab.times");
                let (connections, host) = (connections.to_string(), format!("Host: {host}"));
                let (url, file) =
                    (format!("{scheme}://127.0.0.1:{port}{path}"), file.to_str().unwrap());
                // A number of requests that the time is too short for.
                let usual = ["-q", "-t", &seconds, "-n", "100000000", "-c", &connections];
                let said = run("ab", &[&usual[..], &["-g", file, "-H", &host, &url]].concat());
                handshakes(&said, &std::fs::read_to_string(file).unwrap())
            }
            Load::Http2 { connections, streams } => {
                let file = dir.join("h2load.log");
                let _ = std::fs::remove_file(&file);
                let (connections, streams) = (connections.to_string(), streams.to_string());
                let log = format!("--log-file={}", file.display());
                let place = format!("--connect-to=127.0.0.1:{port}");
                let url = format!("{scheme}://{host}:{port}{path}");
                let words = ["-t", "1", "-c", &connections, "-m", &streams, "-D", &seconds];
                let said = run("h2load", &[&words[..], &[&log, &place, &url]].concat());
                http2(&said, &std::fs::read_to_string(&file).unwrap(), time)
            }
        }
    }
}

fn http1(said: &str) -> Served {
    let line = said.lines().find_map(|line| line.strip_prefix("SERVED "));
    let line = line.unwrap_or_else(|| panic!("{said}"));
    let numbers: Vec<f64> = line.split(' ').map(|number| number.parse().unwrap()).collect();
    let &[requests, micros, p50, p99, p999, errors] = numbers.as_slice() else {
        panic!("{said}");
    };
    assert!(errors == 0.0 && requests > 0.0, "{said}");
    Served {
        requests,
        per_second: requests / micros * 1e6,
        p50_ms: p50 / 1000.0,
        p99_ms: p99 / 1000.0,
        p999_ms: p999 / 1000.0,
    }
}

/// The fifth column of the table is how many milliseconds a request took with its handshake.
fn handshakes(said: &str, table: &str) -> Served {
    let number = |name: &str| -> f64 {
        let line = said.lines().find_map(|line| line.strip_prefix(name));
        let number = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
        number.unwrap_or_else(|| panic!("{said}"))
    };
    assert!(number("Failed requests:") == 0.0 && !said.contains("Non-2xx"), "{said}");
    let lines = table.lines().skip(1);
    let times = lines.map(|line| line.split('\t').nth(4).unwrap().parse().unwrap()).collect();
    served(times, Duration::from_secs_f64(number("Time taken for tests:")))
}

/// The log has a line for each request: when, the status, and how many microseconds it took.
fn http2(said: &str, log: &str, time: Duration) -> Served {
    let time_of = |line: &str| {
        let columns: Vec<&str> = line.split('\t').collect();
        assert_eq!(columns[1], "200", "{said}");
        columns[2].parse::<f64>().unwrap() / 1000.0
    };
    served(log.lines().map(time_of).collect(), time)
}

/// What came of requests that took so many milliseconds each.
fn served(mut times: Vec<f64>, time: Duration) -> Served {
    assert!(!times.is_empty(), "nothing was served");
    times.sort_by(f64::total_cmp);
    let at = |share: usize| times[(times.len() * share / 1000).min(times.len() - 1)];
    let requests = times.len() as f64;
    Served {
        requests,
        per_second: requests / time.as_secs_f64(),
        p50_ms: at(500),
        p99_ms: at(990),
        p999_ms: at(999),
    }
}

//! Proxies of others, as Debian has them, in front of one server.

use std::fs::File;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use lattice_tests::{PATIENCE, eventually, expect};
use rustix::process::{Pid, Signal, kill_process};

/// What a proxy leads to.
pub(crate) struct Backend {
    /// Its address and port.
    pub(crate) address: String,
    /// Whether the proxy writes a line for every request, to a file in `dir`.
    pub(crate) is_logged: bool,
    /// A folder with what is shown to clients, who speak TLS: `cert.pem`, `key.pem`, and both in
    /// `both.pem`.
    pub(crate) certificate: Option<PathBuf>,
    /// Where the proxy may keep files.
    pub(crate) dir: PathBuf,
    /// How many processes or threads it has for requests.
    pub(crate) workers: usize,
}

/// A running proxy; ended when dropped.
pub(crate) struct Peer {
    /// What it is called.
    pub(crate) name: &'static str,
    /// Where it listens on loopback.
    pub(crate) port: u16,
    process: Child,
}

impl Peer {
    /// Processes beside the one that watches them.
    pub(crate) fn nginx(backend: &Backend) -> Self {
        let Backend { address, dir, workers, .. } = backend;
        let dir = dir.display();
        let log = match backend.is_logged {
            true => format!("{dir}/nginx.access combined"),
            false => "off".to_owned(),
        };
        let (tls, certificate) = match &backend.certificate {
            None => ("", String::new()),
            Some(folder) => {
                let folder = folder.display();
                let files = format!(
                    "ssl_certificate {folder}/cert.pem; ssl_certificate_key {folder}/key.pem;"
                );
                (" ssl http2", files)
            }
        };
        let config = format!(
            "daemon off; pid {dir}/nginx.pid; error_log {dir}/nginx.log; worker_processes {workers};\n\
             worker_rlimit_nofile 65536; events {{ worker_connections 32768; }}\n\
             http {{ access_log {log}; keepalive_requests 1000000000;\n\
             keepalive_timeout 600s; client_body_buffer_size 64k;\n\
             map $http_upgrade $connection_upgrade {{ default upgrade; '' ''; }}\n\
             upstream app {{ server {address}; keepalive 256; keepalive_requests 1000000000; }}\n\
             server {{ listen 127.0.0.1:9001{tls} reuseport; {certificate}\n\
             location / {{ proxy_pass http://app; proxy_http_version 1.1;\n\
             proxy_set_header Upgrade $http_upgrade;\n\
             proxy_set_header Connection $connection_upgrade;\n\
             proxy_set_header Host $http_host; proxy_read_timeout 600s;\n\
             proxy_set_header X-Forwarded-For $remote_addr; }} }} }}\n"
        );
        let path = backend.dir.join("nginx.conf");
        std::fs::write(&path, config).unwrap();
        let nginx = Self::start("nginx", 9001, &["-c", path.to_str().unwrap()], backend);
        // It listens before it has them, and what they spend is to be counted.
        eventually("nginx has its workers", PATIENCE, || {
            expect(nginx.pids().len() == 1 + workers, "less")
        });
        nginx
    }

    /// One process with threads.
    pub(crate) fn haproxy(backend: &Backend) -> Self {
        let log = match backend.is_logged {
            true => " log stdout format raw local0\n option httplog\n",
            false => "",
        };
        let tls = match &backend.certificate {
            None => String::new(),
            Some(folder) => {
                format!(" ssl crt {}/both.pem alpn h2,http/1.1", folder.display())
            }
        };
        let config = format!(
            "global\n nbthread {}\n no strict-limits\n maxconn 15000\ndefaults\n mode http\n timeout connect 5s\n \
             timeout client 600s\n timeout server 600s\n timeout tunnel 600s\n \
             maxconn 15000\n option forwardfor\n http-reuse always\n\
             {log}frontend in\n bind 127.0.0.1:9002{tls}\n default_backend app\n\
             backend app\n server one {}\n",
            backend.workers, backend.address
        );
        let path = backend.dir.join("haproxy.cfg");
        std::fs::write(&path, config).unwrap();
        Self::start("haproxy", 9002, &["-db", "-f", path.to_str().unwrap()], backend)
    }

    /// Its own process and those it forked.
    pub(crate) fn pids(&self) -> Vec<i32> {
        let pid = i32::try_from(self.process.id()).unwrap();
        let path = format!("/proc/{pid}/task/{pid}/children");
        let children = std::fs::read_to_string(path).unwrap_or_default();
        let children = children.split_whitespace().map(|child| child.parse::<i32>().unwrap());
        std::iter::once(pid).chain(children).collect()
    }

    fn start(name: &'static str, port: u16, args: &[&str], backend: &Backend) -> Self {
        let said = File::create(backend.dir.join(format!("{name}.out"))).unwrap();
        let process = Command::new(name)
            .args(args)
            .stdin(Stdio::null())
            .stdout(said)
            .stderr(Stdio::null())
            .spawn()
            .unwrap_or_else(|e| panic!("cannot run {name}: {e}; script/bootstrap installs it"));
        eventually(&format!("{name} listens"), PATIENCE, || {
            std::net::TcpStream::connect(("127.0.0.1", port))
        });
        Self { name, port, process }
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = kill_process(Pid::from_child(&self.process), Signal::TERM);
        let _ = self.process.wait();
    }
}

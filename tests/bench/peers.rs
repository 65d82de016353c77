//! Proxies of others, as Debian has them, each with two workers, in front of one server.

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
    /// Where the proxy may keep files.
    pub(crate) dir: PathBuf,
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
    /// Two processes beside the one that watches them.
    pub(crate) fn nginx(backend: &Backend) -> Self {
        let Backend { address, dir, .. } = backend;
        let dir = dir.display();
        let log = match backend.is_logged {
            true => format!("{dir}/nginx.access combined"),
            false => "off".to_owned(),
        };
        let config = format!(
            "daemon off; pid {dir}/nginx.pid; error_log {dir}/nginx.log; worker_processes 2;\n\
             events {{ worker_connections 1024; }}\n\
             http {{ access_log {log}; upstream app {{ server {address}; keepalive 64; }}\n\
             server {{ listen 127.0.0.1:9001 reuseport; location / {{ proxy_pass http://app;\n\
             proxy_http_version 1.1; proxy_set_header Connection \"\";\n\
             proxy_set_header Host $http_host;\n\
             proxy_set_header X-Forwarded-For $remote_addr; }} }} }}\n"
        );
        let path = backend.dir.join("nginx.conf");
        std::fs::write(&path, config).unwrap();
        let nginx = Self::start("nginx", 9001, &["-c", path.to_str().unwrap()], backend);
        // It listens before it has them, and what they spend is to be counted.
        eventually("nginx has its workers", PATIENCE, || expect(nginx.pids().len() == 3, "less"));
        nginx
    }

    /// Two threads.
    pub(crate) fn haproxy(backend: &Backend) -> Self {
        let log = match backend.is_logged {
            true => " log stdout format raw local0\n option httplog\n",
            false => "",
        };
        let config = format!(
            "global\n nbthread 2\ndefaults\n mode http\n timeout connect 5s\n \
             timeout client 60s\n timeout server 60s\n option forwardfor\n http-reuse always\n\
             {log}frontend in\n bind 127.0.0.1:9002\n default_backend app\n\
             backend app\n server one {}\n",
            backend.address
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

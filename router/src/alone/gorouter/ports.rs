//! The ports on which gorouter shows status.

use core::net::{IpAddr, Ipv4Addr, SocketAddr};

use super::keys::{self, File};
use crate::alone::settings::{self, Judge};
use crate::http::{Secured, Status};

const ANYWHERE: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED);

/// Where status is shown; a port of 0 is not opened.
pub(super) fn status(file: &File, judge: &mut Judge) -> Status {
    let status = &file.status;
    let host = judge.take(host(&status.host), ANYWHERE);
    let open = |host: IpAddr, port: u16| (port != 0).then(|| SocketAddr::new(host, port));
    let health = open(host, status.port).filter(|_| status.enable_nontls_health_checks);
    let old = status.enable_deprecated_varz_healthz_endpoints;
    if old && health.is_none() {
        judge.refuse(
            "status.enable_deprecated_varz_healthz_endpoints: its paths are on status.port, which \
             enable_nontls_health_checks closes",
        );
    }
    let (metrics, metrics_tls) = metrics(&file.prometheus, judge);
    Status {
        health,
        health_tls: health_tls(&status.tls, host, judge),
        routes: open(Ipv4Addr::LOCALHOST.into(), status.routes.port),
        metrics,
        metrics_tls,
        user: status.user.clone(),
        password: status.pass.clone(),
        shows_old_paths: old,
    }
}

fn host(text: &str) -> Result<IpAddr, String> {
    match text {
        "" => Ok(ANYWHERE),
        text => text.parse().map_err(|_| format!("status.host is `{text}`: take an IP address")),
    }
}

fn health_tls(tls: &keys::StatusTls, host: IpAddr, judge: &mut Judge) -> Option<Secured> {
    if tls.certificate.is_empty() && tls.key.is_empty() {
        return None;
    }
    let addr = SocketAddr::new(host, tls.port);
    let secured = settings::secured(addr, (&tls.certificate, &tls.key), None);
    secured.map_err(|why| judge.refuse(format!("status.tls: {why}"))).ok()
}

fn metrics(
    prometheus: &keys::Prometheus,
    judge: &mut Judge,
) -> (Option<SocketAddr>, Option<Secured>) {
    // Older files do not say it, and mean it by the port.
    if prometheus.port == 0 || prometheus.enabled == Some(false) {
        return (None, None);
    }
    let addr = SocketAddr::new(ANYWHERE, prometheus.port);
    if prometheus.cert_path.is_empty() {
        return (Some(addr), None);
    }
    match certified(addr, prometheus) {
        Ok(secured) => (None, Some(secured)),
        Err(why) => {
            judge.refuse(format!("prometheus: {why}"));
            (None, None)
        }
    }
}

fn certified(addr: SocketAddr, prometheus: &keys::Prometheus) -> Result<Secured, String> {
    let read = |path: &str| {
        std::fs::read_to_string(path).map_err(|error| format!("cannot read {path}: {error}"))
    };
    let (certificate, key) = (read(&prometheus.cert_path)?, read(&prometheus.key_path)?);
    let clients = Some(&prometheus.ca_path).filter(|path| !path.is_empty());
    let clients = clients.map(|path| read(path)).transpose()?;
    settings::secured(addr, (&certificate, &key), clients.as_deref()).map_err(|e| e.to_string())
}

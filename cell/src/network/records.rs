//! What each container was given, on disk, so that it is found again after a crash.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write};
use std::net::Ipv4Addr;
use std::path::PathBuf;

use lattice_model::{EgressRule, PortMapping};
use serde::{Deserialize, Serialize};

use super::firewall::Opening;
use crate::runtime::ContainerId;

/// A container's address and mapped ports.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Record {
    pub(super) address: Ipv4Addr,
    pub(super) ports: Vec<PortMapping>,
    /// What it may reach besides what everyone may.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) egress: Vec<EgressRule>,
    /// The first of its users, where it has its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) first_id: Option<u32>,
    /// What its namespaces are called, where they were made before the container was known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) made_as: Option<String>,
}

/// A directory with a file for each container.
#[derive(Debug)]
pub(super) struct Records {
    dir: PathBuf,
}

// === impl Record ===

impl Record {
    /// What the namespaces of the container it belongs to are called.
    pub(super) fn namespaces<'a>(&'a self, id: &'a ContainerId) -> &'a str {
        self.made_as.as_deref().unwrap_or(id.as_str())
    }

    pub(super) fn host_ports(&self) -> Vec<u16> {
        self.ports.iter().map(|mapping| mapping.host_port).collect()
    }

    /// True when the firewall treats it in another way than everyone.
    pub(super) fn opens_something(&self) -> bool {
        !self.ports.is_empty() || !self.egress.is_empty()
    }

    /// What the firewall lets through for it alone.
    pub(super) fn opening(&self, id: &ContainerId) -> Opening {
        let ports = self.ports.iter();
        Opening {
            name: id.as_str().to_owned(),
            address: self.address,
            ports: ports.map(|mapping| (mapping.host_port, mapping.container_port)).collect(),
            egress: self.egress.clone(),
        }
    }
}

// === impl Records ===

impl Records {
    pub(super) fn open(dir: PathBuf) -> io::Result<Self> {
        fs::create_dir_all(&dir)?;
        Ok(Self { dir })
    }

    /// All that can be read. One that a crash cut off was not acted on yet, and goes.
    pub(super) fn load(&self) -> BTreeMap<ContainerId, Record> {
        let Ok(entries) = fs::read_dir(&self.dir) else { return BTreeMap::new() };
        let mut all = BTreeMap::new();
        for entry in entries.flatten() {
            let Some(name) = entry.file_name().to_str().map(str::to_owned) else { continue };
            if name.starts_with('.') {
                // Never got its name.
                let _ = fs::remove_file(entry.path());
                continue;
            }
            let text = fs::read(entry.path()).unwrap_or_default();
            match serde_json::from_slice(&text) {
                Ok(record) => drop(all.insert(ContainerId::new(&name), record)),
                Err(error) => {
                    tracing::warn!(container = name, %error, "network record dropped");
                    // What it was for is found by its namespace.
                    let _ = fs::remove_file(entry.path());
                }
            }
        }
        all
    }

    pub(super) fn write(&self, id: &ContainerId, record: &Record) -> io::Result<()> {
        let mut file = tempfile::NamedTempFile::new_in(&self.dir)?;
        file.write_all(&serde_json::to_vec(record)?)?;
        file.persist(self.dir.join(id.as_str()))?;
        Ok(())
    }

    /// No error when there is none.
    pub(super) fn remove(&self, id: &ContainerId) -> io::Result<()> {
        match fs::remove_file(self.dir.join(id.as_str())) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_survive_and_a_cut_off_one_is_dropped() {
        let dir = tempfile::tempdir().unwrap();
        let records = Records::open(dir.path().join("network")).unwrap();
        let ports = vec![PortMapping { container_port: 80, host_port: 61000 }];
        let rule = serde_json::json!({"protocol": "all", "destinations": ["10.0.0.0/8"]});
        let egress = vec![serde_json::from_value(rule).unwrap()];
        let address = Ipv4Addr::new(10, 0, 0, 2);
        let record = Record { address, ports, egress, first_id: Some(7), made_as: None };
        let (whole, cut) = (ContainerId::new("whole"), ContainerId::new("cut"));
        records.write(&whole, &record).unwrap();
        fs::write(dir.path().join("network/cut"), "{\"addr").unwrap();
        fs::copy(dir.path().join("network/whole"), dir.path().join("network/.tmp1")).unwrap();
        assert_eq!(records.load(), BTreeMap::from([(whole.clone(), record.clone())]));
        assert_eq!(record.opening(&whole).ports, [(61000, 80)]);
        let older = r#"{"address":"10.0.0.3","ports":[]}"#;
        fs::write(dir.path().join("network/older"), older).unwrap();
        let older = records.load()[&ContainerId::new("older")].clone();
        assert!(!older.opens_something() && older.first_id.is_none());
        records.remove(&ContainerId::new("older")).unwrap();
        records.remove(&whole).unwrap();
        records.remove(&cut).expect("it is gone already");
        assert!(records.load().is_empty());
    }
}

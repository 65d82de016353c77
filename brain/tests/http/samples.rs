//! Nouns to send about.

use lattice_api::brain::Explanation;
use lattice_api::brain::bodies::{desired_lrp, task};
use lattice_api::brain::explanation::{CellOpinion, Filters, Scores};
use lattice_api::brain::images::{CellImages, CellPruned};
use lattice_api::brain::usage::CellUsage;
use lattice_api::cell::images::{ImageStock, KeptImage, PrunedImages};
use lattice_api::cell::usage::{InstanceUsage, Measurement};
use lattice_model::actual_lrp::{PlacementError, PortMapping, Presence};
use lattice_model::{
    ActualLrp, ActualState, CellId, CertificateFacts, CertificateState, CustomDomainStatus,
    DesiredLrp, Domain, InstanceCrash, InstanceGuid, InstanceKey, LrpKey, NetInfo, OrderStatus,
    ProcessGuid, Strategy, Task, TaskDefinition, TaskState, Time,
};
use serde_json::{Value, json};

pub(crate) fn guid(text: &str) -> ProcessGuid {
    ProcessGuid::new(text).unwrap()
}

/// What `ltc create` sends.
pub(crate) fn lrp_body(guid: &str) -> Value {
    json!({"process_guid": guid, "domain": "lattice",
        "rootfs": "docker:///cloudfoundry/lattice-app#latest", "instances": 2,
        "env": [{"name": "PROCESS_GUID", "value": guid}, {"name": "PORT", "value": "8080"}],
        "setup": {"download": {
            "from": "http://file-server.service.cf.internal:8080/v1/static/lifecycle.tgz",
            "to": "/tmp", "cache_key": "", "user": "root"}},
        "action": {"parallel": {"actions": [
            {"run": {"path": "/tmp/diego-sshd", "args": ["-address=0.0.0.0:2222"], "dir": "/tmp",
                "user": "root", "log_source": "SSH"}},
            {"run": {"path": "/lattice-app", "args": ["--quiet"], "dir": "/work",
                "user": "root"}}]}},
        "monitor": {"run": {"path": "/tmp/healthcheck", "args": ["-timeout", "1s", "-port", "8080"],
            "user": "root", "log_source": "HEALTH"}},
        "start_timeout": 0, "disk_mb": 0, "memory_mb": 128, "cpu_weight": 100, "privileged": false,
        "ports": [8080, 2222],
        "routes": {
            "cf-router": [{"hostnames": ["web.lattice.localhost"], "port": 8080}],
            "diego-ssh": {"container_port": 2222, "private_key": "secret"}},
        "log_guid": guid, "log_source": "APP", "metrics_guid": guid, "annotation": "mine",
        "egress_rules": [{"protocol": "tcp", "destinations": ["10.0.0.0/8"], "ports": [443]}]})
}

pub(crate) fn lrp(guid: &str) -> DesiredLrp {
    desired_lrp::parse_create(&lrp_body(guid)).unwrap()
}

pub(crate) fn task_body(guid: &str) -> Value {
    json!({"task_guid": guid, "domain": "lattice", "rootfs": "docker:///busybox#latest",
        "action": {"run": {"path": "/bin/true", "user": "root"}}, "memory_mb": 64,
        "env": [{"name": "A", "value": "b"}], "completion_callback_url": "http://x.example/done"})
}

pub(crate) fn task(guid: &str) -> TaskDefinition {
    task::parse_create(&task_body(guid)).unwrap()
}

/// The same at work.
pub(crate) fn running_task(guid: &str) -> Task {
    let cell_id = CellId::new("cell-1").unwrap();
    Task {
        definition: task(guid),
        state: TaskState::Running { cell_id },
        created_at: Time(7),
        updated_at: Time(7),
        rejections: 1,
        rejection_reason: "insufficient resources".into(),
        placement_detail: "needs 4096 MB; largest free 3072 MB on cell-1; 1 cell compatible".into(),
    }
}

/// One instance in each state.
pub(crate) fn instances(guid: &str) -> Vec<ActualLrp> {
    let instance = || InstanceKey {
        instance_guid: InstanceGuid::new("i-1").unwrap(),
        cell_id: CellId::new("cell-1").unwrap(),
    };
    let net = NetInfo {
        address: "10.1.1.1".into(),
        instance_address: "10.254.0.2".into(),
        ports: vec![PortMapping { container_port: 8080, host_port: 60_001 }],
        unready: true,
    };
    let placement_error = PlacementError {
        reason: "insufficient resources: memory".into(),
        detail: "needs 4096 MB; largest free 3072 MB on cell-1".into(),
    };
    let states = [
        ActualState::Unclaimed { placement_error: Some(placement_error) },
        ActualState::Claimed { instance: instance() },
        ActualState::Running { instance: instance(), net },
        ActualState::Crashed { reason: "Exited with status 1".into() },
        ActualState::Exited { reason: "Exited with status 0".into() },
    ];
    let record = |(index, state): (u32, ActualState)| ActualLrp {
        key: LrpKey {
            process_guid: self::guid(guid),
            index,
            domain: Domain::new("lattice").unwrap(),
        },
        presence: if index == 2 { Presence::Evacuating } else { Presence::Ordinary },
        since: Time(1_400_000_000_000_000_000 + i64::from(index)),
        crash_count: index,
        crash_reason: match &state {
            ActualState::Crashed { reason } | ActualState::Exited { reason } => reason.clone(),
            _ => String::new(),
        },
        state,
        modification_tag: Default::default(),
    };
    (0..).zip(states).map(record).collect()
}

/// One cell that can take it.
pub(crate) fn explanation(lrp: &DesiredLrp, index: u32) -> Explanation {
    let cell_id = CellId::new("cell-1").unwrap();
    let score = Scores {
        total: 0.5,
        same_app: 0.0,
        starting: 0.25,
        first_fit: 0.0,
        resources: 0.25,
        affinity: 0.0,
    };
    let cell = CellOpinion {
        cell_id: cell_id.clone(),
        zone: "z1".into(),
        free: lrp.resources(),
        instances_in_zone: 1,
        instances_on_cell: 0,
        filters: Filters {
            accepting: true,
            rootfs: true,
            volume_drivers: true,
            placement_tags: true,
            constraints: true,
            resources: true,
        },
        score: Some(score),
    };
    Explanation {
        process_guid: lrp.process_guid.clone(),
        index,
        app: lrp.app.to_string(),
        strategy: Strategy::Spread,
        need: lrp.resources(),
        runs_on: None,
        chosen: Some(cell_id),
        why: "it is the only one".into(),
        placement_error: String::new(),
        placement_detail: String::new(),
        cells: vec![cell],
    }
}

/// What two cells keep, of which one does not answer.
pub(crate) fn images() -> Vec<CellImages> {
    let image = KeptImage {
        name: "docker.io/library/redis:7".into(),
        digest: format!("sha256:{}", "a".repeat(64)),
        bytes: 40 << 20,
        layers: 3,
        in_use: true,
        last_used: Time(9),
    };
    let stock = ImageStock {
        images: vec![image],
        layers_bytes: 50 << 20,
        disk_free_bytes: 1 << 30,
        disk_total_bytes: 8 << 30,
    };
    let cell = |id: &str| CellId::new(id).unwrap();
    vec![
        CellImages { cell_id: cell("cell-1"), stock, error: String::new() },
        CellImages {
            cell_id: cell("cell-2"),
            stock: ImageStock::default(),
            error: "cannot reach cell cell-2: no answer within 10 s".into(),
        },
    ]
}

pub(crate) fn custom_domain(host: &str) -> CustomDomainStatus {
    CustomDomainStatus {
        host: host.to_owned(),
        state: CertificateState::Valid,
        certificate: Some(CertificateFacts {
            names: vec![host.to_owned()],
            issuer: "CN=authority".to_owned(),
            not_before: Time(1),
            not_after: Time(2),
        }),
        order: None,
        warning: "the certificate ends in 3 days; renew it".to_owned(),
    }
}

/// A host whose certificate does not come.
pub(crate) fn ordered(host: &str) -> CustomDomainStatus {
    CustomDomainStatus {
        host: host.to_owned(),
        state: CertificateState::Failed,
        certificate: None,
        order: Some(OrderStatus {
            is_open: false,
            failures: 1,
            problem: "no such host (dns)".to_owned(),
            next_order_at: Some(Time(9)),
        }),
        warning: "no certificate".to_owned(),
    }
}

/// What two cells measure, one of which does not answer.
pub(crate) fn usage() -> Vec<CellUsage> {
    let measured = Measurement {
        measured_at: Time(11),
        cpu_percentage: 12.5,
        cpu_entitlement_percentage: 200.0,
        memory_bytes: 3 << 20,
        memory_bytes_quota: 128 << 20,
        disk_bytes: 4_096,
        disk_bytes_quota: 0,
        received_bytes: 7,
        sent_bytes: 9,
        age_ns: 10,
    };
    let instance_guid = InstanceGuid::new("ig").unwrap();
    let instances = vec![InstanceUsage { index: 1, instance_guid, measured }];
    let cell = |id: &str| CellId::new(id).unwrap();
    let error = "cannot reach cell cell-2: no answer within 10 s".to_owned();
    vec![
        CellUsage { cell_id: cell("cell-1"), instances, error: String::new() },
        CellUsage { cell_id: cell("cell-2"), instances: vec![], error },
    ]
}

/// What one of them removed.
pub(crate) fn pruned() -> Vec<CellPruned> {
    let images = vec!["docker.io/library/redis:6".to_owned()];
    let pruned = PrunedImages { images, layers: 2, bytes: 10 << 20 };
    let cell_id = CellId::new("cell-1").unwrap();
    vec![CellPruned { cell_id, pruned, error: String::new() }]
}

/// The end of the fourth instance.
pub(crate) fn crash(guid: &str) -> InstanceCrash {
    InstanceCrash {
        key: instances(guid)[3].key.clone(),
        instance: instances(guid)[1].instance().unwrap().clone(),
        crash_count: 3,
        reason: "Exited with status 1".into(),
        at: Time(7),
    }
}

//! Actual LRPs (B.5).

use lattice_model::actual_lrp::{PlacementError, PortMapping, Presence};
use lattice_model::desired_lrp::ModificationTag;
use lattice_model::id::IdError;
use lattice_model::{
    ActualLrp, ActualState, CellId, Domain, InstanceGuid, InstanceKey, LrpKey, NetInfo,
    ProcessGuid, Time,
};
use serde::{Deserialize, Serialize};

/// An instance's record as the Receptor writes it, in its order. `placement_detail`,
/// `instance_address`, `unready` and `suspect` are ours.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ActualLrpResponse {
    /// The desired LRP.
    pub process_guid: String,
    /// The incarnation; empty unless claimed or running.
    pub instance_guid: String,
    /// The cell; empty unless claimed or running.
    pub cell_id: String,
    /// The LRP's domain.
    pub domain: String,
    /// From 0.
    pub index: u32,
    /// The cell's address; empty unless running.
    pub address: String,
    /// The port mappings; `null` when there are none.
    pub ports: Option<Vec<PortMapping>>,
    /// `UNCLAIMED`, `CLAIMED`, `RUNNING`, `CRASHED`, or `EXITED`.
    pub state: String,
    /// Crashes in a row.
    pub crash_count: u32,
    /// Why it last crashed.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub crash_reason: String,
    /// Why no cell took it, in Diego's words.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub placement_error: String,
    /// The same with amounts, for people.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub placement_detail: String,
    /// The instance's own address; empty unless running.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub instance_address: String,
    /// True for a running instance that gets no requests, because it is not ready for them.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub unready: bool,
    /// Since when it is in this state, in nanoseconds since the epoch.
    pub since: i64,
    /// True for an instance on a cell that is being emptied.
    pub evacuating: bool,
    /// True for an instance on a cell that is not heard of.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub suspect: bool,
    /// Counts the updates.
    pub modification_tag: ModificationTag,
}

/// Why a body is not an actual LRP.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ActualLrpError {
    /// An identifier is malformed.
    #[error("a malformed identifier: {0}")]
    Id(#[from] IdError),
    /// The state has no such name.
    #[error("an unknown state '{0}'")]
    State(String),
}

// === impl ActualLrpResponse ===

impl From<&ActualLrp> for ActualLrpResponse {
    fn from(lrp: &ActualLrp) -> Self {
        let mut body = Self {
            process_guid: lrp.key.process_guid.as_str().to_owned(),
            domain: lrp.key.domain.as_str().to_owned(),
            index: lrp.key.index,
            state: lrp.state.name().to_owned(),
            crash_count: lrp.crash_count,
            crash_reason: lrp.crash_reason.clone(),
            since: lrp.since.0,
            evacuating: lrp.presence == Presence::Evacuating,
            suspect: lrp.presence == Presence::Suspect,
            modification_tag: lrp.modification_tag.clone(),
            ..Self::default()
        };
        if let Some(instance) = lrp.instance() {
            body.instance_guid = instance.instance_guid.as_str().to_owned();
            body.cell_id = instance.cell_id.as_str().to_owned();
        }
        match &lrp.state {
            ActualState::Unclaimed { placement_error: Some(error) } => {
                body.placement_error = error.reason.clone();
                body.placement_detail = error.detail.clone();
            }
            ActualState::Running { net, .. } => {
                body.address = net.address.clone();
                body.instance_address = net.instance_address.clone();
                body.unready = net.unready;
                body.ports = Some(net.ports.clone()).filter(|ports| !ports.is_empty());
            }
            ActualState::Crashed { reason } | ActualState::Exited { reason } => {
                body.crash_reason = reason.clone();
            }
            ActualState::Unclaimed { placement_error: None } | ActualState::Claimed { .. } => {}
        }
        body
    }
}

impl TryFrom<ActualLrpResponse> for ActualLrp {
    type Error = ActualLrpError;

    fn try_from(body: ActualLrpResponse) -> Result<Self, ActualLrpError> {
        let key = LrpKey {
            process_guid: ProcessGuid::new(&body.process_guid)?,
            index: body.index,
            domain: Domain::new(&body.domain)?,
        };
        let presence = match (body.evacuating, body.suspect) {
            (true, _) => Presence::Evacuating,
            (false, true) => Presence::Suspect,
            (false, false) => Presence::Ordinary,
        };
        Ok(Self {
            key,
            presence,
            since: Time(body.since),
            crash_count: body.crash_count,
            crash_reason: body.crash_reason.clone(),
            modification_tag: body.modification_tag.clone(),
            state: state(body)?,
        })
    }
}

fn state(body: ActualLrpResponse) -> Result<ActualState, ActualLrpError> {
    let instance = || -> Result<InstanceKey, IdError> {
        Ok(InstanceKey {
            instance_guid: InstanceGuid::new(&body.instance_guid)?,
            cell_id: CellId::new(&body.cell_id)?,
        })
    };
    Ok(match body.state.as_str() {
        "UNCLAIMED" => ActualState::Unclaimed {
            placement_error: (!body.placement_error.is_empty()).then_some(PlacementError {
                reason: body.placement_error,
                detail: body.placement_detail,
            }),
        },
        "CLAIMED" => ActualState::Claimed { instance: instance()? },
        "RUNNING" => ActualState::Running {
            instance: instance()?,
            net: NetInfo {
                address: body.address,
                instance_address: body.instance_address,
                ports: body.ports.unwrap_or_default(),
                unready: body.unready,
            },
        },
        "CRASHED" => ActualState::Crashed { reason: body.crash_reason },
        "EXITED" => ActualState::Exited { reason: body.crash_reason },
        _ => return Err(ActualLrpError::State(body.state)),
    })
}

//! The nouns every role shares. Pure: no clock, no sockets, no files, no tasks.
//!
//! A thing lives here only when two roles need it. Bytes that several roles speak are in [`wire`].

pub mod action;
pub mod actual_lrp;
pub mod cell;
pub mod checks;
pub mod custom_domain;
pub mod desired_lrp;
pub mod egress;
pub mod envelope;
pub mod error;
pub mod event;
pub mod go_duration;
pub mod id;
pub mod image;
pub mod packed;
pub mod placement;
pub mod pod;
pub mod resources;
pub mod route;
pub mod task;
pub mod time;
pub mod wire;

pub use action::Action;
pub use actual_lrp::{ActualLrp, ActualState, InstanceKey, LrpKey, NetInfo, PortMapping, Presence};
pub use cell::{CellCapacity, CellPresence};
pub use checks::CheckDefinition;
pub use custom_domain::{
    CertificateFacts, CertificateState, CustomDomain, CustomDomainStatus, OrderStatus,
};
pub use desired_lrp::{ContainerSpec, DesiredLrp, DesiredLrpUpdate, ModificationTag};
pub use egress::EgressRule;
pub use envelope::Envelope;
pub use error::{ErrorName, Refusal};
pub use event::{Event, InstanceCrash};
pub use id::{AppName, CellId, Domain, InstanceGuid, ProcessGuid, TaskGuid};
pub use image::{ImageRef, RegistryAccount, RegistryCredentials};
pub use packed::Labels;
pub use placement::{Placement, Strategy};
pub use pod::{Mount, Sidecar};
pub use resources::{Limit, Resources};
pub use route::{HttpRoute, Routes};
pub use task::{Task, TaskDefinition, TaskState};
pub use time::Time;

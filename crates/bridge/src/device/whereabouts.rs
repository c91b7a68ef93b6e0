//! Where a message goes, as far as is known, and what signs for it there.

use azure::key::{DeviceKey, Signer};
use queue::UnixMillis;

use crate::config::{GroupKey, TargetKind};
use crate::device::Shared;
use crate::device::plan::Way;
use crate::provision::{Known, Registrar};

/// Where a message is to be sent.
pub(super) struct Place {
    /// The hub's host name.
    pub(super) hub: String,
    pub(super) device_id: String,
    pub(super) signer: Signer,
}

pub(super) enum Whereabouts {
    At(Place),
    Held {
        until: UnixMillis,
        cause: String,
        never: bool,
    },
    /// Nobody knows; this one is to be asked.
    Unknown(Registrar),
}

impl Shared {
    fn target(&self, way: &Way) -> &TargetKind {
        &self.config.targets.get(&way.target).expect("the plan checked that the target exists").kind
    }

    /// A device of a policy's hub is taken to be there until the hub says otherwise: a fleet that is there already makes no
    /// registry calls.
    pub(super) fn whereabouts(&self, way: &Way) -> Whereabouts {
        match (self.target(way), self.whereabouts_as_registered(way)) {
            (TargetKind::Policy(policy), Whereabouts::Unknown(_)) => Whereabouts::At(Place {
                hub: policy.host.clone(),
                device_id: way.id.clone(),
                signer: self.signer(way, GroupKey::default()),
            }),
            (_, known) => known,
        }
    }

    /// Nothing is taken for granted.
    pub(super) fn whereabouts_as_registered(&self, way: &Way) -> Whereabouts {
        let registrar = match self.target(way) {
            TargetKind::Device(device) => {
                return Whereabouts::At(Place {
                    hub: device.host.clone(),
                    device_id: device.device_id.clone(),
                    signer: self.signer(way, GroupKey::default()),
                });
            }
            TargetKind::Dps(target) => Registrar::Dps(target.clone()),
            TargetKind::Policy(policy) => Registrar::Hub(policy.clone()),
        };
        match self.provision.known(&way.name()) {
            Known::Assigned(assignment) => Whereabouts::At(Place {
                signer: self.signer(way, assignment.key),
                hub: assignment.hub,
                device_id: assignment.device_id,
            }),
            Known::Held { until, cause, never } => Whereabouts::Held { until, cause, never },
            Known::Nothing => Whereabouts::Unknown(registrar),
        }
    }

    fn signer(&self, way: &Way, key: GroupKey) -> Signer {
        match self.target(way) {
            TargetKind::Dps(target) => Signer::Device(azure::sas::derive_device_key(target.key(key), &way.id)),
            TargetKind::Device(device) => Signer::device(device.key.clone()),
            TargetKind::Policy(policy) => {
                Signer::Policy { policy: policy.policy.clone(), key: DeviceKey::from_bytes(policy.key.clone()) }
            }
        }
    }

    /// Whether asking the registrar again may help a device that its hub refused. A registry makes only what is missing.
    pub(super) fn can_register(&self, way: &Way, is_missing: bool) -> bool {
        match self.target(way) {
            TargetKind::Dps(_) => true,
            TargetKind::Policy(_) => is_missing,
            TargetKind::Device(_) => false,
        }
    }

    /// It was never known to be there, so that its absence says nothing of the hub.
    pub(super) fn is_new(&self, way: &Way) -> bool {
        matches!(self.whereabouts_as_registered(way), Whereabouts::Unknown(Registrar::Hub(_)))
    }
}

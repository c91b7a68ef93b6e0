//! Where a message goes, as far as is known, and what signs for it there.

use azure::key::{DeviceKey, Signer};
use queue::UnixMillis;

use crate::config::{GroupKey, TargetKind};
use crate::device::Shared;
use crate::device::plan::Outbound;
use crate::identity::Name;
use crate::provision::Known;

/// Where a message is to be sent.
pub(super) struct Place {
    /// The hub's host name.
    pub(super) hub: String,
    pub(super) device_id: String,
    pub(super) signer: Signer,
}

impl Place {
    pub(super) fn name(&self) -> Name {
        Name::at_hub(&self.hub, &self.device_id)
    }
}

pub(super) enum Whereabouts {
    At(Place),
    Held {
        until: UnixMillis,
        cause: String,
        never: bool,
    },
    /// Nobody knows; the target's registrar is to be asked.
    Unknown,
}

impl Outbound {
    /// Of the group's keys, or whatever else signs for the device.
    fn signer(&self, key: GroupKey) -> Signer {
        match &self.target.kind {
            TargetKind::Dps(target) => Signer::Device(azure::sas::derive_device_key(target.key(key), &self.way.id)),
            TargetKind::Device(device) => Signer::device(device.key.clone()),
            TargetKind::Policy(policy) => {
                Signer::Policy { policy: policy.policy.clone(), key: DeviceKey::from_bytes(policy.key.clone()) }
            }
        }
    }

    fn at(&self, hub: &str) -> Whereabouts {
        let signer = self.signer(GroupKey::default());
        Whereabouts::At(Place { hub: hub.to_owned(), device_id: self.way.id.clone(), signer })
    }

    /// Whether asking the registrar again may help a device that its hub refused. A registry makes only what is missing.
    pub(super) fn can_register(&self, is_missing: bool) -> bool {
        match &self.target.kind {
            TargetKind::Dps(_) => true,
            TargetKind::Policy(_) => is_missing,
            TargetKind::Device(_) => false,
        }
    }
}

impl Shared {
    /// A device of a policy's hub is taken to be there until the hub says otherwise: a fleet that is there already makes no
    /// registry calls.
    pub(super) fn whereabouts(&self, outbound: &Outbound) -> Whereabouts {
        match (self.whereabouts_as_registered(outbound), &outbound.target.kind) {
            (Whereabouts::Unknown, TargetKind::Policy(policy)) => outbound.at(&policy.host),
            (known, _) => known,
        }
    }

    /// Nothing is taken for granted.
    pub(super) fn whereabouts_as_registered(&self, outbound: &Outbound) -> Whereabouts {
        if let TargetKind::Device(device) = &outbound.target.kind {
            return outbound.at(&device.host);
        }
        match self.provision.known(&outbound.way.name()) {
            Known::Assigned(assignment) => Whereabouts::At(Place {
                signer: outbound.signer(assignment.key),
                hub: assignment.hub,
                device_id: assignment.device_id,
            }),
            Known::Held { until, cause, never } => Whereabouts::Held { until, cause, never },
            Known::Nothing => Whereabouts::Unknown,
        }
    }

    /// It was never known to be there, so that its absence says nothing of the hub.
    pub(super) fn is_new(&self, outbound: &Outbound) -> bool {
        let is_policy = matches!(&outbound.target.kind, TargetKind::Policy(_));
        is_policy && matches!(self.whereabouts_as_registered(outbound), Whereabouts::Unknown)
    }
}

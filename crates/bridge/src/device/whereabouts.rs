//! Where a message goes, as far as is known, and what signs for it there.

use std::time::Duration;

use azure::key::{DeviceKey, Signer};
use queue::UnixMillis;

use crate::config::TargetKind;
use crate::device::Shared;
use crate::device::plan::Outbound;
use crate::identity::Name;
use crate::provision::former::is_configured;
use crate::provision::{Assignment, Known};

/// Where a message is to be sent.
pub(super) struct Place {
    /// The hub's host name.
    pub(super) hub: String,
    pub(super) device_id: String,
    pub(super) signer: Signer,
    /// When a provisioning service said so; `None` where none was asked.
    pub(super) assigned_at: Option<UnixMillis>,
}

impl Place {
    pub(super) fn name(&self) -> Name {
        Name::at_hub(&self.hub, &self.device_id)
    }
}

pub(super) enum Whereabouts {
    At(Place),
    Held {
        wait: Duration,
        cause: String,
        never: bool,
    },
    /// Nobody knows; the target's registrar is to be asked.
    Unknown,
}

impl Outbound {
    /// What the target itself has to sign with. A group's keys sign for devices that are registered only.
    fn signer(&self) -> Option<Signer> {
        match &self.target.kind {
            TargetKind::Dps(_) => None,
            TargetKind::Device(device) => Some(Signer::device(device.key.clone())),
            TargetKind::Policy(policy) => {
                Some(Signer::Policy { policy: policy.policy.clone(), key: DeviceKey::from_bytes(policy.key.clone()) })
            }
        }
    }

    fn at(&self, hub: &str) -> Whereabouts {
        let at = |signer| {
            Whereabouts::At(Place { hub: hub.to_owned(), device_id: self.way.id.clone(), signer, assigned_at: None })
        };
        self.signer().map_or(Whereabouts::Unknown, at)
    }

    /// Why a hub would refuse all devices of this target, and the mend.
    pub(super) fn likely_cause(&self) -> String {
        let target = &self.way.target;
        match &self.target.kind {
            TargetKind::Dps(_) => {
                "look at the hub's own state, at its access policies, and at the clock of this machine".to_owned()
            }
            TargetKind::Policy(policy) => format!(
                "likely the key of policy `{}` was replaced: compare targets.{target}.connection_string with the portal's",
                policy.policy
            ),
            TargetKind::Device(_) => format!("compare targets.{target}.connection_string with the portal's"),
        }
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
            Known::Assigned(assignment) => self.assigned(outbound, assignment),
            Known::Held { wait, cause, never } => Whereabouts::Held { wait, cause, never },
            Known::Nothing => Whereabouts::Unknown,
        }
    }

    /// A device whose group has other keys now, and nobody knows the one before, registers again: its hub would refuse it.
    fn assigned(&self, outbound: &Outbound, assignment: Assignment) -> Whereabouts {
        let signer = match &outbound.target.kind {
            TargetKind::Dps(dps) => self.provision.device_key(dps, &assignment, &outbound.way.id).map(Signer::Device),
            TargetKind::Device(_) | TargetKind::Policy(_) => outbound.signer(),
        };
        let Some(signer) = signer else {
            self.provision.forget(&outbound.way.name());
            return Whereabouts::Unknown;
        };
        let assigned_at = matches!(outbound.target.kind, TargetKind::Dps(_)).then_some(assignment.at);
        Whereabouts::At(Place { hub: assignment.hub, device_id: assignment.device_id, signer, assigned_at })
    }

    /// It signs with a key that its group has no longer: that the hub refuses it says nothing of the hub.
    pub(super) fn has_former_key(&self, outbound: &Outbound) -> bool {
        let TargetKind::Dps(dps) = &outbound.target.kind else { return false };
        let Known::Assigned(assignment) = self.provision.known(&outbound.way.name()) else { return false };
        assignment.registered_with.is_some_and(|key| !is_configured(dps, key))
    }

    /// It was never known to be there, so that its absence says nothing of the hub.
    pub(super) fn is_new(&self, outbound: &Outbound) -> bool {
        let is_policy = matches!(&outbound.target.kind, TargetKind::Policy(_));
        is_policy && matches!(self.whereabouts_as_registered(outbound), Whereabouts::Unknown)
    }
}

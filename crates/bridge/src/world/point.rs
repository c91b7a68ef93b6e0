//! Points of failure by name: where may a process die, or stand still for a while, so that it matters?
//!
//! Each stands where one more thing has become true outside of the process, or is just about to. Nobody listens in
//! production, and a point costs one branch there. A simulation that listens may let the flow wait at a point, or never go on
//! from it and drop the runtime: that is a kill at this place.
//!
//! A point is never reached under a lock. What waits at one holds what it always holds there (a lease, a permit, a place at
//! the door), so that a simulation that waits long finds the bounds.

use std::fmt;
use std::future::Future;
use std::pin::Pin;

/// Who is told that the flow has come to a point, and decides when it goes on.
pub trait Points: Send + Sync + fmt::Debug {
    /// The flow goes on when this is ready.
    fn reached(&self, point: Point) -> Pin<Box<dyn Future<Output = ()> + Send>>;

    /// This message is about to be read: the place to break over it.
    fn reads(&self, message: &queue::Message) {
        let _ = message;
    }
}

macro_rules! points {
    ($($(#[$doc:meta])+ $point:ident = $name:literal,)+) => {
        /// A point of failure. The docs say what has happened there, and what has not.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Point {
            $($(#[$doc])+ $point,)+
        }

        impl Point {
            /// In the order in which an uplink meets them, then what happens to the whole process.
            pub const ALL: &'static [Self] = &[$(Self::$point,)+];

            /// Part and moment, as in `door.before_put`.
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$point => $name,)+
                }
            }
        }
    };
}

points! {
    /// The key is right. Nothing of the body was read.
    DoorKeyChecked = "door.key_checked",
    /// The message is read and sorted, and waits for the queue in memory. Nothing is on the disk.
    DoorBeforePut = "door.before_put",
    /// The message is on the disk. Nobody was told.
    DoorCommitted = "door.committed",
    /// The answer is decided, whichever it is. Not a byte of it was written.
    DoorBeforeAnswer = "door.before_answer",
    /// The worker has the lease. It has not looked at the message.
    DeviceLeased = "device.leased",
    /// What the message becomes is decided, and it is no copy. Nobody was asked whether its name is free.
    DevicePlanned = "device.planned",
    /// The name is reserved in memory. Nothing of it is on the disk.
    ClaimBeforeWrite = "claim.before_write",
    /// The name is the device's on the disk. Nothing was sent under it.
    ClaimWritten = "claim.written",
    /// The device registers next. Nothing says so on the disk.
    ProvisionBeforeBegun = "provision.before_begun",
    /// The disk says that the registration has begun. The provisioning service was not asked.
    ProvisionBegun = "provision.begun",
    /// The provisioning service has answered, with a hub or a refusal. It is known here only.
    ProvisionAnswered = "provision.answered",
    /// The assignment is on the disk. The device is not woken.
    ProvisionKept = "provision.kept",
    /// A hub has an entry for the first time in this process. Nothing was sent there.
    PoolHubOpened = "pool.hub_opened",
    /// A device was told of another hub than before. The others that live at the one before are not woken.
    PoolHubLeft = "pool.hub_left",
    /// The hub's gate is open and the device has its turn. Not a byte was sent.
    DeviceBeforeSend = "device.before_send",
    /// The hub has accepted the message. The disk does not know: killed here, it is sent a second time.
    DeviceAccepted = "device.accepted",
    /// The accepted message is settled on the disk. Its lane's next message is ready.
    DeviceSettled = "device.settled",
    /// A try came to nothing, and is about to be counted. The disk does not know.
    DeviceBeforeRetry = "device.before_retry",
    /// The try is counted on the disk; what the message became is frozen with it.
    DeviceRetried = "device.retried",
    /// The message is about to go to the dead letters. The disk does not know.
    DeviceBeforeBury = "device.before_bury",
    /// The message is about to be set aside, for nobody uses it yet. The disk does not know.
    DeviceBeforeKeep = "device.before_keep",
    /// A new configuration is there. Nobody has seen it.
    ReloadBefore = "reload.before",
    /// The new configuration is in use everywhere.
    ReloadTaken = "reload.taken",
    /// No more leases are taken. Workers still have messages, and the door is open.
    DrainBegun = "drain.begun",
    /// No worker has a message. The hubs' connections are open.
    DrainBeforeHubs = "drain.before_hubs",
    /// The hubs are closed, or out of time. The door is open.
    DrainBeforeDoor = "drain.before_door",
    /// The door is closed and all requests are answered. The queue is open.
    DrainBeforeQueue = "drain.before_queue",
}

impl fmt::Display for Point {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

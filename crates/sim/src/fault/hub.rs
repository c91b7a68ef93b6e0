//! The hubs: what they say to messages, tokens and links, and what their owner does with devices.

use simulator::{AmqpAction, AmqpFault, Faults, HubRefusal, HubRefuse, LinkState, Outage, Throttle, When};

use super::{AFTER, Facts, LONG_AFTER};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum HubFault {
    Unavailable,
    Closes,
    Silent,
    Slow,
    Throttles,
    ThrottlesAtTheDoor,
    BacklogFull,
    Quota,
    InternalError,
    TimesOut,
    RefusesEverybody,
    RefusesOne,
    UnknownOne,
    DisabledOne,
    Suspended,
    LosesAnswers,
    RefusesArgument,
    DetachForced,
    DetachUnsettled,
    Releases,
    Modifies,
    SessionEnds,
    ConnectionForced,
    DropsAmid,
    HalfOpenUnsettled,
    Steals,
    TokenEnds,
    TokenBusy,
    TokenError,
    TokenUnanswered,
    AttachUnanswered,
    NeverSettles,
    SettlesLate,
    CreditOfOne,
    SmallFrames,
    FewTokens,
    /// By its owner.
    SwitchedOff,
    /// By its owner; it registers again.
    Deleted,
    /// By its owner, to the other hub.
    Moved,
}

fn status(status: u16, error_code: u32, name: &str) -> HubRefusal {
    HubRefusal::Status { status, error_code, name: name.to_owned() }
}

impl HubFault {
    pub(crate) const ALL: &[Self] = &[
        Self::Unavailable,
        Self::Closes,
        Self::Silent,
        Self::Slow,
        Self::Throttles,
        Self::ThrottlesAtTheDoor,
        Self::BacklogFull,
        Self::Quota,
        Self::InternalError,
        Self::TimesOut,
        Self::RefusesEverybody,
        Self::RefusesOne,
        Self::UnknownOne,
        Self::DisabledOne,
        Self::Suspended,
        Self::LosesAnswers,
        Self::RefusesArgument,
        Self::DetachForced,
        Self::DetachUnsettled,
        Self::Releases,
        Self::Modifies,
        Self::SessionEnds,
        Self::ConnectionForced,
        Self::DropsAmid,
        Self::HalfOpenUnsettled,
        Self::Steals,
        Self::TokenEnds,
        Self::TokenBusy,
        Self::TokenError,
        Self::TokenUnanswered,
        Self::AttachUnanswered,
        Self::NeverSettles,
        Self::SettlesLate,
        Self::CreditOfOne,
        Self::SmallFrames,
        Self::FewTokens,
        Self::SwitchedOff,
        Self::Deleted,
        Self::Moved,
    ];

    pub(crate) fn facts(self) -> Facts {
        let some_minutes = |name| Facts::named(name).seconds(5, 900).delays(AFTER);
        match self {
            Self::Unavailable => some_minutes("hub unavailable"),
            Self::Closes => some_minutes("hub closes connections").repeats(),
            Self::Silent => some_minutes("hub silent").repeats(),
            Self::Slow => some_minutes("hub slow").repeats(),
            Self::Throttles => some_minutes("hub throttles messages"),
            Self::ThrottlesAtTheDoor => some_minutes("hub throttles at its door"),
            Self::BacklogFull => some_minutes("hub's backlog full"),
            Self::Quota => Facts::named("hub's quota used up").seconds(30, 900).delays(LONG_AFTER),
            Self::InternalError => some_minutes("hub's internal error"),
            Self::TimesOut => some_minutes("hub times out within").repeats(),
            Self::RefusesEverybody => Facts::named("hub refuses everybody").seconds(5, 900).delays(LONG_AFTER),
            Self::RefusesOne => some_minutes("hub refuses one device").of_one_device().delays(LONG_AFTER),
            Self::UnknownOne => some_minutes("hub knows no such device").of_one_device().delays(LONG_AFTER),
            Self::DisabledOne => some_minutes("hub calls one device disabled").of_one_device().delays(LONG_AFTER),
            // Looked at every ten minutes, or a quarter more.
            Self::Suspended => Facts::named("hub suspended").seconds(30, 900).delays(13 * 60_000),
            Self::LosesAnswers => some_minutes("hub loses answers").repeats(),
            Self::RefusesArgument => {
                some_minutes("hub refuses a message for good").of_one_device().buries(&["rejected"]).seconds(5, 60)
            }
            Self::DetachForced => some_minutes("links detached").repeats(),
            Self::DetachUnsettled => some_minutes("links detached before the answer").repeats(),
            Self::Releases => some_minutes("messages released"),
            Self::Modifies => some_minutes("messages modified"),
            Self::SessionEnds => some_minutes("sessions ended").repeats(),
            Self::ConnectionForced => some_minutes("connections closed in words").repeats(),
            Self::DropsAmid => some_minutes("connections dropped amid a message").repeats(),
            Self::HalfOpenUnsettled => some_minutes("connections silent before the answer").repeats(),
            Self::Steals => some_minutes("links stolen").of_one_device().delays(LONG_AFTER).repeats(),
            Self::TokenEnds => some_minutes("tokens ended").repeats().ends_tokens(),
            // A renewal that is refused ends the link, and with it the answer to what was just sent.
            Self::TokenBusy => some_minutes("tokens refused for a moment").repeats(),
            Self::TokenError => some_minutes("tokens answered by an error").repeats(),
            Self::TokenUnanswered => some_minutes("tokens not answered").repeats(),
            Self::AttachUnanswered => some_minutes("attaches not answered").repeats(),
            Self::NeverSettles => some_minutes("messages not answered").repeats(),
            Self::SettlesLate => some_minutes("messages answered late").repeats(),
            Self::CreditOfOne => some_minutes("credit of one message"),
            Self::SmallFrames => some_minutes("frames of 512 bytes"),
            Self::FewTokens => some_minutes("two tokens a connection").repeats(),
            Self::SwitchedOff => some_minutes("device switched off").of_one_device().repeats(),
            Self::Deleted => Facts::named("device deleted").of_one_device().delays(AFTER).repeats(),
            Self::Moved => Facts::named("device moved").of_one_device().delays(AFTER).repeats(),
        }
    }

    /// What the simulator is to do, besides what it does already. `device`: its registration id.
    pub(crate) fn add(self, faults: &mut Faults, device: Option<&str>, amount: u32) {
        let ids: Vec<String> = device.map(str::to_owned).into_iter().collect();
        let often = When::Every(1 + u64::from(amount % 3));
        let refuse = |answer| HubRefuse { ids: ids.clone(), answer };
        let hub = &mut faults.hub;
        match self {
            Self::Unavailable => hub.outage = Some(Outage::Unavailable),
            Self::Closes => hub.outage = Some(Outage::Close),
            Self::Silent => hub.outage = Some(Outage::Hang),
            Self::Slow => hub.delay_ms = 500 + u64::from(amount % 30_000),
            Self::Throttles => hub.throttle = Some(Throttle { when: often, retry_after_s: None }),
            Self::ThrottlesAtTheDoor => hub.refuse.push(refuse(HubRefusal::Throttled)),
            Self::BacklogFull => hub.refuse.push(refuse(HubRefusal::BacklogFull)),
            Self::Quota => hub.refuse.push(refuse(HubRefusal::Quota)),
            Self::InternalError => hub.refuse.push(refuse(status(500, 500_001, "ServerError"))),
            Self::TimesOut => hub.refuse.push(refuse(status(500, 500_008, "GenericTimeout"))),
            Self::RefusesEverybody | Self::RefusesOne => hub.refuse.push(refuse(HubRefusal::Unauthorized)),
            Self::UnknownOne => hub.refuse.push(refuse(HubRefusal::NotFound)),
            Self::DisabledOne => hub.refuse.push(refuse(HubRefusal::Disabled)),
            Self::Suspended => hub.refuse.push(refuse(status(403, 403_001, "IotHubSuspended"))),
            Self::LosesAnswers => hub.lose_answer = Some(often),
            // Over HTTPS the hub has no such answer: 400 means the same there.
            Self::RefusesArgument => {
                hub.refuse.push(refuse(status(400, 400_003, "InvalidOperation")));
            }
            Self::SwitchedOff | Self::Deleted | Self::Moved => {}
            _ => self.add_to_links(faults, ids, amount),
        }
    }

    fn add_to_links(self, faults: &mut Faults, devices: Vec<String>, amount: u32) {
        let often = When::Every(1 + u64::from(amount % 3));
        let amqp = &mut faults.amqp;
        let mut at =
            |state, action| amqp.faults.push(AmqpFault { devices: devices.clone(), state, when: often, action });
        let words = |condition: &str| Some(condition.to_owned());
        let detach = |condition: &str| AmqpAction::Detach {
            condition: words(condition),
            description: None,
            closed: true,
            info: Default::default(),
        };
        match self {
            Self::DetachForced => at(LinkState::Idle, detach("amqp:link:detach-forced")),
            Self::DetachUnsettled => at(LinkState::Unsettled, detach("amqp:internal-error")),
            Self::Releases => at(LinkState::MidTransfer, AmqpAction::Release),
            Self::Modifies => at(LinkState::MidTransfer, AmqpAction::Modify),
            Self::SessionEnds => {
                let condition = words("amqp:session:window-violation");
                at(LinkState::Unsettled, AmqpAction::End { condition, description: None });
            }
            Self::ConnectionForced => {
                let condition = words("amqp:connection:forced");
                at(LinkState::Unsettled, AmqpAction::Close { condition, description: None });
            }
            Self::DropsAmid => at(LinkState::MidTransfer, AmqpAction::Drop),
            Self::HalfOpenUnsettled => at(LinkState::Unsettled, AmqpAction::HalfOpen),
            Self::Steals => at(LinkState::Unsettled, AmqpAction::Steal),
            Self::TokenEnds => at(LinkState::Idle, AmqpAction::ExpireToken),
            Self::TokenBusy => at(LinkState::Cbs, AmqpAction::Cbs { status: 503, description: words("busy") }),
            Self::TokenError => at(LinkState::Cbs, AmqpAction::Cbs { status: 500, description: words("failed") }),
            Self::TokenUnanswered => at(LinkState::Cbs, AmqpAction::NoDisposition),
            Self::AttachUnanswered => at(LinkState::Attach, AmqpAction::NoDisposition),
            Self::NeverSettles => at(LinkState::Unsettled, AmqpAction::NoDisposition),
            Self::SettlesLate => amqp.accept_delay_ms = 1_000 + u64::from(amount % 40_000),
            Self::CreditOfOne => amqp.link_credit = Some(1),
            Self::SmallFrames => (amqp.frame_bytes_max, amqp.session_window) = (Some(512), Some(1)),
            Self::FewTokens => amqp.cbs_tokens_max = Some(2),
            _ => {}
        }
    }
}

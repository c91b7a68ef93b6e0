//! PURE: whose settings they are, by their names.

use super::Export;
use super::settings::Settings;
use crate::config::Mistake;

/// One of the predecessors.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Family {
    /// AzureIoTHubUplinkMessageProcessor, the first processor
    #[value(name = "first")]
    First,
    /// AzureIoTHubMessageV2Processor
    #[value(name = "v2")]
    V2,
    /// TTIV3AzureIoTConnector, which takes webhooks
    #[value(name = "ttiv3")]
    TtiV3,
    /// TTNV3AzureIoTConnector, which subscribes over MQTT
    #[value(name = "ttnv3")]
    TtnV3,
}

impl Family {
    /// As `--from` calls it.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::First => "first",
            Self::V2 => "v2",
            Self::TtiV3 => "ttiv3",
            Self::TtnV3 => "ttnv3",
        }
    }

    /// As its author calls it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::First => "AzureIoTHubUplinkMessageProcessor",
            Self::V2 => "AzureIoTHubMessageV2Processor",
            Self::TtiV3 => "TTIV3AzureIoTConnector",
            Self::TtnV3 => "TTNV3AzureIoTConnector",
        }
    }

    /// The first processor has one id scope, `DPSIDScope`, where the V2 processor has a default; the others have sections.
    pub(super) fn of(settings: &Settings) -> Option<Self> {
        let any =
            |begins: &str| settings.all().iter().any(|setting| super::settings::key(&setting.name).starts_with(begins));
        let has = |name: &str| settings.all().iter().any(|setting| super::settings::key(&setting.name) == name);
        if any("programsettings:") {
            Some(Self::TtnV3)
        } else if any("azureiot:") || any("thethingsindustries:") {
            Some(Self::TtiV3)
        } else if any("azureiothubconnectionstring") || any("dpsidscopedefault") || any("dpsidscope-") {
            Some(Self::V2)
        } else if has("dpsidscope") {
            Some(Self::First)
        } else if any("dpsenrollmentgroupsymmetrickey") {
            Some(Self::V2)
        } else {
            None
        }
    }
}

pub(super) fn unknown(exports: &[Export<'_>]) -> Mistake {
    let files: Vec<_> = exports.iter().map(|export| export.file).collect();
    Mistake {
        key: files.join(", "),
        place: None,
        cause: "has no setting by which a predecessor is known (DPSIDScope…, AzureIotHubConnectionString…, AzureIoT:…, \
                ProgramSettings:…)"
            .to_owned(),
        mend: "add the app's settings, and the list of its key vault's secrets; or say whose settings they are, with --from".to_owned(),
    }
}

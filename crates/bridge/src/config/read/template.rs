//! Templates of device names: text with `{device_id}`, `{application_id}`, `{dev_eui}`, `{network}`.

use super::nearest::nearest;
use super::reader::{Found, Reader};
use crate::config::{Names, Part, Template};

/// What stands for a device.
const PLACEHOLDERS: [(&str, Part); 4] = [
    ("device_id", Part::DeviceId),
    ("application_id", Part::ApplicationId),
    ("dev_eui", Part::DevEui),
    ("network", Part::Network),
];

/// The network's name for the device, as it is.
pub(super) fn default() -> Template {
    Template(vec![Part::DeviceId])
}

/// Parses a template and tries it on a device as the network may have it.
pub(super) fn read(reader: &mut Reader<'_>, found: &Found<String>, rules: &Rules<'_>) -> Option<Template> {
    let template = match parse(&found.value) {
        Ok(template) => template,
        Err(cause) => {
            reader.mistake(&found.at, cause, "write it as in \"{device_id}\" or \"{application_id}--{device_id}\"");
            return None;
        }
    };
    if !template.0.iter().any(|part| matches!(part, Part::DeviceId | Part::DevEui)) {
        let mend = "put {device_id} or {dev_eui} into it";
        reader.mistake(&found.at, "gives every device of an application the same name", mend);
        return None;
    }
    if let Err(why) = rules.try_on(&template) {
        let mend = format!("use {} between the placeholders", rules.names.taken());
        reader.mistake(&found.at, format!("would call a device `{}`: {why}", rules.sample(&template)), mend);
        return None;
    }
    Some(template)
}

/// What the names must obey.
pub(super) struct Rules<'a> {
    /// Those of the service.
    pub(super) names: Names,
    /// `webhook.network`.
    pub(super) network: &'a str,
}

impl Rules<'_> {
    fn try_on(&self, template: &Template) -> Result<(), String> {
        self.names.check(&self.sample(template))
    }

    fn sample(&self, template: &Template) -> String {
        let part = |part: &Part| match part {
            Part::Text(text) => text.clone(),
            Part::DeviceId => "sensor-1".to_owned(),
            Part::ApplicationId => "app".to_owned(),
            Part::DevEui => "70b3d57ed0051234".to_owned(),
            Part::Network => self.network.to_owned(),
        };
        template.0.iter().map(part).collect()
    }
}

fn parse(text: &str) -> Result<Template, String> {
    let mut parts = Vec::new();
    let mut rest = text;
    while let Some(open) = rest.find(['{', '}']) {
        if rest[open..].starts_with('}') {
            return Err("has a `}` without a `{` before it".to_owned());
        }
        let close = rest[open..].find('}').ok_or("has a `{` that is not closed")? + open;
        push_text(&mut parts, &rest[..open]);
        parts.push(placeholder(&rest[open + 1..close])?);
        rest = &rest[close + 1..];
    }
    push_text(&mut parts, rest);
    if parts.is_empty() { Err("is empty".to_owned()) } else { Ok(Template(parts)) }
}

fn push_text(parts: &mut Vec<Part>, text: &str) {
    if !text.is_empty() {
        parts.push(Part::Text(text.to_owned()));
    }
}

fn placeholder(name: &str) -> Result<Part, String> {
    if let Some((_, part)) = PLACEHOLDERS.iter().find(|(known, _)| *known == name) {
        return Ok(part.clone());
    }
    let names = PLACEHOLDERS.map(|(known, _)| known);
    let hint = nearest(name, names).map_or(String::new(), |near| format!("; did you mean {{{near}}}?"));
    let known = names.map(|known| format!("{{{known}}}")).join(", ");
    Err(format!("has the placeholder {{{name}}}, but only {known} exist{hint}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_template_is_text_and_placeholders() {
        let parts = |text: &str| parse(text).unwrap().0;
        assert_eq!(parts("{device_id}"), default().0);
        let text = |text: &str| Part::Text(text.to_owned());
        assert_eq!(parts("{application_id}--{dev_eui}"), [Part::ApplicationId, text("--"), Part::DevEui]);
        assert_eq!(parts("a.{network}é"), [text("a."), Part::Network, text("é")]);
    }

    #[test]
    fn a_broken_template_says_where_it_breaks() {
        for (template, part) in [
            ("", "empty"),
            ("a{", "not closed"),
            ("a}b", "without"),
            ("{{device_id}}", "{{device_id}"),
            ("{devid}", "only {device_id}, "),
            ("{deveui}", "did you mean {dev_eui}?"),
        ] {
            let cause = parse(template).unwrap_err();
            assert!(cause.contains(part), "{template}: {cause}");
        }
    }
}

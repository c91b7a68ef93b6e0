//! In which of two texts a scrape is answered. PURE.
//!
//! OpenMetrics for who asks for it, as Prometheus does; else the older text of Prometheus, which is what `promtool check metrics`,
//! curl and older collectors read. The two differ in the names of counters and in what OpenMetrics alone has.

use axum::http::HeaderValue;

/// The text of a scrape.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    /// OpenMetrics 1.0.0.
    OpenMetrics,
    /// Prometheus 0.0.4.
    Prometheus,
}

impl Format {
    /// By the `Accept` of a request. `*/*` takes either, and gets the older one.
    pub(super) fn wanted(accept: &str) -> Self {
        let (open, plain) = (quality(accept, "application/openmetrics-text"), quality(accept, "text/plain"));
        if open > 0.0 && open >= plain { Self::OpenMetrics } else { Self::Prometheus }
    }

    pub(super) fn content_type(self) -> HeaderValue {
        HeaderValue::from_static(match self {
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Self::Prometheus => "text/plain; version=0.0.4; charset=utf-8",
        })
    }

    /// From OpenMetrics.
    pub(super) fn write(self, openmetrics: String) -> String {
        match self {
            Self::OpenMetrics => openmetrics,
            Self::Prometheus => prometheus(&openmetrics),
        }
    }
}

/// The best `q` that a kind of text has there; 0 where it is not named.
fn quality(accept: &str, kind: &str) -> f64 {
    let weights = accept.split(',').filter_map(|range| {
        let mut parts = range.split(';').map(str::trim);
        let is_it = parts.next()?.eq_ignore_ascii_case(kind);
        let weight = parts.find_map(|part| part.strip_prefix("q="));
        is_it.then(|| weight.map_or(Some(1.0), |weight| weight.parse().ok()))?
    });
    weights.fold(0.0, f64::max)
}

/// A counter's family is called as its samples are, an info is a gauge, and units and the end are not told.
fn prometheus(openmetrics: &str) -> String {
    let mut text = String::with_capacity(openmetrics.len());
    let mut help = "";
    for line in openmetrics.lines() {
        let words: Vec<_> = line.splitn(4, ' ').collect();
        match words[..] {
            ["#", "HELP", _, words] => help = words,
            ["#", "TYPE", name, kind] => {
                let (suffix, kind) = match kind {
                    "counter" => ("_total", "counter"),
                    "info" => ("_info", "gauge"),
                    other => ("", other),
                };
                text.push_str(&format!("# HELP {name}{suffix} {help}\n# TYPE {name}{suffix} {kind}\n"));
            }
            ["#", ..] => {}
            _ => {
                text.push_str(line);
                text.push('\n');
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_asks_for_openmetrics_gets_it() {
        let of_prometheus = "application/openmetrics-text;version=1.0.0;q=0.5,application/openmetrics-text;version=0.0.1;q=0.4,\
                             text/plain;version=0.0.4;q=0.3,*/*;q=0.2";
        assert_eq!(Format::wanted(of_prometheus), Format::OpenMetrics);
        assert_eq!(Format::wanted("application/openmetrics-text"), Format::OpenMetrics);
        for other in ["", "*/*", "text/plain", "text/plain, application/openmetrics-text;q=0.5", "text/html,*/*;q=0.8"]
        {
            assert_eq!(Format::wanted(other), Format::Prometheus, "{other}");
        }
        assert_eq!(
            Format::wanted("application/openmetrics-text;q=0"),
            Format::Prometheus,
            "it says that it does not want it"
        );
    }

    #[test]
    fn the_older_text_has_the_older_names() {
        let openmetrics = "# HELP a How many, all in all.\n# TYPE a counter\na_total{b=\"# c\"} 1\n\
                           # HELP b What this is.\n# TYPE b info\nb_info{v=\"1\"} 1\n\
                           # HELP c_seconds How long.\n# TYPE c_seconds gauge\n# UNIT c_seconds seconds\nc_seconds 0.5\n# EOF\n";
        let older = "# HELP a_total How many, all in all.\n# TYPE a_total counter\na_total{b=\"# c\"} 1\n\
                     # HELP b_info What this is.\n# TYPE b_info gauge\nb_info{v=\"1\"} 1\n\
                     # HELP c_seconds How long.\n# TYPE c_seconds gauge\nc_seconds 0.5\n";
        assert_eq!(prometheus(openmetrics), older);
    }
}

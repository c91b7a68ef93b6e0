//! Promise: what can be seen is what is documented, and it loads without edits: metrics, alert rules and dashboard, judged by
//! Prometheus itself.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;

use crate::http;
use crate::processes::{LONGHAUL, Process, until};
use crate::site::{Ports, Site, UP_WITHIN};
use crate::uplinks;

const DOCS: &str = include_str!("../../../../docs/metrics.md");
const EVENTS: &str = include_str!("../../src/events.rs");
const DASHBOARD: &str = include_str!("../../../../observability/longhaul-dashboard.json");
/// Prometheus scrapes each second, and the room of the queue is looked at every ten.
const SHOWN_WITHIN: Duration = Duration::from_secs(90);

fn observability() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../observability")
}

/// The cells of each row of the documentation's tables whose first one is code that begins so.
fn rows(begins: &'static [&'static str]) -> impl Iterator<Item = Vec<&'static str>> {
    let is_one = move |line: &&str| begins.iter().any(|begin| line.starts_with(&format!("| `{begin}")));
    DOCS.lines().filter(is_one).map(|line| line.trim_matches('|').split('|').map(str::trim).collect())
}

/// What stands in backticks.
fn code(cell: &str) -> impl Iterator<Item = &str> {
    cell.split('`').skip(1).step_by(2)
}

/// Type, unit and labels of a metric.
#[derive(Debug, Default, PartialEq, Eq)]
struct Described {
    kind: String,
    unit: String,
    labels: BTreeSet<String>,
}

fn documented() -> BTreeMap<String, Described> {
    let row = |cells: Vec<&str>| {
        let [name, kind, unit, labels, tells, _] = cells[..] else { panic!("six cells: {cells:?}") };
        assert!(!tells.is_empty(), "{name} tells something");
        let labels = code(labels).map(str::to_owned).collect();
        let name = code(name).next().expect("a name").to_owned();
        (name, Described { kind: kind.to_owned(), unit: unit.to_owned(), labels })
    };
    rows(&["longhaul_", "process_"]).map(row).collect()
}

/// As a scrape in OpenMetrics says; named as in the older text.
fn exposed(text: &str) -> BTreeMap<String, Described> {
    assert!(text.ends_with("# EOF\n"), "it is whole");
    let mut all: BTreeMap<String, Described> = BTreeMap::new();
    let mut current = String::new();
    for line in text.lines() {
        let words: Vec<_> = line.splitn(4, ' ').collect();
        match words[..] {
            ["#", "TYPE", name, kind] => {
                let suffix = if kind == "counter" {
                    "_total"
                } else if kind == "info" {
                    "_info"
                } else {
                    ""
                };
                current = format!("{name}{suffix}");
                let before = all.insert(current.clone(), Described { kind: kind.to_owned(), ..Described::default() });
                assert_eq!(before, None, "{name} stands there once");
            }
            ["#", "UNIT", _, unit] => all.get_mut(&current).expect("its type comes before").unit = unit.to_owned(),
            ["#", "HELP", name, help] => {
                assert!(help.ends_with('.') && help.starts_with(char::is_uppercase), "{name}: a sentence: {help}");
            }
            ["#", ..] => {}
            _ => {
                let labels = line.split_once('{').map_or("", |(_, rest)| rest.rsplit_once('}').expect("labels end").0);
                let names = labels.split("\",").filter_map(|label| label.split_once("=\"")).map(|(name, _)| name);
                let names = names.filter(|name| *name != "le").map(str::to_owned);
                all.get_mut(&current).expect("its type comes before").labels.extend(names);
            }
        }
    }
    all
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_metric_is_documented_and_accepted_by_promtool() {
    let site = Site::start("metrics").await;
    site.post("/tts", &uplinks::tts("building", "dev-1", 1)).await;
    site.post("/tts", b"{}").await;
    site.post("/nowhere", b"{}").await;
    site.drained(Duration::from_secs(30)).await;

    let mut connection = http::Connection::open(site.ports.admin).await.expect("the admin listener is there");
    let accept = [("accept", "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;q=0.3,*/*;q=0.2")];
    let reply = connection.get("/metrics", &accept).await.expect("an answer");
    assert!(reply.header("content-type").is_some_and(|kind| kind.starts_with("application/openmetrics-text")));
    let (exposed, documented) = (exposed(&reply.text()), documented());
    let names = |all: &BTreeMap<String, Described>| all.keys().cloned().collect::<BTreeSet<_>>();
    let (there, told) = (names(&exposed), names(&documented));
    let missing: Vec<_> = told.difference(&there).collect();
    assert!(missing.is_empty(), "documented, and not in /metrics: {missing:?}");
    let undocumented: Vec<_> = there.difference(&told).collect();
    assert!(undocumented.is_empty(), "in /metrics, and not documented: {undocumented:?}");
    for (name, is) in exposed {
        let said = &documented[&name];
        assert_eq!((&said.kind, &said.unit), (&is.kind, &is.unit), "{name}");
        assert!(is.labels.is_empty() || is.labels == said.labels, "{name}: {is:?}, and documented {said:?}");
    }

    let plain = site.admin("/metrics").await;
    assert!(plain.header("content-type").is_some_and(|kind| kind.starts_with("text/plain; version=0.0.4")));
    assert!(!plain.text().contains("dev-1"), "no label has a device");
    promtool(&["check", "metrics"], &plain.body);
}

/// It says nothing but that all is well.
fn promtool(arguments: &[&str], stdin: &[u8]) {
    let mut command = Command::new("promtool");
    command.args(arguments).current_dir(observability());
    let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let mut child = child.unwrap_or_else(|e| panic!("NOT PROVED: promtool does not run ({e}): ./test installs it"));
    child.stdin.take().expect("it was asked for").write_all(stdin).expect("promtool reads");
    let output = child.wait_with_output().expect("promtool ends");
    let said = [&output.stdout, &output.stderr].map(|text| String::from_utf8_lossy(text).into_owned()).concat();
    assert!(output.status.success() && !said.contains("FAILED"), "promtool {arguments:?}: {said}");
    if arguments == ["check", "metrics"] {
        assert_eq!(said, "", "not even a word of advice");
    }
}

#[test]
fn each_alert_rule_fires_when_it_should_and_not_otherwise() {
    promtool(&["check", "rules", "longhaul-alerts.yml"], b"");
    promtool(&["test", "rules", "longhaul-alerts_test.yml"], b"");
}

#[test]
fn log_metrics_and_page_have_one_vocabulary() {
    let domains = ["up", "queue", "hub", "dps", "config", "letters", "traces"];
    let is_name = |text: &str| {
        let parts = text.split_once('.').filter(|(domain, _)| domains.contains(domain));
        parts.is_some_and(|(_, word)| word.chars().all(|c| c.is_ascii_lowercase() || c == '_'))
    };
    // The names are the first words of what is logged.
    let logged: BTreeSet<_> =
        EVENTS.split('"').skip(1).step_by(2).filter_map(|text| text.split([':', ' ']).next()).collect();
    let logged: BTreeSet<_> = logged.into_iter().filter(|text| is_name(text)).collect();
    let told = rows(&["up.", "queue.", "hub.", "dps.", "config.", "letters.", "traces."]).collect::<Vec<_>>();
    let documented: BTreeSet<_> = told.iter().flat_map(|cells| code(cells[0])).collect();
    assert_eq!(logged, documented, "events.rs on the left, docs/metrics.md on the right");
    let metrics = self::documented();
    for metric in told.iter().flat_map(|cells| code(cells[2])) {
        assert!(metrics.contains_key(metric), "{metric} is in the table of metrics");
    }
}

/// Title and expression of each query.
fn queries() -> Vec<(String, String)> {
    let dashboard: Value = serde_json::from_str(DASHBOARD).expect("JSON");
    let panels = dashboard["panels"].as_array().expect("panels");
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let of = |panel: &Value| {
        let targets = panel["targets"].as_array().cloned().unwrap_or_default();
        targets.iter().map(|target| (text(&panel["title"]), text(&target["expr"]))).collect::<Vec<_>>()
    };
    panels.iter().flat_map(of).collect()
}

#[test]
fn the_dashboard_is_one_that_grafana_takes_without_edits() {
    let dashboard: Value = serde_json::from_str(DASHBOARD).expect("JSON");
    let variables = dashboard["templating"]["list"].as_array().expect("variables");
    assert!(variables.iter().any(|variable| variable["name"] == "datasource" && variable["type"] == "datasource"));
    assert!(
        dashboard["id"].is_null() && dashboard["uid"] == "longhaul" && dashboard["schemaVersion"].as_u64() >= Some(36)
    );
    let (mut ids, mut places) = (BTreeSet::new(), BTreeSet::new());
    for panel in dashboard["panels"].as_array().expect("panels") {
        let title = panel["title"].as_str().unwrap_or_default();
        let place =
            ["x", "y", "w", "h"].map(|key| panel["gridPos"][key].as_u64().unwrap_or_else(|| panic!("{title}: {key}")));
        let [x, y, w, h] = place;
        assert!(ids.insert(panel["id"].as_u64()) && w > 0 && x + w <= 24, "{title} has an id and a place of its own");
        assert!((x..x + w).all(|x| (y..y + h).all(|y| places.insert((x, y)))), "{title} lies upon another");
        if panel["type"] == "row" {
            continue;
        }
        let says = |value: &Value| value.as_str().is_some_and(|text| !text.is_empty());
        assert!(says(&panel["title"]) && says(&panel["description"]), "{title} says what it shows");
        assert!(says(&panel["fieldConfig"]["defaults"]["unit"]), "{title} has a unit");
        let targets = panel["targets"].as_array().expect("queries");
        let sources = targets.iter().map(|target| &target["datasource"]).chain([&panel["datasource"]]);
        assert!(!targets.is_empty() && sources.into_iter().all(|source| source["uid"] == "${datasource}"), "{title}");
    }
    let metrics = documented();
    let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    for (title, query) in queries() {
        for name in
            query.split(|c| !word(c)).filter(|name| name.starts_with("longhaul_") || name.starts_with("process_"))
        {
            let family = ["_bucket", "_count", "_sum"].iter().find_map(|suffix| name.strip_suffix(suffix));
            assert!(metrics.contains_key(family.unwrap_or(name)), "{title} asks for {name}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dashboard_and_rules_show_a_demo_as_it_is() {
    let site = Site::empty("observability");
    let mut command = Command::new(LONGHAUL);
    command.args(["demo", "--devices", "50", "--rate", "50", "--dir", "demo"]);
    let demo = Process::start("demo", &site.dir, &mut command);
    let page = until("the demo says where its page is", UP_WITHIN, async || {
        let told = demo.stdout();
        let line = told.lines().find_map(|line| line.strip_prefix("page"))?;
        Some(line.trim().strip_prefix("http://")?.to_owned())
    })
    .await;
    let port = Ports::pick().page;
    let _prometheus = prometheus(&site, port, &page);

    for (title, query) in queries() {
        let query = query.replace("$__rate_interval", "10s").replace("$instance", ".*");
        until(&format!("{title}: {query}"), SHOWN_WITHIN, async || {
            let found = ask(port, &query).await?;
            let samples = found["data"]["result"].as_array().expect("a list").clone();
            samples.iter().any(|sample| sample["value"][1] != "NaN").then_some(())
        })
        .await;
    }
    let rules = until("each rule has been evaluated", SHOWN_WITHIN, async || {
        let reply = http::get(port, "/api/v1/rules").await.ok()?.json();
        let rules = reply["data"]["groups"][0]["rules"].as_array()?.clone();
        rules.iter().all(|rule| rule["health"] != "unknown").then_some(rules)
    })
    .await;
    assert!(rules.len() > 20);
    for rule in rules {
        let name = rule["name"].as_str().expect("a name");
        assert_eq!((rule["health"].as_str(), rule["lastError"].as_str()), (Some("ok"), None), "{name}");
        assert_ne!(rule["state"], "firing", "{name} fires in a demo that is well: {rule}");
        assert!(["page", "warn"].contains(&rule["labels"]["severity"].as_str().expect("a severity")), "{name}");
        let says = |what: &str| rule["annotations"][what].as_str().is_some_and(|text| text.len() > 10);
        assert!(says("summary") && says("description"), "{name}");
        assert_eq!(rule["annotations"]["runbook"], format!("docs/metrics.md#{}", name.to_lowercase()));
        assert!(DOCS.contains(&format!("\n### {name}\n\n")), "what to do about {name} is told");
    }
}

fn prometheus(site: &Site, port: u16, page: &str) -> Process {
    let rules = observability().join("longhaul-alerts.yml");
    let rules = rules.canonicalize().expect("the rules are there");
    let config = format!(
        "global: {{ scrape_interval: 1s, evaluation_interval: 1s }}\nrule_files: [\"{}\"]\n\
         scrape_configs:\n  - job_name: longhaul\n    static_configs: [{{ targets: [\"{page}\"] }}]\n",
        rules.display()
    );
    std::fs::write(site.dir.join("prometheus.yml"), config).expect("the configuration can be written");
    let listen = format!("--web.listen-address=127.0.0.1:{port}");
    assert!(
        Command::new("prometheus").arg("--version").output().is_ok(),
        "NOT PROVED: prometheus does not run: ./test installs it"
    );
    let mut command = Command::new("prometheus");
    command.args(["--config.file=prometheus.yml", "--storage.tsdb.path=tsdb", "--log.level=warn", &listen]);
    Process::start("prometheus", &site.dir, &mut command)
}

/// None while it does not answer; a query that it does not understand fails the test.
async fn ask(port: u16, query: &str) -> Option<Value> {
    let path = format!("/api/v1/query?query={}", utf8_percent_encode(query, NON_ALPHANUMERIC));
    let reply = http::get(port, &path).await.ok().filter(|reply| reply.status != 503)?;
    assert_eq!(reply.status, 200, "{query}: {}", reply.text());
    Some(reply.json())
}

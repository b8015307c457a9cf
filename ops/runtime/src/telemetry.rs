//! Logging: one flat JSON line per event on standard error, or text on a terminal.
//!
//! A line holds `ts`, `level`, `service`, `version`, `node`, `msg` and the facts of the event and of
//! the spans around it, the innermost winning. It must not know what the facts mean; who logs keeps
//! persons and contents out. Read next: `metrics.rs` for numbers.

use std::error::Error;
use std::fmt;
use std::io::{IsTerminal as _, Write as _};
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Subscriber};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt as _};
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, fmt as text};

use crate::clock::Clock;
use crate::error::TelemetryError;

/// Environment variable with the filter, in `tracing`'s own syntax: `info,fairground_node=debug`.
pub const FILTER_VARIABLE: &str = "FAIRGROUND_LOG";
const FILTER_DEFAULT: &str = "info,openraft=error";

/// How log lines look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// One JSON object per line.
    Json,
    /// Text for people.
    Text,
    /// Text on a terminal, JSON otherwise.
    #[default]
    Auto,
}

impl FromStr for Format {
    type Err = TelemetryError;

    fn from_str(text: &str) -> Result<Self, TelemetryError> {
        match text {
            "json" => Ok(Self::Json),
            "text" => Ok(Self::Text),
            "auto" => Ok(Self::Auto),
            _ => Err(TelemetryError::Format { text: text.to_owned() }),
        }
    }
}

/// Starts logging for this process.
///
/// # Errors
/// When `FAIRGROUND_LOG` is no filter, or logging was started before.
pub fn init(service: &'static str, node: &str, format: Format) -> Result<(), TelemetryError> {
    let filter = std::env::var(FILTER_VARIABLE).unwrap_or_else(|_| FILTER_DEFAULT.to_owned());
    let filter =
        EnvFilter::try_new(&filter).map_err(|source| TelemetryError::Filter { filter, source })?;
    let is_terminal = std::io::stderr().is_terminal();
    let is_json = match format {
        Format::Json => true,
        Format::Text => false,
        Format::Auto => !is_terminal,
    };
    let registry = tracing_subscriber::registry().with(filter);
    let started = if is_json {
        registry.with(JsonLines { service, node: node.to_owned() }).try_init()
    } else {
        let lines = text::layer().with_writer(std::io::stderr).with_ansi(is_terminal);
        registry.with(lines).try_init()
    };
    started.map_err(TelemetryError::Started)
}

/// An error and its sources in one line, `a: b: c`.
#[must_use]
pub fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

struct JsonLines {
    service: &'static str,
    node: String,
}

/// Facts of a span, kept with it.
struct Facts(Map<String, Value>);

const RESERVED: &[&str] = &["ts", "level", "service", "version", "node", "target", "msg"];

impl JsonLines {
    fn line(&self, event: &Event<'_>, facts: Map<String, Value>) -> Map<String, Value> {
        let mut own = Facts(Map::new());
        event.record(&mut own);
        let message = own.0.remove("message").unwrap_or(Value::Null);
        let mut line = Map::new();
        let metadata = event.metadata();
        let level = metadata.level().as_str().to_ascii_lowercase();
        line.insert("ts".into(), Clock::system().now().to_string().into());
        line.insert("level".into(), level.into());
        line.insert("service".into(), self.service.into());
        line.insert("version".into(), env!("CARGO_PKG_VERSION").into());
        line.insert("node".into(), self.node.clone().into());
        line.insert("target".into(), metadata.target().into());
        line.insert("msg".into(), message);
        for (name, value) in facts.into_iter().chain(own.0) {
            let name = if RESERVED.contains(&name.as_str()) { format!("{name}_") } else { name };
            line.insert(name, value);
        }
        line
    }
}

impl<S> Layer<S> for JsonLines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let mut facts = Facts(Map::new());
        attributes.record(&mut facts);
        if let Some(span) = context.span(id) {
            span.extensions_mut().insert(facts);
        }
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        if let Some(span) = context.span(id)
            && let Some(facts) = span.extensions_mut().get_mut::<Facts>()
        {
            values.record(facts);
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let line = Value::Object(self.line(event, facts_around(event, &context)));
        let mut bytes = line.to_string().into_bytes();
        bytes.push(b'\n');
        // A closed standard error must not stop a daemon.
        let _ = std::io::stderr().lock().write_all(&bytes);
    }
}

/// Facts of all spans around an event, the innermost winning.
fn facts_around<S>(event: &Event<'_>, context: &Context<'_, S>) -> Map<String, Value>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    let mut facts = Map::new();
    for span in context.event_scope(event).into_iter().flat_map(|scope| scope.from_root()) {
        if let Some(kept) = span.extensions().get::<Facts>() {
            facts.extend(kept.0.clone());
        }
    }
    facts
}

impl Visit for Facts {
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.0.insert(field.name().to_owned(), value.into());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.0.insert(field.name().to_owned(), value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.0.insert(field.name().to_owned(), value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.0.insert(field.name().to_owned(), value.into());
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.insert(field.name().to_owned(), value.into());
    }

    fn record_error(&mut self, field: &Field, value: &(dyn Error + 'static)) {
        self.0.insert(field.name().to_owned(), chain(value).into());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.0.insert(field.name().to_owned(), format!("{value:?}").into());
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    /// Collects lines instead of printing them.
    struct Collect(JsonLines, Arc<Mutex<Vec<Value>>>);

    impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Collect {
        fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
            self.0.on_new_span(attributes, id, context);
        }

        fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
            let line = self.0.line(event, facts_around(event, &context));
            self.1.lock().expect("whole").push(Value::Object(line));
        }
    }

    #[test]
    fn a_line_is_flat_and_facts_cannot_displace_its_head() {
        let lines = Arc::new(Mutex::new(Vec::new()));
        let layer =
            Collect(JsonLines { service: "node", node: "eu-1.1".into() }, Arc::clone(&lines));
        tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), || {
            let span = tracing::info_span!("request", request_id = "r1", bid_id = "outer");
            let _entered = span.enter();
            tracing::info!(bid_id = "inner", node = "liar", log_index = 7_u64, "verdict received");
        });
        let lines = lines.lock().expect("whole");
        let line = &lines[0];
        assert_eq!(line["msg"], "verdict received");
        assert_eq!(line["node"], "eu-1.1");
        assert_eq!(line["node_"], "liar");
        assert_eq!(line["bid_id"], "inner");
        assert_eq!(line["request_id"], "r1");
        assert_eq!(line["log_index"], 7);
        assert_eq!(line["level"], "info");
        assert!(line["ts"].as_str().is_some_and(|ts| ts.ends_with('Z')));
    }

    #[test]
    fn a_chain_reads_from_the_outside_in() {
        let error = TelemetryError::Filter {
            filter: "x=y=z".into(),
            source: EnvFilter::try_new("x=y=z").expect_err("no filter"),
        };
        assert!(chain(&error).starts_with("parse the log filter `x=y=z`: "));
    }
}

//! The log on standard error, one event a line: `level=info target=… msg="…" key=value`.
//!
//! Everything that is not plain is quoted and escaped, because some of it comes from strangers
//! (RUSTSEC-2025-0055). Message bodies and keys are never logged.

use std::fmt;

use tracing::{
    Event, Subscriber,
    field::{Field, Visit},
};
use tracing_subscriber::{
    EnvFilter,
    fmt::{FmtContext, FormatEvent, FormatFields, format::Writer},
    registry::LookupSpan,
};

/// Logs what `filter` lets through, for the rest of the process.
///
/// # Errors
///
/// If the filter makes no sense.
pub fn start(filter: &str) -> Result<(), String> {
    let filter = EnvFilter::try_new(filter).map_err(|error| error.to_string())?;
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_env_filter(filter)
        .event_format(Logfmt)
        .try_init()
        .map_err(|error| error.to_string())
}

struct Logfmt;

impl<S, N> FormatEvent<S, N> for Logfmt
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        _context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let since_1970 = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        let level = event.metadata().level().as_str().to_ascii_lowercase();
        let target = event.metadata().target();
        write!(
            writer,
            "ts={:.3} level={level} target={target}",
            since_1970.unwrap_or_default().as_secs_f64()
        )?;
        let mut fields = Fields { line: String::new() };
        event.record(&mut fields);
        writeln!(writer, "{}", fields.line)
    }
}

struct Fields {
    line: String,
}

impl Visit for Fields {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.push(field.name(), value);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.push(field.name(), &format!("{value:?}"));
    }
}

impl Fields {
    fn push(&mut self, name: &str, value: &str) {
        let name = if name == "message" { "msg" } else { name };
        self.line.push(' ');
        self.line.push_str(name);
        self.line.push('=');
        let plain = !value.is_empty()
            && value.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'"' && byte != b'=');
        if plain {
            self.line.push_str(value);
        } else {
            // Escapes everything that is not printable ASCII: bidi and invisible characters too.
            self.line.push('"');
            self.line.extend(value.escape_default());
            self.line.push('"');
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn foreign_text_cannot_forge_a_line_or_steer_a_terminal() {
        let mut fields = Fields { line: String::new() };
        fields.push("message", "new session");
        fields.push("client", "x\" level=error\n\u{1b}[2J\u{202e}");
        fields.push("address", "[::1]:7");
        fields.push("empty", "");
        assert_eq!(
            fields.line,
            r#" msg="new session" client="x\" level=error\n\u{1b}[2J\u{202e}" address=[::1]:7 empty="""#
        );
    }
}

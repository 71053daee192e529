//! Log lines on standard error.

use clap::{Args, ValueEnum};
use tracing_subscriber::EnvFilter;

/// How log lines look.
#[derive(ValueEnum, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// One readable line per event.
    #[default]
    Text,
    /// One JSON object per event.
    Json,
}

/// Options of every command that logs.
#[derive(Args, Clone, Debug)]
pub struct LogArgs {
    /// How log lines look.
    #[arg(long, env = "CURRICULUM_LOG_FORMAT", value_enum, default_value_t)]
    pub log_format: LogFormat,
    /// Which events are logged, as `level` or `target=level`, separated by commas.
    #[arg(long, env = "CURRICULUM_LOG", default_value = "info")]
    pub log_filter: String,
}

/// The log could not be set up.
#[derive(thiserror::Error, Debug)]
pub enum TelemetryError {
    /// The filter does not parse.
    #[error("log filter `{filter}`: {source}; expected for example `info` or `warn,curriculum_operator=debug`")]
    Filter {
        /// The filter.
        filter: String,
        /// Why.
        source: tracing_subscriber::filter::ParseError,
    },
    /// A subscriber is in place already.
    #[error("the log was set up twice")]
    Twice(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// Sends the process's events to standard error from now on.
///
/// # Errors
/// When the filter does not parse, or when the process has a subscriber already.
pub fn init_tracing(args: &LogArgs) -> Result<(), TelemetryError> {
    let filter = EnvFilter::try_new(&args.log_filter).map_err(|source| TelemetryError::Filter {
        filter: args.log_filter.clone(),
        source,
    })?;
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr);
    match args.log_format {
        LogFormat::Text => builder.with_ansi(false).try_init(),
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
    }
    .map_err(TelemetryError::Twice)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_that_does_not_parse_is_named() {
        let args = LogArgs {
            log_format: LogFormat::Text,
            log_filter: "curriculum=loud".into(),
        };
        let message = init_tracing(&args).unwrap_err().to_string();
        assert!(message.starts_with("log filter `curriculum=loud`: "), "{message}");
    }
}

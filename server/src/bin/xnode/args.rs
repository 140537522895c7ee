//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use xbook::config::Settings;

const AFTER_HELP: &str = "\
Exit codes:
  0  ended as it was told to, with everything written
  1  failed: the error says why
  2  wrong usage or configuration

Examples:
  xnode demo --port 7001
  xnode run --bootstrap --data /var/lib/xbook --listen 10.0.0.1:7001
  xnode run --join 10.0.0.1:7101 --join-token TOKEN --data /var/lib/xbook --listen 10.0.0.2:7001
  XNODE_LOG_FORMAT=json xnode run --config xnode.toml";

const AFTER_RUN_HELP: &str = "\
A new data directory begins a cluster with --bootstrap, or joins one with --join and a token that
`xcli invite` makes; later starts need none of these. Each node connects with every other one in the
cluster's directory, and speaks with no others.

Where it serves is printed on stdout, as one line (of JSON, if the logs are); logs go to stderr.
SIGTERM or SIGINT (Ctrl-C) ends it: it stops to take requests, finishes those that it took, writes
everything and exits with 0. A second signal ends it at once; that loses nothing that was answered.

The configuration file is TOML and knows the same settings:
  data = \"/var/lib/xbook\"
  listen = \"0.0.0.0:7001\"
  advertise = \"node2.example:7001\"
  join = [\"node1.example:7101\"]
  log_format = \"json\"
  log_filter = \"info\"
  shutdown_grace = \"10s\"
A flag wins over the environment, the environment over the file.";

/// A node of xbook, the peer-to-peer exchange.
#[derive(Debug, Parser)]
#[command(name = "xnode", version, after_help = AFTER_HELP, max_term_width = 100)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run a node until it is told to end
    Run(Box<RunArgs>),
    /// Try it out: start three nodes, play an example on them, and go on serving
    #[cfg(feature = "demo")]
    Demo(DemoArgs),
}

/// `run`.
#[derive(Debug, Args)]
#[command(after_help = AFTER_RUN_HELP)]
pub struct RunArgs {
    /// Configuration file
    #[arg(long, value_name = "FILE", env = "XNODE_CONFIG")]
    pub config: Option<PathBuf>,
    /// Vote at once though the data directory was copied from another place: it is the newest copy, and a
    /// majority of the other voters is gone
    #[arg(long)]
    pub trust_directory: bool,
    /// The settings.
    #[command(flatten)]
    pub settings: Settings,
}

/// `demo`.
#[cfg(feature = "demo")]
#[derive(Debug, Args)]
pub struct DemoArgs {
    /// How many nodes, all voters
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u8).range(1..=7))]
    pub nodes: u8,
    /// Port of the first node; the others take the next ones, and each one 100 higher for the others
    /// [default: free ones]
    #[arg(long, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..=65_429))]
    pub port: Option<u16>,
    /// End after the example
    #[arg(long)]
    pub once: bool,
    /// Tables for people, or one JSON object for programs
    #[arg(long, short, value_enum, default_value_t = Format::Table)]
    pub output: Format,
    /// What is logged, to stderr
    #[arg(long, value_name = "FILTER", env = "XNODE_LOG_FILTER", default_value = "error")]
    pub log_filter: xbook::config::LogFilter,
}

/// For whom the output is made.
#[cfg(feature = "demo")]
#[derive(Clone, Copy, PartialEq, Eq, Debug, clap::ValueEnum)]
pub enum Format {
    /// For people.
    Table,
    /// For programs.
    Json,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_wrong_value_is_refused_with_the_rule_and_the_flag() {
        let error = Cli::try_parse_from(["xnode", "run", "--listen", "here"]).unwrap_err().to_string();
        assert!(error.contains("--listen"), "{error}");
        assert!(error.contains("an IP address and a port such as 127.0.0.1:7001"), "{error}");
    }
}

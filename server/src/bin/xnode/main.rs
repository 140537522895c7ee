//! The binary `xnode`: a node of xbook.
//!
//! `run` is a node on a data directory of its own: the [`config`](xbook::config) is read, logging
//! starts, and a [`service`] serves until a signal ends it. `demo` is the same service in a
//! temporary directory, with an example played through its API; the feature of its name has it.

mod args;
#[cfg(feature = "demo")]
mod demo;
mod descriptors;
mod run;
mod service;
mod signals;

use std::io::{self, Write};
use std::process::ExitCode;

use clap::Parser;

use args::{Cli, Command};

/// What a wrong configuration ends with, like a wrong command line.
const USAGE: u8 = 2;

fn main() -> ExitCode {
    let ended = match Cli::parse().command {
        Command::Run(args) => run::run(*args),
        #[cfg(feature = "demo")]
        Command::Demo(args) => demo::run(&args),
    };
    let Err(error) = ended else { return ExitCode::SUCCESS };
    // Nobody is left to tell if stderr can't be written.
    let _ = writeln!(io::stderr(), "error: {error:#}");
    if error.is::<xbook::config::ConfigError>() { USAGE.into() } else { ExitCode::FAILURE }
}

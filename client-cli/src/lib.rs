//! `xcli`, the command line of xbook.
//!
//! A run goes one way: [`args`] turns the command line into a typed command, `connect` reaches
//! the node, one module of `commands` makes the call, and `output` shows the answer, as text
//! for people (`show`) or as the API's own message in JSON. Whatever goes wrong becomes a
//! `failure::Failure`, which knows the exit code, the sentence, and what to do next. `watch`
//! follows streams over lost connections.

pub mod args;
mod book;
mod clock;
mod commands;
mod complete;
mod connect;
mod failure;
mod hints;
mod json;
mod output;
mod play;
mod profile;
mod reason;
mod repeat;
mod show;
mod usage;
mod watch;

use std::io::{self, Write};
use std::process::ExitCode;

pub use failure::Exit;
pub use output::Terminal;
pub use usage::{Usage, parse};

use args::{Cli, Format};
use failure::Failure;
use hints::Hints;
use output::Output;

/// Runs `xcli` for this process: its arguments, its terminal, its exit code.
#[must_use]
pub fn main() -> ExitCode {
    // A shell asks what completes a line; that ends here.
    clap_complete::CompleteEnv::with_factory(complete::command).complete();
    let args: Vec<String> = std::env::args_os().map(|arg| arg.to_string_lossy().into_owned()).collect();
    let profile = match profile::of_command_line(&args) {
        Ok(profile) => profile,
        Err(failure) => {
            let format = if usage::wants_json(&args) { Format::Json } else { Format::Table };
            return report(&failure, format, &mut io::stderr()).into();
        }
    };
    let cli = match usage::parse_as(&args, &profile) {
        Ok(cli) => cli,
        Err(usage) => return usage.report(&mut io::stdout(), &mut io::stderr()).into(),
    };
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            let _ = writeln!(io::stderr(), "error: can't start: {error}");
            return Exit::Internal.into();
        }
    };
    let terminal = Terminal::of_this_process();
    let exit = runtime.block_on(run(cli, &args, terminal, &mut io::stdout(), &mut io::stderr()));
    exit.into()
}

/// Runs one command. `args` is the command line that `cli` was parsed from: it is printed again
/// where a request should be repeated. Answers go to `out`, errors and notes to `err`.
pub async fn run(
    cli: Cli,
    args: &[String],
    terminal: Terminal,
    out: &mut dyn Write,
    err: &mut dyn Write,
) -> Exit {
    let format = cli.global.output;
    let hints = Hints::new(args);
    let mut output = Output::new(format, terminal, hints.clone(), out, err);
    match commands::run(cli, args, &mut output).await {
        Ok(exit) => exit,
        Err(failure) => report(&failure.complete(&hints), format, err),
    }
}

fn report(failure: &Failure, format: Format, err: &mut dyn Write) -> Exit {
    // Nobody is left to tell if stderr can't be written either.
    let _ = match format {
        _ if failure.is_closed_output() => Ok(()),
        Format::Table => write!(err, "{failure}"),
        Format::Json => writeln!(err, "{}", failure.to_json()),
    };
    failure.exit
}

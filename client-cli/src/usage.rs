//! A command line that can't be understood, and the help and version that were asked for.

use std::io::Write;

use clap::builder::Resettable;
use clap::error::ErrorKind;
use clap::{CommandFactory, FromArgMatches};

use crate::args::Cli;
use crate::failure::Exit;
use crate::profile::Profile;

/// What is said instead of running a command.
#[derive(Debug)]
pub struct Usage {
    error: clap::Error,
    json: bool,
}

/// Understands a command line, the program's name first.
///
/// # Errors
/// It is wrong, or asks for help or the version.
pub fn parse(args: &[String]) -> Result<Cli, Usage> {
    parse_as(args, &Profile::new())
}

/// Understands it with the defaults of a profile.
///
/// # Errors
/// It is wrong, or asks for help or the version.
pub fn parse_as(args: &[String], profile: &Profile) -> Result<Cli, Usage> {
    let mut command = Cli::command();
    for (option, value) in profile.clone() {
        let values: Vec<String> = value.split(',').map(str::to_owned).collect();
        command = command.mut_arg(option, |arg| arg.default_values(values));
    }
    command
        .try_get_matches_from(args)
        .and_then(|matches| Cli::from_arg_matches(&matches))
        .map_err(|error| Usage { error: without_environment(args, error), json: wants_json(args) })
}

/// The same error as if the environment had not set anything: clap shows what it set as if it had to
/// be given.
fn without_environment(args: &[String], error: clap::Error) -> clap::Error {
    let command = Cli::command().mut_args(|arg| arg.env(Resettable::<clap::builder::OsStr>::Reset));
    match command.try_get_matches_from(args) {
        Err(plain) if plain.kind() == error.kind() => plain,
        // What is wrong is in the environment.
        _ => error,
    }
}

/// Whether a command line that is wrong somewhere asks for JSON.
pub fn wants_json(args: &[String]) -> bool {
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    let joined = words.iter().any(|word| ["--output=json", "-ojson", "-o=json"].contains(word));
    joined || words.windows(2).any(|pair| ["--output", "-o"].contains(&pair[0]) && pair[1] == "json")
}

impl Usage {
    /// Prints it: help to `out`, errors to `err`, as JSON if that was asked for.
    pub fn report(&self, out: &mut dyn Write, err: &mut dyn Write) -> Exit {
        // Nobody is left to tell if it can't be printed.
        if !self.error.use_stderr() {
            let _ = write!(out, "{}", self.error.render());
            return Exit::Done;
        }
        let _ = match self.json {
            true => writeln!(err, "{}", self.to_json()),
            false => write!(err, "{}", self.error.render()),
        };
        Exit::Usage
    }

    /// What is wrong, in a sentence.
    pub fn sentence(&self) -> String {
        let text = self.error.to_string();
        text.lines().next().unwrap_or_default().trim_start_matches("error: ").to_owned()
    }

    fn to_json(&self) -> serde_json::Value {
        let text = self.error.to_string();
        let mut paragraphs = text.split("\n\n").map(str::trim).filter(|part| !part.is_empty());
        let message = match self.error.kind() {
            ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand | ErrorKind::MissingSubcommand => {
                "a command is missing"
            }
            _ => paragraphs.next().unwrap_or_default().trim_start_matches("error: "),
        };
        let advice: Vec<&str> = paragraphs.collect();
        serde_json::json!({
            "error": { "exit_code": Exit::Usage as u8, "message": message, "advice": advice }
        })
    }
}

//! The verbs that need no node.

use clap::CommandFactory;
use clap_complete::env::Shells;

use crate::args::{Cli, ManArgs, ShellArg};
use crate::failure::{Exit, Failure};
use crate::output::Output;

/// The variable by which a shell asks this program what completes a line.
const ASKS: &str = "COMPLETE";

pub fn completions(shell: ShellArg, output: &mut Output<'_>) -> Result<Exit, Failure> {
    let name = match shell {
        ShellArg::Bash => "bash",
        ShellArg::Elvish => "elvish",
        ShellArg::Fish => "fish",
        ShellArg::Powershell => "powershell",
        ShellArg::Zsh => "zsh",
    };
    let completer = Shells::builtins();
    let completer = completer.completer(name);
    let completer = completer.ok_or_else(|| Failure::internal(format!("{name} is not known")))?;
    let mut script = Vec::new();
    completer.write_registration(ASKS, "xcli", "xcli", "xcli", &mut script)?;
    output.print(&String::from_utf8_lossy(&script))?;
    Ok(Exit::Done)
}

pub fn man(args: &ManArgs, output: &mut Output<'_>) -> Result<Exit, Failure> {
    let written = std::fs::create_dir_all(&args.folder)
        .and_then(|()| clap_mangen::generate_to(Cli::command(), &args.folder));
    written.map_err(|error| {
        Failure::usage(format!("can't write the manual to {}: {error}", args.folder.display()))
    })?;
    output.note(&format!("the manual is in {}; `man -l` shows a page of it", args.folder.display()))?;
    Ok(Exit::Done)
}

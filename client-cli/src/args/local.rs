//! What is said where no node is needed, or more than one.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

use super::{ProfileName, values};

/// `play`.
#[derive(Debug, Clone, Args)]
pub struct PlayArgs {
    /// The playbook.
    pub file: PathBuf,
    /// Set a variable of it; may be repeated.
    #[arg(long, value_name = "NAME=VALUE", value_parser = values::variable)]
    pub set: Vec<(String, String)>,
}

/// `profile`.
#[derive(Debug, Clone, Args)]
pub struct ProfileArgs {
    /// What to do with them.
    #[command(subcommand)]
    pub command: ProfileCommand,
}

/// `profile ...`.
#[derive(Debug, Clone, Subcommand)]
pub enum ProfileCommand {
    /// Keep the --node, --account, --timeout and --output of this command line.
    Save {
        /// The profile's name.
        name: ProfileName,
        /// It holds from now on where none is named.
        #[arg(long)]
        default: bool,
    },
    /// Have a profile hold where none is named.
    Use {
        /// The profile's name, or `none`.
        name: ProfileName,
    },
    /// Forget a profile.
    Remove {
        /// The profile's name.
        name: ProfileName,
    },
    /// List the profiles.
    List,
}

/// `man`.
#[derive(Debug, Clone, Args)]
pub struct ManArgs {
    /// The folder, such as ~/.local/share/man/man1; it is made if it is not there.
    pub folder: PathBuf,
}

/// A shell that is helped to complete commands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ShellArg {
    /// Bash.
    Bash,
    /// Elvish.
    Elvish,
    /// Fish.
    Fish,
    /// PowerShell.
    Powershell,
    /// Zsh.
    Zsh,
}

//! Profiles: what `--node`, `--account` and the like are when nobody says so, by name, in a file.
//!
//! A profile only gives other defaults: what the environment or the command line says comes first.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::args::{ProfileArgs, ProfileCommand, ProfileName};
use crate::failure::{Exit, Failure};
use crate::hints::value_of;
use crate::output::Output;
use crate::show::grid::{Column, Grid, Tint};

/// Most bytes of the file.
const MOST_BYTES: u64 = 1024 * 1024;

/// The options that a profile may say, and how they are named on the command line.
const OPTIONS: [(&str, &str); 4] =
    [("node", "--node"), ("account", "--account"), ("timeout", "--timeout"), ("output", "--output")];

/// What a profile says: values by option.
pub type Profile = BTreeMap<String, String>;

/// The file.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    /// The profile that holds if none is named.
    #[serde(skip_serializing_if = "Option::is_none")]
    default: Option<String>,
    #[serde(default)]
    profile: BTreeMap<String, Profile>,
}

/// The profile that holds for a command line: the one that it or the environment names, else the default.
///
/// # Errors
/// There is none of that name, or the file can't be read.
pub fn of_command_line(args: &[String]) -> Result<Profile, Failure> {
    let named = value_of(args, "--profile").map(str::to_owned);
    let named = named.or_else(|| std::env::var("XBOOK_PROFILE").ok().filter(|name| !name.is_empty()));
    let Some(path) = path() else {
        return match named {
            Some(_) => Err(nowhere()),
            None => Ok(Profile::new()),
        };
    };
    let mut stored = read(&path)?;
    match named.or(stored.default) {
        None => Ok(Profile::new()),
        Some(name) => stored.profile.remove(&name).ok_or_else(|| unknown(&name, &path)),
    }
}

/// `profile ...`.
pub fn run(args: ProfileArgs, typed: &[String], output: &mut Output<'_>) -> Result<Exit, Failure> {
    let path = path().ok_or_else(nowhere)?;
    let mut stored = read(&path)?;
    match args.command {
        ProfileCommand::List => return list(&stored, output),
        ProfileCommand::Save { name, default } => {
            let name = name.to_string();
            let said = |(key, option)| Some((key, value_of(typed, option)?));
            let says: Profile = OPTIONS
                .into_iter()
                .filter_map(said)
                .map(|(key, value): (&str, &str)| (key.to_owned(), value.to_owned()))
                .collect();
            if says.is_empty() {
                let words =
                    "a profile keeps what is said beside it: --node, --account, --timeout or --output";
                return Err(Failure::usage(words.to_owned()));
            }
            if default {
                stored.default = Some(name.clone());
            }
            stored.profile.insert(name, says);
        }
        ProfileCommand::Use { name: ProfileName::None } => stored.default = None,
        ProfileCommand::Use { name } => {
            let name = name.to_string();
            if !stored.profile.contains_key(&name) {
                return Err(unknown(&name, &path));
            }
            stored.default = Some(name);
        }
        ProfileCommand::Remove { name } => {
            let name = name.to_string();
            stored.profile.remove(&name).ok_or_else(|| unknown(&name, &path))?;
            stored.default = stored.default.filter(|default| *default != name);
        }
    }
    write(&path, &stored)
        .map_err(|error| Failure::internal(format!("can't write {}: {error}", path.display())))?;
    list(&stored, output)
}

fn list(stored: &Stored, output: &mut Output<'_>) -> Result<Exit, Failure> {
    let is_default = |name: &String| stored.default.as_ref() == Some(name);
    if output.is_json() {
        for (name, says) in &stored.profile {
            output.print(&format!(
                "{}\n",
                json!({ "profile": name, "default": is_default(name), "says": says })
            ))?;
        }
        return Ok(Exit::Done);
    }
    if stored.profile.is_empty() {
        output.print("There is no profile; `xcli profile save NAME --node ...` makes one.\n")?;
        return Ok(Exit::Done);
    }
    let mut grid = Grid::new(&[Column::Text("profile"), Column::Text("default"), Column::Text("says")]);
    for (name, says) in &stored.profile {
        let options: Vec<String> = says.iter().map(|(option, value)| format!("--{option} {value}")).collect();
        let default = if is_default(name) { "yes" } else { "" };
        grid.row(Tint::Plain, [name.clone(), default.to_owned(), options.join(" ")]);
    }
    let terminal = output.terminal();
    output.print(&grid.render(terminal))?;
    Ok(Exit::Done)
}

/// Where the file is; nowhere if the environment names no home.
fn path() -> Option<PathBuf> {
    let of = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let configuration = of("XDG_CONFIG_HOME").or_else(|| Some(of("HOME")?.join(".config")));
    Some(configuration?.join("xbook").join("xcli.toml"))
}

fn read(path: &Path) -> Result<Stored, Failure> {
    let unreadable = |why: String| Failure::usage(format!("can't read {}: {why}", path.display()));
    match fs::metadata(path) {
        Ok(found) if found.len() > MOST_BYTES => {
            return Err(unreadable(format!("it has {} bytes, {MOST_BYTES} at most", found.len())));
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Stored::default()),
        _ => {}
    }
    let text = fs::read_to_string(path).map_err(|error| unreadable(error.to_string()))?;
    let stored: Stored = toml::from_str(&text).map_err(|error| unreadable(error.to_string()))?;
    let known = |option: &&String| OPTIONS.iter().any(|(key, _)| key == option);
    match stored.profile.values().flat_map(BTreeMap::keys).find(|option| !known(option)) {
        Some(option) => Err(unreadable(format!("a profile can't say `{option}`"))),
        None => Ok(stored),
    }
}

/// Writes the file whole or not at all, for nobody else to read.
fn write(path: &Path, stored: &Stored) -> io::Result<()> {
    let text = toml::to_string(stored).map_err(io::Error::other)?;
    let folder = path.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(folder)?;
    let new = path.with_extension("new");
    let mut options = fs::OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(&new)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(&new, path)
}

fn unknown(name: &str, path: &Path) -> Failure {
    Failure::usage(format!("there is no profile `{name}` in {}", path.display()))
        .advise("`xcli profile list` shows those that there are".to_owned())
}

fn nowhere() -> Failure {
    Failure::usage("there is no place for profiles: neither XDG_CONFIG_HOME nor HOME is set".to_owned())
}

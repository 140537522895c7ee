//! `play`: a playbook, run step by step, with what each step is expected to bring.
//!
//! [`script`] reads the file, [`expect`] looks into answers; here the steps are run, each as a run of
//! `xcli` of its own that answers in JSON.

mod expect;
mod run;
mod script;

use std::collections::BTreeMap;

use crate::args::{Global, PlayArgs};
use crate::clock;
use crate::failure::{Exit, Failure};
use crate::output::Output;

use run::Player;
use script::Script;

/// Most bytes of a playbook.
const MOST_BYTES: u64 = 1024 * 1024;

/// Plays a file. The first step that is not as expected ends it.
pub async fn play(global: &Global, args: PlayArgs, output: &mut Output<'_>) -> Result<Exit, Failure> {
    let name = args.file.display().to_string();
    let unreadable = |why: &dyn ToString| Failure::usage(format!("can't read {name}: {}", why.to_string()));
    let size = std::fs::metadata(&args.file).map_err(|error| unreadable(&error))?.len();
    if size > MOST_BYTES {
        return Err(unreadable(&format!("it has {size} bytes, {MOST_BYTES} at most")));
    }
    let text = std::fs::read_to_string(&args.file).map_err(|error| unreadable(&error))?;
    let mut variables: BTreeMap<String, String> = args.set.into_iter().collect();
    variables.insert(
        "run".to_owned(),
        clock::draw_request_id()?.chars().take(8).collect::<String>().to_uppercase(),
    );
    let script = Script::read(&text, variables.keys().map(String::as_str))
        .map_err(|(line, why)| Failure::usage(format!("{name}, line {line}: {why}")))?;
    Player::new(global, variables, output).play(&script, &name).await
}

//! The text of a playbook.
//!
//! ```text
//! # a comment
//! let market = PLAY-$run/USD           a variable; $run is another one each time
//! market create $market --tick 1 --lot 1
//! alice: buy 100 $market 10            a command of xcli, for an account
//!   expect order.status is OPEN        of the answer's JSON
//!   let first = order.order_id
//! bob@2: sell 200 $market 11 --tif FOK through the second of the nodes of --node
//!   expect exit 1                      0 if nothing is said
//! wait 7s
//! within 5s bob@3: order $market $first    asked again and again until all is as expected
//!   expect order.filled_quantity is 40
//! ```

use std::collections::BTreeSet;
use std::time::Duration;

/// Most steps of a playbook.
const MOST_STEPS: usize = 10_000;

/// Longest that a step waits.
const LONGEST: Duration = Duration::from_secs(3_600);

/// A playbook.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Script {
    pub steps: Vec<Step>,
}

/// What is done, and what it should bring.
#[derive(Debug, PartialEq, Eq)]
pub struct Step {
    /// Its line in the file, from 1.
    pub line: usize,
    /// As it was written.
    pub text: String,
    pub act: Act,
    pub checks: Vec<Check>,
}

/// What is done.
#[derive(Debug, PartialEq, Eq)]
pub enum Act {
    Wait(Duration),
    Let { name: String, value: String },
    Command(Say),
}

/// A command of `xcli`.
#[derive(Debug, PartialEq, Eq)]
pub struct Say {
    /// How long it is asked again until all is as expected.
    pub within: Option<Duration>,
    /// For whom, if not for the account of the command line.
    pub account: Option<String>,
    /// Through which node of `--node`, from 1, if not through any.
    pub node: Option<usize>,
    pub words: Vec<String>,
}

/// A line below a command.
#[derive(Debug, PartialEq, Eq)]
pub struct Check {
    pub line: usize,
    pub text: String,
    pub what: What,
}

/// What is looked at.
#[derive(Debug, PartialEq, Eq)]
pub enum What {
    /// The exit code.
    Exit(u8),
    /// The values at a path, one word each.
    Is { path: String, values: Vec<String> },
    /// How many there are at a path.
    Count { path: String, count: usize },
    /// Nothing is there.
    Absent { path: String },
    /// The value at a path gets a name.
    Let { name: String, path: String },
}

/// What is wrong, and in which line.
type Wrong = (usize, String);

impl Script {
    /// Reads a playbook; `known` are the variables that are set.
    ///
    /// # Errors
    /// A line can't be understood, or names a variable that was not set before.
    pub fn read<'a>(text: &str, known: impl Iterator<Item = &'a str>) -> Result<Self, Wrong> {
        let mut known: BTreeSet<String> = known.map(str::to_owned).collect();
        let mut script = Self::default();
        for (line, full) in text.lines().enumerate().map(|(at, full)| (at + 1, full)) {
            let (words, text) = words(full).map_err(|why| (line, why))?;
            let Some(first) = words.first() else { continue };
            let unknown = words.iter().flat_map(|word| variables(word)).find(|name| !known.contains(*name));
            if let Some(name) = unknown {
                return Err((line, format!("${name} is not set here")));
            }
            let text = text.to_owned();
            if full.starts_with([' ', '\t']) {
                let what = check(first, &words).map_err(|why| (line, why))?;
                if let What::Let { name, .. } = &what {
                    known.insert(name.clone());
                }
                match script.steps.last_mut() {
                    Some(Step { act: Act::Command(_), checks, .. }) => {
                        checks.push(Check { line, text, what });
                    }
                    _ => return Err((line, "it belongs below a command".to_owned())),
                }
                continue;
            }
            let act = act(first, &words).map_err(|why| (line, why))?;
            if let Act::Let { name, .. } = &act {
                known.insert(name.clone());
            }
            if script.steps.len() == MOST_STEPS {
                return Err((line, format!("a playbook has {MOST_STEPS} steps at most")));
            }
            script.steps.push(Step { line, text, act, checks: Vec::new() });
        }
        Ok(script)
    }
}

/// The words of a line, and the line without its comment; quotes keep blanks together.
fn words(line: &str) -> Result<(Vec<String>, &str), String> {
    let (mut words, mut word, mut quote) = (Vec::new(), None::<String>, None);
    for (at, letter) in line.char_indices() {
        match (quote, letter) {
            (Some(open), letter) if letter == open => quote = None,
            (None, '"' | '\'') => {
                quote = Some(letter);
                word.get_or_insert_default();
            }
            (None, '#') if word.is_none() => return Ok((words, line[..at].trim())),
            (None, letter) if letter.is_whitespace() => words.extend(word.take()),
            (_, letter) => word.get_or_insert_default().push(letter),
        }
    }
    words.extend(word);
    match quote {
        Some(open) => Err(format!("a {open} is not closed")),
        None => Ok((words, line.trim())),
    }
}

fn act(first: &str, words: &[String]) -> Result<Act, String> {
    match (first, words) {
        ("wait", [_, time]) => Ok(Act::Wait(duration(time)?)),
        ("wait", _) => Err("expected `wait DURATION`".to_owned()),
        ("let", [_, name, equals, value @ ..]) if equals == "=" && is_name(name) && !value.is_empty() => {
            Ok(Act::Let { name: name.clone(), value: value.join(" ") })
        }
        ("let", _) => Err("expected `let NAME = VALUE`".to_owned()),
        ("within", [_, time, rest @ ..]) => Ok(Act::Command(say(Some(duration(time)?), rest)?)),
        ("expect", _) => Err("what is expected stands below a command, and further in".to_owned()),
        _ => Ok(Act::Command(say(None, words)?)),
    }
}

fn say(within: Option<Duration>, words: &[String]) -> Result<Say, String> {
    let (who, rest) = match words.split_first() {
        Some((first, rest)) if first.ends_with(':') => (Some(first.trim_end_matches(':')), rest),
        _ => (None, words),
    };
    if rest.is_empty() {
        return Err("expected a command of xcli".to_owned());
    }
    let (account, node) = match who.map(|who| who.split_once('@').unwrap_or((who, ""))) {
        None => (None, None),
        Some((account, "")) => (Some(account), None),
        Some((account, node)) => match node.parse() {
            Ok(node @ 1..) => (Some(account), Some(node)),
            _ => return Err(format!("{node} is no node's number: 1 is the first of --node")),
        },
    };
    let account = account.filter(|account| !account.is_empty()).map(str::to_owned);
    Ok(Say { within, account, node, words: rest.to_vec() })
}

fn check(first: &str, words: &[String]) -> Result<What, String> {
    const EXPECTED: &str = "expected `expect exit CODE`, `expect PATH is VALUE...`, `expect PATH count N`, \
                            `expect PATH absent` or `let NAME = PATH`";
    let number = |text: &String| text.parse().map_err(|_| format!("{text} is no number"));
    match (first, words) {
        ("expect", [_, exit, code]) if exit == "exit" => match code.parse() {
            Ok(code @ 0..=7) => Ok(What::Exit(code)),
            _ => Err(format!("{code} is no exit code of xcli: they are 0 to 7")),
        },
        ("expect", [_, path, is, values @ ..]) if is == "is" && !values.is_empty() => {
            Ok(What::Is { path: path.clone(), values: values.to_vec() })
        }
        ("expect", [_, path, count, n]) if count == "count" => {
            Ok(What::Count { path: path.clone(), count: number(n)? })
        }
        ("expect", [_, path, absent]) if absent == "absent" => Ok(What::Absent { path: path.clone() }),
        ("let", [_, name, equals, path]) if equals == "=" && is_name(name) => {
            Ok(What::Let { name: name.clone(), path: path.clone() })
        }
        _ => Err(EXPECTED.to_owned()),
    }
}

fn duration(text: &str) -> Result<Duration, String> {
    match humantime::parse_duration(text) {
        Ok(time) if time <= LONGEST => Ok(time),
        Ok(_) => Err(format!("{text} is too long: an hour at most")),
        Err(_) => Err(format!("expected a duration such as 500ms or 7s, not {text}")),
    }
}

fn is_name(name: &str) -> bool {
    !name.is_empty() && name.chars().all(is_of_name)
}

fn is_of_name(letter: char) -> bool {
    letter.is_ascii_alphanumeric() || letter == '_'
}

/// The variables that a word names.
fn variables(word: &str) -> impl Iterator<Item = &str> {
    word.split('$').skip(1).map(name_in)
}

fn name_in(text: &str) -> &str {
    text.split(|letter| !is_of_name(letter)).next().unwrap_or_default()
}

/// The word with each variable's value in its place.
pub fn filled(word: &str, value: impl Fn(&str) -> Option<String>) -> Option<String> {
    let mut parts = word.split('$');
    let mut whole = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let name = name_in(part);
        whole.push_str(&value(name)?);
        whole.push_str(&part[name.len()..]);
    }
    Some(whole)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Script, Wrong> {
        Script::read(text, ["run"].into_iter())
    }

    #[test]
    fn steps_are_read_as_they_are_told() {
        let script = read(
            "# story\nlet m = P-$run/USD\n\nalice@2: buy 1 $m 10 --client-id 'a b' # note\n  expect exit 1\n  let id = \
             order.order_id\nwithin 5s order $m $id\n\texpect a[*].b is 1 2\n\texpect c count 3\nwait 7s\n",
        )
        .unwrap();
        assert_eq!(script.steps.len(), 4);
        let Act::Command(say) = &script.steps[1].act else { panic!() };
        assert_eq!((say.account.as_deref(), say.node), (Some("alice"), Some(2)));
        assert_eq!(say.words, ["buy", "1", "$m", "10", "--client-id", "a b"]);
        assert_eq!(script.steps[1].checks[0].what, What::Exit(1));
        let Act::Command(say) = &script.steps[2].act else { panic!() };
        assert_eq!((say.within, &say.account), (Some(Duration::from_secs(5)), &None));
        let values = vec!["1".to_owned(), "2".to_owned()];
        assert_eq!(script.steps[2].checks[0].what, What::Is { path: "a[*].b".to_owned(), values });
        assert_eq!(script.steps[3].act, Act::Wait(Duration::from_secs(7)));
    }

    #[test]
    fn what_is_wrong_is_told_with_its_line() {
        for (text, line, words) in [
            ("buy 1 $m 10", 1, "$m is not set"),
            ("\n  expect exit 1", 2, "below a command"),
            ("wait 1s\n  expect exit 1", 2, "below a command"),
            ("expect exit 1", 1, "further in"),
            ("node\n  expect exit 9", 2, "0 to 7"),
            ("node\n  expect x", 2, "expected `expect exit CODE`"),
            ("node\n  expect x is", 2, "expected `expect exit CODE`"),
            ("node\n  expect x count many", 2, "many is no number"),
            ("alice:", 1, "expected a command"),
            ("alice@0: node", 1, "0 is no node's number"),
            ("wait soon", 1, "such as 500ms"),
            ("wait 2h", 1, "an hour at most"),
            ("let a-b = 1", 1, "let NAME = VALUE"),
            ("buy '1 A/B", 1, "not closed"),
        ] {
            let (at, why) = read(text).unwrap_err();
            assert!(at == line && why.contains(words), "{text:?}: line {at}: {why}");
        }
    }

    #[test]
    fn variables_are_filled_in() {
        let value = |name: &str| (name == "a").then(|| "1".to_owned());
        assert_eq!(filled("x-$a/$a.", value).as_deref(), Some("x-1/1."));
        assert_eq!(filled("$b", value), None);
    }
}

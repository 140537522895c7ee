//! Commands that are named in answers and errors, made ready to be typed: they go to the same node
//! and account as the command that they come from.

use crate::repeat::quoted;

/// What the command line said of node and account, to be said again.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Hints {
    options: String,
}

impl Hints {
    /// Those of a command line. What comes from the environment holds for the next command anyway.
    pub fn new(args: &[String]) -> Self {
        let mut options = String::new();
        for option in ["--profile", "--node", "--account"] {
            if let Some(value) = value_of(args, option) {
                options.push_str(&format!(" {option} {}", quoted(value)));
            }
        }
        Self { options }
    }

    /// The text with node and account in each command in it: what is in backticks and begins with
    /// `xcli` and a verb.
    pub fn complete(&self, text: &str) -> String {
        if self.options.is_empty() {
            return text.to_owned();
        }
        let mut parts = text.split('`');
        let mut complete = parts.next().unwrap_or_default().to_owned();
        // What is in backticks and what is not, in turn.
        for (number, part) in parts.enumerate() {
            complete.push('`');
            complete.push_str(part);
            let verb = part.strip_prefix("xcli ").is_some_and(|rest| !rest.starts_with('-'));
            if number % 2 == 0 && verb {
                complete.push_str(&self.options);
            }
        }
        complete
    }
}

/// The last value that an option was given.
pub fn value_of<'a>(args: &'a [String], option: &str) -> Option<&'a str> {
    let mut value = None;
    let mut rest = args.iter().skip(1);
    while let Some(word) = rest.next() {
        if word == option {
            value = rest.next().map(String::as_str);
        } else if let Some(given) = word.strip_prefix(option).and_then(|rest| rest.strip_prefix('=')) {
            value = Some(given);
        }
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hints(line: &str) -> Hints {
        Hints::new(&line.split('|').map(str::to_owned).collect::<Vec<_>>())
    }

    #[test]
    fn commands_go_to_the_same_node_and_account() {
        let given = hints("xcli|orders|A/B|--account=it's me|--node|http://a:1");
        assert_eq!(
            given.complete("Try `xcli book A/B`, not `book` or `xcli --version`, then `xcli node`.\n"),
            "Try `xcli book A/B --node http://a:1 --account 'it'\\''s me'`, not `book` or `xcli --version`, then \
             `xcli node --node http://a:1 --account 'it'\\''s me'`.\n"
        );
        assert_eq!(given.complete("no command"), "no command");
    }

    #[test]
    fn what_was_not_given_is_not_repeated() {
        assert_eq!(hints("xcli|orders|A/B").complete("`xcli book A/B`"), "`xcli book A/B`");
        assert_eq!(
            hints("xcli|--account|bob|orders|A/B").complete("`xcli node`"),
            "`xcli node --account bob`"
        );
    }
}

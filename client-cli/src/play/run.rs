//! Steps, one after the other.

use std::collections::BTreeMap;
use std::pin::pin;
use std::time::Duration;

use serde_json::{Value, json};

use super::expect;
use super::script::{Act, Check, Say, Script, Step, What, filled};
use crate::args::{Cli, Command, Format, Global, LeaseArgs, MarketCommand};
use crate::failure::{Exit, Failure};
use crate::output::{Output, Terminal};
use crate::usage;

/// How often a step is asked again that has a while.
const ASK_AGAIN: Duration = Duration::from_millis(100);

/// Who plays.
pub struct Player<'a, 'out> {
    global: &'a Global,
    variables: BTreeMap<String, String>,
    output: &'a mut Output<'out>,
}

/// What a command brought.
struct Brought {
    exit: u8,
    answer: Value,
}

/// What is not as expected.
struct Miss {
    line: usize,
    expected: String,
    got: String,
}

impl<'a, 'out> Player<'a, 'out> {
    pub fn new(
        global: &'a Global,
        variables: BTreeMap<String, String>,
        output: &'a mut Output<'out>,
    ) -> Self {
        Self { global, variables, output }
    }

    /// Plays all, up to the first step that is not as expected.
    pub async fn play(mut self, script: &Script, name: &str) -> Result<Exit, Failure> {
        let mut held = 0;
        for step in &script.steps {
            match &step.act {
                Act::Wait(time) => {
                    self.tell(step)?;
                    tokio::time::sleep(*time).await;
                }
                Act::Let { name, value } => {
                    let value = self.filled(value, step.line)?;
                    self.variables.insert(name.clone(), value);
                }
                Act::Command(say) => {
                    self.tell(step)?;
                    let (brought, misses) = self.command(step, say).await?;
                    self.told(step, &brought, &misses)?;
                    if !misses.is_empty() {
                        return Ok(Exit::Refused);
                    }
                    held += step.checks.len().max(1);
                }
            }
        }
        let steps = script.steps.len();
        if self.output.is_json() {
            self.output.print(&format!("{}\n", json!({ "playbook": name, "steps": steps, "held": held })))?;
        } else {
            self.output.print(&format!("{name}: {steps} steps, all as expected ({held} expectations).\n"))?;
        }
        Ok(Exit::Done)
    }

    /// Gives a command, again and again until all is as expected if it has a while.
    async fn command(&mut self, step: &Step, say: &Say) -> Result<(Brought, Vec<Miss>), Failure> {
        let (cli, args) = self.understand(step, say)?;
        let mut over = pin!(tokio::time::sleep(say.within.unwrap_or_default()));
        loop {
            let brought = said(&cli, &args).await?;
            let misses = self.judge(step, &brought)?;
            if misses.is_empty() {
                self.name(step, &brought)?;
            }
            if misses.is_empty() || say.within.is_none() || over.is_elapsed() {
                return Ok((brought, misses));
            }
            tokio::select! {
                () = tokio::time::sleep(ASK_AGAIN) => {}
                () = &mut over => {}
            }
        }
    }

    /// Gives names to what was brought.
    fn name(&mut self, step: &Step, brought: &Brought) -> Result<(), Failure> {
        for check in &step.checks {
            if let What::Let { name, path } = &check.what {
                let path = self.filled(path, check.line)?;
                let found = expect::at(&brought.answer, &path).map_err(|why| wrong(check.line, &why))?;
                let value = found.first().map(|value| expect::shown(value)).unwrap_or_default();
                self.variables.insert(name.clone(), value);
            }
        }
        Ok(())
    }

    /// The command line of a step.
    fn understand(&self, step: &Step, say: &Say) -> Result<(Cli, Vec<String>), Failure> {
        let mut args = vec!["xcli".to_owned()];
        for word in &say.words {
            args.push(self.filled(word, step.line)?);
        }
        let nodes: Vec<&str> = self.global.node.iter().map(|node| node.as_str()).collect();
        let nodes = match say.node {
            None => nodes.join(","),
            Some(number) => (*nodes.get(number - 1).ok_or_else(|| {
                let words = format!("it goes through node {number}, and --node names {}", nodes.len());
                wrong(step.line, &words)
            })?)
            .to_owned(),
        };
        let account = match &say.account {
            Some(account) => self.filled(account, step.line)?,
            None => String::from_utf8_lossy(self.global.account.as_bytes()).into_owned(),
        };
        let timeout = humantime::format_duration(self.global.timeout).to_string().replace(' ', "");
        for (option, value) in [("--node", nodes), ("--account", account), ("--timeout", timeout)] {
            if !args.iter().any(|word| word == option || word.starts_with(&format!("{option}="))) {
                args.extend([option.to_owned(), value]);
            }
        }
        args.extend(["--output".to_owned(), "json".to_owned()]);
        let cli = usage::parse(&args).map_err(|usage| wrong(step.line, &usage.sentence()))?;
        if !ends(&cli.command) {
            return Err(wrong(step.line, "a playbook has no commands that go on until they are stopped"));
        }
        if say.within.is_some() && !reads(&cli.command) {
            return Err(wrong(step.line, "`within` asks again, so it is for commands that only read"));
        }
        Ok((cli, args))
    }

    /// What is not as expected; an exit code that nothing is said of is 0.
    fn judge(&self, step: &Step, brought: &Brought) -> Result<Vec<Miss>, Failure> {
        let mut misses = Vec::new();
        if !step.checks.iter().any(|check| matches!(check.what, What::Exit(_))) && brought.exit != 0 {
            let got = format!("exit {}", brought.exit);
            misses.push(Miss { line: step.line, expected: "exit 0".to_owned(), got });
        }
        for check in &step.checks {
            if let Some(got) = self.differs(check, brought)? {
                misses.push(Miss { line: check.line, expected: check.text.clone(), got });
            }
        }
        Ok(misses)
    }

    /// What there is instead of what is expected.
    fn differs(&self, check: &Check, brought: &Brought) -> Result<Option<String>, Failure> {
        let at = |path: &String| {
            let path = self.filled(path, check.line)?;
            let found = expect::at(&brought.answer, &path).map_err(|why| wrong(check.line, &why))?;
            Ok::<_, Failure>((found, path))
        };
        let told = |values: &[&Value]| match values {
            [] => "nothing".to_owned(),
            values => values.iter().map(|value| expect::shown(value)).collect::<Vec<_>>().join(" "),
        };
        let (holds, got) = match &check.what {
            What::Exit(code) => (brought.exit == *code, format!("exit {}", brought.exit)),
            What::Is { path, values } => {
                let (found, path) = at(path)?;
                let values: Vec<String> =
                    values.iter().map(|value| self.filled(value, check.line)).collect::<Result<_, _>>()?;
                let field = expect::field(&path);
                let same = found.iter().zip(&values).all(|(value, said)| expect::is(value, field, said));
                (found.len() == values.len() && same, told(&found))
            }
            What::Count { path, count } => {
                let (found, _) = at(path)?;
                let length = match found.as_slice() {
                    [Value::Array(values)] => values.len(),
                    values => values.len(),
                };
                (length == *count, length.to_string())
            }
            What::Absent { path } => {
                let (found, _) = at(path)?;
                (found.is_empty(), told(&found))
            }
            What::Let { path, .. } => {
                let (found, _) = at(path)?;
                (found.len() == 1, told(&found))
            }
        };
        Ok((!holds).then_some(got))
    }

    fn filled(&self, word: &str, line: usize) -> Result<String, Failure> {
        filled(word, |name| self.variables.get(name).cloned())
            .ok_or_else(|| wrong(line, &format!("a variable in {word} is not set")))
    }

    fn tell(&mut self, step: &Step) -> Result<(), Failure> {
        if self.output.is_json() {
            return Ok(());
        }
        let text = step.text.split_whitespace().collect::<Vec<_>>().join(" ");
        self.output.print(&format!("{:>4}  {text}\n", step.line))
    }

    fn told(&mut self, step: &Step, brought: &Brought, misses: &[Miss]) -> Result<(), Failure> {
        if self.output.is_json() {
            let missed: Vec<Value> = misses
                .iter()
                .map(|miss| json!({ "line": miss.line, "expected": miss.expected, "got": miss.got }))
                .collect();
            let line = json!({
                "line": step.line, "command": step.text, "exit": brought.exit, "missed": missed,
                "answer": brought.answer,
            });
            return self.output.print(&format!("{line}\n"));
        }
        for miss in misses {
            self.output.print(&format!("{:>4}  NOT AS EXPECTED: {}\n", miss.line, miss.expected))?;
            self.output.print(&format!("      but: {}\n", miss.got))?;
        }
        if !misses.is_empty() {
            self.output.print(&format!("      the answer: {}\n", brought.answer))?;
        }
        Ok(())
    }
}

/// Runs a command; its answer is one message, or an array of them.
async fn said(cli: &Cli, args: &[String]) -> Result<Brought, Failure> {
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let exit = Box::pin(crate::run(cli.clone(), args, Terminal::NONE, &mut out, &mut err)).await;
    debug_assert!(cli.global.output == Format::Json, "its answer is read");
    let lines = |text: &[u8]| -> Vec<Value> {
        let text = String::from_utf8_lossy(text);
        text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    };
    let mut answers = lines(&out);
    if answers.is_empty() {
        answers = lines(&err).into_iter().filter(|line| line.get("error").is_some()).collect();
    }
    let answer = if answers.len() == 1 { answers.remove(0) } else { Value::Array(answers) };
    Ok(Brought { exit: exit as u8, answer })
}

/// Whether a command ends by itself.
fn ends(command: &Command) -> bool {
    match command {
        Command::Book(args) => !args.watch,
        Command::Trades(args) => !args.watch,
        Command::Updates(_) | Command::Subscribe(_) | Command::Replay(_) => false,
        Command::Play(_) | Command::Completions { .. } | Command::Man(_) | Command::Profile(_) => false,
        _ => true,
    }
}

/// Whether a command changes nothing.
fn reads(command: &Command) -> bool {
    match command {
        Command::Market(MarketCommand::List | MarketCommand::Show { .. }) => true,
        Command::Lease(LeaseArgs { command, .. }) => command.is_none(),
        Command::Order(_) | Command::Orders(_) | Command::Fills(_) | Command::Positions(_) => true,
        Command::Book(_) | Command::Trades(_) | Command::Ticker(_) | Command::Candles(_) => true,
        Command::Node | Command::Nodes | Command::Verify(_) => true,
        _ => false,
    }
}

fn wrong(line: usize, why: &str) -> Failure {
    Failure::usage(format!("line {line}: {why}"))
}

//! Where answers go: as tables for people or as JSON for programs.

use std::io::{self, IsTerminal, Write};

use prost::{Message, Name};

use crate::args::Format;
use crate::failure::Failure;
use crate::hints::Hints;
use crate::json;

/// What is known about the other end of the output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Terminal {
    /// Whether it is a terminal, which can be redrawn.
    pub live: bool,
    /// Whether it wants colours.
    pub color: bool,
}

/// The output of one run.
pub struct Output<'a> {
    format: Format,
    terminal: Terminal,
    hints: Hints,
    out: &'a mut dyn Write,
    err: &'a mut dyn Write,
    printed: bool,
}

impl Terminal {
    /// A file or a pipe.
    pub const NONE: Self = Self { live: false, color: false };

    /// This process's standard output. A non-empty `NO_COLOR` means no colours.
    #[must_use]
    pub fn of_this_process() -> Self {
        let live = io::stdout().is_terminal();
        let wanted = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        Self { live, color: live && wanted }
    }
}

impl<'a> Output<'a> {
    pub fn new(
        format: Format,
        terminal: Terminal,
        hints: Hints,
        out: &'a mut dyn Write,
        err: &'a mut dyn Write,
    ) -> Self {
        Self { format, terminal, hints, out, err, printed: false }
    }

    /// The commands that are named in texts.
    pub fn hints(&self) -> &Hints {
        &self.hints
    }

    /// Whether something was printed already, so that a command can't begin again unseen.
    pub fn has_printed(&self) -> bool {
        self.printed
    }

    pub fn is_json(&self) -> bool {
        self.format == Format::Json
    }

    pub fn terminal(&self) -> Terminal {
        self.terminal
    }

    /// Shows an answer: the message itself to a program, the text to people.
    pub fn show<M: Message + Name>(
        &mut self,
        message: &M,
        text: impl FnOnce(Terminal) -> String,
    ) -> Result<(), Failure> {
        match self.format {
            Format::Json => {
                let line = json::line(message)?;
                self.print(&format!("{line}\n"))
            }
            Format::Table => {
                let text = self.hints.complete(&text(self.terminal));
                self.print(&text)
            }
        }
    }

    /// Writes a text as it is, at once.
    pub fn print(&mut self, text: &str) -> Result<(), Failure> {
        self.printed = true;
        self.out.write_all(text.as_bytes())?;
        self.out.flush()?;
        Ok(())
    }

    /// Tells people something beside the answer; programs are told on stderr too, as JSON.
    pub fn note(&mut self, text: &str) -> Result<(), Failure> {
        match self.format {
            Format::Json => writeln!(self.err, "{}", serde_json::json!({ "note": text }))?,
            Format::Table => writeln!(self.err, "note: {text}")?,
        }
        Ok(())
    }
}

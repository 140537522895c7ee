//! The terminal's second screen, for pictures that are redrawn in place.

use crossterm::Command;
use crossterm::cursor::{Hide, MoveTo, Show};
use crossterm::terminal::{self, Clear, ClearType, EnterAlternateScreen, LeaveAlternateScreen};

use crate::failure::Failure;
use crate::output::Output;

/// Lines of a terminal that doesn't tell its size.
const DEFAULT_LINES: u16 = 24;

/// Switches to the second screen.
pub fn enter(output: &mut Output<'_>) -> Result<(), Failure> {
    output.print(&(ansi(EnterAlternateScreen) + &ansi(Hide)))
}

/// Switches back to what was there before.
pub fn leave(output: &mut Output<'_>) -> Result<(), Failure> {
    output.print(&(ansi(Show) + &ansi(LeaveAlternateScreen)))
}

/// Draws the picture over the one before, line by line, so that nothing flickers.
pub fn draw(output: &mut Output<'_>, picture: &str) -> Result<(), Failure> {
    let rest_of_line = ansi(Clear(ClearType::UntilNewLine));
    let lines: String = picture.lines().map(|line| format!("{line}{rest_of_line}\n")).collect();
    output.print(&(ansi(MoveTo(0, 0)) + &lines + &ansi(Clear(ClearType::FromCursorDown))))
}

fn ansi(command: impl Command) -> String {
    let mut text = String::new();
    // A String takes everything.
    let _ = command.write_ansi(&mut text);
    text
}

/// How many lines the terminal has.
pub fn lines() -> u32 {
    terminal::size().map_or(DEFAULT_LINES, |(_, lines)| lines).into()
}

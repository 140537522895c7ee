//! Tables: a header, and columns that are aligned by what they hold.
//!
//! A table fits a terminal of 80 columns. What does not fit beside the rest goes on in lines of its
//! own below, for each row and in the header.

use std::iter;
use std::ops::Range;

use comfy_table::{Attribute, Cell, CellAlignment, Color, Table};
use crossterm::style::Stylize;

use crate::output::Terminal;

/// Columns that every terminal has.
const WIDTH: usize = 80;

/// Spaces between columns.
const GAP: usize = 2;

/// Spaces before a line that goes on with a row.
const INDENT: usize = 2;

/// What a column holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Column {
    /// Text, to the left.
    Text(&'static str),
    /// Numbers, with their points below each other.
    Number(&'static str),
}

/// The colour of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tint {
    /// The terminal's own.
    Plain,
    /// Bids and buys: green.
    Bid,
    /// Asks and sells: red.
    Ask,
}

/// A table that is being filled.
pub struct Grid {
    columns: Vec<Column>,
    rows: Vec<(Tint, Vec<String>)>,
}

impl Grid {
    pub fn new(columns: &[Column]) -> Self {
        Self { columns: columns.to_vec(), rows: Vec::new() }
    }

    /// Adds a row; it has a cell for each column.
    pub fn row<const N: usize>(&mut self, tint: Tint, cells: [String; N]) {
        debug_assert_eq!(N, self.columns.len(), "a cell for each column");
        self.rows.push((tint, cells.into()));
    }

    /// The table, with a line end after each row. Columns without content are left out.
    pub fn render(mut self, terminal: Terminal) -> String {
        // Only a terminal is known to be wider than all are.
        let wider = terminal.live.then(|| crossterm::terminal::size().ok()).flatten();
        let width = wider.map_or(WIDTH, |(columns, _)| usize::from(columns).max(WIDTH));
        self.drop_empty_columns();
        self.wrap(width - INDENT);
        self.align_points();
        let lines = self.lines(width);
        let mut parts: Vec<_> =
            lines.iter().map(|group| self.draw(group.clone(), terminal).into_iter()).collect();
        let mut text = String::new();
        for row in 0..=self.rows.len() {
            for (number, (group, part)) in lines.iter().zip(&mut parts).enumerate() {
                let indent = if number == 0 { 0 } else { INDENT };
                for line in part.by_ref().take(self.height(row, group.clone())) {
                    text.push_str(format!("{:indent$}{line}", "").trim_end());
                    text.push('\n');
                }
            }
        }
        text
    }

    /// Some of the columns as lines of text, the header first.
    fn draw(&self, group: Range<usize>, terminal: Terminal) -> Vec<String> {
        let mut table = Table::new();
        table.load_style(comfy_table::presets::NOTHING).force_no_tty();
        if terminal.color {
            table.enforce_styling();
        }
        table.set_header(self.columns[group.clone()].iter().map(Column::header));
        for (tint, cells) in &self.rows {
            table.add_row(cells[group.clone()].iter().map(|text| tint.cell(text)));
        }
        for (column, kind) in table.column_iter_mut().zip(&self.columns[group]) {
            column.set_padding((0, GAP as u16));
            column.set_cell_alignment(kind.alignment());
        }
        table.lines().collect()
    }

    /// How many lines some of a row's cells take; the header is row 0.
    fn height(&self, row: usize, group: Range<usize>) -> usize {
        let cells = row.checked_sub(1).and_then(|row| self.rows.get(row)).map(|(_, cells)| &cells[group]);
        cells.into_iter().flatten().map(|cell| cell.lines().count()).max().unwrap_or(1).max(1)
    }

    /// Which columns stand beside each other: as many as fit in a line.
    fn lines(&self, width: usize) -> Vec<Range<usize>> {
        let mut lines = Vec::new();
        let (mut first, mut used) = (0, 0);
        for column in 0..self.columns.len() {
            let own = self.width(column);
            if column > first && used + GAP + own > width {
                lines.push(first..column);
                (first, used) = (column, INDENT + own);
            } else {
                used += if column > first { GAP + own } else { own };
            }
        }
        lines.push(first..self.columns.len());
        lines
    }

    fn width(&self, column: usize) -> usize {
        let (Column::Text(name) | Column::Number(name)) = self.columns[column];
        let cells = self.rows.iter().flat_map(|(_, cells)| cells[column].lines());
        cells.chain(iter::once(name)).map(|line| line.chars().count()).max().unwrap_or(0)
    }

    /// Breaks texts that are wider than a line between their words.
    fn wrap(&mut self, width: usize) {
        for (_, cells) in &mut self.rows {
            for cell in cells {
                if cell.lines().any(|line| line.chars().count() > width) {
                    *cell = broken(cell, width);
                }
            }
        }
    }

    fn drop_empty_columns(&mut self) {
        let used: Vec<bool> = (0..self.columns.len())
            .map(|i| self.rows.iter().any(|(_, cells)| !cells[i].is_empty()))
            .collect();
        keep(&mut self.columns, &used);
        for (_, cells) in &mut self.rows {
            keep(cells, &used);
        }
    }

    /// Fills numbers up with spaces behind the last digit, so that aligned to the right they have
    /// their points below each other.
    fn align_points(&mut self) {
        for (i, column) in self.columns.iter().enumerate() {
            if !matches!(column, Column::Number(_)) {
                continue;
            }
            let widest = self.rows.iter().map(|(_, cells)| fraction(&cells[i])).max().unwrap_or(0);
            for (_, cells) in &mut self.rows {
                let missing = widest - fraction(&cells[i]);
                cells[i].extend(std::iter::repeat_n(' ', missing));
            }
        }
    }
}

impl Column {
    fn header(&self) -> Cell {
        let (Self::Text(name) | Self::Number(name)) = self;
        Cell::new(name).add_attribute(Attribute::Bold)
    }

    fn alignment(self) -> CellAlignment {
        match self {
            Self::Text(_) => CellAlignment::Left,
            Self::Number(_) => CellAlignment::Right,
        }
    }
}

impl Tint {
    /// The tint of an order's or a taker's side.
    pub fn of_side(side: i32) -> Self {
        match xbook_proto::v1::Side::try_from(side) {
            Ok(xbook_proto::v1::Side::Buy) => Self::Bid,
            Ok(xbook_proto::v1::Side::Sell) => Self::Ask,
            _ => Self::Plain,
        }
    }

    /// The line in this tint, if the terminal wants colours.
    pub fn paint(self, line: &str, terminal: Terminal) -> String {
        match self.color() {
            Some(color) if terminal.color => line.with(color).to_string(),
            _ => line.to_owned(),
        }
    }

    fn cell(self, text: &str) -> Cell {
        match self.color() {
            Some(color) => Cell::new(text).fg(color),
            None => Cell::new(text),
        }
    }

    fn color(self) -> Option<Color> {
        match self {
            Self::Plain => None,
            Self::Bid => Some(Color::Green),
            Self::Ask => Some(Color::Red),
        }
    }
}

/// The text in lines of at most so many characters, or of one word that is longer.
fn broken(text: &str, width: usize) -> String {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines.join("\n")
}

/// How many characters the point and the digits behind it take.
fn fraction(number: &str) -> usize {
    number.find('.').map_or(0, |point| number.len() - point)
}

fn keep<T>(items: &mut Vec<T>, used: &[bool]) {
    let mut used = used.iter();
    items.retain(|_| used.next().copied().unwrap_or(true));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Grid {
        let mut grid = Grid::new(&[Column::Text("side"), Column::Number("price"), Column::Text("note")]);
        grid.row(Tint::Bid, ["buy".into(), "10".into(), String::new()]);
        grid.row(Tint::Ask, ["sell".into(), "9.25".into(), String::new()]);
        grid
    }

    #[test]
    fn points_are_below_each_other_and_empty_columns_are_gone() {
        let expected = "\
side  price
buy   10
sell   9.25
";
        assert_eq!(sample().render(Terminal::NONE), expected);
    }

    #[test]
    fn what_does_not_fit_goes_on_below() {
        let mut grid = Grid::new(&[
            Column::Text("order"),
            Column::Text("with"),
            Column::Number("price"),
            Column::Text("why"),
        ]);
        grid.row(Tint::Bid, ["a".repeat(50), "b".repeat(27), "10".into(), "one\ntwo".into()]);
        grid.row(Tint::Bid, ["c".repeat(50), "d".into(), "9.5".into(), "word ".repeat(20)]);
        let text = grid.render(Terminal::NONE);
        let (word, rest) = ("word ".repeat(15), "word ".repeat(5));
        let expected = [
            format!("{:50}  with", "order"),
            "  price".to_owned(),
            "  why".to_owned(),
            format!("{}  {}", "a".repeat(50), "b".repeat(27)),
            "   10".to_owned(),
            "  one".to_owned(),
            "  two".to_owned(),
            format!("{}  d", "c".repeat(50)),
            "    9.5".to_owned(),
            format!("  {}", word.trim_end()),
            format!("  {}", rest.trim_end()),
        ];
        assert_eq!(text.lines().map(str::to_owned).collect::<Vec<_>>(), expected);
        assert!(text.lines().all(|line| line.len() <= WIDTH), "{text}");
    }

    #[test]
    fn colours_come_only_where_they_are_wanted() {
        let text = sample().render(Terminal { live: true, color: true });
        // crossterm itself keeps quiet when the environment says NO_COLOR.
        if std::env::var_os("NO_COLOR").is_none() {
            assert!(text.contains("\u{1b}["));
        }
        assert!(!sample().render(Terminal { live: true, color: false }).contains('\u{1b}'));
    }
}

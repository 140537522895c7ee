//! Tables: a header, and columns that are aligned by what they hold.

use comfy_table::{Attribute, Cell, CellAlignment, Color, Table};
use crossterm::style::Stylize;

use crate::output::Terminal;

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
        self.drop_empty_columns();
        self.align_points();
        let mut table = Table::new();
        table.load_style(comfy_table::presets::NOTHING).force_no_tty();
        if terminal.color {
            table.enforce_styling();
        }
        table.set_header(self.columns.iter().map(Column::header));
        for (tint, cells) in self.rows {
            table.add_row(cells.into_iter().map(|text| tint.cell(text)));
        }
        for (column, kind) in table.column_iter_mut().zip(&self.columns) {
            column.set_padding((0, 2));
            column.set_cell_alignment(kind.alignment());
        }
        table.lines().map(|line| format!("{}\n", line.trim_end())).collect()
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

    fn cell(self, text: String) -> Cell {
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
    fn colours_come_only_where_they_are_wanted() {
        let text = sample().render(Terminal { live: true, color: true });
        // crossterm itself keeps quiet when the environment says NO_COLOR.
        if std::env::var_os("NO_COLOR").is_none() {
            assert!(text.contains("\u{1b}["));
        }
        assert!(!sample().render(Terminal { live: true, color: false }).contains('\u{1b}'));
    }
}

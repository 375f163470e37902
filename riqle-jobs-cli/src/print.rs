//! Prints rows: a table on a terminal, fields with tabs between elsewhere, or one JSON object a line.

use comfy_table::{Cell, Color, ContentArrangement, Table, presets::NOTHING};
use serde::Serialize;

use crate::{context::Context, failure::Failure};

/// Something that is listed: its JSON is documented, its cells are for people.
pub(crate) trait Row: Serialize {
    /// The heads of the columns.
    const HEADS: &'static [&'static str];

    /// A cell for each.
    fn cells(&self) -> Vec<String>;

    /// How it stands, for its colour.
    fn tone(&self) -> Tone {
        Tone::Plain
    }
}

/// The colour of a row's first cell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tone {
    Plain,
    Good,
    Warning,
    Bad,
}

impl Context<'_> {
    /// Prints rows, or what to say where there are none: on a terminal alone, since no rows are what a script expects.
    pub(crate) fn print<R: Row>(&mut self, rows: &[R], none: &str) -> Result<(), Failure> {
        if self.json {
            for row in rows {
                self.print_json(row)?;
            }
            return Ok(());
        }
        if !self.console.is_terminal() {
            let lines: String = rows.iter().map(|row| line(&row.cells())).collect();
            return self.console.say(&lines);
        }
        if rows.is_empty() {
            return self.console.say(&format!("{none}\n"));
        }
        let text = table(rows, self.console.has_colors());
        self.console.say(&text)
    }

    /// One JSON object on one line.
    pub(crate) fn print_json(&mut self, value: &impl Serialize) -> Result<(), Failure> {
        let text = serde_json::to_string(value)
            .map_err(|error| Failure::refused(format!("can't be written as JSON: {error}")))?;
        // A terminal may take these for commands, too.
        let text: String = text
            .chars()
            .map(|letter| match letter {
                '\u{7f}'..='\u{9f}' => format!("\\u{:04x}", u32::from(letter)),
                letter => letter.to_string(),
            })
            .collect();
        self.console.say(&format!("{text}\n"))
    }

    /// What was done: as a line, or as JSON.
    pub(crate) fn tell(&mut self, line: &str, value: &impl Serialize) -> Result<(), Failure> {
        if self.json { self.print_json(value) } else { self.console.say(&format!("{line}\n")) }
    }
}

/// A field holds no tab and no line break.
fn line(cells: &[String]) -> String {
    let cells: Vec<_> = cells.iter().map(|cell| in_one_line(cell)).collect();
    format!("{}\n", cells.join("\t"))
}

/// What a job or a person wrote must not move the cursor.
pub(crate) fn in_one_line(text: &str) -> String {
    text.chars().map(|letter| if letter.is_control() { ' ' } else { letter }).collect()
}

fn table<R: Row>(rows: &[R], has_colors: bool) -> String {
    let mut table = Table::new();
    table.load_style(NOTHING).set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(R::HEADS.iter().map(Cell::new));
    for row in rows {
        let cells = row.cells();
        let tone = match row.tone() {
            _ if !has_colors => None,
            Tone::Plain => None,
            Tone::Good => Some(Color::Green),
            Tone::Warning => Some(Color::Yellow),
            Tone::Bad => Some(Color::Red),
        };
        let cells = cells.iter().enumerate().map(|(place, cell)| match tone {
            Some(color) if place == 0 => Cell::new(in_one_line(cell)).fg(color),
            _ => Cell::new(in_one_line(cell)),
        });
        table.add_row(cells);
    }
    if has_colors {
        table.enforce_styling();
    }
    let lines = table.lines().map(|line| format!("{}\n", line.trim_end()));
    lines.collect()
}

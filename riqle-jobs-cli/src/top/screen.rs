//! How `top` lays out what it has read.

use ratatui::{
    Frame,
    buffer::Buffer,
    layout::{Constraint, Rect},
    style::{Color, Modifier, Style, Stylize},
    text::{Line, Span},
    widgets::{Row, Table as Columns, Widget},
};
use riqle_jobs::Error;

use super::reading::{Reading, Table, told};
use crate::print::{Tone, in_one_line};

/// The least width of what is printed where there is no terminal; it is as wide as its lines.
const PRINTED: usize = 120;
/// So many findings are shown beside the tables.
const FINDINGS: usize = 4;
/// What a table takes beside its rows: a title, the heads, and an empty line.
const FRAME: usize = 3;
/// Beside the tables: the headline, the counts, an empty line, and the keys.
const HEAD: usize = 3;

/// What is shown, and how far its tables are scrolled.
pub(super) struct Screen {
    reading: Reading,
    /// Since the store could not be read.
    error: Option<String>,
    has_colors: bool,
    /// The table that keys scroll.
    chosen: usize,
    scrolled: [usize; 3],
    /// How many rows of each were shown last.
    shown: [usize; 3],
}

impl Screen {
    pub(super) fn new(reading: Reading, has_colors: bool) -> Self {
        Self { reading, error: None, has_colors, chosen: 0, scrolled: [0; 3], shown: [0; 3] }
    }

    /// What was read, or why it could not be: then what was read before stays.
    pub(super) fn took(&mut self, reading: Result<Reading, Error>) {
        match reading {
            Ok(reading) => (self.reading, self.error) = (reading, None),
            Err(error) => self.error = Some(error.to_string()),
        }
    }

    pub(super) fn next_table(&mut self) {
        self.chosen = (self.chosen + 1) % self.scrolled.len();
    }

    pub(super) fn scroll(&mut self, rows: isize) {
        let last = self.reading.tables[self.chosen].rows.len().saturating_sub(self.shown[self.chosen].max(1));
        let place = &mut self.scrolled[self.chosen];
        *place = (*place).min(last).saturating_add_signed(rows).min(last);
    }

    pub(super) fn draw(&mut self, frame: &mut Frame<'_>) {
        let area = frame.area();
        self.shown = self.render(area, true, frame.buffer_mut());
    }

    /// All of it as text.
    pub(super) fn text(&self) -> String {
        let rows: usize = self.reading.tables.iter().map(|table| table.rows.len().max(1) + FRAME).sum();
        let height = HEAD + self.findings().len() + rows;
        let widest = self.findings().iter().map(Line::width).max().unwrap_or_default().max(PRINTED);
        let narrow = |size: usize| u16::try_from(size).unwrap_or(u16::MAX);
        let area = Rect::new(0, 0, narrow(widest), narrow(height));
        let mut buffer = Buffer::empty(area);
        self.render(area, false, &mut buffer);
        let lines = buffer.content.chunks(usize::from(area.width));
        let line =
            |cells: &[ratatui::buffer::Cell]| cells.iter().map(|cell| cell.symbol()).collect::<String>();
        let text: Vec<_> = lines.map(|cells| line(cells).trim_end().to_owned()).collect();
        format!("{}\n", text.join("\n").trim_end())
    }

    fn findings(&self) -> Vec<Line<'static>> {
        let findings = &self.reading.findings;
        let mut lines: Vec<_> = findings
            .iter()
            .take(FINDINGS)
            .map(|finding| {
                let (tone, text) = told(finding);
                Line::styled(in_one_line(&text), self.style(tone))
            })
            .collect();
        if let Some(more @ 1..) = findings.len().checked_sub(FINDINGS) {
            lines.push(Line::raw(format!("{more} more: riqle-jobs status")));
        }
        lines
    }

    /// Answers how many rows each table shows.
    fn render(&self, area: Rect, is_live: bool, buffer: &mut Buffer) -> [usize; 3] {
        let Reading { at, tone, headline, counts, tables, .. } = &self.reading;
        let mut lines = vec![
            match &self.error {
                None => Line::styled(headline.clone(), self.style(*tone).add_modifier(Modifier::BOLD)),
                Some(error) => Line::styled(in_one_line(error), self.style(Tone::Bad)),
            },
            Line::raw(counts.clone()),
        ];
        lines.extend(self.findings());
        let above = Rect { height: area.height.saturating_sub(u16::from(is_live)), ..area };
        let mut place = Lines { area: above, next: area.y };
        for line in lines {
            if let Some(area) = place.take(1) {
                line.render(area, buffer);
            }
        }
        place.take(1);
        let room = usize::from(above.bottom().saturating_sub(place.next));
        let rows = shared(
            tables.each_ref().map(|table| table.rows.len().max(1)),
            room.saturating_sub(3 * FRAME - 1),
        );
        for (number, (table, rows)) in tables.iter().zip(rows).enumerate() {
            if let Some(area) = place.take(rows + 2) {
                let is_chosen = is_live && number == self.chosen;
                self.table(table, self.scrolled[number], rows, is_chosen, area, buffer);
            }
            place.take(1);
        }
        if is_live && area.height > 0 {
            let state = if self.error.is_some() { "last read" } else { "read" };
            let keys = format!("{state} at {at:.0}   q quit   tab next table   arrows scroll");
            let area = Rect::new(area.x, area.bottom() - 1, area.width, 1);
            Line::from(Span::raw(keys).dim()).render(area, buffer);
        }
        rows
    }

    fn table(
        &self,
        table: &Table,
        scrolled: usize,
        rows: usize,
        is_chosen: bool,
        area: Rect,
        buffer: &mut Buffer,
    ) {
        let all = table.rows.len();
        // The last page is a full one.
        let first = scrolled.min(all.saturating_sub(rows));
        let shown = &table.rows[first..all.min(first + rows)];
        let of = match shown.len() {
            0 if all > 0 => format!("  {all}, no room"),
            shown if shown < all => format!("  {}–{} of {all}", first + 1, first + shown),
            _ => String::new(),
        };
        let title = Style::new().add_modifier(if is_chosen { Modifier::REVERSED } else { Modifier::BOLD });
        let title = Line::from(vec![Span::styled(table.title.clone(), title), Span::raw(of)]);
        title.render(Rect { height: 1, ..area }, buffer);
        let below = Rect { y: area.y + 1, height: area.height.saturating_sub(1), ..area };
        if table.rows.is_empty() {
            return Line::raw(table.none).render(below, buffer);
        }
        let width = |column: usize| {
            let cells = table.rows.iter().map(|(_, cells)| Line::raw(&cells[column]).width());
            cells.chain([table.heads[column].len()]).max().unwrap_or_default()
        };
        let widths = (0..table.heads.len()).map(|column| match column + 1 == table.heads.len() {
            true => Constraint::Fill(1),
            false => Constraint::Length(u16::try_from(width(column)).unwrap_or(u16::MAX)),
        });
        let rows = shown.iter().map(|(tone, cells)| {
            Row::new(cells.iter().map(|cell| in_one_line(cell))).style(self.style(*tone))
        });
        let heads = Row::new(table.heads.iter().copied()).style(Style::new().dim());
        Columns::new(rows, widths).header(heads).column_spacing(2).render(below, buffer);
    }

    fn style(&self, tone: Tone) -> Style {
        match tone {
            _ if !self.has_colors => Style::new(),
            Tone::Plain => Style::new(),
            Tone::Good => Style::new().fg(Color::Green),
            Tone::Warning => Style::new().fg(Color::Yellow),
            Tone::Bad => Style::new().fg(Color::Red),
        }
    }
}

/// Lines that are given away from the top.
struct Lines {
    area: Rect,
    next: u16,
}

impl Lines {
    /// So many lines, or as many as are left.
    fn take(&mut self, lines: usize) -> Option<Rect> {
        let left = self.area.bottom().saturating_sub(self.next);
        let height = u16::try_from(lines).unwrap_or(u16::MAX).min(left);
        let area = Rect { y: self.next, height, ..self.area };
        self.next += height;
        (height > 0).then_some(area)
    }
}

/// Shares `room` out: who wants little gets it, the others as many each.
fn shared(wanted: [usize; 3], room: usize) -> [usize; 3] {
    let mut got = [0; 3];
    let mut left = room;
    while left > 0 && got != wanted {
        for (got, wanted) in got.iter_mut().zip(wanted) {
            if *got < wanted && left > 0 {
                *got += 1;
                left -= 1;
            }
        }
    }
    got
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use ratatui::{Terminal, backend::TestBackend};

    use super::*;

    fn crowded(queues: usize) -> Screen {
        let table = |title: &str, rows: usize| Table {
            title: title.to_owned(),
            heads: &["NAME", "DUE"],
            rows: (0..rows)
                .map(|row| (Tone::Plain, vec![format!("{title}-{row}"), "7".to_owned()]))
                .collect(),
            none: "nothing",
        };
        let reading = Reading {
            at: "2026-11-26T08:30:00Z".parse().unwrap(),
            tone: Tone::Good,
            headline: "Healthy".to_owned(),
            counts: "7 due".to_owned(),
            findings: Vec::new(),
            tables: [table("queue", queues), table("job", 1), table("worker", 0)],
        };
        Screen::new(reading, false)
    }

    fn drawn(screen: &mut Screen, width: u16, height: u16) -> Vec<String> {
        let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
        terminal.draw(|frame| screen.draw(frame)).unwrap();
        let text = terminal.backend().to_string();
        text.lines().map(|line| line.trim_matches('"').trim_end().to_owned()).collect()
    }

    #[test]
    fn a_table_that_does_not_fit_says_so_scrolls_and_pushes_no_other_off() {
        let mut screen = crowded(40);
        let lines = drawn(&mut screen, 60, 18);
        assert_eq!(lines[3], "queue  1–4 of 40");
        assert!(lines.contains(&"job".to_owned()) && lines.contains(&"worker".to_owned()), "{lines:?}");
        assert!(lines[17].starts_with("read at 2026-11-26T08:30:00Z   q quit"), "{lines:?}");
        screen.scroll(10);
        assert_eq!(drawn(&mut screen, 60, 18)[3], "queue  11–14 of 40");
        screen.scroll(100);
        assert_eq!(drawn(&mut screen, 60, 18)[3], "queue  37–40 of 40");
        screen.scroll(-1);
        assert_eq!(drawn(&mut screen, 60, 18)[3], "queue  36–39 of 40");
        assert_eq!(drawn(&mut screen, 60, 12)[3], "queue  40, no room");
    }

    #[test]
    fn a_store_that_is_away_is_told_above_what_was_read_before() {
        let mut screen = crowded(1);
        screen.took(Err(Error::new(riqle_jobs::ErrorKind::Unavailable, "status", "no answer")));
        let lines = drawn(&mut screen, 60, 20);
        assert!(lines[0].contains("no answer"), "{lines:?}");
        assert_eq!((&*lines[1], &*lines[5]), ("7 due", "queue-0  7"));
        assert!(lines[19].starts_with("last read at"), "{lines:?}");
    }

    #[test]
    fn the_smallest_screen_takes_what_it_can() {
        for height in 1..12 {
            assert_eq!(drawn(&mut crowded(3), 9, height).len(), usize::from(height));
        }
    }

    #[test]
    fn room_is_shared_out_and_nobody_gets_more_than_is_wanted() {
        assert_eq!(shared([2, 40, 3], 12), [2, 7, 3]);
        assert_eq!(shared([2, 4, 3], 100), [2, 4, 3]);
        assert_eq!(shared([9, 9, 9], 5), [2, 2, 1]);
        assert_eq!(shared([1, 1, 1], 0), [0, 0, 0]);
    }
}

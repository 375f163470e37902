//! Charts of what jobs did, as SVG without a script: hover over a bar for its figures.

use std::fmt::{self, Write};

use askama::filters::HtmlSafe;
use jiff::Timestamp;
use riqle_jobs_core::{
    later,
    store::{Histogram, JobMetrics},
};

use super::{
    history::{History, Range, success_rate},
    show::{Count, Took, percent_text},
};

/// In units of the drawing, which is stretched to the page.
const HEIGHT: f64 = 100.0;

/// A chart over the bars of a history.
pub(crate) struct Chart {
    title: &'static str,
    /// The value at the top of the chart.
    top: String,
    /// The series, each with its total or newest figure.
    legend: Vec<(&'static str, &'static str, String)>,
    range: Range,
    /// When each bar begins.
    starts: Vec<Timestamp>,
    /// The tooltip of each bar.
    words: Vec<String>,
    /// The drawing.
    marks: String,
}

/// The charts of a history.
pub(crate) fn charts(history: &History) -> Vec<Chart> {
    vec![
        throughput(history),
        rate(history),
        percentiles(history, "Wait", "from due to started", |metrics| &metrics.wait),
        percentiles(history, "Run time", "of the body", |metrics| &metrics.run_time),
    ]
}

/// Attempts that ended, in each bar.
pub(crate) fn throughput(history: &History) -> Chart {
    let most = history.bars.iter().map(|bar| bar.succeeded + bar.failed).max().unwrap_or(0);
    let top = round_up(most);
    let mut marks = String::new();
    let height = |number: u64| number as f64 * HEIGHT / top.max(1) as f64;
    for (place, bar) in history.bars.iter().enumerate() {
        let (good, bad) = (height(bar.succeeded), height(bar.failed));
        rect(&mut marks, "good", place, HEIGHT - good, good);
        rect(&mut marks, "bad", place, HEIGHT - good - bad, bad);
    }
    let words = history.bars.iter().map(|bar| {
        format!(
            "{} succeeded, {} failed, {} dead letters",
            Count(bar.succeeded),
            Count(bar.failed),
            Count(bar.dead)
        )
    });
    let legend = vec![
        ("good", "succeeded", Count(history.all.succeeded).to_string()),
        ("bad", "failed", Count(history.all.failed).to_string()),
    ];
    Chart { top: Count(top).to_string(), ..chart(history, "Attempts", legend, words.collect(), marks) }
}

fn rate(history: &History) -> Chart {
    let rates: Vec<_> = history.bars.iter().map(success_rate).collect();
    let mut marks = String::new();
    line(&mut marks, "good", rates.iter().map(|rate| rate.map(|rate| HEIGHT - rate)));
    let words = rates.iter().map(|rate| format!("{} succeeded", percent_text(*rate))).collect();
    let legend = vec![("good", "of attempts", percent_text(success_rate(&history.all)))];
    Chart { top: "100 %".to_owned(), ..chart(history, "Success rate", legend, words, marks) }
}

const PERCENTILES: [(f64, &str, &str); 3] =
    [(99.0, "p99", "third"), (95.0, "p95", "second"), (50.0, "p50", "first")];

fn percentiles(
    history: &History,
    title: &'static str,
    of: &'static str,
    histogram: impl Fn(&JobMetrics) -> &Histogram,
) -> Chart {
    let read =
        |metrics: &JobMetrics| PERCENTILES.map(|(percent, _, _)| histogram(metrics).percentile(percent));
    let bars: Vec<_> = history.bars.iter().map(&read).collect();
    let most = bars.iter().flatten().flatten().max().copied().unwrap_or_default();
    let top = most.as_secs_f64().max(f64::MIN_POSITIVE);
    let mut marks = String::new();
    for (place, (_, _, class)) in PERCENTILES.iter().enumerate() {
        let heights =
            bars.iter().map(|bar| bar[place].map(|took| HEIGHT - took.as_secs_f64() / top * HEIGHT));
        line(&mut marks, class, heights);
    }
    let say = |took: Option<std::time::Duration>| {
        took.map_or_else(|| "–".to_owned(), |took| Took(took).to_string())
    };
    let words = bars.iter().map(|bar| {
        let parts =
            PERCENTILES.iter().zip(bar).rev().map(|((_, name, _), took)| format!("{name} {}", say(*took)));
        format!("{}, {of}", parts.collect::<Vec<_>>().join(", "))
    });
    let all = read(&history.all);
    let legend = PERCENTILES.iter().zip(all).rev().map(|((_, name, class), took)| (*class, *name, say(took)));
    Chart { top: Took(most).to_string(), ..chart(history, title, legend.collect(), words.collect(), marks) }
}

fn chart(
    history: &History,
    title: &'static str,
    legend: Vec<(&'static str, &'static str, String)>,
    words: Vec<String>,
    marks: String,
) -> Chart {
    let starts = history.bars.iter().map(|bar| bar.start).collect();
    Chart { title, top: String::new(), legend, range: history.range, starts, words, marks }
}

impl fmt::Display for Chart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, r#"<figure class="chart"><figcaption><b>{}</b>"#, self.title)?;
        for (class, name, figure) in &self.legend {
            write!(f, r#" <span class="key {class}">{name} <i>{figure}</i></span>"#)?;
        }
        let legend: Vec<_> = self.legend.iter().map(|(_, name, figure)| format!("{name} {figure}")).collect();
        let label = format!("{} in the last {}: {}", self.title, self.range.name(), legend.join(", "));
        write!(
            f,
            r#"</figcaption><div class="plot"><span class="top">{}</span><svg viewBox="0 0 {} {HEIGHT}" preserveAspectRatio="none" role="img" aria-label="{label}">{}"#,
            self.top,
            self.starts.len(),
            self.marks,
        )?;
        for (place, (start, words)) in self.starts.iter().zip(&self.words).enumerate() {
            let time = self.time(*start);
            write!(
                f,
                r#"<rect class="hit" x="{place}" y="0" width="1" height="{HEIGHT}"><title>{time} {words}</title></rect>"#
            )?;
        }
        f.write_str(r#"</svg></div><div class="axis">"#)?;
        let middle = self.starts.get(self.starts.len() / 2);
        for start in [self.starts.first(), middle].into_iter().flatten() {
            write!(f, "<span>{}</span>", self.time(*start))?;
        }
        let end = self.starts.last().map(|start| later(*start, self.range.bar()));
        write!(f, "<span>{} UTC</span></div></figure>", end.map(|end| self.time(end)).unwrap_or_default())
    }
}

impl HtmlSafe for Chart {}

impl Chart {
    fn time(&self, time: Timestamp) -> String {
        let format = if self.range == Range::Week { "%a %H:%M" } else { "%H:%M" };
        time.strftime(format).to_string()
    }
}

fn rect(marks: &mut String, class: &str, place: usize, top: f64, height: f64) {
    if height > 0.0 {
        let _ = write!(
            marks,
            r#"<rect class="{class}" x="{:.2}" y="{top:.2}" width="0.8" height="{height:.2}"/>"#,
            place as f64 + 0.1
        );
    }
}

/// A line with gaps where nothing was measured; an isolated point is a dot.
fn line(marks: &mut String, class: &str, heights: impl Iterator<Item = Option<f64>>) {
    let mut path = String::new();
    let mut is_drawing = false;
    for (place, height) in heights.enumerate() {
        if let Some(height) = height {
            let (x, y) = (place as f64 + 0.5, height.clamp(0.0, HEIGHT));
            let _ = if is_drawing { write!(path, "L{x} {y:.2}") } else { write!(path, "M{x} {y:.2}h0.01") };
        }
        is_drawing = height.is_some();
    }
    if !path.is_empty() {
        let _ = write!(marks, r#"<path class="line {class}" d="{path}"/>"#);
    }
}

/// The next round number.
fn round_up(number: u64) -> u64 {
    let mut unit = 1_u64;
    while unit.saturating_mul(10) <= number {
        unit = unit.saturating_mul(10);
    }
    [1, 2, 5, 10]
        .into_iter()
        .map(|times| unit.saturating_mul(times))
        .find(|round| *round >= number)
        .unwrap_or(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_top_of_a_chart_reads_well() {
        let tops = [(0, 1), (1, 1), (3, 5), (10, 10), (11, 20), (499, 500), (501, 1_000), (999, 1_000)];
        for (number, top) in tops {
            assert_eq!(round_up(number), top);
        }
    }

    #[test]
    fn a_line_has_gaps_where_nothing_was_measured() {
        let mut marks = String::new();
        line(&mut marks, "good", [Some(1.0), None, Some(2.0), Some(300.0)].into_iter());
        assert_eq!(marks, r#"<path class="line good" d="M0.5 1.00h0.01M2.5 2.00h0.01L3.5 100.00"/>"#);
        line(&mut marks, "bad", [None].into_iter());
        assert!(!marks.contains("bad"));
    }
}

//! The figures as a picture: a small chart each, all over the same time.

use std::{fmt::Write, time::Duration};

use crate::figures::Figures;

const WIDTH: usize = 380;
const HEIGHT: usize = 110;
const COLUMNS: usize = 2;

/// An SVG.
pub(crate) fn drawn(figures: &Figures, every: Duration) -> String {
    let rows = figures.series().len().div_ceil(COLUMNS);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {} {}\" font-family=\"sans-serif\" font-size=\"11\">\n<rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n",
        WIDTH * COLUMNS,
        HEIGHT * rows
    );
    for (number, (name, values)) in figures.series().iter().enumerate() {
        let (left, top) = (number % COLUMNS * WIDTH + 10, number / COLUMNS * HEIGHT + 8);
        let most = values.iter().copied().fold(0.0, f64::max);
        let minutes = every.as_secs_f64() * values.len() as f64 / 60.0;
        let _ = writeln!(
            svg,
            "<g transform=\"translate({left} {top})\"><text y=\"10\">{name}: {:.0} at the end, {most:.0} at most</text><path d=\"M0 18V88H{}\" fill=\"none\" stroke=\"#bbb\"/><text y=\"99\" fill=\"#888\" font-size=\"9\">0</text><text x=\"{}\" y=\"99\" fill=\"#888\" font-size=\"9\" text-anchor=\"end\">{minutes:.0} min</text><polyline fill=\"none\" stroke=\"#2563eb\" points=\"{}\"/></g>",
            values.last().copied().unwrap_or_default(),
            WIDTH - 30,
            WIDTH - 30,
            points(values, most)
        );
    }
    svg + "</svg>\n"
}

fn points(values: &[f64], most: f64) -> String {
    let (wide, high) = ((WIDTH - 30) as f64, 70.0);
    let last = values.len().saturating_sub(1).max(1) as f64;
    let point = |(number, value): (usize, &f64)| {
        let share = if most > 0.0 { value / most } else { 0.0 };
        format!("{:.1},{:.1}", wide * number as f64 / last, 18.0 + high * (1.0 - share))
    };
    values.iter().enumerate().map(point).collect::<Vec<_>>().join(" ")
}

//! What was measured, and whether it has grown.

use std::{fmt::Write, time::Duration};

/// Names of figures that are judged by themselves.
pub(crate) const RATE: &str = "runs ended a second";
pub(crate) const WAITING: &str = "runs waiting";
pub(crate) const PAGE: &str = "requests of the open page";
pub(crate) const EMAILS: &str = "emails in a minute";
/// It grows until the day is over.
pub(crate) const HISTORY_OF_THE_DAY: &str = "size of the day's history, MB";
/// What a figure may have grown by from the middle third of the time to the last.
const GROWTH: f64 = 1.1;
/// Shorter, and what is kept for three minutes is still coming in.
const JUDGED_FROM: Duration = Duration::from_secs(15 * 60);

/// Of each name a value a look.
#[derive(Default)]
pub(crate) struct Figures {
    series: Vec<(&'static str, Vec<f64>)>,
}

impl Figures {
    pub(crate) fn note(&mut self, name: &'static str, value: f64) {
        match self.series.iter_mut().find(|series| series.0 == name) {
            Some((_, values)) => values.push(value),
            None => self.series.push((name, vec![value])),
        }
    }

    pub(crate) fn series(&self) -> &[(&'static str, Vec<f64>)] {
        &self.series
    }

    /// The newest of each.
    pub(crate) fn line(&self, at: Duration) -> String {
        let newest = self
            .series
            .iter()
            .map(|(name, values)| format!("{name} {:.1}", values.last().copied().unwrap_or_default()));
        format!("{:>5.0} s  {}", at.as_secs_f64(), newest.collect::<Vec<_>>().join(" | "))
    }

    pub(crate) fn csv(&self, every: Duration) -> String {
        let mut csv = "seconds".to_owned();
        for (name, _) in &self.series {
            let _ = write!(csv, ",\"{name}\"");
        }
        let looks = self.series.first().map_or(0, |series| series.1.len());
        for look in 0..looks {
            let _ = write!(csv, "\n{}", every.as_secs() * (look as u64 + 1));
            for (_, values) in &self.series {
                let _ = write!(csv, ",{:.2}", values.get(look).copied().unwrap_or_default());
            }
        }
        csv + "\n"
    }

    /// # Errors
    /// Where the load was not taken, the page was not open, or something has grown.
    pub(crate) fn judge(&self, time: Duration) -> Result<(), String> {
        if time < JUDGED_FROM {
            println!("too short to say what grows: give it fifteen minutes at least");
            return Ok(());
        }
        let mut wrong = Vec::new();
        for (name, values) in &self.series {
            let (middle, last) = (median(third(values, 1)), median(third(values, 2)));
            println!("{name}: {middle:.1}, then {last:.1}");
            let is_wrong = match *name {
                // Of 500, and of 50 emails a second.
                RATE => last < 490.0,
                EMAILS => last < 2_900.0,
                // A second's.
                WAITING => last > 500.0,
                // Its stream is opened anew each minute.
                PAGE => third(values, 2).first() >= third(values, 2).last(),
                HISTORY_OF_THE_DAY => false,
                // A handful more is no growth, and nothing at all was not measured.
                _ => last == 0.0 || last > middle * GROWTH + 2.0,
            };
            if is_wrong {
                wrong.push(format!(
                    "{name}: {middle:.1} in the middle third of the time, {last:.1} in the last"
                ));
            }
        }
        if wrong.is_empty() { Ok(()) } else { Err(wrong.join("\n")) }
    }
}

fn third(values: &[f64], number: usize) -> &[f64] {
    values.get(values.len() * number / 3..values.len() * (number + 1) / 3).unwrap_or_default()
}

fn median(values: &[f64]) -> f64 {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or_default()
}

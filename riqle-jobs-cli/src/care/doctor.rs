//! `doctor`: problems, each with its fix.

use std::time::Duration;

use riqle_jobs::{
    store::Timestamp,
    verdict::{Level, examine},
};

use crate::{context::Context, failure::Failure, look::FindingRow};

/// The clock may be off by so much before runs are visibly late.
const CLOCK: Duration = Duration::from_secs(2);

pub(crate) async fn doctor(context: &mut Context<'_>) -> Result<(), Failure> {
    let jobs = context.jobs().await?;
    let before = Timestamp::now();
    let of_store = jobs.store().wall_time().await?;
    let mut found: Vec<FindingRow> =
        examine(&**jobs.store()).await?.into_iter().map(FindingRow::from).collect();
    found.extend(of_clock(before, of_store, Timestamp::now()));
    found.sort_by_key(|finding| std::cmp::Reverse(finding.level));
    if found.is_empty() {
        return if context.console.is_terminal() && !context.json {
            context.console.say("no problems found\n")
        } else {
            Ok(())
        };
    }
    // A check that failed has failed, whoever reads of it.
    let printed = context.print(&found, "");
    match found.iter().any(|finding| finding.level > Level::Notice) {
        true => Err(Failure::found()),
        false => printed,
    }
}

/// Whether the store's time was read between two times of this machine.
fn of_clock(before: Timestamp, of_store: Timestamp, after: Timestamp) -> Option<FindingRow> {
    let behind = Duration::try_from(before.duration_since(of_store)).unwrap_or_default();
    let ahead = Duration::try_from(of_store.duration_since(after)).unwrap_or_default();
    let off = behind.max(ahead);
    (off > CLOCK).then(|| FindingRow {
        level: Level::Warning,
        what: format!(
            "The store's clock is {} s {} this machine's",
            off.as_secs(),
            if ahead > behind { "ahead of" } else { "behind" }
        ),
        cure: "Synchronize both by NTP: the store's clock decides when runs are due.".to_owned(),
        look: None,
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_is_off_is_told_of() {
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        let (before, after) = (at("2026-11-26T12:00:00Z"), at("2026-11-26T12:00:01Z"));
        let told = |of_store| of_clock(before, at(of_store), after).map(|finding| finding.what);
        assert_eq!(told("2026-11-26T12:00:02Z"), None);
        assert_eq!(
            told("2026-11-26T12:00:11Z").unwrap(),
            "The store's clock is 10 s ahead of this machine's"
        );
        assert_eq!(told("2026-11-26T11:59:00Z").unwrap(), "The store's clock is 60 s behind this machine's");
    }
}

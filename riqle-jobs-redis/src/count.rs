//! How many runs a filter lists: from the sizes of lists where they say it, else run by run.

use riqle_jobs_core::{Error, RunFilter, RunState};

use crate::{
    Redis,
    list::{Lists, Place},
    rows::millis_up,
    script::{MATCHES, SIZES},
    values::{count, fixed, maybe_bytes},
};

/// How many runs are looked at in one call.
const PORTION: usize = 1_000;

impl Redis {
    /// Counts to `most` at most.
    pub(crate) async fn count_listed(&self, filter: &RunFilter, most: u64) -> Result<u64, Error> {
        let mut runs = 0;
        for queue in self.queues_of("count_runs", filter).await? {
            if runs >= most {
                break;
            }
            runs += match sizes(filter) {
                Some(arguments) => count(self.call("count_runs", &SIZES, &queue, arguments).await?)?,
                None => self.count_one_by_one(&queue, filter, most - runs).await?,
            };
        }
        Ok(runs.min(most))
    }

    async fn count_one_by_one(&self, queue: &str, filter: &RunFilter, most: u64) -> Result<u64, Error> {
        let (place, asked, mut runs) = (Place::of(filter), asked(filter), 0);
        for list in self.lists("count_runs", queue, &place, filter).await? {
            let mut before = id(filter);
            loop {
                let portion = PORTION.to_string().into_bytes();
                let above = place.above(before.as_deref());
                let mut arguments = vec![above, place.below(), portion, list.clone().into_bytes()];
                arguments.extend(asked.iter().cloned());
                let [found, last] = fixed(self.call("count_runs", &MATCHES, queue, arguments).await?)?;
                runs += count(found)?;
                if runs >= most {
                    return Ok(runs);
                }
                before = maybe_bytes(last)?;
                if before.is_none() {
                    break;
                }
            }
        }
        Ok(runs)
    }
}

/// What the script of sizes takes to count what a filter lists; `None` where sizes don't say it.
fn sizes(filter: &RunFilter) -> Option<Vec<Vec<u8>>> {
    let place = Place::of(filter);
    let Lists::OfEachJob(kinds) = &place.lists else { return None };
    if !place.is_exact(filter) {
        return None;
    }
    let before = id(filter);
    let (above, below) = (place.above(before.as_deref()), place.below());
    let job = filter.job.clone().unwrap_or_default().into_bytes();
    let mut arguments = vec![before.unwrap_or_default(), job, above, below];
    arguments.extend(kinds.iter().map(|kind| format!("+{kind}:").into_bytes()));
    // What is open is pending or running.
    if kinds.contains(&"open") && !filter.states.is_empty() && !filter.states.contains(&RunState::Running) {
        arguments.extend([b"-held:".to_vec(), b"-expired:".to_vec()]);
    }
    Some(arguments)
}

/// The id below which runs are counted.
fn id(filter: &RunFilter) -> Option<Vec<u8>> {
    filter.before.map(|before| before.as_uuid().as_bytes().to_vec())
}

/// What is asked of each run, as the script of matches takes it.
fn asked(filter: &RunFilter) -> [Vec<u8>; 7] {
    let text =
        |text: &Option<String>| text.as_ref().map_or_else(Vec::new, |text| format!("={text}").into_bytes());
    let time = |time: Option<_>| time.map_or_else(Vec::new, |time| millis_up(time).to_string().into_bytes());
    [
        filter.states.iter().map(|state| state.as_str().as_bytes()[0]).collect(),
        text(&filter.job),
        text(&filter.reference),
        text(&filter.unique_key),
        text(&filter.error_fingerprint),
        time(filter.enqueued_from),
        time(filter.enqueued_before),
    ]
}

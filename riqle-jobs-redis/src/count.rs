//! How many runs a filter lists: from the sizes of lists where they say it, else run by run.

use riqle_jobs_core::{Error, RunFilter, RunState};

use crate::{
    Redis,
    list::{Lists, Place},
    script::SIZES,
    values::count,
};

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
                None => self.count_matching(&queue, filter, most - runs).await?,
            };
        }
        Ok(runs.min(most))
    }
}

/// What the script of sizes takes to count what a filter lists; `None` if sizes don't say it.
fn sizes(filter: &RunFilter) -> Option<Vec<Vec<u8>>> {
    let place = Place::of(filter);
    let Lists::OfEachJob(kinds) = &place.lists else { return None };
    if !place.is_exact(filter) {
        return None;
    }
    let (above, below) = (place.above(filter.before), place.below(None));
    let before = filter.before.map(|before| before.as_uuid().as_bytes().to_vec());
    let job = filter.job.clone().unwrap_or_default().into_bytes();
    let mut arguments = vec![before.unwrap_or_default(), job, above, below];
    arguments.extend(kinds.iter().map(|kind| format!("+{kind}:").into_bytes()));
    // What is open is pending or running.
    if kinds.contains(&"open") && !filter.states.is_empty() && !filter.states.contains(&RunState::Running) {
        arguments.extend([b"-held:".to_vec(), b"-expired:".to_vec()]);
    }
    Some(arguments)
}

//! Dead letters, grouped by job and error fingerprint.

use std::collections::HashSet;

use futures_util::future::try_join_all;
use redis::Value;
use riqle_jobs_core::{Error, from_millis, store::DeadGroup};

use crate::{
    Redis,
    frame::corrupt,
    script::DEAD_GROUPS,
    values::{count, groups, number, run_id, word},
};

/// The name of a group in a queue: that of a job's dead letters with this fingerprint, or, if it is empty, with
/// none.
pub(crate) fn name(job: &str, fingerprint: &str) -> String {
    format!("{job}\0{fingerprint}")
}

impl Redis {
    /// The groups in which a run died last.
    pub(crate) async fn list_dead_groups(&self, limit: usize) -> Result<Vec<DeadGroup>, Error> {
        if limit == 0 {
            return Ok(Vec::new());
        }
        let queues = self.known_queues("dead_groups").await?;
        let newest = queues.iter().map(|queue| self.groups_of(queue, limit, Vec::new()));
        let newest = try_join_all(newest).await?;
        // What comes before a group does so in the queue, too, in which that one's last run died: so all that belong here
        // are among these. Of one that is, another queue may hold older runs, beyond what it was asked for.
        let listed = DeadGroup::merged(newest.iter().flatten().cloned(), limit);
        let older = queues.iter().zip(&newest).map(|(queue, newest)| {
            let known: HashSet<String> = newest.iter().map(name_of).collect();
            let names = listed.iter().map(name_of).filter(|name| !known.contains(name));
            self.groups_of(queue, 0, names.collect())
        });
        let older = try_join_all(older).await?;
        Ok(DeadGroup::merged(newest.into_iter().chain(older).flatten(), limit))
    }

    /// The groups of a queue in which a run died last, and those that are named.
    async fn groups_of(
        &self,
        queue: &str,
        limit: usize,
        names: Vec<String>,
    ) -> Result<Vec<DeadGroup>, Error> {
        if limit == 0 && names.is_empty() {
            return Ok(Vec::new());
        }
        let mut arguments = vec![limit.min(i32::MAX as usize).to_string().into_bytes()];
        arguments.extend(names.into_iter().map(String::into_bytes));
        let answers = self.call("dead_groups", &DEAD_GROUPS, queue, arguments).await?;
        groups(answers)?.into_iter().map(dead_group).collect()
    }
}

fn name_of(group: &DeadGroup) -> String {
    name(&group.job, group.error_fingerprint.as_deref().unwrap_or_default())
}

pub(crate) fn dead_group([name, runs, first_at, last_at, newest]: [Value; 5]) -> Result<DeadGroup, Error> {
    let name = word(name)?;
    let nameless = || corrupt("a group of dead letters has no name");
    let (job, fingerprint) = name.split_once('\0').ok_or_else(nameless)?;
    Ok(DeadGroup {
        job: job.to_owned(),
        error_fingerprint: (!fingerprint.is_empty()).then(|| fingerprint.to_owned()),
        runs: count(runs)?,
        first_at: from_millis(number(first_at)?),
        last_at: from_millis(number(last_at)?),
        newest: run_id(newest)?,
    })
}

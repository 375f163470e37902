//! The ids of what is asked for where lists hold others, too: a script looks at each run, and answers ids.

use futures_util::{StreamExt, TryStreamExt, future::try_join_all, stream};
use riqle_jobs_core::{Error, RunFilter, RunId};

use crate::{
    Redis,
    list::Place,
    rows::millis_up,
    script::MATCHES,
    values::{fixed, list, run_id},
};

/// How many runs are looked at in one call.
const PORTION: usize = 1_000;
/// At first, of each of several lists: most pages need no more.
const FIRST_PORTION: usize = 100;
/// So many scripts wait for the server, so that others are answered in between.
const LOOKS_AT_ONCE: usize = 8;

/// A list, as far as it has not been looked through yet: what is below an id.
pub(crate) struct Unseen {
    list: String,
    before: Option<RunId>,
    /// How many are looked at next.
    portion: usize,
}

impl Unseen {
    /// Whether there may be some above an id.
    fn goes_above(&self, id: RunId) -> bool {
        self.before.is_none_or(|before| before > id)
    }
}

impl Redis {
    /// The newest ids of what is asked for, below one, each with the number of its queue; where they are fewer than `most`, all.
    pub(crate) async fn matching(
        &self,
        operation: &'static str,
        queues: &[String],
        filter: &RunFilter,
        before: Option<RunId>,
        most: usize,
    ) -> Result<Vec<(RunId, usize)>, Error> {
        let filter = &RunFilter { before, ..filter.clone() };
        let lists = queues.iter().map(|queue| self.unseen(operation, queue, filter, FIRST_PORTION));
        let mut lists = try_join_all(lists).await?;
        let mut ids: Vec<(RunId, usize)> = Vec::new();
        loop {
            // Once there are enough, only newer ones matter: a list with few or none need not be looked through.
            let last = most.checked_sub(1).and_then(|last| ids.get(last)).map(|(id, _)| *id);
            for lists in &mut lists {
                lists.retain(|list| last.is_none_or(|last| list.goes_above(last)));
            }
            if lists.iter().all(Vec::is_empty) {
                return Ok(ids);
            }
            let found = lists.into_iter().zip(queues).map(|(lists, queue)| async move {
                let looks = stream::iter(lists)
                    .map(|list| self.look(operation, queue, list, filter, last, most))
                    .buffered(LOOKS_AT_ONCE);
                let (found, rest): (Vec<_>, Vec<_>) =
                    looks.try_collect::<Vec<_>>().await?.into_iter().unzip();
                Ok::<_, Error>((found.concat(), rest.into_iter().flatten().collect::<Vec<_>>()))
            });
            lists = Vec::new();
            for (queue, (found, rest)) in try_join_all(found).await?.into_iter().enumerate() {
                ids.extend(found.into_iter().map(|id| (id, queue)));
                lists.push(rest);
            }
            ids.sort_unstable_by(|a, b| b.cmp(a));
            // A run in two lists has changed in between.
            ids.dedup();
            ids.truncate(most);
        }
    }

    /// The lists of a queue in which what is asked for stands, whole.
    async fn unseen(
        &self,
        operation: &'static str,
        queue: &str,
        filter: &RunFilter,
        portion: usize,
    ) -> Result<Vec<Unseen>, Error> {
        let lists = self.lists(operation, queue, &Place::of(filter), filter).await?;
        Ok(lists.into_iter().map(|list| Unseen { list, before: filter.before, portion }).collect())
    }

    /// Counts what is asked for in the lists of a queue, to `most` or a little more.
    pub(crate) async fn count_matching(
        &self,
        queue: &str,
        filter: &RunFilter,
        most: u64,
    ) -> Result<u64, Error> {
        let mut runs = 0;
        for list in self.unseen("count_runs", queue, filter, PORTION).await? {
            let mut unseen = Some(list);
            while let Some(list) = unseen.filter(|_| runs < most) {
                let most = usize::try_from(most - runs).unwrap_or(usize::MAX);
                let (found, rest) = self.look("count_runs", queue, list, filter, None, most).await?;
                runs += found.len() as u64;
                unseen = rest;
            }
        }
        Ok(runs)
    }

    /// Looks at a portion of a list: ids of what is asked for, of those above one `most` at most, and what is left of the list.
    async fn look(
        &self,
        operation: &'static str,
        queue: &str,
        unseen: Unseen,
        filter: &RunFilter,
        above: Option<RunId>,
        most: usize,
    ) -> Result<(Vec<RunId>, Option<Unseen>), Error> {
        let place = Place::of(filter);
        let mut arguments = vec![
            place.above(unseen.before),
            place.below(above),
            unseen.portion.to_string().into_bytes(),
            most.to_string().into_bytes(),
            unseen.list.clone().into_bytes(),
        ];
        arguments.extend(asked(filter));
        let [found, last] = fixed(self.call(operation, &MATCHES, queue, arguments).await?)?;
        let found = list(found)?.into_iter().map(run_id).collect::<Result<_, _>>()?;
        let rest = match last {
            redis::Value::Nil => None,
            last => Some(Unseen { before: Some(run_id(last)?), portion: PORTION, ..unseen }),
        };
        Ok((found, rest))
    }
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

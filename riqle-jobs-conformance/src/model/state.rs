//! All that an operator can see of a store's runs, read so that two stores can be compared.

use riqle_jobs_core::{
    Run, RunFilter, RunId, SavedStep, Store,
    store::{DeadGroup, JobCount, QueueStatus, RunNotes},
};

/// All that an operator can see of runs.
#[derive(Debug, PartialEq)]
pub(super) struct VisibleState {
    pub(super) runs: Vec<(Run, Vec<SavedStep>, RunNotes)>,
    counts: Vec<JobCount>,
    queues: Vec<QueueStatus>,
    dead_groups: Vec<DeadGroup>,
}

pub(super) async fn visible_state(store: &dyn Store) -> VisibleState {
    let mut filter = RunFilter::all().limit(200);
    let mut runs = Vec::new();
    loop {
        let page = store.runs(filter.clone()).await.expect("runs are listed");
        filter.before = page.last().map(|run| run.id);
        let is_last = page.len() < filter.limit;
        for run in page {
            let steps = store.steps(run.id).await.expect("steps are read");
            let notes = store.notes(run.id).await.expect("notes are read");
            runs.push((run, steps, notes));
        }
        if is_last {
            break;
        }
    }
    VisibleState {
        runs,
        counts: store.counts().await.expect("runs are counted"),
        queues: store.queues().await.expect("queues are listed"),
        dead_groups: store.dead_groups(1000).await.expect("dead letters are grouped"),
    }
}

/// The ids that a filter lists, and how many it counts.
pub(super) async fn visible_lists(store: &dyn Store, filter: &RunFilter) -> (Vec<RunId>, u64) {
    let runs = store.runs(filter.clone()).await.expect("runs are listed");
    let count = store.count_runs(filter.clone(), 50).await.expect("runs are counted");
    (runs.iter().map(|run| run.id).collect(), count)
}

//! Actions on many runs: on the selected ones, or on all that match a search.

use axum::{extract::State, response::Response};
use riqle_jobs_core::{
    ActionId, BulkReport, Error, ErrorKind, Jobs, Pace, Replay, ReplayFrom, RunFilter, RunId, RunState,
    store::{ActionKind, rules::Operation},
};
use serde::{Deserialize, Deserializer, Serialize, de};
use serde_json::Value;
use tokio::sync::oneshot;
use utoipa::ToSchema;

use super::{Done, Submitted, action, ended, recorded, run::discard_one};
use crate::{
    dashboard::{
        Web,
        failure::Failure,
        pages::run_filter::Search,
        show::{Count, many},
    },
    security::User,
};

/// The most runs selected one by one.
const MOST_CHOSEN: usize = 500;
/// Selected runs per record, so that a record names each.
const CHOSEN_IN_A_RECORD: usize = 25;
/// The most skipped runs that an outcome names.
const MOST_SKIPPED: usize = 3;

/// What to do to many runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Act {
    /// Replay dead letters, from the failed step.
    Replay,
    /// Delete dead letters.
    Discard,
    /// Cancel runs that have not ended.
    Cancel,
    /// Make due now the runs that wait for their time.
    RunNow,
}

/// What to do to which runs.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct BulkRequest {
    act: Act,
    /// These runs, at most 500.
    #[serde(default, alias = "id")]
    #[schema(value_type = Vec<uuid::Uuid>)]
    ids: Vec<RunId>,
    /// Or all runs that match; its `text` and `before` must be empty.
    #[serde(default, deserialize_with = "known_fields_only")]
    search: Option<Search>,
    /// Must be true with an empty search, which means all runs.
    #[serde(default)]
    all: bool,
    /// The same as the query of a URL, as forms send it.
    #[schema(ignore)]
    query: Option<String>,
    /// For a search: at most this many per second; default 100.
    pace: Option<u32>,
    #[serde(default, rename = "formToken")]
    #[schema(ignore)]
    _form_token: String,
}

/// Acts on many runs. An action on a search runs in the background: the answer comes at once, and the action's
/// record shows when it has ended.
#[utoipa::path(post, path = "/runs/act", tag = "runs", request_body = BulkRequest, responses(
    (status = 200, body = Done), (status = "4XX", body = crate::dashboard::openapi::Problem)))]
pub(crate) async fn act(
    State(web): State<Web>,
    Submitted { visit, asked }: Submitted<BulkRequest>,
) -> Response {
    let search = match (&asked.search, &asked.query) {
        (Some(search), _) => Some(search.clone()),
        (None, Some(query)) => match serde_html_form::from_str(query) {
            Ok(search) => Some(search),
            Err(_) => return visit.fail(&Failure::bad("the search is malformed")),
        },
        (None, None) => None,
    };
    if search.is_some() && !asked.ids.is_empty() {
        return visit.fail(&Failure::bad("select runs one by one or by a search, not both"));
    }
    let Some(search) = search else {
        let back = format!("runs?state={}", asked.act.states()[0]);
        return visit.ended(&back, on_the_chosen(&web.jobs, &visit.user, asked).await);
    };
    match begin_on_all(&web, &visit.user, &asked, &search).await {
        Ok(id) => visit.done(&format!("audit/{id}"), id, "started".to_owned()),
        Err(failure) => visit.fail(&failure),
    }
}

/// Acts on each selected run; it runs to its end even if the caller does not wait for it.
async fn on_the_chosen(jobs: &Jobs, user: &User, asked: BulkRequest) -> Result<(ActionId, String), Failure> {
    asked.check_chosen()?;
    let (jobs, user, act) = (jobs.clone(), user.clone(), asked.act);
    let all = tokio::spawn(async move {
        let (mut last, mut report) = (None, BulkReport::default());
        // So many that their ids fit into the record.
        for ids in asked.ids.chunks(CHOSEN_IN_A_RECORD) {
            let names: Vec<_> = ids.iter().map(RunId::to_string).collect();
            let action = action(&user, act.kind(), &many(ids.len() as u64, "run"), &names.join(", "));
            let ids = ids.to_vec();
            let (told_of, told_by) = oneshot::channel();
            let acts = move |jobs: Jobs| async move {
                let (report, stopped) = on_each(&jobs, act, &ids).await;
                let done = match &stopped {
                    Some(failure) => Err(stopped_after(&report, failure)),
                    None => Ok(outcome(&report)),
                };
                let _ = told_of.send((report, stopped));
                done
            };
            let recorded = recorded(&jobs, action, acts).await;
            let stopped = told_by.await.ok().and_then(|(more, stopped)| {
                report.add(more);
                stopped
            });
            match recorded {
                Ok((action, _)) => last = Some(action),
                // What the portions before it did is done, too.
                Err(failure) => return Err(stopped_after(&report, &stopped.unwrap_or(failure))),
            }
        }
        last.map(|last| (last, outcome(&report))).ok_or_else(|| Failure::bad("no run is selected"))
    });
    all.await.unwrap_or_else(|panicked| Err(Failure::of_panic(&panicked)))
}

/// Acts on all that match, in the background.
async fn begin_on_all(
    web: &Web,
    user: &User,
    asked: &BulkRequest,
    search: &Search,
) -> Result<ActionId, Failure> {
    let filter = asked.act.filter(search)?;
    let words = search.words();
    if words.is_empty() && !asked.all {
        return Err(Failure::bad("the search is empty; to act on all runs, set `all`"));
    }
    let pace = asked.pace.unwrap_or(100).clamp(1, 10_000);
    let subject = if words.is_empty() { "all runs".to_owned() } else { format!("all runs with {words}") };
    let action = action(user, asked.act.kind(), &subject, &format!("at most {pace} per second"));
    web.jobs.store().record_action(action.clone()).await?;
    let (id, act, jobs, shutdown) = (action.id, asked.act, web.jobs.clone(), web.shutdown.clone());
    tokio::spawn(async move {
        let done = tokio::select! {
            done = on_all(&jobs, act, filter, Pace::per_second(pace)) => {
                // Its message says how far it came, and nothing of the store.
                done.map(|report| outcome(&report)).map_err(|error| {
                    tracing::warn!(%error, action = %action.id, "an action on all matches stopped early");
                    error.message().to_owned()
                })
            }
            () = shutdown.stopping() => {
                Err("interrupted: the process stopped; it is safe to repeat".to_owned())
            }
        };
        ended(&jobs, &action, done.as_ref()).await;
    });
    Ok(id)
}

/// A misspelt field must not mean all runs.
fn known_fields_only<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Search>, D::Error> {
    let given = Value::deserialize(deserializer)?;
    let known = serde_json::to_value(Search::default()).map_err(de::Error::custom)?;
    let fields = given.as_object().into_iter().flatten();
    if let Some((field, _)) = fields.into_iter().find(|(field, _)| known.get(field.as_str()).is_none()) {
        return Err(de::Error::custom(format!("a search has no field {field:?}")));
    }
    serde_json::from_value(given).map_err(de::Error::custom)
}

impl BulkRequest {
    fn check_chosen(&self) -> Result<(), Failure> {
        match self.ids.len() {
            0 => Err(Failure::bad("no run is selected")),
            1..=MOST_CHOSEN => Ok(()),
            _ => Err(Failure::bad(format!("at most {MOST_CHOSEN} runs can be selected one by one"))),
        }
    }
}

impl Act {
    /// On a button.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Act::Replay => "Replay",
            Act::Discard => "Discard",
            Act::Cancel => "Cancel",
            Act::RunNow => "Run now",
        }
    }

    /// Whether it can't be undone.
    pub(crate) fn is_final(self) -> bool {
        matches!(self, Act::Discard | Act::Cancel)
    }

    /// In an address or a form.
    pub(crate) fn word(self) -> &'static str {
        self.kind().as_str()
    }

    fn kind(self) -> ActionKind {
        match self {
            Act::Replay => ActionKind::Replay,
            Act::Discard => ActionKind::Discard,
            Act::Cancel => ActionKind::Cancel,
            Act::RunNow => ActionKind::RunNow,
        }
    }

    /// Of runs that it applies to.
    fn states(self) -> &'static [RunState] {
        match self {
            // Of a list, dead letters are replayed; a cancelled run is replayed by itself.
            Act::Replay => &[RunState::Dead],
            Act::Discard => Operation::Discard.states(),
            Act::Cancel => Operation::Cancel.states(),
            Act::RunNow => Operation::RunNow.states(),
        }
    }

    /// The runs that a search finds and that it applies to.
    pub(crate) fn filter(self, search: &Search) -> Result<RunFilter, Failure> {
        if !search.before.is_empty() {
            return Err(Failure::bad("`before` is for pages; this acts on all matches"));
        }
        if !search.text.trim().is_empty() {
            return Err(Failure::bad(
                "can't act on all matches of a text search: select runs, or search by fingerprint",
            ));
        }
        let filter = RunFilter { before: None, ..search.filter()? };
        let asked = |state: &RunState| filter.states.is_empty() || filter.states.contains(state);
        let states: Vec<_> = self.states().iter().copied().filter(asked).collect();
        if states.is_empty() {
            return Err(Failure::bad(format!("{} does not apply to runs in this state", self.name())));
        }
        Ok(filter.states(states))
    }
}

async fn on_all(jobs: &Jobs, act: Act, filter: RunFilter, pace: Pace) -> Result<BulkReport, Error> {
    match act {
        Act::Replay => jobs.replay_all(filter, pace).await,
        Act::Discard => jobs.discard_all(filter, pace).await,
        Act::Cancel => jobs.cancel_all(filter, pace).await,
        Act::RunNow => jobs.run_all_now(filter, pace).await,
    }
}

/// What was done, and why it stopped.
async fn on_each(jobs: &Jobs, act: Act, ids: &[RunId]) -> (BulkReport, Option<Failure>) {
    let store = &**jobs.store();
    let mut report = BulkReport::default();
    for id in ids {
        let done = match act {
            Act::Replay => {
                let how = Replay::from(ReplayFrom::FailedStep);
                store.replay(*id, id.of_replay(), how).await
            }
            Act::Discard => discard_one(jobs, *id).await,
            Act::Cancel => jobs.cancel(*id).await,
            Act::RunNow => jobs.run_now(*id).await,
        };
        match done {
            Ok(()) => report.done += 1,
            Err(error) if error.kind() == ErrorKind::Unavailable => {
                return (report, Some(Failure::from(error)));
            }
            Err(error) => report.skip(*id, &error),
        }
    }
    (report, None)
}

/// Why it stopped, and what was done before.
fn stopped_after(report: &BulkReport, failure: &Failure) -> Failure {
    let text = match report.done + report.skips {
        0 => failure.text.clone(),
        _ => format!("stopped after {}: {}", outcome(report), failure.text),
    };
    Failure { status: failure.status, text }
}

/// The outcome, for display.
fn outcome(report: &BulkReport) -> String {
    let mut outcome = format!("{} done", Count(report.done));
    if report.skips > 0 {
        let problems: Vec<_> =
            report.skipped.iter().take(MOST_SKIPPED).map(|skipped| skipped.problem.as_str()).collect();
        outcome.push_str(&format!(", {} skipped: {}", Count(report.skips), problems.join("; ")));
    }
    outcome
}

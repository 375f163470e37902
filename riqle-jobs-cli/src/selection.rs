//! Which runs are meant, and the ids that people type.

use jiff::Timestamp;
use riqle_jobs::{Jobs, RunFilter, RunId, RunState};

use crate::{
    arguments::{Page, Selection},
    failure::Failure,
    times::time,
};

impl Selection {
    /// As core filters them.
    pub(crate) fn filter(&self, now: Timestamp) -> Result<RunFilter, Failure> {
        let states = match &self.state {
            None => Vec::new(),
            Some(word) => vec![word_of(word, RunState::ALL, "state")?],
        };
        if self.error.as_ref().is_some_and(String::is_empty) {
            return Err(Failure::usage("--error is empty; for runs without an error pass --without-error"));
        }
        let error = if self.without_error { Some(String::new()) } else { self.error.clone() };
        let read =
            |option, text: &Option<String>| text.as_deref().map(|text| time(option, text, now)).transpose();
        Ok(RunFilter {
            states,
            job: self.job.clone(),
            queue: self.queue.clone(),
            reference: self.reference.clone(),
            unique_key: self.key.clone(),
            error_fingerprint: error,
            enqueued_from: read("--from", &self.from)?,
            enqueued_before: read("--to", &self.to)?,
            ..RunFilter::all()
        })
    }
}

impl Page {
    pub(crate) fn limit(&self) -> usize {
        usize::from(self.limit)
    }

    /// The id of the last one of the page before.
    pub(crate) fn before<T: std::str::FromStr>(&self) -> Result<Option<T>, Failure> {
        let before = self.before.as_deref().map(str::parse).transpose();
        before.map_err(|_| {
            Failure::usage(format!("--before {:?} is not an id", self.before.as_deref().unwrap_or_default()))
        })
    }
}

/// One of a closed set of words; an unknown one is refused with the nearest.
pub(crate) fn word_of<T: Copy + std::fmt::Display>(word: &str, all: &[T], thing: &str) -> Result<T, Failure> {
    let found = all.iter().find(|one| one.to_string() == word).copied();
    found.ok_or_else(|| {
        let words: Vec<_> = all.iter().map(T::to_string).collect();
        let hint = nearest(word, words.iter().map(String::as_str));
        Failure::usage(format!("unknown {thing} {word:?}{hint}; known: {}", words.join(", ")))
    })
}

/// The run of an id.
pub(crate) fn run_id(text: &str) -> Result<RunId, Failure> {
    text.parse()
        .map_err(|_| Failure::usage(format!("{text:?} is not a run id (a UUID, as shown by `runs list`)")))
}

/// Suggests the known names that are most similar; empty if none is.
pub(crate) fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> String {
    let mut alike: Vec<_> = known.map(|known| (strsim::jaro_winkler(name, known), known)).collect();
    alike.retain(|(likeness, _)| *likeness > 0.75);
    alike.sort_by(|(one, first), (other, second)| other.total_cmp(one).then(first.cmp(second)));
    alike.dedup_by_key(|(_, known)| *known);
    match alike.iter().take(3).map(|(_, known)| format!("{known:?}")).collect::<Vec<_>>() {
        none if none.is_empty() => String::new(),
        some => format!("; did you mean {}?", some.join(" or ")),
    }
}

/// Refuses a job that is not registered.
pub(crate) async fn must_be_job(jobs: &Jobs, name: &str) -> Result<(), Failure> {
    let known = jobs.store().jobs().await?;
    match known.iter().any(|job| job.declaration.name == name) {
        true => Ok(()),
        false => {
            let hint = nearest(name, known.iter().map(|job| job.declaration.name.as_str()));
            Err(Failure::not_found(format!("no worker or producer has registered a job {name:?}{hint}")))
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn what_is_misspelt_gets_a_hint() {
        let known = ["send-welcome-email", "send-refund", "resize"];
        assert_eq!(nearest("send-welcom-email", known.into_iter()), "; did you mean \"send-welcome-email\"?");
        assert_eq!(nearest("xyz", known.into_iter()), "");
        let wrong = word_of("deed", RunState::ALL, "state").unwrap_err();
        assert!(wrong.text.contains("did you mean \"dead\"?"), "{}", wrong.text);
    }
}

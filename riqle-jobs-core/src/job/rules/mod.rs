//! What holds for every run of a job, whatever enqueues it: data that is stored with the job's declaration.

mod template;
mod value;

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use self::template::{Filled, Spelling, Template};
use crate::{
    Error, ErrorKind, Payload, UniqueScope,
    limits::{EVENT_KEY_PREFIX, KEY_BYTES},
    state::closed_set,
    store::RepeatedEach,
};

/// How many bytes of a template's first text stay readable in a key that is a digest.
const READABLE_BYTES: usize = 128;

/// The unique key of a job's runs as a template over the input: [`JobInput::UNIQUE`](crate::JobInput::UNIQUE).
///
/// `{user}` is a field of the input's JSON, `{order.id}` a field of a field; each must be a text, a number or a boolean.
/// Where one is missing or null, [`enqueue`](crate::Jobs::enqueue) is refused; written `{user?}`, the run has no key then.
///
/// Different values never make the same key: in a value, `%` and the character that follows its place in the template are
/// escaped, and a text that looks like a number or a boolean is put in quotes. Numbers that mean the same, such as 1 and 1.0, make the same
/// key. A key that would be over 512 bytes or hold control characters becomes a digest.
///
/// ```
/// # use std::time::Duration;
/// use riqle_jobs_core::{JobInput, Unique, UniqueScope};
///
/// # #[derive(serde::Serialize, serde::Deserialize)]
/// # struct Welcome { user: String }
/// impl JobInput for Welcome {
///     const JOB: &'static str = "welcome-user";
///     const UNIQUE: Option<Unique> =
///         Some(Unique::by("welcome:{user}").within(UniqueScope::Period(Duration::from_secs(3600))));
/// }
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unique {
    key: Cow<'static, str>,
    scope: UniqueScope,
}

impl Unique {
    /// By this template, until the run has ended.
    pub const fn by(template: &'static str) -> Self {
        Self { key: Cow::Borrowed(template), scope: UniqueScope::WhileNotEnded }
    }

    /// Sets how long the key stays taken. Default [`UniqueScope::WhileNotEnded`].
    #[must_use]
    pub const fn within(mut self, scope: UniqueScope) -> Self {
        self.scope = scope;
        self
    }
}

/// The reference of a job's runs as a template over the input: [`JobInput::REFERENCE`](crate::JobInput::REFERENCE).
///
/// As for [`Unique`], but values are put in as they are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Key(Cow<'static, str>);

impl Key {
    /// By this template.
    pub const fn by(template: &'static str) -> Self {
        Self(Cow::Borrowed(template))
    }
}

/// The rules of a job, as its declaration has them. A version that knows fewer leaves the others out.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct JobRules {
    /// The unique key of its runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unique: Option<Unique>,
    /// The reference of its runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reference: Option<Key>,
}

closed_set! {
    /// Which rule of a job.
    JobRule {
        /// The unique key.
        Unique = "unique key",
        /// The reference.
        Reference = "reference",
    }
}

/// A path of which an input has no text, number or boolean, though a rule needs it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LackingPath {
    /// The rule; the run has no such key.
    pub rule: JobRule,
    /// The path, as the template has it.
    pub path: String,
}

/// What the rules make of an input.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RunKeys {
    /// The unique key, and how long it stays taken.
    pub unique: Option<(String, UniqueScope)>,
    /// The reference.
    pub reference: Option<String>,
    /// What is missing for a key; at most one path of each rule.
    pub lacking: Vec<LackingPath>,
}

impl JobRules {
    /// Checks the templates.
    ///
    /// # Errors
    /// `Rejected`, naming the job, the template and what is wrong.
    pub fn check(&self, job: &str) -> Result<(), Error> {
        self.keys_of(job, None).map(drop)
    }

    /// The keys of a run of `job` with this input. What is not JSON has no paths.
    ///
    /// # Errors
    /// As [`check`](Self::check).
    pub fn keys(&self, job: &str, input: &Payload) -> Result<RunKeys, Error> {
        self.keys_of(job, Some(input))
    }

    /// The keys of a run that an event or a tick starts, which no rule refuses: a template that is wrong, since it was stored
    /// by other means, lacks as a whole.
    pub(crate) fn keys_or_none(&self, job: &str, input: &Payload) -> RunKeys {
        self.keys(job, input).unwrap_or_else(|error| {
            static WITHOUT: RepeatedEach = RepeatedEach::new();
            if let Some(times) = WITHOUT.happened(job) {
                tracing::error!(%error, job, times, "a run starts without the keys of its job");
            }
            let of = |rule, template: &str| LackingPath { rule, path: template.to_owned() };
            let unique = self.unique.iter().map(|unique| of(JobRule::Unique, &unique.key));
            let reference = self.reference.iter().map(|key| of(JobRule::Reference, &key.0));
            RunKeys { lacking: unique.chain(reference).collect(), ..RunKeys::default() }
        })
    }

    fn keys_of(&self, job: &str, input: Option<&Payload>) -> Result<RunKeys, Error> {
        let mut keys = RunKeys::default();
        if let Some(Unique { key, scope }) = &self.unique {
            let template = parsed(job, JobRule::Unique, key)?;
            let key = filled(&template, input, JobRule::Unique, &mut keys.lacking);
            keys.unique = key.map(|key| (key, *scope));
        }
        if let Some(Key(key)) = &self.reference {
            let template = parsed(job, JobRule::Reference, key)?;
            keys.reference = filled(&template, input, JobRule::Reference, &mut keys.lacking);
        }
        Ok(keys)
    }
}

fn parsed<'a>(job: &str, rule: JobRule, text: &'a str) -> Result<Template<'a>, Error> {
    let spelling = match rule {
        JobRule::Unique => Spelling::Distinct,
        JobRule::Reference => Spelling::Plain,
    };
    Template::parse(text, spelling).map_err(|problem| {
        let message = format!("the template {text:?} of the {rule} of job {job:?} {problem}");
        Error::new(ErrorKind::Rejected, "declare", message).permanent()
    })
}

fn filled(
    template: &Template<'_>,
    input: Option<&Payload>,
    rule: JobRule,
    lacking: &mut Vec<LackingPath>,
) -> Option<String> {
    match template.fill(input?) {
        Filled::Key(key) => storable(key, rule, template.first_text()),
        Filled::None => None,
        Filled::Lacking(path) => {
            lacking.push(LackingPath { rule, path: path.to_owned() });
            None
        }
    }
}

/// The key, or a digest where no store takes it or it would be an event's. No other unique key holds `%#`, but as the end of
/// a `%%` and a `#`.
fn storable(key: String, rule: JobRule, first_text: &str) -> Option<String> {
    let is_of_an_event = rule == JobRule::Unique && key.starts_with(EVENT_KEY_PREFIX);
    if key.len() <= KEY_BYTES && !key.contains(char::is_control) && !is_of_an_event {
        return (!key.is_empty()).then_some(key);
    }
    let readable = first_text[..first_text.floor_char_boundary(READABLE_BYTES)].replace('%', "%%");
    let digest: String = Sha256::digest(&key).iter().map(|byte| format!("{byte:02x}")).collect();
    Some(format!("{readable}%#{digest}"))
}

#[cfg(test)]
mod tests;

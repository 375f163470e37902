//! What a check answers: nothing, or the rule that was broken and the two lines that show it.

use std::fmt;

/// What every history must keep to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Rule {
    /// At most one live lease holds a run.
    OneLiveLease,
    /// What was acknowledged is found again.
    NothingVanishes,
    /// What was never enqueued is nowhere.
    NothingFromNowhere,
    /// A run that has ended is neither claimed nor ended otherwise.
    EndedOnce,
    /// A run is not claimed before its delay is over.
    NotBeforeItIsDue,
    /// A claim that does not hold the run writes nothing.
    StaleTokenWritesNothing,
    /// A claim that holds the run is not told that it does not.
    LiveLeaseHolds,
    /// A saved step is handed to the next claim.
    SavedStepStays,
    /// A claim that knows of a saved step does not compute it.
    SavedStepIsNotComputed,
    /// Crashes and failures are counted, each once and apart.
    CountedOnce,
    /// No send of an email begins once it is recorded as sent.
    NoEmailAfterItsRecord,
    /// A provider that drops repeats takes an email once.
    OneEmailWhereRepeatsAreDropped,
    /// An email that a provider may take twice has an unknown outcome for each send but the last.
    NoRepeatInSilence,
    /// The lines are a history: calls are answered once, time does not go back.
    WellFormed,
}

impl Rule {
    /// The rule in a sentence.
    pub const fn text(self) -> &'static str {
        match self {
            Rule::OneLiveLease => "at most one live lease holds a run",
            Rule::NothingVanishes => "what was acknowledged is found again",
            Rule::NothingFromNowhere => "what was never enqueued is nowhere",
            Rule::EndedOnce => "a run that has ended is neither claimed nor ended otherwise",
            Rule::NotBeforeItIsDue => "a run is not claimed before its delay is over",
            Rule::StaleTokenWritesNothing => "a claim that does not hold the run writes nothing",
            Rule::LiveLeaseHolds => "a claim that holds the run is not told that it does not",
            Rule::SavedStepStays => "a saved step is handed to the next claim",
            Rule::SavedStepIsNotComputed => "a claim that knows of a saved step does not compute it",
            Rule::CountedOnce => "crashes and failures are counted, each once and apart",
            Rule::NoEmailAfterItsRecord => "no send of an email begins once it is recorded as sent",
            Rule::OneEmailWhereRepeatsAreDropped => "a provider that drops repeats takes an email once",
            Rule::NoRepeatInSilence => "an email that was taken twice has an unknown outcome",
            Rule::WellFormed => "calls are answered once, and time does not go back",
        }
    }
}

/// A rule that a history breaks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Which.
    pub rule: Rule,
    /// Of which run or email.
    pub subject: String,
    /// The line with which the later one does not go together, counted from 1.
    pub first: usize,
    /// The line that can't be explained.
    pub second: usize,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { rule, subject, first, second } = self;
        write!(f, "{subject}: {} (lines {first} and {second})", rule.text())
    }
}

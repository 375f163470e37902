//! Events as operators list them.

use jiff::Timestamp;

use super::EventRun;

/// Of a name no more events than so many are looked through for a page.
pub const EVENTS_LOOKED_AT: usize = 10_000;

/// Which events to list. Empty fields filter nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EventFilter {
    /// With this id.
    pub id: Option<String>,
    /// With this name.
    pub name: Option<String>,
    /// Older than this one: the last id of the previous page.
    pub before: Option<String>,
    /// Page size; 0 means 100.
    pub limit: usize,
}

impl EventFilter {
    /// All events.
    pub fn all() -> Self {
        Self::default()
    }

    /// With this id.
    #[must_use]
    pub fn id(mut self, id: impl Into<String>) -> Self {
        self.id = Some(id.into());
        self
    }

    /// With this name.
    #[must_use]
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Older than this event: the last one of the previous page.
    #[must_use]
    pub fn before(mut self, id: impl Into<String>) -> Self {
        self.before = Some(id.into());
        self
    }

    /// Page size; 0 means 100.
    #[must_use]
    pub fn limit(mut self, events: usize) -> Self {
        self.limit = events;
        self
    }

    /// Page size, with 0 replaced by 100.
    pub fn page_size(&self) -> usize {
        if self.limit == 0 { 100 } else { self.limit }
    }

    /// How many events are looked at for a page.
    pub fn looked_at(&self) -> usize {
        if self.name.is_some() { EVENTS_LOOKED_AT } else { self.page_size() }
    }
}

/// An event without its data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedEvent {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// When it came.
    pub received_at: Timestamp,
    /// The runs that it started or joined, one of each of its jobs; none yet of an idle event.
    pub runs: Vec<EventRun>,
}

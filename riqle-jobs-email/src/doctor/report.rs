//! What the doctor found, and the DNS records that fix it.

use std::fmt;

/// What the doctor found, in the order of its checks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Report {
    /// At least one per check.
    pub findings: Vec<Finding>,
}

/// The result of one check.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Finding {
    /// How bad it is.
    pub level: Level,
    /// What was checked, such as `SPF of riqle.com`.
    pub subject: String,
    /// What was found; no secrets.
    pub message: String,
    /// The records that fix it.
    pub records: Vec<Record>,
}

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Level {
    /// As it should be.
    Fine,
    /// It could not be checked, or could be better.
    Warning,
    /// Emails do not go out, or are treated as spam.
    Wrong,
}

/// A record to add to the domain's DNS.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Record {
    /// The full name, without a dot at its end.
    pub name: String,
    /// `TXT`, `MX`, `CNAME`.
    pub kind: String,
    /// As DNS providers want it: without quotes.
    pub value: String,
}

impl Report {
    /// Whether nothing is [`Level::Wrong`].
    pub fn is_healthy(&self) -> bool {
        self.findings.iter().all(|finding| finding.level < Level::Wrong)
    }
}

impl Finding {
    pub(super) fn new(level: Level, subject: &str, message: impl Into<String>) -> Self {
        Self { level, subject: subject.to_owned(), message: message.into(), records: Vec::new() }
    }

    pub(super) fn with(mut self, name: &str, kind: &str, value: impl Into<String>) -> Self {
        self.records.push(Record { name: name.to_owned(), kind: kind.to_owned(), value: value.into() });
        self
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Level::Fine => "fine",
            Level::Warning => "warning",
            Level::Wrong => "WRONG",
        })
    }
}

/// One line per finding, each with the records to add below it.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for finding in &self.findings {
            writeln!(f, "{:<8} {}: {}", finding.level, finding.subject, finding.message)?;
            for Record { name, kind, value } in &finding.records {
                writeln!(f, "         add {kind} {name}")?;
                writeln!(f, "             {value}")?;
            }
        }
        let wrong = self.findings.iter().filter(|finding| finding.level == Level::Wrong).count();
        match wrong {
            0 => writeln!(f, "no problems"),
            1 => writeln!(f, "1 problem"),
            wrong => writeln!(f, "{wrong} problems"),
        }
    }
}

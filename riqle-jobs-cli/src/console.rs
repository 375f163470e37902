//! Where a command prints, and where it asks.

use std::{
    io::{self, BufRead, BufReader, IsTerminal, Write},
    sync::Arc,
};

use riqle_jobs::store::Store;

use crate::failure::Failure;

/// Where a command prints, and where it asks.
pub struct Console {
    out: Box<dyn Write + Send>,
    errors: Box<dyn Write + Send>,
    answers: Box<dyn BufRead + Send>,
    /// Whether what is printed is read by a person.
    is_terminal: bool,
    has_colors: bool,
    /// Whether somebody is there to answer.
    is_attended: bool,
    /// What `memory:` names: other processes have none.
    memory: Option<Arc<dyn Store>>,
}

impl Console {
    /// That of the process.
    pub fn of_process() -> Self {
        // As https://no-color.org asks.
        let may_color = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        Self {
            out: Box::new(io::stdout()),
            errors: Box::new(io::stderr()),
            answers: Box::new(BufReader::new(io::stdin())),
            is_terminal: io::stdout().is_terminal(),
            has_colors: io::stdout().is_terminal() && may_color,
            is_attended: io::stdin().is_terminal() && io::stderr().is_terminal(),
            memory: None,
        }
    }

    /// One for a test: no terminal, nobody to ask, and a store for `memory:`.
    pub fn of_test(
        out: impl Write + Send + 'static,
        errors: impl Write + Send + 'static,
        memory: Option<Arc<dyn Store>>,
    ) -> Self {
        Self {
            out: Box::new(out),
            errors: Box::new(errors),
            answers: Box::new(io::empty()),
            is_terminal: false,
            has_colors: false,
            is_attended: false,
            memory,
        }
    }

    /// The same with somebody who reads it on a terminal without colours, and answers this.
    #[must_use]
    pub fn attended(mut self, answers: &'static str) -> Self {
        self.answers = Box::new(answers.as_bytes());
        (self.is_terminal, self.is_attended) = (true, true);
        self
    }

    pub(crate) fn memory(&self) -> Option<&Arc<dyn Store>> {
        self.memory.as_ref()
    }

    pub(crate) fn is_terminal(&self) -> bool {
        self.is_terminal
    }

    pub(crate) fn has_colors(&self) -> bool {
        self.has_colors
    }

    pub(crate) fn is_attended(&self) -> bool {
        self.is_attended
    }

    /// Prints what was asked for.
    pub(crate) fn say(&mut self, text: &str) -> Result<(), Failure> {
        self.out.write_all(text.as_bytes())?;
        Ok(self.out.flush()?)
    }

    /// Prints what goes beside it: questions, progress, failures.
    pub(crate) fn warn(&mut self, text: &str) {
        // Where this can't be said nothing can.
        let _ = self.errors.write_all(text.as_bytes());
        let _ = self.errors.flush();
    }

    /// Everything of standard input.
    pub(crate) fn read_all(&mut self) -> Result<String, Failure> {
        let mut text = String::new();
        self.answers
            .read_to_string(&mut text)
            .map_err(|error| Failure::usage(format!("can't read standard input: {error}")))?;
        Ok(text)
    }

    /// Whether somebody answers yes.
    pub(crate) fn ask(&mut self, question: &str) -> bool {
        self.warn(&format!("{question} [y/N] "));
        let mut answer = String::new();
        let is_read = self.answers.read_line(&mut answer).is_ok();
        is_read && matches!(answer.trim().to_lowercase().as_str(), "y" | "yes")
    }
}

//! Saves the results of steps, if their lease still holds.

use riqle_jobs_core::{Error, LeaseAnswer, StepSave, store::rules::Fence};

use crate::{
    Redis,
    frame::Frame,
    queue::{answers, id_and_token},
    script::SAVE_STEPS,
};

impl Redis {
    /// Saves results of steps of runs of one queue, whose lease still holds.
    pub(crate) async fn save_steps_of(
        &self,
        queue: &str,
        steps: Vec<&StepSave>,
    ) -> Result<Vec<LeaseAnswer>, Error> {
        let mut arguments = Vec::with_capacity(1 + 3 * steps.len());
        arguments.push(self.frozen());
        for step in steps {
            let mut head = Frame(id_and_token(&step.lease));
            head.byte(if step.replaces { b'r' } else { b'k' });
            head.long(i64::try_from(step.took.as_nanos()).unwrap_or(i64::MAX));
            arguments.push(head.0);
            arguments.push(step.path.as_str().as_bytes().to_vec());
            let mut result = Frame(Vec::with_capacity(1 + step.result.bytes.len()));
            result.payload(&step.result);
            arguments.push(result.0);
        }
        let saved = self.call_durably("save_steps", &SAVE_STEPS, queue, arguments).await?;
        answers(saved, Fence::answer)
    }
}

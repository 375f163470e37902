//! Records how claims ended, if their lease still holds.

use riqle_jobs_core::{Ending, Error, Hint, LeaseAnswer, Reason, Settlement, store::rules::Fence};

use crate::{
    Redis,
    frame::Frame,
    queue::{answers, id_and_token},
    rows::wait_millis,
    script::SETTLE,
    values::{fixed, number},
};

/// So many are settled in one script, some 2 ms, so that a server that drains a backlog answers others in between.
const PORTION: usize = 200;

impl Redis {
    /// Records how claims of runs of one queue ended, whose lease still holds.
    pub(crate) async fn settle_of(
        &self,
        queue: &str,
        settlements: Vec<&Settlement>,
    ) -> Result<Vec<LeaseAnswer>, Error> {
        let mut all = Vec::with_capacity(settlements.len());
        for portion in settlements.chunks(PORTION) {
            let mut arguments = Vec::with_capacity(1 + 4 * portion.len());
            arguments.push(self.frozen());
            for settlement in portion {
                arguments.extend(of_settlement(settlement));
            }
            let settled = self.call_durably("settle", &SETTLE, queue, arguments).await?;
            let [due_again, settled, wakes] = fixed(settled)?;
            if number(due_again)? > 0 {
                self.shared.wake.send(Hint::Due(Some(queue.to_owned())));
            }
            if number(wakes)? > 0 {
                self.shared.wake.send(Hint::Schedules(Some(queue.to_owned())));
            }
            all.extend(answers(settled, Fence::answer_to_settle)?);
        }
        Ok(all)
    }
}

fn of_settlement(settlement: &Settlement) -> [Vec<u8>; 4] {
    let delay = match settlement.ending {
        Ending::Again { after } => Some(wait_millis(after)),
        _ => None,
    };
    let mut head = Frame(id_and_token(&settlement.lease));
    head.byte(settlement.ending.state().as_str().as_bytes()[0]).number(settlement.failures);
    head.long(delay.unwrap_or(-1)).word(settlement.ending.reason().map_or("", Reason::as_str));
    let mut attempt = Frame::default();
    attempt.number(u32::from(settlement.outcome.is_uncharged()));
    attempt.number(settlement.attempt).word(settlement.outcome.as_str()).long(delay.unwrap_or(-1));
    attempt.maybe(settlement.error.as_deref(), |frame, error| frame.raw(error.as_bytes()));
    let fingerprint = match (settlement.tells_error(), &settlement.error_fingerprint) {
        (false, _) => Vec::new(),
        (true, None) => b"-".to_vec(),
        (true, Some(fingerprint)) => [b"=", fingerprint.as_bytes()].concat(),
    };
    let mut output = Frame::default();
    if let Ending::Succeeded { output: payload } = &settlement.ending {
        output.payload(payload);
    }
    [head.0, attempt.0, fingerprint, output.0]
}

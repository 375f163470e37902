//! The log of the model of an email: rows as every store keeps them, by number.

use uuid::Uuid;

use super::{
    super::replayed::Numbered,
    process::{Answer, Call, LONGEST_SEND, run_id},
};
use crate::{
    EmailId, Timestamp,
    email::{EmailRow, EmailStart, EmailStatus, NewEmail},
};

pub(super) struct Log(Numbered<Row>);

/// A row whose text says all of it in one order.
struct Row(EmailRow);

impl std::fmt::Debug for Row {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let EmailRow { record, sender, events, unknown } = &self.0;
        let mut unknown: Vec<_> = unknown.iter().map(|(_, sends)| sends).collect();
        unknown.sort();
        write!(f, "{record:?} {sender:?} {events:?} {unknown:?}")
    }
}

impl Log {
    pub(super) fn new() -> Self {
        Self(Numbered::new())
    }

    pub(super) fn row(&self, row: u32) -> &EmailRow {
        &self.0.get(row).0
    }

    /// What a sender's call makes of the row, if there is one, and what it is answered.
    pub(super) fn call(
        &mut self,
        before: Option<u32>,
        sender: u8,
        call: &Call,
        now: Timestamp,
    ) -> Result<(Option<u32>, Answer), String> {
        let mut row = before.map(|row| self.row(row).clone());
        let was_sent = row.as_ref().is_some_and(is_sent);
        let uuid = Uuid::from_u128(sender.into());
        let answer = match (call, &mut row) {
            (Call::Find, row) => Answer::Row(row.as_ref().map(|row| row.record.clone())),
            (Call::Intend(email), row) => {
                let email = NewEmail { id: EmailId::from_uuid(Uuid::nil()), ..email.clone() };
                let row = row.get_or_insert_with(|| EmailRow::new(email, now));
                Answer::Row(Some(row.record.clone()))
            }
            (Call::Start(start), Some(row)) => {
                let before = row.record.clone();
                let mut start = start.clone();
                start.sender = uuid;
                row.start(&start, now);
                Answer::Started(before, now)
            }
            (Call::BodyBegins { sends }, Some(row)) => Answer::Is(row.body_begins(uuid, *sends, now)),
            (Call::End(ending), Some(row)) => {
                row.end(uuid, ending.clone(), now);
                Answer::Done
            }
            (call, _) => return Err(format!("{call:?} is no call of a row that there is")),
        };
        if was_sent && !row.as_ref().is_some_and(is_sent) {
            return Err("an email that was sent is no longer".to_owned());
        }
        if was_sent && matches!((call, &answer), (Call::BodyBegins { .. }, Answer::Is(true))) {
            return Err("an email goes out again after its record".to_owned());
        }
        Ok((row.map(|row| self.0.number(Row(row))), answer))
    }

    /// Whether another run would wait for a send of the row.
    pub(super) fn is_awaited(&self, row: u32, now: Timestamp) -> bool {
        let start = EmailStart {
            sender: Uuid::nil(),
            run_id: None,
            attempt: 1,
            rendered: None,
            longest_send: LONGEST_SEND,
        };
        start.waits_for(&self.row(row).record, now).is_some()
    }

    /// The row after the emails of a run are given up.
    pub(super) fn give_up(&mut self, row: u32, run: u8, now: Timestamp) -> u32 {
        let mut row = self.row(row).clone();
        if row.record.run_id == Some(run_id(run)) {
            row.fail("the run is dead", now);
        }
        self.0.number(Row(row))
    }

    /// The row after a sender that is gone has become anybody.
    pub(super) fn forget_sender(&mut self, row: u32, is_there: impl Fn(u8) -> bool) -> u32 {
        let is_gone = |sender: Uuid| !sender.is_nil() && !is_there(sender.as_u128() as u8);
        if !self.row(row).sender.is_some_and(is_gone) {
            return row;
        }
        let row = EmailRow { sender: Some(Uuid::nil()), ..self.row(row).clone() };
        self.0.number(Row(row))
    }
}

fn is_sent(row: &EmailRow) -> bool {
    row.record.status == EmailStatus::Sent
}

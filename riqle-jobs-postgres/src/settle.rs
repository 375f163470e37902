//! Records how claims ended, if their lease still holds.

use std::collections::HashSet;

use riqle_jobs_core::{Ending, Hint, LeaseAnswer, LeaseRef, Settlement, millis_of, store::rules::Fence};
use sqlx::postgres::PgRow;

use crate::{
    error::Result,
    fence::{answers, runs, tokens},
    portions::portions,
    rows::{codec, get, narrow, numbers, position},
    work::Work,
};

/// Records how claims ended, whose lease still holds.
pub(crate) async fn settle(
    work: &mut Work<'_>,
    keeps_succeeded: bool,
    settlements: &[Settlement],
) -> Result<Vec<LeaseAnswer>> {
    let mut all = vec![LeaseAnswer::LeaseLost; settlements.len()];
    let bytes = |index: &usize| bytes_of(&settlements[*index]);
    let mut rest: Vec<usize> = (0..settlements.len()).collect();
    while !rest.is_empty() {
        // A run that is named twice is looked at again once its first settlement is written.
        let mut seen = HashSet::with_capacity(rest.len());
        let (mut wave, next): (Vec<_>, Vec<_>) =
            rest.into_iter().partition(|index| seen.insert(settlements[*index].lease.run));
        // In ascending id order, as everywhere that locks several runs.
        wave.sort_unstable_by_key(|index| settlements[*index].lease.run);
        for wave in portions(&wave, bytes) {
            let settlements: Vec<&Settlement> = wave.iter().map(|index| &settlements[*index]).collect();
            let answers = settle_wave(work, keeps_succeeded, &settlements).await?;
            for (index, answer) in wave.iter().zip(answers) {
                all[*index] = answer;
            }
        }
        rest = next;
    }
    Ok(all)
}

fn bytes_of(settlement: &Settlement) -> usize {
    match &settlement.ending {
        Ending::Succeeded { output } => output.bytes.len(),
        _ => settlement.error.as_ref().map_or(0, String::len),
    }
}

async fn settle_wave(
    work: &mut Work<'_>,
    keeps_succeeded: bool,
    settlements: &[&Settlement],
) -> Result<Vec<LeaseAnswer>> {
    let leases: Vec<&LeaseRef> = settlements.iter().map(|settlement| &settlement.lease).collect();
    let held = write(work, keeps_succeeded, settlements, &leases).await?;
    if !keeps_succeeded {
        forget(work, settlements, &held).await?;
    }
    for row in &held {
        if let Some(queue) = get::<Option<String>>(row, "due")? {
            work.hint(Hint::Due(Some(queue)));
        }
        if get(row, "made_due")? {
            work.hint(Hint::Schedules(None));
        }
    }
    answers(work, &leases, &held, Fence::answer_to_settle).await
}

/// Deletes what succeeded runs that are not kept have left.
async fn forget(work: &mut Work<'_>, settlements: &[&Settlement], held: &[PgRow]) -> Result<()> {
    let places = held.iter().map(position).collect::<Result<Vec<_>>>()?;
    let has_succeeded = |settlement: &&&Settlement| matches!(settlement.ending, Ending::Succeeded { .. });
    let settled = places.into_iter().filter_map(|place| settlements.get(place));
    let succeeded: Vec<_> =
        settled.filter(has_succeeded).map(|settlement| settlement.lease.run.as_uuid()).collect();
    if succeeded.is_empty() {
        return Ok(());
    }
    let forget = work.query(include_str!("../queries/forget_runs.sql")).bind(succeeded);
    work.run(forget).await
}

async fn write(
    work: &mut Work<'_>,
    keeps_succeeded: bool,
    settlements: &[&Settlement],
    leases: &[&LeaseRef],
) -> Result<Vec<PgRow>> {
    fn column<'a, T>(settlements: &[&'a Settlement], value: impl Fn(&'a Settlement) -> T) -> Vec<T> {
        settlements.iter().map(|settlement| value(settlement)).collect()
    }
    let output = |settlement: &Settlement| match &settlement.ending {
        Ending::Succeeded { output } => Some((codec(output.codec), output.bytes.clone())),
        _ => None,
    };
    Ok(work
        .timed(include_str!("../queries/settle.sql"))
        .bind(numbers(settlements.len()))
        .bind(runs(leases))
        .bind(tokens(leases))
        .bind(column(settlements, |settlement| settlement.ending.state().as_str()))
        .bind(column(settlements, |settlement| settlement.ending.reason().map(|reason| reason.as_str())))
        .bind(column(settlements, |settlement| narrow(settlement.failures)))
        .bind(column(settlements, |settlement| i64::from(settlement.attempt)))
        .bind(column(settlements, |settlement| settlement.outcome.as_str()))
        .bind(column(settlements, |settlement| settlement.error.as_deref()))
        .bind(column(settlements, |settlement| settlement.tells_error()))
        .bind(column(settlements, |settlement| settlement.error_fingerprint.as_deref()))
        .bind(column(settlements, |settlement| match settlement.ending {
            Ending::Again { after } => Some(millis_of(after)),
            _ => None,
        }))
        .bind(column(settlements, |settlement| output(settlement).map(|(codec, _)| codec)))
        .bind(column(settlements, |settlement| output(settlement).map(|(_, bytes)| bytes)))
        .bind(column(settlements, |settlement| settlement.outcome.is_uncharged()))
        .bind(keeps_succeeded)
        .fetch_all(&mut *work.connection)
        .await?)
}

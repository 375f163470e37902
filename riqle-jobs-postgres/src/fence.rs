//! Which leases still hold, for every write under one.

use riqle_jobs_core::{LeaseAnswer, LeaseRef, store::rules::Fence};
use sqlx::postgres::PgRow;

use crate::{
    error::Result,
    rows::{numbers, position, word},
    work::Work,
};

/// The answer to each lease: those that a statement answered held; how the others stand is asked for.
pub(crate) async fn answers(
    work: &mut Work<'_>,
    leases: &[&LeaseRef],
    held: &[PgRow],
    answer: impl Fn(Fence) -> LeaseAnswer,
) -> Result<Vec<LeaseAnswer>> {
    answers_of(work, leases, held, LeaseAnswer::Done, answer).await
}

/// As [`answers`], with an answer of the caller's own where the lease held.
pub(crate) async fn answers_of<A>(
    work: &mut Work<'_>,
    leases: &[&LeaseRef],
    held: &[PgRow],
    done: A,
    answer: impl Fn(Fence) -> A,
) -> Result<Vec<A>>
where
    A: Copy,
{
    let mut answers = vec![None; leases.len()];
    for row in held {
        if let Some(place) = answers.get_mut(position(row)?) {
            *place = Some(done);
        }
    }
    let missing: Vec<usize> = (0..leases.len()).filter(|n| answers[*n].is_none()).collect();
    let asked: Vec<&LeaseRef> = missing.iter().map(|n| leases[*n]).collect();
    for (n, fence) in missing.into_iter().zip(fences(work, &asked).await?) {
        answers[n] = Some(answer(fence));
    }
    Ok(answers.into_iter().map(|known| known.unwrap_or_else(|| answer(Fence::Lost))).collect())
}

/// The fence of each lease, in order.
async fn fences(work: &mut Work<'_>, leases: &[&LeaseRef]) -> Result<Vec<Fence>> {
    let mut fences = vec![Fence::Lost; leases.len()];
    if leases.is_empty() {
        return Ok(fences);
    }
    let rows = work
        .query(include_str!("../queries/fences.sql"))
        .bind(numbers(leases.len()))
        .bind(runs(leases))
        .bind(tokens(leases))
        .fetch_all(&mut *work.connection)
        .await?;
    for row in &rows {
        if let Some(place) = fences.get_mut(position(row)?) {
            *place = word(row, "word")?;
        }
    }
    Ok(fences)
}

/// Locks the runs of the leases that hold until the transaction ends, and answers which do.
pub(crate) async fn hold(work: &mut Work<'_>, leases: &[&LeaseRef]) -> Result<Vec<PgRow>> {
    Ok(work
        .query(include_str!("../queries/hold.sql"))
        .bind(numbers(leases.len()))
        .bind(runs(leases))
        .bind(tokens(leases))
        .fetch_all(&mut *work.connection)
        .await?)
}

pub(crate) fn runs(leases: &[&LeaseRef]) -> Vec<uuid::Uuid> {
    leases.iter().map(|lease| lease.run.as_uuid()).collect()
}

pub(crate) fn tokens(leases: &[&LeaseRef]) -> Vec<uuid::Uuid> {
    leases.iter().map(|lease| lease.token.as_uuid()).collect()
}

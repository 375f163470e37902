//! What a job's code declares of schedules: of several builds at work, the one that was first seen last is in force.

use jiff::Timestamp;
use tokio::time::sleep;

use super::schedules::{MOST_TRIES, TRIED_AGAIN_AFTER, change, contended, make_of};
use crate::{
    Error, ErrorKind, Payload, Store,
    email::sha256_hex,
    schedule::{Declarations, NewSchedule},
    store::{JobDeclaration, ScheduleAnswer, ScheduleRow, ScheduleWrite, new_version},
};

/// Declares what the code of a worker says of a job's schedules, where that is in force. A build without any is noted, too: else
/// it would be news beside a later one that has some.
pub(crate) async fn declare(
    store: &dyn Store,
    job: &JobDeclaration,
    schedules: &[NewSchedule],
) -> Result<(), Error> {
    let text: Vec<_> = schedules.iter().map(|new| format!("{} {}", new.name, new.text())).collect();
    let text = sha256_hex(format!("{}\n{}", job.queue, text.join("\n")).as_bytes());
    let names: Vec<String> = schedules.iter().map(|new| new.name.clone()).collect();
    let mut old = Vec::new();
    let in_force = change_declarations(store, job, |declarations, now| {
        let in_force = declarations.see(&text, now);
        if in_force {
            // Before they are there, so that none is forgotten.
            old = declarations.names.iter().filter(|name| !names.contains(name)).cloned().collect();
            declarations.names = names.iter().chain(&old).cloned().collect();
        }
        in_force
    });
    if !in_force.await? {
        return Ok(());
    }
    store.gather_schedules(&job.name, &job.queue).await?;
    for new in schedules {
        make_of(store, new, &new.checked(&store.limits())?, true).await?;
    }
    if !old.is_empty() {
        forget(store, &job.name, &old).await?;
        let forget =
            |declarations: &mut Declarations, _| declarations.names.retain(|name| !old.contains(name));
        change_declarations(store, job, forget).await?;
    }
    Ok(())
}

/// Removes schedules that the code no longer declares, whatever operators have done to them.
async fn forget(store: &dyn Store, job: &str, names: &[String]) -> Result<(), Error> {
    for name in names {
        let removed = change(store, "remove_schedule", job, name, |found, _| {
            Ok(found.state()?.is_declared.then(|| found.removal()))
        });
        match removed.await {
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            other => drop(other?),
        }
    }
    Ok(())
}

async fn change_declarations<T>(
    store: &dyn Store,
    job: &JobDeclaration,
    mut to: impl FnMut(&mut Declarations, Timestamp) -> T + Send,
) -> Result<T, Error> {
    for _ in 0..MOST_TRIES {
        let now = store.wall_time().await?;
        let found = store.schedule(&job.name, "").await?;
        let mut declarations: Declarations = match &found {
            Some(found) => serde_json::from_str(&found.row.state).unwrap_or_default(),
            None => Declarations::default(),
        };
        let before = declarations.clone();
        let answer = to(&mut declarations, now);
        if found.is_some() && declarations.differs_little_from(&before) {
            return Ok(answer);
        }
        let row = ScheduleRow {
            due_at: None,
            wakes: false,
            input: Payload::from_json_text("null"),
            state: serde_json::to_string(&declarations).unwrap_or_default(),
        };
        let write = ScheduleWrite {
            queue: found.as_ref().map_or_else(|| job.queue.clone(), |found| found.queue.clone()),
            job: job.name.clone(),
            name: String::new(),
            expects: found.map(|found| found.version),
            version: new_version(),
            row: Some(row),
            run: None,
            live: Vec::new(),
        };
        if let Some(ScheduleAnswer::Written(_)) = store.write_schedules(vec![write]).await?.first() {
            return Ok(answer);
        }
        sleep(TRIED_AGAIN_AFTER).await;
    }
    Err(contended("declare", &job.name, ""))
}

/// Forgets what was declared for a job that nobody declares any more.
pub(crate) async fn forget_declared(store: &dyn Store, job: &str) -> Result<(), Error> {
    let Some(found) = store.schedule(job, "").await? else { return Ok(()) };
    let declarations: Declarations = serde_json::from_str(&found.row.state).unwrap_or_default();
    forget(store, job, &declarations.names).await?;
    // Where it has changed, somebody declares it after all.
    store.write_schedules(vec![found.removal()]).await.map(drop)
}

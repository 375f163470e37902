//! What operators do to runs, queues and workers (`Operate`).

use async_trait::async_trait;
use redis::{Value, cmd};
use riqle_jobs_core::{
    Error, ErrorKind, Hint, Operate, Payload, Queue, Reason, Replay, Retention, Run, RunId, RunState,
    WorkerId, from_millis,
    store::{
        KindByKind, Pause, Pruned, WorkerOrder,
        rules::{Operation, Todo},
    },
};
use uuid::Uuid;

use crate::{
    Redis,
    change::{Change, TRIES, outrun},
    claim::saved_steps,
    dead_groups,
    frame::Frame,
    inspect::Found,
    rows::{State, StoredUnique},
    schedules,
    values::{bytes, groups, maybe_bytes, number},
};

#[async_trait]
impl Operate for Redis {
    async fn replay(&self, id: RunId, new_run: RunId, replay: Replay) -> Result<(), Error> {
        self.shared.limits.check_replay(&replay)?;
        for _ in 0..TRIES {
            let found = self.known("replay", id).await?;
            if found.checked(Operation::Replay { new_run })? == Todo::Done {
                return Ok(());
            }
            if self.find("replay", new_run).await?.is_some() {
                return Err((Operation::Replay { new_run }).rejected(new_run, "already exists"));
            }
            let change = self.replay_change(&found, new_run, &replay).await?;
            if self.change_of("replay", &found, change).await? {
                self.shared.wake.send(Hint::Due(Some(found.queue)));
                return Ok(());
            }
        }
        Err(outrun("replay"))
    }

    async fn cancel(&self, id: RunId) -> Result<(), Error> {
        for _ in 0..TRIES {
            let found = self.known("cancel", id).await?;
            let run = found.shown()?;
            if found.checked(Operation::Cancel)? == Todo::Done {
                return Ok(());
            }
            let change = self.cancel_change(&found, &run).await?;
            if self.change_of("cancel", &found, change).await? {
                if run.state == RunState::Running {
                    self.shared.wake.send(Hint::Cancelled(id));
                }
                if run.tick.is_some() {
                    self.shared.wake.send(Hint::Schedules(Some(found.queue)));
                }
                return Ok(());
            }
        }
        Err(outrun("cancel"))
    }

    async fn run_now(&self, id: RunId) -> Result<(), Error> {
        for _ in 0..TRIES {
            let found = self.known("run_now", id).await?;
            let run = found.shown()?;
            if found.checked(Operation::RunNow)? == Todo::Done {
                return Ok(());
            }
            let mut change = unchanged(&found).zadd(&lane(&run), found.now, key(id));
            if found.state_bytes.is_some() {
                let state = State { due_at: found.now, ..found.state.clone() };
                change = change.hset("states", key(id), state.write());
            }
            if self.change_of("run_now", &found, change).await? {
                self.shared.wake.send(Hint::Due(Some(found.queue)));
                return Ok(());
            }
        }
        Err(outrun("run_now"))
    }

    async fn pause_queue(&self, queue: &str, by: &str, why: &str) -> Result<(), Error> {
        let pause = Pause::new(queue, by, why, self.now().await?)?;
        self.enter_queues([queue]).await?;
        let mut frame = Frame::default();
        frame.long(pause.at.as_millisecond()).text(&pause.by).text(&pause.why);
        let change = Change::default().expect("settings", "pause", None).hset("settings", "pause", frame.0);
        // Where there is one already, it stays.
        self.change("pause_queue", &self.shared.keys.queue(queue), change).await.map(drop)
    }

    async fn resume_queue(&self, queue: &str) -> Result<(), Error> {
        let prefix = self.shared.keys.queue(queue);
        let resume = cmd("HDEL").arg(format!("{prefix}settings")).arg("pause").take();
        let removed = self.shared.server.ask("resume_queue", &prefix, &[resume]).await?;
        if removed.into_iter().map(number).sum::<Result<i64, _>>()? > 0 {
            self.shared.wake.send(Hint::Due(Some(queue.to_owned())));
        }
        Ok(())
    }

    async fn order_worker(&self, worker: WorkerId, order: WorkerOrder) -> Result<(), Error> {
        self.order(worker, order).await
    }

    async fn discard(&self, id: RunId) -> Result<(), Error> {
        for _ in 0..TRIES {
            let Some(found) = self.find("discard", id).await? else { return Ok(()) };
            let run = found.shown()?;
            found.checked(Operation::Discard)?;
            if self.change_of("discard", &found, discard_change(&found, &run)?).await? {
                return Ok(());
            }
        }
        Err(outrun("discard"))
    }

    async fn prune(&self, retention: Retention) -> Result<Pruned, Error> {
        let mut kinds = KindByKind::default();
        kinds.pruned("workers", self.forget_workers().await.map(|()| 0));
        kinds.pruned("schedules", self.wake_forgotten().await);
        let pruned = Pruned {
            runs: kinds.pruned("runs", self.prune_runs(&retention).await),
            events: kinds.pruned("events", self.prune_events(retention.events).await),
            emails: kinds.pruned("emails", self.prune_emails(retention.emails).await),
            metrics: kinds.pruned("metrics", self.prune_metrics(retention.metrics).await),
            actions: kinds.pruned("actions", self.prune_actions(retention.actions).await),
        };
        kinds.end(pruned)
    }
}

impl Found {
    fn checked(&self, operation: Operation) -> Result<Todo, Error> {
        operation.check(&(&self.shown()?).into(), from_millis(self.now))
    }
}

impl Redis {
    async fn known(&self, operation: &'static str, id: RunId) -> Result<Found, Error> {
        let missing = || Error::new(ErrorKind::NotFound, operation, format!("no run {id}"));
        self.find(operation, id).await?.ok_or_else(missing)
    }

    async fn change_of(&self, operation: &'static str, found: &Found, change: Change) -> Result<bool, Error> {
        self.change(operation, &self.shared.keys.queue(&found.queue), change).await
    }

    /// Who holds a run's unique key, as it is stored.
    async fn holder(&self, found: &Found, unique: &StoredUnique) -> Result<Option<Vec<u8>>, Error> {
        let prefix = self.shared.keys.queue(&found.queue);
        let field = unique.field(&found.body.job);
        let get = cmd("HGET").arg(format!("{prefix}unique")).arg(field).take();
        let answers = self.shared.server.ask("unique", &prefix, &[get]).await?;
        maybe_bytes(answers.into_iter().next().unwrap_or(Value::Nil))
    }

    async fn cancel_change(&self, found: &Found, run: &Run) -> Result<Change, Error> {
        let (id, job) = (key(found.id), &run.job);
        let is_running = run.state == RunState::Running;
        let state = State {
            kind: b'c',
            token: if is_running { found.state.token } else { Uuid::nil() },
            reason: Reason::CancelledByOperator.as_str().to_owned(),
            ended_at: found.now,
            due_at: run.due_at.as_millisecond(),
            ..found.state.clone()
        };
        let mut change = unchanged(found)
            .zrem(&format!("open:{job}"), id)
            .zrem(&lane(run), id)
            .zrem(&format!("held:{job}"), id)
            .zrem(&format!("expired:{job}"), id)
            .zadd(&format!("cancelled:{job}"), 0, id)
            .zadd("ended", found.now, id)
            .hset("states", id, state.write());
        if let Some(unique) = found.body.unique.as_ref().filter(|unique| !unique.outlasts_its_run())
            && let Some(holder) = self.holder(found, unique).await?
            && holder.starts_with(&id)
        {
            let field = unique.field(job);
            change = change.expect("unique", &field, Some(&holder)).hdel("unique", &field);
        }
        if let Some(tick) = &run.tick {
            let field = schedules::field(job, &tick.schedule);
            let kept = self.kept_schedule(&found.queue, &field).await?;
            change = schedules::run_ended(change, id, &field, kept.row.as_deref())?;
        }
        Ok(change)
    }

    async fn replay_change(&self, found: &Found, new_run: RunId, replay: &Replay) -> Result<Change, Error> {
        let (old, new, job, now) = (key(found.id), key(new_run), &found.body.job, found.now);
        let mut body = found.body.clone();
        body.enqueued_at = riqle_jobs_core::from_millis(now);
        body.replays = Some((body.replays.map_or(found.id, |(root, _)| root), found.id));
        if let Some(input) = &replay.input {
            body.input = input.clone();
            if let Some(unique) = &mut body.unique {
                unique.fingerprint = Payload::fingerprint(input);
            }
        }
        let state = State { replayed_by: new_run.as_uuid(), ..found.state.clone() };
        let mut change = unchanged(found)
            .expect("runs", new, None)
            .hset("states", old, state.write())
            .hset("runs", new, body.write())
            .zadd(&format!("due:{}:{job}", body.priority.number()), now, new)
            .zadd(&format!("open:{job}"), 0, new)
            .sadd("jobs", job);
        if found.state.kind == b'd' {
            change = change
                .zrem(&format!("dead:{job}"), old)
                .zrem("letters", old)
                .zadd(&format!("replayed:{job}"), 0, old)
                .zadd("ended", found.state.ended_at, old);
            change = leave_group(change, found)?;
            if let Some(fingerprint) = found.state.fingerprint()? {
                change = change.zadd(&format!("errors:{job}"), 0, member(&fingerprint, found.id));
            }
        }
        if let Some(reference) = &body.reference {
            change = change.zadd("references", 0, member(reference, new_run));
        }
        if let Some(tick) = &body.tick {
            change = change.hset("scheduled", new, schedules::field(job, &tick.schedule)).zadd(
                &format!("live:{job}\0{}", tick.schedule),
                0,
                new,
            );
        }
        if let Some(unique) = &body.unique {
            let holder = self.free_key(found, unique).await?;
            let field = unique.field(job);
            let expires = if unique.outlasts_its_run() { now.saturating_add(unique.period) } else { 0 };
            let mut value = Frame(new.to_vec());
            value.raw(&unique.fingerprint.0).long(expires);
            change = change.expect("unique", &field, holder.as_deref()).hset("unique", &field, value.0).zadd(
                "keys",
                0,
                member(&unique.key, new_run),
            );
            if expires != 0 {
                change = change.zadd("expiring", expires, &field);
            }
        }
        self.keep_steps(found, new_run, replay, change).await
    }

    /// The unique key as it is stored, which the run's replay may take.
    async fn free_key(&self, found: &Found, unique: &StoredUnique) -> Result<Option<Vec<u8>>, Error> {
        let Some(stored) = self.holder(found, unique).await? else { return Ok(None) };
        let mut reader = crate::frame::Reader(&stored);
        let (holder, _, expires) = (RunId::from_uuid(reader.uuid()?), reader.uuid()?, reader.long()?);
        if holder != found.id && (expires == 0 || expires > found.now) {
            let message = format!("the unique key of run {} is taken by run {holder}", found.id);
            return Err(Error::new(ErrorKind::Conflict, "replay", message));
        }
        Ok(Some(stored))
    }

    /// Takes the steps over that the replay begins with.
    async fn keep_steps(
        &self,
        found: &Found,
        new_run: RunId,
        replay: &Replay,
        mut change: Change,
    ) -> Result<Change, Error> {
        let stored = self.stored_steps(found).await?;
        let steps = saved_steps(stored.clone())?;
        let kept = replay.from.kept_steps(&steps);
        let target = [b"steps:", key(new_run).as_slice()].concat();
        let pairs = match stored {
            Value::Map(pairs) => pairs.into_iter().map(<[Value; 2]>::from).collect(),
            stored => groups(stored)?,
        };
        for [field, value] in pairs {
            let (field, value) = (bytes(field)?, bytes(value)?);
            let (_, step) = crate::rows::step(&field, &value)?;
            if kept.iter().any(|kept| kept.path == step.path) {
                change = change.hset_of(&target, &field, &value);
            }
        }
        Ok(change)
    }
}

/// Only if the run is still as it was read.
fn unchanged(found: &Found) -> Change {
    let id = key(found.id);
    Change::default().expect("states", id, found.state_bytes.as_deref()).expect(
        "runs",
        id,
        Some(&found.body_bytes),
    )
}

fn discard_change(found: &Found, run: &Run) -> Result<Change, Error> {
    let id = key(found.id);
    let mut change = unchanged(found)
        .zrem(&format!("dead:{}", run.job), id)
        .zrem("letters", id)
        .hdel("states", id)
        .hdel("runs", id);
    for (index, text) in [("references", &run.reference), ("keys", &run.unique_key)] {
        if let Some(text) = text {
            change = change.zrem(index, member(text, run.id));
        }
    }
    for kind in [b"steps:", b"notes:", b"lines:"] {
        change = change.del([kind.as_slice(), &id].concat());
    }
    leave_group(change, found)
}

/// Takes a dead letter out of the group of those that are like it.
fn leave_group(change: Change, found: &Found) -> Result<Change, Error> {
    let (job, fingerprint) = (&found.state.job, found.state.fingerprint()?.unwrap_or_default());
    let name = dead_groups::name(job, &fingerprint);
    Ok(change
        .zrem(&format!("group:{name}"), key(found.id))
        .zrem(&format!("dead-errors:{job}"), member(&fingerprint, found.id))
        .sort_group(&name))
}

fn lane(run: &Run) -> String {
    format!("due:{}:{}", run.priority.number(), run.job)
}

fn key(id: RunId) -> [u8; 16] {
    id.as_uuid().into_bytes()
}

fn member(text: &str, id: RunId) -> Vec<u8> {
    [text.as_bytes(), &[0], key(id).as_slice()].concat()
}

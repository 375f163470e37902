//! Keeps schedules (`Schedules`), each in the slot of its queue.

use std::collections::{BTreeMap, HashSet};

use async_trait::async_trait;
use futures_util::future::try_join_all;
use jiff::Timestamp;
use redis::{Value, cmd};
use riqle_jobs_core::{
    Enqueued, Error, Hint, NewRun, Queue, Registry, from_millis,
    store::{
        DueRequest, DueSchedules, LIVE_RUNS_READ, ScheduleAnswer, ScheduleFilter, ScheduleRow, ScheduleWrite,
        Schedules, StoredSchedule,
    },
};

use crate::{
    Redis,
    change::Change,
    enqueue::{arguments, group_answer},
    frame::{Frame, Reader, text},
    script::{DUE_SCHEDULES, SCHEDULES, WAKE_FORGOTTEN, WRITE_SCHEDULES},
    server::NOTHING_YET,
    values::{bytes, fixed, groups, list, maybe_bytes, maybe_number, number, run_id, unexpected, word},
};

/// So many are written in one script, so that a server answers others in between.
const PORTION: usize = 200;

#[async_trait]
impl Schedules for Redis {
    async fn due_schedules(&self, request: DueRequest) -> Result<DueSchedules, Error> {
        let mut arguments = vec![self.frozen(), request.limit.to_string().into_bytes()];
        let mut jobs = request.jobs.to_vec();
        jobs.sort_unstable();
        jobs.dedup();
        arguments.extend(jobs.into_iter().map(String::into_bytes));
        let answer = self.call("due_schedules", &DUE_SCHEDULES, &request.queue, arguments).await?;
        let [now, next_due, found] = fixed(answer)?;
        let mut schedules = stored(&request.queue, found)?;
        schedules.sort_by(|a, b| (a.row.due_at, &a.job, &a.name).cmp(&(b.row.due_at, &b.job, &b.name)));
        let next_due = maybe_number(next_due)?.map(from_millis);
        Ok(DueSchedules { schedules, next_due, now: from_millis(number(now)?) })
    }

    async fn write_schedules(&self, writes: Vec<ScheduleWrite>) -> Result<Vec<ScheduleAnswer>, Error> {
        let runs: Vec<_> = writes.iter().filter_map(|write| write.run.clone()).collect();
        self.shared.limits.check_runs("write_schedules", &runs)?;
        let mut by_queue: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
        for (n, write) in writes.iter().enumerate() {
            by_queue.entry(&write.queue).or_default().push(n);
        }
        let mut answers = vec![ScheduleAnswer::Stale; writes.len()];
        for (queue, places) in by_queue {
            for places in places.chunks(PORTION) {
                let portion: Vec<_> = places.iter().map(|n| &writes[*n]).collect();
                for (n, answer) in places.iter().zip(self.write_portion(queue, &portion).await?) {
                    answers[*n] = answer;
                }
            }
        }
        Ok(answers)
    }

    async fn wall_time(&self) -> Result<Timestamp, Error> {
        self.now().await
    }

    async fn schedule(&self, job: &str, name: &str) -> Result<Option<StoredSchedule>, Error> {
        let queues = self.queues_of_job("schedule", job).await?;
        let bound = [b"[".as_slice(), &field(job, name)].concat();
        let found = queues.iter().map(|queue| self.list_schedules(queue, [bound.clone(), bound.clone()], 1));
        Ok(try_join_all(found).await?.into_iter().flatten().next())
    }

    async fn schedules(&self, filter: ScheduleFilter) -> Result<Vec<StoredSchedule>, Error> {
        let queues = match &filter.job {
            Some(job) => self.queues_of_job("schedules", job).await?,
            None => self.known_queues("schedules").await?,
        };
        let of_queues = queues.iter().map(|queue| self.page_of_queue(queue, &filter));
        let mut listed: Vec<_> = try_join_all(of_queues).await?.into_iter().flatten().collect();
        listed.sort_by(|a, b| (&a.job, &a.name).cmp(&(&b.job, &b.name)));
        listed.dedup_by(|a, b| (&a.job, &a.name) == (&b.job, &b.name));
        listed.truncate(filter.page());
        Ok(listed)
    }

    /// A schedule that is moved is closed in its old place, where it keeps all that is known of it and is not due, before it begins in
    /// the new one: whoever repeats what was interrupted finds it in either.
    async fn gather_schedules(&self, job: &str, queue: &str) -> Result<(), Error> {
        let others = self.known_queues("gather_schedules").await?;
        let mut any = false;
        for other in others.iter().filter(|other| *other != queue) {
            loop {
                let bounds = [[b"[", job.as_bytes(), &[0]].concat(), [b"(", job.as_bytes(), &[1]].concat()];
                let found = self.list_schedules(other, bounds, PORTION).await?;
                if found.is_empty() {
                    break;
                }
                for schedule in found {
                    self.move_schedule(&schedule, queue).await?;
                    any = true;
                }
            }
        }
        if any | self.open_schedules(job, queue).await? {
            self.shared.wake.send(Hint::Schedules(Some(queue.to_owned())));
        }
        Ok(())
    }
}

impl Redis {
    async fn write_portion(
        &self,
        queue: &str,
        writes: &[&ScheduleWrite],
    ) -> Result<Vec<ScheduleAnswer>, Error> {
        if writes.iter().any(|write| write.expects.is_none()) {
            self.enter_queues([queue]).await?;
        }
        let runs: Vec<Vec<NewRun>> =
            writes.iter().filter_map(|write| Some(vec![write.run.clone()?])).collect();
        let mut sent = vec![writes.len().to_string().into_bytes()];
        for write in writes {
            sent.extend(of_write(write));
        }
        let of_runs = sent.len() + 1;
        sent.extend(arguments(self.frozen(), &runs));
        let mut answer = self.call_durably("write_schedules", &WRITE_SCHEDULES, queue, sent.clone()).await?;
        if answer == Value::BulkString(NOTHING_YET.to_vec()) {
            self.enter_queues([queue]).await?;
            sent[of_runs] = b"1".to_vec();
            answer = self.call_durably("write_schedules", &WRITE_SCHEDULES, queue, sent).await?;
        }
        let [standings, of_runs] = fixed(answer)?;
        let mut of_runs = list(of_runs)?.into_iter();
        let mut answers = Vec::with_capacity(writes.len());
        for (standing, write) in list(standings)?.into_iter().zip(writes) {
            answers.push(match (word(standing)?.as_str(), &write.run) {
                ("w", Some(run)) => {
                    let answer = of_runs.next().ok_or_else(unexpected)?;
                    let run: Option<Enqueued> =
                        group_answer(answer, std::slice::from_ref(run))??.first().copied();
                    ScheduleAnswer::Written(run)
                }
                ("w", None) => ScheduleAnswer::Written(None),
                ("o", run) => ScheduleAnswer::Written(run.as_ref().map(|run| Enqueued::Existing(run.id))),
                ("s", _) => ScheduleAnswer::Stale,
                _ => return Err(unexpected()),
            });
        }
        let mut hints = HashSet::new();
        for (write, answer) in writes.iter().zip(&answers) {
            if let ScheduleAnswer::Written(run) = answer {
                hints.extend(write.hints(*run));
            }
        }
        hints.into_iter().for_each(|hint| self.shared.wake.send(hint));
        Ok(answers)
    }

    /// Those of one queue between two bounds, by job and name.
    async fn list_schedules(
        &self,
        queue: &str,
        [from, to]: [Vec<u8>; 2],
        limit: usize,
    ) -> Result<Vec<StoredSchedule>, Error> {
        let arguments = vec![from, to, limit.to_string().into_bytes()];
        stored(queue, self.call("schedules", &SCHEDULES, queue, arguments).await?)
    }

    async fn page_of_queue(
        &self,
        queue: &str,
        filter: &ScheduleFilter,
    ) -> Result<Vec<StoredSchedule>, Error> {
        let (mut listed, page) = (Vec::new(), filter.page());
        let first = match (&filter.after, &filter.job) {
            (Some((job, name)), _) => [b"(".as_slice(), &field(job, name)].concat(),
            (None, Some(job)) => [b"[".as_slice(), &field(job, &filter.prefix)].concat(),
            (None, None) => b"-".to_vec(),
        };
        let mut from = first;
        loop {
            let found = self.list_schedules(queue, [from, b"+".to_vec()], page.max(PORTION)).await?;
            let Some(last) = found.last() else { return Ok(listed) };
            from = [b"(".as_slice(), &field(&last.job, &last.name)].concat();
            listed.extend(found.into_iter().filter(|found| filter.lists(&found.job, &found.name)));
            if listed.len() >= page {
                return Ok(listed);
            }
        }
    }

    /// The queue that a job is registered in first: its schedules are there as a rule.
    async fn queues_of_job(&self, operation: &'static str, job: &str) -> Result<Vec<String>, Error> {
        let mut queues = self.known_queues(operation).await?;
        let known = self.jobs().await?.into_iter().find(|known| known.declaration.name == job);
        let declared = known.map(|known| known.declaration.queue);
        queues.sort_by_key(|queue| Some(queue) != declared.as_ref());
        Ok(queues)
    }

    async fn move_schedule(&self, found: &StoredSchedule, queue: &str) -> Result<(), Error> {
        let (old, new) = (self.shared.keys.queue(&found.queue), self.shared.keys.queue(queue));
        let field = field(&found.job, &found.name);
        let closed = row(found.version + 1, &found.row);
        let close = Change::default()
            .expect("schedules", &field, Some(&row(found.version, &found.row)))
            .hset("schedules", &field, &closed)
            .sadd("schedules:closed", &field);
        if !self.change("gather_schedules", &old, close).await? {
            // Something has changed it; the next look finds it as it is.
            return Ok(());
        }
        self.enter_queues([queue]).await?;
        // One that is open there began before an interruption.
        let there = self.kept_schedule(queue, &field).await?;
        if there.row.is_none() || there.is_closed {
            let begin = Change::default().expect("schedules", &field, there.row.as_deref());
            self.change("gather_schedules", &new, begun(begin, found)).await?;
        }
        let end = Change::default().expect("schedules", &field, Some(&closed));
        self.change("gather_schedules", &old, gone(end, found)).await.map(drop)
    }

    /// Opens again what was on its way to another queue when that was interrupted, and is to stay.
    async fn open_schedules(&self, job: &str, queue: &str) -> Result<bool, Error> {
        let prefix = self.shared.keys.queue(queue);
        let closed = cmd("SMEMBERS").arg(format!("{prefix}schedules:closed")).take();
        let answers = self.shared.server.ask("gather_schedules", &prefix, &[closed]).await?;
        let mut any = false;
        for field in list(answers.into_iter().next().unwrap_or(Value::Nil))? {
            let field = bytes(field)?;
            if parts(&field)?.0 == job {
                let open = Change::default().srem("schedules:closed", &field);
                any |= self.change("gather_schedules", &prefix, open).await?;
            }
        }
        Ok(any)
    }

    /// Makes due those that wait for the end of a run, and of which none lives.
    pub(crate) async fn wake_forgotten(&self) -> Result<u64, Error> {
        for queue in self.known_queues("prune").await? {
            let woken = self.call_durably("prune", &WAKE_FORGOTTEN, &queue, Vec::new()).await?;
            if number(woken)? > 0 {
                self.shared.wake.send(Hint::Schedules(Some(queue)));
            }
        }
        Ok(0)
    }

    /// What is kept of a schedule in a queue.
    pub(crate) async fn kept_schedule(&self, queue: &str, field: &[u8]) -> Result<Kept, Error> {
        let prefix = self.shared.keys.queue(queue);
        let row = cmd("HGET").arg(format!("{prefix}schedules")).arg(field).take();
        let is_closed = cmd("SISMEMBER").arg(format!("{prefix}schedules:closed")).arg(field).take();
        let mut answers = self.shared.server.ask("schedules", &prefix, &[row, is_closed]).await?.into_iter();
        let mut answer = || answers.next().unwrap_or(Value::Nil);
        Ok(Kept { row: maybe_bytes(answer())?, is_closed: number(answer())? == 1 })
    }
}

/// What is kept of a schedule in a queue.
pub(crate) struct Kept {
    pub(crate) row: Option<Vec<u8>>,
    /// On its way to another queue.
    is_closed: bool,
}

/// A schedule stands in a queue after this change, open.
fn begun(change: Change, found: &StoredSchedule) -> Change {
    let (field, due) = (field(&found.job, &found.name), format!("schedules:due:{}", found.job));
    let change = change
        .hset("schedules", &field, row(found.version + 2, &found.row))
        .zadd("schedules:names", 0, &field)
        .srem("schedules:closed", &field);
    let change = match found.row.due_at {
        Some(due_at) => change.zadd(&due, due_at.as_millisecond(), found.name.as_bytes()),
        None => change.zrem(&due, found.name.as_bytes()),
    };
    match found.row.wakes {
        true => change.sadd("schedules:waking", &field),
        false => change.srem("schedules:waking", &field),
    }
}

/// A schedule is gone from a queue after this change.
fn gone(change: Change, found: &StoredSchedule) -> Change {
    let field = field(&found.job, &found.name);
    change
        .hdel("schedules", &field)
        .zrem("schedules:names", &field)
        .zrem(&format!("schedules:due:{}", found.job), found.name.as_bytes())
        .srem("schedules:waking", &field)
        .srem("schedules:closed", &field)
}

/// A run of a schedule ends with this change; `stored` is what is kept of the schedule.
pub(crate) fn run_ended(
    change: Change,
    id: [u8; 16],
    field: &[u8],
    stored: Option<&[u8]>,
) -> Result<Change, Error> {
    let (job, name) = parts(field)?;
    let change = change
        .expect("schedules", field, stored)
        .hdel("scheduled", id)
        .zrem(&format!("live:{job}\0{name}"), id);
    let Some(stored) = stored else { return Ok(change) };
    let mut reader = Reader(stored);
    let (version, wakes, _) = (reader.long()?, reader.byte()?, reader.long()?);
    if wakes == 0 {
        return Ok(change);
    }
    let mut frame = Frame::default();
    frame.long(version + 1).byte(wakes).long(0).raw(reader.rest());
    Ok(change.hset("schedules", field, frame.0).zadd(&format!("schedules:due:{job}"), 0, name.as_bytes()))
}

/// The field of `schedules` that one is kept in.
pub(crate) fn field(job: &str, name: &str) -> Vec<u8> {
    [job.as_bytes(), &[0], name.as_bytes()].concat()
}

fn parts(field: &[u8]) -> Result<(String, String), Error> {
    let place = field.iter().position(|byte| *byte == 0).ok_or_else(unexpected)?;
    Ok((text(&field[..place])?, text(&field[place + 1..])?))
}

/// As it is kept.
fn row(version: u64, row: &ScheduleRow) -> Vec<u8> {
    let mut frame = head(version, row);
    frame.text(&row.state).payload(&row.input);
    frame.0
}

/// As scripts look at it.
fn head(version: u64, row: &ScheduleRow) -> Frame {
    let mut frame = Frame::default();
    frame.long(i64::try_from(version).unwrap_or(i64::MAX)).byte(u8::from(row.wakes));
    frame.long(row.due_at.map_or(-1, Timestamp::as_millisecond));
    frame
}

fn of_write(write: &ScheduleWrite) -> [Vec<u8>; 6] {
    let empty = ScheduleRow {
        due_at: None,
        wakes: false,
        input: riqle_jobs_core::Payload::from_json_text(""),
        state: String::new(),
    };
    let mut rest = Frame::default();
    if let Some(row) = &write.row {
        rest.text(&row.state).payload(&row.input);
    }
    [
        field(&write.job, &write.name),
        write.expects.map_or_else(Vec::new, |version| version.to_string().into_bytes()),
        head(write.version, write.row.as_ref().unwrap_or(&empty)).0,
        rest.0,
        write.waits_for().iter().flat_map(|run| run.as_uuid().into_bytes()).collect(),
        if write.run.is_some() { b"1".to_vec() } else { b"0".to_vec() },
    ]
}

fn stored(queue: &str, found: Value) -> Result<Vec<StoredSchedule>, Error> {
    let mut schedules = Vec::new();
    for [field, kept, live] in groups(found)? {
        // It may have been removed since it was listed.
        let Some(kept) = maybe_bytes(kept)? else { continue };
        let (job, name) = parts(&bytes(field)?)?;
        let mut reader = Reader(&kept);
        let version = reader.long()?.unsigned_abs();
        let wakes = reader.byte()? == 1;
        let due_at = Some(reader.long()?).filter(|due| *due >= 0).map(from_millis);
        let (state, input) = (reader.text()?, reader.payload()?);
        let live: Vec<_> = list(live)?.into_iter().map(run_id).collect::<Result<_, _>>()?;
        schedules.push(StoredSchedule {
            queue: queue.to_owned(),
            job,
            name,
            version,
            row: ScheduleRow { due_at, wakes, input, state },
            live: live.into_iter().take(LIVE_RUNS_READ).collect(),
        });
    }
    Ok(schedules)
}

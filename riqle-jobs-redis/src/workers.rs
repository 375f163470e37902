//! Workers: what they report, and what they are ordered.

use std::{cmp::Reverse, collections::HashMap};

use redis::{Value, cmd};
use riqle_jobs_core::{
    Error, ErrorKind, Queue, WorkerId, from_millis,
    store::{RegisteredWorker, WORKER_FORGOTTEN_AFTER, WorkerOrder, WorkerReport},
};

use crate::{
    Redis,
    change::{Change, TRIES, outrun},
    frame::Reader,
    registry::{read_stamped, stamped},
    rows::wait_millis,
    values::{bytes, fixed, groups, list, maybe_bytes, word},
};

impl Redis {
    /// Notes that a worker is alive; answers what it was ordered.
    pub(crate) async fn write_report(&self, worker: WorkerReport) -> Result<WorkerOrder, Error> {
        let now = self.now().await?.as_millisecond();
        let id = worker.id.as_uuid().into_bytes();
        // Only the worker itself writes it.
        let started_at = match self.stored_worker("report_worker", worker.id).await? {
            Some(known) => Reader(&known).long()?,
            None => now,
        };
        let (workers, orders) = self.worker_keys();
        let set = cmd("HSET").arg(workers).arg(&id).arg(stamped(&[started_at, now], &worker)?).take();
        let order = cmd("HGET").arg(orders).arg(&id).take();
        let written = self.of_registry("report_worker", &[set, order]).await;
        let [_, order] = fixed(Value::Array(self.shared.writes.note(written)?))?;
        read_order(order)
    }

    /// The workers, the one that reported last first.
    pub(crate) async fn list_workers(&self) -> Result<Vec<RegisteredWorker>, Error> {
        let now = self.now().await?;
        let (workers, orders) = self.worker_keys();
        let commands = [cmd("HVALS").arg(workers).take(), cmd("HGETALL").arg(orders).take()];
        let [workers, orders] = fixed(Value::Array(self.of_registry("workers", &commands).await?))?;
        let pairs = match orders {
            Value::Map(pairs) => pairs.into_iter().map(<[Value; 2]>::from).collect(),
            orders => groups(orders)?,
        };
        let mut orders = HashMap::new();
        for [id, order] in pairs {
            orders.insert(bytes(id)?, order);
        }
        let mut registered = Vec::new();
        for value in list(workers)? {
            let ([started_at, seen_at], report) = read_stamped::<2, WorkerReport>(&bytes(value)?)?;
            let (started_at, seen_at) = (from_millis(started_at), from_millis(seen_at));
            let order =
                read_order(orders.remove(report.id.as_uuid().as_bytes().as_slice()).unwrap_or(Value::Nil))?;
            registered.push(RegisteredWorker { report, started_at, seen_at, order });
        }
        registered.retain(|worker| worker.is_listed(now));
        registered.sort_by_key(|worker| (Reverse(worker.seen_at), worker.report.id));
        Ok(registered)
    }

    /// Orders a worker that is registered.
    pub(crate) async fn order(&self, worker: WorkerId, order: WorkerOrder) -> Result<(), Error> {
        let id = worker.as_uuid().into_bytes();
        for _ in 0..TRIES {
            let Some(known) = self.stored_worker("order_worker", worker).await? else {
                return Err(Error::new(ErrorKind::NotFound, "order_worker", format!("no worker {worker}")));
            };
            let change = Change::default().expect("workers", id, Some(&known)).hset(
                "workers:orders",
                id,
                order.as_str(),
            );
            if self.change("order_worker", &self.shared.keys.registry(), change).await? {
                return Ok(());
            }
        }
        Err(outrun("order_worker"))
    }

    /// Takes off the list who has not reported for long.
    pub(crate) async fn forget_workers(&self) -> Result<(), Error> {
        let before = self.now().await?.as_millisecond().saturating_sub(wait_millis(WORKER_FORGOTTEN_AFTER));
        let all = cmd("HVALS").arg(self.worker_keys().0).take();
        for stored in list(self.of_registry("prune", &[all]).await?.remove(0))? {
            let stored = bytes(stored)?;
            let ([_, seen_at], report) = read_stamped::<2, WorkerReport>(&stored)?;
            if seen_at < before {
                let id = report.id.as_uuid().into_bytes();
                let change = Change::default()
                    .expect("workers", id, Some(&stored))
                    .hdel("workers", id)
                    .hdel("workers:orders", id);
                // One that has reported meanwhile stays.
                self.change("prune", &self.shared.keys.registry(), change).await?;
            }
        }
        Ok(())
    }

    async fn stored_worker(
        &self,
        operation: &'static str,
        worker: WorkerId,
    ) -> Result<Option<Vec<u8>>, Error> {
        let get = cmd("HGET").arg(self.worker_keys().0).arg(worker.as_uuid().as_bytes()).take();
        maybe_bytes(self.of_registry(operation, &[get]).await?.remove(0))
    }

    /// Those of reports and of orders.
    fn worker_keys(&self) -> (String, String) {
        (self.shared.keys.of_registry("workers"), self.shared.keys.of_registry("workers:orders"))
    }
}

fn read_order(stored: Value) -> Result<WorkerOrder, Error> {
    if stored == Value::Nil { Ok(WorkerOrder::Work) } else { word(stored)?.parse() }
}

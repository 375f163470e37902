//! Changes that are decided here on what was read, and carried out unless that has changed since.

use redis::Value;
use riqle_jobs_core::Error;

use crate::{Redis, error::unavailable, script::CHANGE, server::Repeat};

/// How often a change is decided again before the caller is told to try later.
pub(crate) const TRIES: usize = 20;

/// Conditions and commands, for keys of one slot.
#[derive(Default)]
pub(crate) struct Change {
    conditions: usize,
    arguments: Vec<Vec<u8>>,
    commands: Vec<Vec<u8>>,
}

impl Change {
    /// Only if a field of a hash holds this value, or none.
    pub(crate) fn expect(mut self, key: &str, field: impl AsRef<[u8]>, value: Option<&[u8]>) -> Self {
        self.conditions += 1;
        self.arguments.extend([
            key.as_bytes().to_vec(),
            field.as_ref().to_vec(),
            if value.is_some() { b"1".to_vec() } else { b"0".to_vec() },
            value.unwrap_or_default().to_vec(),
        ]);
        self
    }

    pub(crate) fn hset(self, key: &str, field: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Self {
        self.command("hset", key, field.as_ref(), value.as_ref())
    }

    pub(crate) fn hdel(self, key: &str, field: impl AsRef<[u8]>) -> Self {
        self.command("hdel", key, field.as_ref(), &[])
    }

    pub(crate) fn zadd(self, key: &str, score: i64, member: impl AsRef<[u8]>) -> Self {
        self.command("zadd", key, score.to_string().as_bytes(), member.as_ref())
    }

    pub(crate) fn zrem(self, key: &str, member: impl AsRef<[u8]>) -> Self {
        self.command("zrem", key, member.as_ref(), &[])
    }

    pub(crate) fn sadd(self, key: &str, member: impl AsRef<[u8]>) -> Self {
        self.command("sadd", key, member.as_ref(), &[])
    }

    pub(crate) fn srem(self, key: &str, member: impl AsRef<[u8]>) -> Self {
        self.command("srem", key, member.as_ref(), &[])
    }

    /// Puts a group of dead letters where its last one belongs, or takes it off the list if it is empty.
    pub(crate) fn sort_group(self, name: &str) -> Self {
        self.command("sort", "groups", name.as_bytes(), &[])
    }

    pub(crate) fn del(self, key: impl AsRef<[u8]>) -> Self {
        let mut change = self;
        change.commands.extend([b"del".to_vec(), key.as_ref().to_vec(), b"1".to_vec(), Vec::new()]);
        change
    }

    pub(crate) fn hset_of(self, key: &[u8], field: &[u8], value: &[u8]) -> Self {
        let mut change = self;
        change.commands.extend([b"hset".to_vec(), key.to_vec(), field.to_vec(), value.to_vec()]);
        change
    }

    fn command(mut self, kind: &str, key: &str, one: &[u8], two: &[u8]) -> Self {
        self.commands.extend([kind.as_bytes().to_vec(), key.as_bytes().to_vec(), one.to_vec(), two.to_vec()]);
        self
    }
}

impl Redis {
    /// Carries out a change of the keys that begin with `prefix`; false: something is no longer as expected.
    pub(crate) async fn change(
        &self,
        operation: &'static str,
        prefix: &str,
        change: Change,
    ) -> Result<bool, Error> {
        let mut arguments = vec![change.conditions.to_string().into_bytes()];
        arguments.extend(change.arguments);
        arguments.extend(change.commands);
        let changed = self.durably().call(operation, &CHANGE, prefix, &arguments, Repeat::Safe).await?;
        Ok(changed == Value::Int(1))
    }
}

/// Others were faster, again and again.
pub(crate) fn outrun(operation: &'static str) -> Error {
    unavailable(operation, "others keep changing the same thing; try again")
}

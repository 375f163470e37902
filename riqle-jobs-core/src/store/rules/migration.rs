//! How a SQL store's schema stands to the migrations that a version knows.

use sha2::{Digest, Sha256};

/// A migration of a schema. Forward only: from 0.1.0 on its text is never edited, and each leaves the tables usable for the
/// workers of the version before.
#[derive(Clone, Copy, Debug)]
pub struct Migration {
    /// What it is called beside its number.
    pub name: &'static str,
    /// Its statements.
    pub sql: &'static str,
}

/// How a schema stands to the migrations that this version knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Schema {
    /// So many of them are applied, and nothing else.
    Applied(usize),
    /// A newer version has applied one of this number.
    Newer(u64),
    /// The migration of this number has another text: a build that was never released has applied it.
    Other(u64),
}

/// Which migrations a schema has, and which it lacks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Migrations {
    /// How many are applied.
    pub applied: usize,
    /// The names of those to come, in order.
    pub pending: Vec<&'static str>,
}

impl Migrations {
    /// Of a schema with the first `applied` of the known ones.
    pub fn of(applied: usize, known: &[Migration]) -> Self {
        Self { applied, pending: known.iter().skip(applied).map(|migration| migration.name).collect() }
    }
}

impl Migration {
    /// A digest of its text without comments and blanks.
    pub fn hash(&self) -> String {
        let mut digest = Sha256::new();
        for line in self.sql.lines() {
            let statement = line.split("--").next().unwrap_or_default();
            for word in statement.split_whitespace() {
                digest.update(word);
                digest.update(" ");
            }
        }
        digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

impl Schema {
    /// Of a schema whose table of migrations holds `recorded`: numbers, ascending from 1, with their hashes, if they have any.
    pub fn of(recorded: &[(u64, Option<String>)], known: &[Migration]) -> Schema {
        for ((number, hash), migration) in recorded.iter().zip(known) {
            if hash.as_ref() != Some(&migration.hash()) {
                return Schema::Other(*number);
            }
        }
        match recorded.last() {
            Some((newest, _)) if recorded.len() > known.len() => Schema::Newer(*newest),
            _ => Schema::Applied(recorded.len()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "CREATE TABLE a (\n    b INTEGER -- of c\n);";
    const KNOWN: [Migration; 2] = [
        Migration { name: "first", sql: TEXT },
        Migration { name: "second", sql: "CREATE INDEX d ON a (b);" },
    ];

    fn recorded(hashes: &[Option<String>]) -> Vec<(u64, Option<String>)> {
        (1..).zip(hashes.iter().cloned()).collect()
    }

    #[test]
    fn comments_and_blanks_change_no_hash_and_statements_do() {
        let hash = |sql| Migration { name: "first", sql }.hash();
        assert_eq!(hash(TEXT), hash("-- More words.\nCREATE TABLE a ( b INTEGER\n);\n"));
        assert_ne!(hash(TEXT), hash("CREATE TABLE a (\n    b TEXT\n);"));
    }

    #[test]
    fn a_schema_is_behind_up_to_date_newer_or_another() {
        let hashes = KNOWN.map(|migration| Some(migration.hash()));
        let of = |hashes: &[Option<String>]| Schema::of(&recorded(hashes), &KNOWN);
        assert_eq!(of(&[]), Schema::Applied(0));
        assert_eq!(of(&hashes[..1]), Schema::Applied(1));
        assert_eq!(of(&hashes), Schema::Applied(2));
        assert_eq!(of(&[hashes.as_slice(), &[Some("of the future".to_owned())]].concat()), Schema::Newer(3));
        assert_eq!(of(&[hashes[0].clone(), None]), Schema::Other(2));
        assert_eq!(of(&[None, None, None, None]), Schema::Other(1));
    }
}

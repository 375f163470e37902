//! Random operations, applied to a store and to the memory store: every answer and all that is visible must be the
//! same. The memory store is the model, since its own rules fit on a few pages.

mod choice;
mod operation;
mod random;
mod state;

use std::collections::VecDeque;

use riqle_jobs_core::{Memory, Store};

use self::{
    choice::Choices,
    operation::Operation,
    state::{visible_lists, visible_state},
};
use crate::Harness;

pub use self::random::Random;

const SEEDS: u64 = 3;
const OPERATIONS: usize = 2_000;
/// All that is visible is compared after so many operations.
const LOOK_EVERY: usize = 100;
/// How many of the last operations a failure shows.
const SHOWN: usize = 12;

/// Starts a store for each seed and applies random operations to it: 3 seeds and 2,000 operations, or as
/// `RIQLE_MODEL_SEEDS` and `RIQLE_MODEL_OPERATIONS` say. `RIQLE_MODEL_SEED` repeats a single one.
///
/// # Panics
/// Where the store differs from the memory store, with the seed and the last operations.
pub async fn run_model_test<H: Harness>() {
    let number = |name| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let operations = number("RIQLE_MODEL_OPERATIONS").map_or(OPERATIONS, |count| count as usize);
    let seeds = match number("RIQLE_MODEL_SEED") {
        Some(seed) => seed..=seed,
        None => 1..=number("RIQLE_MODEL_SEEDS").unwrap_or(SEEDS),
    };
    for seed in seeds {
        random_operations_match_memory(&H::start().await, seed, operations).await;
    }
}

/// Applies so many operations, drawn from `seed`, to the handles of an empty store in turn and to a memory store on
/// the same clock.
///
/// # Panics
/// As [`run_model_test`].
pub async fn random_operations_match_memory(harness: &dyn Harness, seed: u64, operations: usize) {
    let model = Memory::with_clock(harness.clock());
    let handles = [harness.store(), harness.second_handle().await, harness.second_handle().await];
    let mut random = Random::new(seed);
    let mut choices = Choices::default();
    let mut last: VecDeque<Operation> = VecDeque::new();
    for number in 1..=operations {
        let store = &*handles[random.below(handles.len())];
        let again = last.back().filter(|operation| operation.may_be_repeated() && random.percent(4)).cloned();
        let operation = again.unwrap_or_else(|| choices.next(&mut random));
        last.push_back(operation.clone());
        if last.len() > SHOWN {
            last.pop_front();
        }
        let at = Place { seed, number, last: &last };

        let expected = operation.apply(&model, harness.clock()).await;
        let found = operation.answer(store, &expected).await;

        at.compare("the answer", &found, &expected);
        choices.learn(&mut random, &operation, &expected);
        if number % LOOK_EVERY == 0 || number == operations {
            at.compare_all(store, &model).await;
            let filter = choices.filter(&mut random);
            at.compare(
                &format!("the list {filter:?}"),
                &visible_lists(store, &filter).await,
                &visible_lists(&model, &filter).await,
            );
        }
    }
}

/// Where a run of the test is, for its failure.
struct Place<'a> {
    seed: u64,
    number: usize,
    last: &'a VecDeque<Operation>,
}

impl Place<'_> {
    async fn compare_all(&self, store: &dyn Store, model: &Memory) {
        let (found, expected) = (visible_state(store).await, visible_state(model).await);
        for (found, expected) in found.runs.iter().zip(&expected.runs) {
            self.compare("a run", found, expected);
        }
        self.compare("what is visible", &found, &expected);
    }

    fn compare<T: PartialEq + std::fmt::Debug>(&self, what: &str, found: &T, expected: &T) {
        if found == expected {
            return;
        }
        let last: Vec<_> = self.last.iter().map(|operation| format!("  {operation:?}")).collect();
        panic!(
            "{what} differs from the memory store's after operation {} of seed {}\n\
             found:    {found:?}\nexpected: {expected:?}\nlast operations, the newest at the end:\n{}\n\
             repeat it with RIQLE_MODEL_SEED={} RIQLE_MODEL_OPERATIONS={}",
            self.number,
            self.seed,
            last.join("\n"),
            self.seed,
            self.number,
        );
    }
}

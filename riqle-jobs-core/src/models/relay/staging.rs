//! What is staged, by the rules of every staging.

use std::time::Duration;

use uuid::Uuid;

use crate::{
    NewRun, Payload, RunFilter, RunId, UniqueKey, UniqueScope,
    store::{NewEvent, OtherInput, Staged, StagedKind, StagedNumber, TakenStaged},
};

/// Who has taken an item: a relay, by its name from 1, or nobody.
pub(super) const NOBODY: u8 = 0;
/// Relays that have died.
pub(super) const THE_DEAD: u8 = u8::MAX;

/// The items, by their number from 1; `None` is removed.
pub(super) type Items = [Option<Item>; 5];

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Item {
    pub(super) what: What,
    pub(super) taken: u8,
    pub(super) is_refused: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum What {
    /// Arrives.
    First,
    /// Its key is taken in the other store, with another input.
    Refused,
    Event,
    /// Of the runs of the job of the first and the last.
    Cancel,
    Last,
}

pub(super) fn staged(items: &[What]) -> Items {
    let mut staged = [None; 5];
    for (place, what) in staged.iter_mut().zip(items) {
        *place = Some(Item { what: *what, taken: NOBODY, is_refused: false });
    }
    staged
}

/// Takes what is free, as the SQL does.
pub(super) fn take(items: &mut Items, relay: u8, after: Option<StagedNumber>) -> Vec<TakenStaged> {
    let (mut taken, mut anothers) = (Vec::new(), false);
    for (number, item) in (1..).zip(items).filter_map(|(number, item)| Some((number, item.as_mut()?))) {
        if item.is_refused {
            continue;
        }
        let is_free = [NOBODY, relay].contains(&item.taken);
        anothers |= !is_free;
        if anothers && item.what == What::Cancel {
            break;
        }
        if is_free && after.is_none_or(|after| number > after.0) {
            item.taken = relay;
            let staged = item.what.staged();
            taken.push(TakenStaged { number: StagedNumber(number), staged, waited: Duration::ZERO });
        }
    }
    taken
}

impl What {
    pub(super) fn id(self) -> RunId {
        RunId::from_uuid(Uuid::from_u128(self as u128 + 1))
    }

    pub(super) fn run(self, input: &str) -> NewRun {
        let job = if self == What::Refused { "once" } else { "greet" };
        let input = Payload::from_json_text(input);
        let unique = UniqueKey {
            key: "key".to_owned(),
            scope: UniqueScope::WhileNotEnded,
            other_input: OtherInput::Conflicts,
        };
        NewRun {
            id: self.id(),
            fingerprint: input.fingerprint(),
            unique: (self == What::Refused).then_some(unique),
            ..NewRun::named(job, input)
        }
    }

    fn staged(self) -> Staged {
        let staged = match self {
            What::First | What::Refused | What::Last => Staged::run(self.run("1")),
            What::Event => Staged::event(NewEvent::new("event", "come", Payload::from_json_text("1"))),
            What::Cancel => {
                let staged = Staged::cancel(&RunFilter::all().job("greet"));
                staged.map(|staged| Staged { kind: StagedKind::Cancel, id: "cancel".to_owned(), ..staged })
            }
        };
        staged.expect("it has a form in JSON")
    }
}

//! Looks for an order of a run's calls in which each answer fits: one in which a call that had ended before another began
//! comes before it.

use std::collections::HashMap;

use super::{
    operation::{Act, Operation},
    standing::{Around, Misfit, Standing},
    verdict::Rule,
};

/// A step of the search: how the run stands after the calls that are done.
struct Node {
    standing: Standing,
    done: Vec<u64>,
    /// How many of them are answered.
    explained: usize,
    /// The calls that can come next, tried from the end.
    next: Vec<usize>,
}

/// The misfit of the way that came furthest, if no order fits, and the line of the call that has it.
pub(super) fn explain(operations: &[Operation], around: &Around<'_>) -> Result<(), (Misfit, usize)> {
    let answered = operations.iter().filter(|operation| operation.answered.is_some()).count();
    let root = Node {
        standing: Standing::absent(),
        done: vec![0; operations.len().div_ceil(64)],
        explained: 0,
        next: Vec::new(),
    };
    let mut must = vec![0; operations.len().div_ceil(64)];
    for (index, _) in operations.iter().enumerate().filter(|(_, operation)| operation.answered.is_some()) {
        set(&mut must, index);
    }
    let mut path = vec![with_next(root, operations)];
    let mut seen = Seen { must, ways: HashMap::new() };
    let mut furthest: Option<(usize, Misfit, usize)> = None;
    while let Some(node) = path.last_mut() {
        if node.explained == answered {
            return Ok(());
        }
        let Some(index) = node.next.pop() else {
            path.pop();
            continue;
        };
        let Some(operation) = operations.get(index) else { continue };
        let is_answered = operation.answered.is_some();
        match node.standing.after(operation, around) {
            // A call that may never have had its effect, and has none here, explains nothing.
            Ok(standing) if !is_answered && standing == node.standing => {}
            Ok(standing) => {
                let mut done = node.done.clone();
                set(&mut done, index);
                let explained = node.explained + usize::from(is_answered);
                if seen.is_new(&done, &standing) {
                    path.push(with_next(Node { standing, done, explained, next: Vec::new() }, operations));
                }
            }
            Err(misfit) if is_answered && furthest.is_none_or(|(most, ..)| node.explained > most) => {
                let line = operation.answered.map_or(operation.called.line, |answered| answered.line);
                furthest = Some((node.explained, misfit, line));
            }
            Err(_) => {}
        }
    }
    let (_, misfit, line) = furthest.unwrap_or((0, Misfit { rule: Rule::WellFormed, with: 0 }, 0));
    Err((misfit, line))
}

/// The ways so far: by the answered calls that are explained and how the run stands then, which of the others had their
/// effect.
struct Seen {
    /// The answered calls.
    must: Vec<u64>,
    ways: HashMap<(Vec<u64>, Standing), Vec<Vec<u64>>>,
}

impl Seen {
    /// Whether no way came here with the same of the others, or with fewer: it has all the ways on that this one has.
    fn is_new(&mut self, done: &[u64], standing: &Standing) -> bool {
        let part = |of_must: bool| -> Vec<u64> {
            let bits = done.iter().zip(&self.must);
            bits.map(|(done, must)| done & if of_must { *must } else { !must }).collect()
        };
        let (explained, others) = (part(true), part(false));
        let ways = self.ways.entry((explained, standing.clone())).or_default();
        let is_within = |way: &Vec<u64>| way.iter().zip(&others).all(|(way, other)| way & !other == 0);
        if ways.iter().any(is_within) {
            return false;
        }
        ways.push(others);
        true
    }
}

fn with_next(mut node: Node, operations: &[Operation]) -> Node {
    let open = || operations.iter().enumerate().filter(|(index, _)| !is_set(&node.done, *index));
    let ends = |operation: &Operation| operation.answered.map_or(usize::MAX, |answered| answered.line);
    let first_end = open().map(|(_, operation)| ends(operation)).min().unwrap_or(usize::MAX);
    let is_over = |before: usize| {
        let done = operations.iter().enumerate().filter(|(index, _)| is_set(&node.done, *index));
        done.map(|(_, operation)| operation.called.line).any(|line| line > before)
    };
    let mut next: Vec<_> = open()
        .filter(|(_, operation)| !matches!(operation.act, Act::Forget { before, .. } if is_over(before)))
        .take_while(|(_, operation)| operation.called.line < first_end)
        .map(|(index, operation)| (ends(operation), index))
        .collect();
    // Tried first: what was answered first; last: what may never have happened.
    next.sort_unstable_by(|a, b| b.cmp(a));
    node.next = next.into_iter().map(|(_, index)| index).collect();
    node
}

fn set(bits: &mut [u64], index: usize) {
    if let Some(word) = bits.get_mut(index / 64) {
        *word |= 1 << (index % 64);
    }
}

fn is_set(bits: &[u64], index: usize) -> bool {
    bits.get(index / 64).is_some_and(|word| word & (1 << (index % 64)) != 0)
}

//! Cuts long lists into what one statement can carry.

/// How many bytes one statement carries at most: PostgreSQL takes no message of 1 GiB.
pub(crate) const BYTES_AT_ONCE: usize = 16 << 20;
/// How many items.
pub(crate) const ITEMS_AT_ONCE: usize = 5_000;

/// Cuts items into what one statement carries; an item that is larger goes alone.
pub(crate) fn portions<T>(items: &[T], bytes_of: impl Fn(&T) -> usize) -> Vec<&[T]> {
    let mut portions = Vec::new();
    let mut rest = items;
    while !rest.is_empty() {
        let mut bytes = 0;
        let fits = |item: &&T| {
            bytes += bytes_of(item);
            bytes <= BYTES_AT_ONCE
        };
        let count = rest.iter().take(ITEMS_AT_ONCE).take_while(fits).count().max(1);
        let (portion, after) = rest.split_at(count);
        portions.push(portion);
        rest = after;
    }
    portions
}

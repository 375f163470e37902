//! How long things took, counted in fixed buckets that can be added.

use std::{cmp::Ordering, str::FromStr, time::Duration};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::{Error, ErrorKind};

/// How long things took: counts in fixed buckets, so that those of many workers can be added.
///
/// The buckets are log-linear: eight to each doubling, 6 to 12.5% wide, from 100 µs to a day. The first holds
/// everything shorter, the last everything longer. As JSON it is a list of pairs, bucket and count:
///
/// ```
/// use std::time::Duration;
/// use riqle_jobs_core::store::Histogram;
///
/// let mut histogram = Histogram::default();
/// for millis in 1..=100 {
///     histogram.record(Duration::from_millis(millis));
/// }
/// let median = histogram.percentile(50.0).unwrap();
/// assert!((50..=56).contains(&median.as_millis()), "{median:?}");
///
/// let text = serde_json::to_string(&Histogram::of([Duration::ZERO; 3])).unwrap();
/// assert_eq!(text, "[[0,3]]");
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Histogram {
    /// In the order of their buckets.
    counts: Vec<(u16, u64)>,
}

/// 100 µs are eight of these.
const UNIT_NANOS: u128 = 12_500;
const TO_A_DOUBLING: u64 = 8;
/// That of a day.
const LAST_BUCKET: u16 = bucket_of_units(24 * 3_600 * 80_000);

impl Histogram {
    /// A histogram of these durations.
    pub fn of(durations: impl IntoIterator<Item = Duration>) -> Self {
        let mut histogram = Self::default();
        durations.into_iter().for_each(|duration| histogram.record(duration));
        histogram
    }

    /// Counts one more.
    pub fn record(&mut self, duration: Duration) {
        let units = u64::try_from(duration.as_nanos() / UNIT_NANOS).unwrap_or(u64::MAX);
        self.add(bucket_of_units(units), 1);
    }

    /// Adds the counts of another histogram.
    pub fn merge(&mut self, other: &Histogram) {
        let mut merged = Vec::with_capacity(self.counts.len().max(other.counts.len()));
        let (mut ours, mut theirs) = (self.counts.as_slice(), other.counts.as_slice());
        while let ([(our, count), our_rest @ ..], [(their, more), their_rest @ ..]) = (ours, theirs) {
            let ordering = our.cmp(their);
            merged.push(match ordering {
                Ordering::Less => (*our, *count),
                Ordering::Equal => (*our, count.saturating_add(*more)),
                Ordering::Greater => (*their, *more),
            });
            ours = if ordering == Ordering::Greater { ours } else { our_rest };
            theirs = if ordering == Ordering::Less { theirs } else { their_rest };
        }
        merged.extend_from_slice(ours);
        merged.extend_from_slice(theirs);
        self.counts = merged;
    }

    /// The non-empty buckets in order, with their counts.
    pub fn counts(&self) -> impl ExactSizeIterator<Item = (u16, u64)> {
        self.counts.iter().copied()
    }

    /// How many were counted.
    pub fn count(&self) -> u64 {
        self.counts.iter().fold(0, |sum, (_, count)| sum.saturating_add(*count))
    }

    /// The duration that this percentage stayed within: the upper end of the bucket of the value at that rank.
    /// `None` if nothing was counted. Below 0 counts as 0, above 100 as 100.
    pub fn percentile(&self, percent: f64) -> Option<Duration> {
        let share = (percent / 100.0).clamp(0.0, 1.0);
        let count = self.count();
        #[allow(clippy::cast_possible_truncation, clippy::cast_precision_loss, clippy::cast_sign_loss)]
        let rank = ((share * count as f64).ceil() as u64).clamp(1, count.max(1));
        let mut seen = 0_u64;
        for (bucket, count) in &self.counts {
            seen = seen.saturating_add(*count);
            if seen >= rank {
                return Some(upper_end(*bucket));
            }
        }
        None
    }

    fn add(&mut self, bucket: u16, count: u64) {
        let bucket = bucket.min(LAST_BUCKET);
        // Those that are read come in order.
        if self.counts.last().is_none_or(|(last, _)| *last < bucket) {
            self.counts.push((bucket, count));
            return;
        }
        match self.counts.binary_search_by_key(&bucket, |(bucket, _)| *bucket) {
            Ok(place) => self.counts[place].1 = self.counts[place].1.saturating_add(count),
            Err(place) => self.counts.insert(place, (bucket, count)),
        }
    }
}

/// Bucket 0 holds what is below eight units; then come eight for each doubling.
const fn bucket_of_units(units: u64) -> u16 {
    if units < TO_A_DOUBLING {
        return 0;
    }
    let doublings = units.ilog2() - TO_A_DOUBLING.ilog2();
    let bucket = 1 + doublings as u64 * TO_A_DOUBLING + (units >> doublings) - TO_A_DOUBLING;
    // 64 bits make 61 doublings of eight.
    bucket as u16
}

/// Where the next bucket begins.
fn upper_end(bucket: u16) -> Duration {
    let bucket = u64::from(bucket.min(LAST_BUCKET));
    let units = (TO_A_DOUBLING + bucket % TO_A_DOUBLING) << (bucket / TO_A_DOUBLING);
    Duration::from_nanos(units.saturating_mul(12_500))
}

/// Of buckets and how many each has counted, as [`Histogram::counts`] gives them.
impl FromIterator<(u16, u64)> for Histogram {
    fn from_iter<I: IntoIterator<Item = (u16, u64)>>(counts: I) -> Self {
        let mut histogram = Self::default();
        counts.into_iter().for_each(|(bucket, count)| histogram.add(bucket, count));
        histogram
    }
}

/// Reads what is written as JSON, in a third of the time.
impl FromStr for Histogram {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let pair = |pair: &str| {
            let (bucket, count) = pair.split_once(',')?;
            Some((bucket.parse().ok()?, count.parse().ok()?))
        };
        let counts = match text {
            "[]" => Some(Self::default()),
            _ => text
                .strip_prefix("[[")
                .and_then(|text| text.strip_suffix("]]"))
                .and_then(|pairs| pairs.split("],[").map(pair).collect()),
        };
        counts.ok_or_else(|| Error::new(ErrorKind::Corrupt, "read", format!("not a histogram: {text:?}")))
    }
}

impl Serialize for Histogram {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(&self.counts)
    }
}

impl<'de> Deserialize<'de> for Histogram {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Vec::<(u16, u64)>::deserialize(deserializer).map(Self::from_iter)
    }
}

//! Latencies summed up so that sums of them merge: exact in count, sum and extremes, within one percent in percentiles.
//!
//! Bins are those of the HDR histogram (G. Tene, `HdrHistogram`): 64 of equal width in each octave, found with shifts
//! alone, so that every machine finds the same. A latency of `v` microseconds below 128 is bin `v`. Above, with
//! `shift = ⌊log₂ v⌋ − 6`, it is bin `64·shift + (v >> shift)`, which is `2^shift` wide and begins at `64·2^shift` or above:
//! its middle is at most 1/128 away from everything in it.

use crate::ledger::wire::Wire;

/// Latencies, each counted in its bin.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Sketch {
    /// How many there are.
    #[prost(int64, tag = "1")]
    pub count: i64,
    /// Their sum, in microseconds.
    #[prost(int64, tag = "2")]
    pub sum_micros: i64,
    /// The shortest ever added; what was taken away again is in it.
    #[prost(int64, optional, tag = "3")]
    min_micros: Option<i64>,
    /// The longest ever added, likewise.
    #[prost(int64, optional, tag = "4")]
    max_micros: Option<i64>,
    /// The bins that hold something, in order.
    #[prost(uint32, repeated, tag = "5")]
    bins: Vec<u32>,
    /// How many each of them holds; never zero. Below zero while something is taken away that is not added yet.
    #[prost(int64, repeated, tag = "6")]
    counts: Vec<i64>,
}

/// What a sketch says to people and programs, in microseconds; `None`: there are no latencies.
#[derive(serde::Serialize)]
struct Summary {
    count: i64,
    sum_micros: i64,
    min_micros: Option<i64>,
    p50_micros: Option<i64>,
    p95_micros: Option<i64>,
    p99_micros: Option<i64>,
    max_micros: Option<i64>,
}

impl serde::Serialize for Sketch {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let summary = Summary {
            count: self.count,
            sum_micros: self.sum_micros,
            min_micros: self.min(),
            p50_micros: self.percentile(50),
            p95_micros: self.percentile(95),
            p99_micros: self.percentile(99),
            max_micros: self.max(),
        };
        summary.serialize(serializer)
    }
}

/// The bin of the largest 64-bit number.
const BIN_LAST: u32 = 57 * 64 + 127;

impl Sketch {
    /// Adds one latency.
    pub fn add(&mut self, micros: i64) {
        self.count = self.count.saturating_add(1);
        self.sum_micros = self.sum_micros.saturating_add(micros);
        self.extend(Some(micros), Some(micros));
        self.shift_bin(bin(micros), 1);
    }

    /// Takes one latency away that was added, or will be.
    pub fn take(&mut self, micros: i64) {
        self.count = self.count.saturating_sub(1);
        self.sum_micros = self.sum_micros.saturating_sub(micros);
        self.shift_bin(bin(micros), -1);
    }

    /// Adds all that another has.
    pub fn merge(&mut self, other: &Self) {
        self.count = self.count.saturating_add(other.count);
        self.sum_micros = self.sum_micros.saturating_add(other.sum_micros);
        self.extend(other.min_micros, other.max_micros);
        if self.bins.is_empty() {
            self.bins.clone_from(&other.bins);
            self.counts.clone_from(&other.counts);
            return;
        }
        // Both are in order, and after a few merges the one has most bins of the other.
        let mut place = 0;
        for (bin, count) in other.bins.iter().zip(&other.counts) {
            while self.bins.get(place).is_some_and(|here| here < bin) {
                place += 1;
            }
            match self.counts.get_mut(place) {
                Some(sum) if self.bins[place] == *bin && sum.saturating_add(*count) != 0 => {
                    *sum = sum.saturating_add(*count);
                }
                _ => self.shift_bin(*bin, *count),
            }
        }
    }

    /// Writes it as the message that it is.
    pub fn write(&self, wire: &mut Wire) {
        wire.number(1, self.count);
        wire.number(2, self.sum_micros);
        wire.optional_number(3, self.min_micros);
        wire.optional_number(4, self.max_micros);
        wire.packed(5, self.bins.iter().map(|bin| u64::from(*bin)));
        wire.packed(6, self.counts.iter().map(|count| count.cast_unsigned()));
    }

    /// The shortest; where some were taken away, within one percent. `None`: there are none.
    #[must_use]
    pub fn min(&self) -> Option<i64> {
        let (low, _) = bounds(*self.bins.first()?);
        self.min_micros.map(|min| min.max(low))
    }

    /// The longest, likewise.
    #[must_use]
    pub fn max(&self) -> Option<i64> {
        let (low, width) = bounds(*self.bins.last()?);
        self.max_micros.map(|max| max.min(low.saturating_add(width - 1)))
    }

    /// The smallest latency that at least `percent` of all do not exceed, within one percent. `None`: there are none.
    #[must_use]
    pub fn percentile(&self, percent: u8) -> Option<i64> {
        let (min, max) = (self.min()?, self.max()?);
        // In whole numbers of latencies, rounded up; in 128 bits, so that no count is too large.
        let rank = (i128::from(self.count) * i128::from(percent) + 99) / 100;
        let mut passed = 0;
        let found = self.bins.iter().zip(&self.counts).find(|(_, count)| {
            passed += i128::from(**count);
            passed >= rank
        });
        let Some((bin, _)) = found else { return Some(max) };
        let (low, width) = bounds(*bin);
        Some(low.saturating_add(width / 2).clamp(min, max.max(min)))
    }

    /// Whether it could have come from here: what was read from a disk may be anything.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        self.bins.len() == self.counts.len()
            && self.bins.windows(2).all(|pair| pair[0] < pair[1])
            && self.bins.last().is_none_or(|bin| *bin <= BIN_LAST)
    }

    fn extend(&mut self, min: Option<i64>, max: Option<i64>) {
        self.min_micros = match (self.min_micros, min) {
            (Some(one), Some(other)) => Some(one.min(other)),
            (one, other) => one.or(other),
        };
        // `None` is less than every number.
        self.max_micros = self.max_micros.max(max);
    }

    fn shift_bin(&mut self, bin: u32, by: i64) {
        match self.bins.binary_search(&bin) {
            Ok(place) => {
                let count = self.counts[place].saturating_add(by);
                self.counts[place] = count;
                if count == 0 {
                    self.bins.remove(place);
                    self.counts.remove(place);
                }
            }
            Err(place) => {
                self.bins.insert(place, bin);
                self.counts.insert(place, by);
            }
        }
    }
}

fn bin(micros: i64) -> u32 {
    let value = u64::try_from(micros).unwrap_or(0);
    let shift = (63 - (value | 1).leading_zeros()).saturating_sub(6);
    u32::try_from(u64::from(shift * 64) + (value >> shift)).unwrap_or(BIN_LAST)
}

/// A bin's first value and its width.
fn bounds(bin: u32) -> (i64, i64) {
    if bin < 128 {
        return (i64::from(bin), 1);
    }
    let shift = bin / 64 - 1;
    let low = i64::from(bin - shift * 64).checked_shl(shift).unwrap_or(i64::MAX);
    (low, 1_i64.checked_shl(shift).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of(latencies: &[i64]) -> Sketch {
        let mut sketch = Sketch::default();
        for latency in latencies {
            sketch.add(*latency);
        }
        sketch
    }

    #[test]
    fn bins_follow_one_another_and_hold_what_is_in_them() {
        for number in 0..BIN_LAST {
            let (low, width) = bounds(number);
            if low.checked_add(width).is_none() {
                break;
            }
            assert_eq!((bin(low), bin(low + width - 1), bin(low + width)), (number, number, number + 1));
        }
        assert_eq!(bin(-5), 0);
    }

    #[test]
    fn nothing_has_no_percentiles() {
        let empty = Sketch::default();
        assert_eq!((empty.min(), empty.max(), empty.percentile(50)), (None, None, None));
        let mut emptied = of(&[500]);
        emptied.take(500);
        assert_eq!(
            (emptied.count, emptied.min(), emptied.max(), emptied.percentile(99)),
            (0, None, None, None)
        );
    }

    #[test]
    fn unsound_bytes_are_told_from_sound_ones() {
        assert!(of(&[1, 90_000, 3]).is_sound());
        let broken =
            |bins: Vec<u32>, counts: Vec<i64>| Sketch { bins, counts, ..Sketch::default() }.is_sound();
        assert!(!broken(vec![1, 2], vec![1]));
        assert!(!broken(vec![2, 1], vec![1, 1]));
        assert!(!broken(vec![BIN_LAST + 1], vec![1]));
    }

    proptest! {
        #[test]
        fn percentiles_are_within_one_percent(mut latencies in prop::collection::vec(0_i64..90_000_000_000, 1..200)) {
            let sketch = of(&latencies);
            latencies.sort_unstable();
            for percent in [1_u8, 50, 90, 95, 99, 100] {
                let rank = (latencies.len() * usize::from(percent)).div_ceil(100);
                let exact = latencies[rank - 1];
                let found = sketch.percentile(percent).unwrap();
                prop_assert!((found - exact).abs() * 100 <= exact, "{percent}: {found} for {exact}");
            }
            prop_assert_eq!(sketch.min(), latencies.first().copied());
            prop_assert_eq!(sketch.max(), latencies.last().copied());
            prop_assert_eq!(sketch.sum_micros, latencies.iter().sum::<i64>());
        }

        #[test]
        fn merged_sketches_are_as_one_that_has_seen_all(
            parts in prop::collection::vec(prop::collection::vec(0_i64..3_000, 0..60), 0..6),
        ) {
            let mut merged = Sketch::default();
            for part in &parts {
                merged.merge(&of(part));
            }
            prop_assert_eq!(merged, of(&parts.concat()));
        }

        #[test]
        fn what_is_taken_away_leaves_the_rest(
            kept in prop::collection::vec(0_i64..10_000_000, 1..50),
            taken in prop::collection::vec(0_i64..10_000_000, 0..50),
        ) {
            let mut sketch = Sketch::default();
            for latency in &taken {
                sketch.take(*latency);
            }
            sketch.merge(&of(&kept));
            sketch.merge(&of(&taken));
            let plain = of(&kept);
            prop_assert_eq!(&sketch.bins, &plain.bins);
            prop_assert_eq!(&sketch.counts, &plain.counts);
            prop_assert_eq!((sketch.count, sketch.sum_micros), (plain.count, plain.sum_micros));
            let (exact, found) = (plain.max().unwrap(), sketch.max().unwrap());
            prop_assert!((found - exact) * 100 <= exact * 2);
        }
    }
}

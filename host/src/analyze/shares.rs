//! Blocked time, split equally among the sources active at each instant.

/// Fractions of a nanosecond in a share, in bits.
const FRACTION: u32 = 32;

/// ∫ 1/n dt over blocked time, n being the number of sources active, in 2⁻³² ns. The
/// remainder of a division is carried into the next, so all shares together are the time itself:
/// nothing is rounded before the end.
#[derive(Clone, Copy, Debug, Default)]
pub struct Shares {
    sum: u128,
    carry: u64,
    /// The time split.
    pub split_ns: u64,
    /// The time in which no source was known to be active.
    pub nobody_ns: u64,
}

impl Shares {
    /// Blocked time goes by, with `n` sources active.
    pub fn advance(&mut self, ns: u64, n: u32) {
        if n == 0 {
            self.nobody_ns += ns;
            return;
        }
        let n = u64::from(n);
        self.split_ns += ns;
        // The remainder is less than n, and so is the carry: far from 64 bits.
        let parts = ((ns % n) << FRACTION) + self.carry;
        self.sum += (u128::from(ns / n) << FRACTION) + u128::from(parts / n);
        self.carry = parts % n;
    }

    /// Takes in other time, whose shares the accounts take in as well.
    pub fn join(&mut self, other: &Self) {
        self.split_ns += other.split_ns;
        self.nobody_ns += other.nobody_ns;
        self.carry += other.carry;
    }
}

/// A source's part in them.
#[derive(Clone, Copy, Debug, Default)]
pub struct Account {
    /// In 2⁻³² ns.
    pub share: u128,
    /// The integral when that was settled last.
    mark: u128,
    /// Time as the only one.
    pub sole_ns: u64,
}

impl Account {
    /// Up to now the source was active `count` times.
    pub fn settle(&mut self, shares: &Shares, count: u32) {
        if count > 0 {
            self.share += (shares.sum - self.mark) * u128::from(count);
        }
        self.mark = shares.sum;
    }

    /// The share, which by the remainders of divisions may be short of the time as the only one.
    pub fn at_least_sole(&self) -> u128 {
        self.share.max(exact(self.sole_ns))
    }
}

/// Nanoseconds as a share.
pub fn exact(ns: u64) -> u128 {
    u128::from(ns) << FRACTION
}

/// The whole nanoseconds of a share in 2⁻³² ns.
pub fn whole_ns(share: u128) -> u64 {
    (share >> FRACTION) as u64
}

/// Rounds shares so that they sum to `split_ns`: what their fractions come to goes to the largest of
/// those, a nanosecond each; of equals to the first. Returns what is left.
pub fn round(shares: &[u128], split_ns: u64) -> (Vec<u64>, u64) {
    let mut rounded: Vec<u64> = shares.iter().map(|share| whole_ns(*share)).collect();
    let mut left = split_ns.saturating_sub(rounded.iter().sum());
    let fraction = |place: &usize| shares[*place] as u32;
    let mut largest: Vec<usize> = (0..shares.len()).filter(|place| fraction(place) > 0).collect();
    largest.sort_by_key(|place| u32::MAX - fraction(place));
    for place in largest {
        if left > 0 {
            rounded[place] += 1;
            left -= 1;
        }
    }
    (rounded, left)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_add_up_to_the_time_split() {
        let mut shares = Shares::default();
        let mut accounts = [Account::default(); 7];
        // One nanosecond after the other, among ever other numbers of sources.
        for step in 0..10_000u32 {
            let n = step % 7 + 1;
            shares.advance(1, n);
            for (nth, account) in (0..).zip(&mut accounts) {
                account.settle(&shares, u32::from(nth < n));
            }
        }
        let all: u128 = accounts.iter().map(|account| account.share).sum();
        assert_eq!(all + u128::from(shares.carry), 10_000 << FRACTION);
        let (rounded, left) = round(&accounts.map(|account| account.share), shares.split_ns);
        assert_eq!((rounded.iter().sum::<u64>(), left), (10_000, 0));
        // The last is one of seven in each seventh step.
        assert_eq!(rounded[6], 10_000 / 49);
    }

    #[test]
    fn the_largest_fraction_is_rounded_up() {
        let third = (1u128 << FRACTION) / 3;
        assert_eq!(round(&[third, 2 * third, 5 << FRACTION], 6), (vec![0, 1, 5], 0));
        assert_eq!(round(&[third, third, third], 1), (vec![1, 0, 0], 0));
        assert_eq!(round(&[], 0), (vec![], 0));
    }
}

//! What an answer from the cache costs: a part of what it cost when it was made.

use crate::limit::Demand;

/// Of what a cost is a part, so that the arithmetic stays in whole numbers.
const WHOLE: u64 = 10_000;

/// The part of an answer's tokens and price that a hit is charged with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HitCost(u64);

impl HitCost {
    /// Hits are free.
    pub const NOTHING: Self = Self(0);
    /// A hit costs what the answer did.
    pub const FULL: Self = Self(WHOLE);

    /// Reads `0`, `full`, `25%` or `0.25`.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim();
        if text == "full" {
            return Ok(Self::FULL);
        }
        let (digits, whole) = text.strip_suffix('%').map_or((text, 1.0), |digits| (digits.trim_end(), 100.0));
        let part = digits.parse::<f64>().ok().map(|number| number / whole).filter(|part| (0.0..=1.0).contains(part));
        let part = part.ok_or_else(|| format!("`{text}` is no part; write 0, full, or a part such as 25% or 0.25"))?;
        // The smallest part there is, rather than nothing.
        let least = f64::from(u8::from(part > 0.0));
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to 10,000")]
        Ok(Self((part * 10_000.0).round().max(least) as u64))
    }

    /// Whether hits are free.
    pub fn is_nothing(self) -> bool {
        self == Self::NOTHING
    }

    /// This part of what an answer took, rounded up.
    pub fn of(self, made: &Demand) -> Demand {
        let part = |amount: u64| {
            let product = u128::from(amount) * u128::from(self.0);
            u64::try_from(product.div_ceil(u128::from(WHOLE))).unwrap_or(u64::MAX)
        };
        Demand { input: part(made.input), output: part(made.output), cost_micros: part(made.cost_micros) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_read_and_rounded_up() {
        let made = Demand { input: 100, output: 7, cost_micros: 999 };
        let of = |text| HitCost::parse(text).map(|cost| cost.of(&made)).map(|d| (d.input, d.output, d.cost_micros));
        assert_eq!(of("0"), Ok((0, 0, 0)));
        assert_eq!(of("full"), Ok((100, 7, 999)));
        assert_eq!((of("25%"), of("0.25")), (Ok((25, 2, 250)), Ok((25, 2, 250))));
        assert_eq!(of("0.001%"), Ok((1, 1, 1)), "a part is never nothing");
        assert_eq!((of("100 %"), of("1")), (of("full"), of("full")));
        assert_eq!(of("7%"), Ok((7, 1, 70)), "no error of a binary fraction");
        for bad in ["", "half", "101%", "-1", "2", "NaN", "inf%"] {
            assert!(HitCost::parse(bad).unwrap_err().contains("full"), "{bad}");
        }
        assert!(HitCost::parse("0%").unwrap().is_nothing() && !HitCost::FULL.is_nothing());
        let most = Demand { input: u64::MAX, output: 0, cost_micros: 0 };
        assert_eq!(HitCost::FULL.of(&most), most);
    }
}

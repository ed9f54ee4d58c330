//! Amounts as people write them: `100k`, `1.5M`, `60`, `$0.25`.

/// An amount, exact.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Amount {
    /// A count of something.
    Count(u64),
    /// Micro-dollars.
    Dollars(u64),
}

/// Parses a count such as `100k`; the error says what is allowed.
pub fn count(text: &str) -> Result<u64, String> {
    match parse(text)? {
        Amount::Count(count) => Ok(count),
        Amount::Dollars(_) => Err(format!("`{text}` is money; a count is meant here")),
    }
}

/// Parses an amount; the error says what is allowed.
pub(crate) fn parse(text: &str) -> Result<Amount, String> {
    let wrong = || format!("`{text}` is not an amount; write 60, 100k, 1.5M, 2B or $50");
    let (dollars, digits) = match text.strip_prefix('$') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let (digits, scale) = match digits.char_indices().last() {
        Some((at, 'k' | 'K')) => (digits.get(..at), 1_000u64),
        Some((at, 'M')) => (digits.get(..at), 1_000_000),
        Some((at, 'B' | 'G')) => (digits.get(..at), 1_000_000_000),
        _ => (Some(digits), 1),
    };
    let scale = if dollars { scale.saturating_mul(1_000_000) } else { scale };
    let value = scaled(digits.unwrap_or(""), scale).ok_or_else(wrong)?;
    if value == 0 {
        return Err(format!("`{text}` is zero; to allow nothing, remove the key"));
    }
    Ok(if dollars { Amount::Dollars(value) } else { Amount::Count(value) })
}

/// A decimal number times `scale`, if the product is whole.
fn scaled(digits: &str, scale: u64) -> Option<u64> {
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let all_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || !all_digits(whole) || !all_digits(fraction) || fraction.len() > 12 {
        return None;
    }
    let whole = whole.parse::<u64>().ok()?.checked_mul(scale)?;
    if fraction.is_empty() {
        return Some(whole);
    }
    let unit = 10u64.checked_pow(u32::try_from(fraction.len()).ok()?)?;
    let part = fraction.parse::<u64>().ok()?.checked_mul(scale)?;
    (part % unit == 0).then(|| whole.checked_add(part / unit))?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_exact() {
        assert_eq!(parse("100k"), Ok(Amount::Count(100_000)));
        assert_eq!(parse("1.5M"), Ok(Amount::Count(1_500_000)));
        assert_eq!(parse("$0.25"), Ok(Amount::Dollars(250_000)));
        assert_eq!(parse("$1.5k"), Ok(Amount::Dollars(1_500_000_000)));
        for bad in ["", "k", "1.5", "-1", "1e3", "$", "0", "99999999999999999999", "1,000", "½"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}

//! Patterns of names where `*` stands for any run of characters.

/// A compiled pattern; matching is linear in the text and does not allocate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Glob(String);

impl Glob {
    /// Every string is a valid pattern.
    pub fn new(pattern: impl Into<String>) -> Self {
        Self(pattern.into())
    }

    /// Whether the whole of `text` matches.
    pub fn matches(&self, text: &str) -> bool {
        let (pattern, text) = (self.0.as_bytes(), text.as_bytes());
        let (mut p, mut t) = (0, 0);
        // Where to resume after a star: the star's position, and how much text it has eaten.
        let mut resume: Option<(usize, usize)> = None;
        while t < text.len() {
            if pattern.get(p) == Some(&b'*') {
                resume = Some((p, t));
                p += 1;
            } else if pattern.get(p) == text.get(t) {
                p += 1;
                t += 1;
            } else if let Some((star, eaten)) = resume {
                resume = Some((star, eaten + 1));
                p = star + 1;
                t = eaten + 1;
            } else {
                return false;
            }
        }
        pattern.get(p..).unwrap_or_default().iter().all(|byte| *byte == b'*')
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stars_match_any_run() {
        let matches = |pattern: &str, text| Glob::new(pattern).matches(text);
        assert!(matches("gpt-4o*", "gpt-4o-mini") && matches("gpt-4o*", "gpt-4o"));
        assert!(!matches("gpt-4o*", "gpt-4"));
        assert!(matches("*", "") && matches("a*b*c", "axxbyybzc") && !matches("a*b*c", "axxbyyb"));
        assert!(matches("*mini", "gpt-4o-mini") && !matches("", "x"));
    }
}

//! What a Gemini model can do, by the version in its name.

/// Major and minor version. Names without one count as the newest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Generation(u32, u32);

impl Generation {
    /// The version in names such as `gemini-2.5-flash-lite` and `gemini-3-pro-preview`.
    pub(super) fn of(model: &str) -> Self {
        let tail = model.split_once("gemini-").map_or("", |(_, tail)| tail);
        let version = tail.split('-').next().unwrap_or_default();
        let (major, minor) = version.split_once('.').unwrap_or((version, "0"));
        match major.parse() {
            Ok(major) => Self(major, minor.parse().unwrap_or(0)),
            Err(_) => Self(u32::MAX, 0),
        }
    }

    /// Thoughts are bounded by a number of tokens.
    pub(super) fn budgets(self) -> bool {
        self >= Self(2, 5) && self < Self(3, 0)
    }

    /// Thoughts are bounded by a level, and calls of tools must come back sealed.
    pub(super) fn levels(self) -> bool {
        self >= Self(3, 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_found_in_names() {
        assert_eq!(Generation::of("gemini-2.5-flash-lite"), Generation(2, 5));
        assert_eq!(Generation::of("gemini-3-pro-preview"), Generation(3, 0));
        assert_eq!(Generation::of("gemini-1.5-pro-002"), Generation(1, 5));
        assert!(Generation::of("gemini-flash-latest").levels());
    }
}

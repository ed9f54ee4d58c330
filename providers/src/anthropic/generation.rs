//! What a Claude model can do, by its name: names carry the version, in whatever dress a platform
//! gives them.

/// Major and minor version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Generation(u32, u32);

impl Generation {
    /// The version in names such as `claude-sonnet-4-5-20250929`, `claude-3-5-haiku@20241022` and
    /// `us.anthropic.claude-opus-4-1-20250805-v1:0`. Names without one count as the newest: they
    /// are aliases, or models yet unknown.
    pub(crate) fn of(model: &str) -> Self {
        let tail = model.split_once("claude").map_or(model, |(_, tail)| tail);
        let mut words = tail.split(|c: char| !c.is_ascii_alphanumeric());
        let number = |word: &str| word.parse::<u32>().ok().filter(|_| word.len() <= 2);
        let Some(major) = words.by_ref().find_map(number) else { return Self(u32::MAX, 0) };
        Self(major, words.next().and_then(number).unwrap_or(0))
    }

    /// Thinking takes no budget but decides for itself, guided by an effort.
    pub(crate) fn adaptive(self) -> bool {
        self >= Self(4, 6)
    }

    /// A budget of thinking is refused.
    pub(crate) fn only_adaptive(self) -> bool {
        self >= Self(4, 7)
    }

    /// Answers and arguments can be held to a schema.
    pub(crate) fn schemas(self) -> bool {
        self >= Self(4, 1)
    }

    /// The same over Bedrock's Converse.
    pub(crate) fn schemas_on_bedrock(self) -> bool {
        self >= Self(4, 5)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_found_in_names() {
        for (name, generation) in [
            ("claude-3-opus-20240229", Generation(3, 0)),
            ("claude-3-5-sonnet-latest", Generation(3, 5)),
            ("claude-3-7-sonnet@20250219", Generation(3, 7)),
            ("claude-opus-4-20250514", Generation(4, 0)),
            ("us.anthropic.claude-opus-4-1-20250805-v1:0", Generation(4, 1)),
            ("claude-sonnet-4-5@20250929", Generation(4, 5)),
            ("claude-opus-4-7", Generation(4, 7)),
            ("claude-sonnet-5", Generation(5, 0)),
        ] {
            assert_eq!(Generation::of(name), generation, "{name}");
        }
        assert!(Generation::of("claude-latest").only_adaptive());
    }
}

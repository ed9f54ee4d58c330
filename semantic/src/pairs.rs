//! Reads files of pairs.

use std::fs;
use std::path::Path;

/// Two prompts, and whether one's answer may be given to the other.
#[derive(Debug, PartialEq)]
pub(crate) struct Pair {
    pub(crate) category: String,
    pub(crate) same: bool,
    pub(crate) a: String,
    pub(crate) b: String,
}

/// A file that is no list of pairs.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PairsError {
    #[error("{file}: {source}")]
    Read { file: String, source: std::io::Error },
    #[error("{file}, line {line}: {what}")]
    Line { file: String, line: usize, what: &'static str },
}

pub(crate) fn read(path: &Path) -> Result<Vec<Pair>, PairsError> {
    let file = path.display().to_string();
    let text = fs::read_to_string(path).map_err(|source| PairsError::Read { file: file.clone(), source })?;
    let pair = |(at, line)| pair(line).map_err(|what| PairsError::Line { file: file.clone(), line: at + 1, what });
    text.lines().enumerate().skip(1).filter(|(_, line)| !line.is_empty()).map(pair).collect()
}

fn pair(line: &str) -> Result<Pair, &'static str> {
    let columns: Vec<&str> = line.split('\t').collect();
    let [_, category, label, a, b] = columns.as_slice() else {
        return Err("a line has five columns: set, category, label, one prompt, the other");
    };
    let same = match *label {
        "1" => true,
        "0" => false,
        _ => return Err("the label is 0 or 1"),
    };
    Ok(Pair { category: (*category).to_owned(), same, a: unescaped(a), b: unescaped(b) })
}

fn unescaped(text: &str) -> String {
    text.replace("\\n", "\n").replace("\\\\", "\\")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_a_pair_or_says_what_is_wrong() {
        let expected = Pair { category: "unit".into(), same: true, a: "a\nb".into(), b: "c\\d".into() };
        assert_eq!(pair("hard\tunit\t1\ta\\nb\tc\\\\d"), Ok(expected));
        assert!(pair("hard\tunit\tyes\ta\tb").unwrap_err().contains("label"));
        assert!(pair("hard\tunit\t1\ta").unwrap_err().contains("five"));
    }
}

//! Golden files: the input, a line of dashes, the expected output.

use std::fs;
use std::path::{Path, PathBuf};

const DASHES: &str = "\n-----\n";

pub(crate) struct Golden {
    pub(crate) path: PathBuf,
    pub(crate) input: String,
    expected: String,
}

impl Golden {
    /// The name of the case.
    pub(crate) fn name(&self) -> String {
        self.path.file_stem().unwrap().to_string_lossy().into_owned()
    }

    /// The folder the case is in.
    pub(crate) fn folder(&self) -> String {
        self.path.parent().unwrap().file_name().unwrap().to_string_lossy().into_owned()
    }
}

/// All goldens below a folder of `testdata`, in order.
pub(crate) fn goldens(folder: &str) -> Vec<Golden> {
    let mut found = Vec::new();
    collect(&Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata").join(folder), &mut found);
    found.sort();
    assert!(!found.is_empty(), "no goldens in {folder}");
    found.into_iter().map(read).collect()
}

fn collect(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, found);
        } else {
            found.push(path);
        }
    }
}

fn read(path: PathBuf) -> Golden {
    let text = fs::read_to_string(&path).unwrap();
    let (input, expected) = text.split_once(DASHES).unwrap_or((&text, ""));
    Golden { input: input.to_owned(), expected: expected.to_owned(), path }
}

/// Compares all, or updates them; fails once with every difference.
pub(crate) fn check(outputs: Vec<(Golden, String)>) {
    let update = std::env::var_os("UPDATE_GOLDENS").is_some();
    let mut wrong = Vec::new();
    for (golden, output) in outputs {
        if output == golden.expected {
            continue;
        }
        if update {
            fs::write(&golden.path, format!("{}{DASHES}{output}", golden.input)).unwrap();
        } else {
            let differs = golden.expected.lines().zip(output.lines()).find(|(expected, found)| expected != found);
            let (expected, found) = differs.unwrap_or(("(a longer or shorter file)", ""));
            wrong.push(format!("{}:\n  expected {expected}\n  found    {found}", golden.path.display()));
        }
    }
    assert!(
        wrong.is_empty(),
        "{} goldens differ (UPDATE_GOLDENS=1 takes what was found):\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}

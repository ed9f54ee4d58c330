//! Reads the tree for the house rules: sources, who names which path, what a manifest depends on.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

pub(crate) struct Source {
    /// Relative to the root of the workspace, with forward slashes.
    pub(crate) path: String,
    pub(crate) text: String,
}

impl Source {
    /// The text before the tests at the end of the file, without comments.
    pub(crate) fn code(&self) -> String {
        let lines: Vec<&str> = self.text.lines().take(self.code_lines()).collect();
        lines.iter().filter(|line| !line.trim_start().starts_with("//")).copied().collect::<Vec<_>>().join("\n")
    }

    pub(crate) fn code_lines(&self) -> usize {
        let lines: Vec<&str> = self.text.lines().collect();
        let tests = lines.windows(2).position(|pair| pair[0] == "#[cfg(test)]" && pair[1].starts_with("mod "));
        tests.unwrap_or(lines.len())
    }

    pub(crate) fn is_test(&self) -> bool {
        self.path.ends_with("/tests.rs") || self.path.contains("/tests/") || self.path.starts_with("tests/")
    }

    /// The path inside `src/` of the root package.
    pub(crate) fn inside_src(&self) -> Option<&str> {
        self.path.strip_prefix("src/")
    }

    /// The top module of the root package this file belongs to; none for `lib.rs`.
    pub(crate) fn module(&self) -> Option<&str> {
        let inside = self.inside_src()?;
        let module = inside.split('/').next()?.trim_end_matches(".rs");
        (module != "lib").then_some(module)
    }
}

pub(crate) fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

pub(crate) fn sources() -> Vec<Source> {
    let mut found = Vec::new();
    walk(&root(), &mut found);
    assert!(found.len() > 5, "the walk over the tree found next to nothing");
    found
}

fn walk(folder: &Path, found: &mut Vec<Source>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        if path.is_dir() {
            if !name.starts_with('.') && name != "target" {
                walk(&path, found);
            }
        } else if path.extension().is_some_and(|ext| ext == "rs") {
            let relative = path.strip_prefix(root()).unwrap().to_str().unwrap().replace('\\', "/");
            found.push(Source { path: relative, text: fs::read_to_string(&path).unwrap() });
        }
    }
}

/// Every path that starts with `head::`, as written or spelled out of a `use head::{...}` list, two segments deep.
pub(crate) fn paths_of(code: &str, head: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let start = format!("{head}::");
    for (at, _) in code.match_indices(&start) {
        let before = code[..at].chars().next_back();
        if before.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == ':') {
            continue;
        }
        let rest = &code[at + start.len()..];
        match rest.strip_prefix('{') {
            Some(list) => found.extend(first_segments(list)),
            None => found.extend(identifier(rest)),
        }
    }
    found
}

fn identifier(text: &str) -> Option<String> {
    let name: String = text.trim_start().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
    (!name.is_empty()).then_some(name)
}

/// The first segment of each item of a `{...}` list; `list` starts after the opening brace.
fn first_segments(list: &str) -> Vec<String> {
    let mut segments = Vec::new();
    let mut depth = 0;
    let mut begins = true;
    for (at, c) in list.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => begins = true,
            c if begins && !c.is_whitespace() => {
                segments.extend(identifier(&list[at..]));
                begins = false;
            }
            _ => {}
        }
    }
    segments
}

pub(crate) fn names(code: &str, library: &str) -> bool {
    match library.split_once("::") {
        Some((head, segment)) => paths_of(code, head).contains(segment),
        None => !paths_of(code, library).is_empty(),
    }
}

/// The names in the dependency tables of a manifest.
pub(crate) fn dependencies(manifest: &str) -> Vec<String> {
    let mut inside = false;
    let mut names = Vec::new();
    for line in manifest.lines().map(str::trim) {
        if line.starts_with('[') {
            inside = line.trim_end_matches(']').ends_with("dependencies");
        } else if inside && !line.starts_with('#') {
            names.extend(line.split(['.', '=', ' ']).next().filter(|name| !name.is_empty()).map(str::to_owned));
        }
    }
    names
}

#[test]
fn the_checks_see_what_they_look_for() {
    let code = "use hyper_util::{\n    rt::TokioIo,\n    server::conn::auto,\n};\nuse crate::{app::App, config::{Config, Live}};\nfn f(x: crate::state::Store, y: my_crate::drive::X) {}";
    assert!(names(code, "hyper_util::server"));
    assert!(!names(code, "hyper_util::client"));
    assert!(!names(code, "hyper::server"));
    let used: Vec<String> = paths_of(code, "crate").into_iter().collect();
    assert_eq!(used, ["app", "config", "state"]);
    let manifest =
        "[package]\nname = \"x\"\n[dependencies]\nbytes.workspace = true\n# tokio\n[dev-dependencies]\ntokio = \"1\"\n";
    assert_eq!(dependencies(manifest), ["bytes", "tokio"]);
}

//! Reads config and policy files from disk, and reports every error of all of them at once.

use std::fmt;
use std::path::{Path, PathBuf};

use sluice_policies::{PolicyError, PolicyFile, PolicySet};

use super::compile::Compiler;
use super::model::Config;
use super::raw::{RawConfig, RawPaths};

/// Every error of a config and its policy files, one a line:
/// `sluice.yaml:3:14: providers.openai.api_key: environment variable OPENAI_API_KEY is not set`.
#[derive(Debug)]
pub struct ConfigErrors(pub Vec<PolicyError>);

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, error) in self.0.iter().enumerate() {
            let newline = if index == 0 { "" } else { "\n" };
            write!(f, "{newline}{error}")?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigErrors {}

/// Loads the config at `path` with its policies. Reads files: not for the I/O threads under load.
pub fn load(path: &Path, generation: u64) -> Result<Config, ConfigErrors> {
    let name = file_name(path);
    let text = std::fs::read_to_string(path).map_err(|error| {
        ConfigErrors(vec![whole_file(&path.display().to_string(), format!("cannot read it: {error}"))])
    })?;
    let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut config = from_str(&name, &text, dir, &[], generation)?;
    config.sources.push(path.to_path_buf());
    Ok(config)
}

/// Compiles a config from text; relative paths in it start at `dir`. Policies are taken from
/// `given` if there are any, else from where the config says.
pub fn from_str(
    name: &str,
    text: &str,
    dir: &Path,
    given: &[PolicyFile],
    generation: u64,
) -> Result<Config, ConfigErrors> {
    let raw: RawConfig = serde_saphyr::from_str(text).map_err(|error| {
        let at = error.location();
        let message = error.without_snippet().to_string();
        ConfigErrors(vec![PolicyError {
            file: name.to_owned(),
            line: at.as_ref().map_or(0, serde_saphyr::Location::line),
            column: at.as_ref().map_or(0, serde_saphyr::Location::column),
            path: String::new(),
            message: message.lines().next().unwrap_or_default().to_owned(),
        }])
    })?;
    let mut compiler = Compiler::new(name, dir);
    let mut sources = Vec::new();
    let files = if given.is_empty() { policies(&raw, dir, &mut compiler, &mut sources) } else { given.to_vec() };
    let set = match PolicySet::compile(&files) {
        Ok(set) => set,
        Err(errors) => {
            compiler.errors.extend(errors);
            PolicySet::default()
        }
    };
    let texts = std::iter::once(text).chain(files.iter().map(|file| file.text.as_str()));
    texts.for_each(|text| compiler.fingerprint(text));
    compiler.config(&raw, set, sources, generation).map_err(ConfigErrors)
}

/// The JSON Schema of the config file.
pub fn schema() -> schemars::Schema {
    schemars::schema_for!(RawConfig)
}

/// Reads the policy files a config names.
fn policies(raw: &RawConfig, dir: &Path, compiler: &mut Compiler, sources: &mut Vec<PathBuf>) -> Vec<PolicyFile> {
    let Some(spanned) = &raw.policies else {
        compiler.error(None, "policies", "no policies: without keys every request would be refused".to_owned());
        return Vec::new();
    };
    let paths = match &spanned.value {
        RawPaths::One(path) => std::slice::from_ref(path),
        RawPaths::Many(paths) => paths.as_slice(),
    };
    let mut files = Vec::new();
    for path in paths {
        let path = dir.join(path);
        sources.push(path.clone());
        match expand(&path) {
            Ok(found) if found.is_empty() => {
                let message = format!("the folder {} holds no *.yaml", path.display());
                compiler.error(Some(&spanned.referenced), "policies", message);
            }
            Ok(found) => files.extend(found),
            Err((path, error)) => {
                let message = format!("cannot read {}: {error}", path.display());
                compiler.error(Some(&spanned.referenced), "policies", message);
            }
        }
    }
    files
}

/// The file at `path`, or the `*.yaml` of the folder at `path` in the order of their names.
fn expand(path: &Path) -> Result<Vec<PolicyFile>, (PathBuf, std::io::Error)> {
    let at = |path: &Path| {
        let path = path.to_path_buf();
        move |error| (path, error)
    };
    let mut paths = vec![path.to_path_buf()];
    if path.is_dir() {
        paths.clear();
        for entry in std::fs::read_dir(path).map_err(at(path))? {
            let file = entry.map_err(at(path))?.path();
            let yaml = file.extension().is_some_and(|extension| extension == "yaml" || extension == "yml");
            if yaml && file.is_file() {
                paths.push(file);
            }
        }
        paths.sort();
    }
    let read = |path: &PathBuf| {
        let text = std::fs::read_to_string(path).map_err(at(path))?;
        Ok(PolicyFile { name: file_name(path), text })
    };
    paths.iter().map(read).collect()
}

fn file_name(path: &Path) -> String {
    path.file_name().map_or_else(|| path.display().to_string(), |name| name.to_string_lossy().into_owned())
}

fn whole_file(name: &str, message: String) -> PolicyError {
    PolicyError { file: name.to_owned(), line: 0, column: 0, path: String::new(), message }
}

#[cfg(test)]
mod tests;

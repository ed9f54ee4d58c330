//! Variables and files that credentials are found in; a seam, so that tests need not change the
//! process's own.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

/// Where variables come from.
#[derive(Clone, Debug)]
pub(super) enum Environment {
    /// The process.
    Process,
    /// A test.
    #[cfg_attr(not(test), expect(dead_code, reason = "tests bring their own variables"))]
    Given(Arc<HashMap<String, String>>),
}

impl Environment {
    /// A variable, if it is set and not empty.
    pub(super) fn var(&self, name: &str) -> Option<String> {
        let value = match self {
            Self::Process => std::env::var(name).ok(),
            Self::Given(all) => all.get(name).cloned(),
        };
        value.filter(|value| !value.is_empty())
    }

    /// A path below the home directory.
    pub(super) fn home(&self, path: &str) -> Option<PathBuf> {
        Some(PathBuf::from(self.var("HOME")?).join(path))
    }

    /// The file, or `None` if there is none. The error names the path.
    pub(super) async fn read(&self, path: PathBuf) -> Result<Option<String>, String> {
        match tokio::fs::read_to_string(&path).await {
            Ok(text) => Ok(Some(text)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(format!("cannot read {}: {error}", path.display())),
        }
    }

    /// The file; the error says that it must be there.
    pub(super) async fn must_read(&self, path: &str) -> Result<String, String> {
        let found = self.read(PathBuf::from(path)).await?;
        found.ok_or_else(|| format!("the file {path} does not exist"))
    }
}

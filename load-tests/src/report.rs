//! Progress on stderr and one table on stdout.

use std::fmt::Write as _;
use std::io::{self, Write as _};

use crate::Failure;

/// One line on stderr.
pub(crate) fn progress(line: &str) {
    // With stderr closed nobody follows.
    drop(writeln!(io::stderr(), "{line}"));
}

/// Rows of text under a header; columns are as wide as their widest cell.
pub(crate) struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    pub(crate) fn new(header: Vec<String>) -> Self {
        Self { rows: vec![header] }
    }

    pub(crate) fn row(&mut self, cells: Vec<String>) {
        self.rows.push(cells);
    }

    pub(crate) fn print(&self) -> Result<(), Failure> {
        io::stdout().write_all(self.text()?.as_bytes())?;
        Ok(())
    }

    fn text(&self) -> Result<String, Failure> {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let cell = |row: &Vec<String>, column: usize| row.get(column).cloned().unwrap_or_default();
        let width = |column| self.rows.iter().map(|row| cell(row, column).chars().count()).max().unwrap_or(0);
        let widths: Vec<usize> = (0..columns).map(width).collect();
        let mut text = String::new();
        for (number, row) in self.rows.iter().enumerate() {
            for (column, width) in widths.iter().enumerate() {
                let cell = cell(row, column);
                // Names to the left, numbers to the right.
                if column == 0 {
                    write!(text, "| {cell:<width$} |")?;
                } else {
                    write!(text, " {cell:>width$} |")?;
                }
            }
            text.push('\n');
            if number == 0 {
                for (column, width) in widths.iter().enumerate() {
                    let line = "-".repeat(width + 1);
                    if column == 0 {
                        write!(text, "|{line}-|")?;
                    } else {
                        write!(text, "{line}:|")?;
                    }
                }
                text.push('\n');
            }
        }
        Ok(text)
    }
}

/// A number as short as it may be read.
pub(crate) fn brief(value: f64) -> String {
    if value.fract() == 0.0 || value >= 100.0 { format!("{value:.0}") } else { format!("{value:.1}") }
}

/// What a run must keep to; all that it broke is named at once.
#[derive(Default)]
pub(crate) struct Bounds {
    broken: Vec<String>,
}

impl Bounds {
    /// Notes `otherwise` unless `kept`.
    pub(crate) fn check(&mut self, kept: bool, otherwise: impl FnOnce() -> String) {
        if !kept {
            self.broken.push(otherwise());
        }
    }

    pub(crate) fn result(self) -> Result<(), Failure> {
        if self.broken.is_empty() { Ok(()) } else { Err(self.broken.join("; ").into()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up() {
        let mut table = Table::new(vec!["metric".into(), "direct".into()]);
        table.row(vec!["p50, µs".into(), "7".into()]);
        assert_eq!(table.text().unwrap(), "| metric  | direct |\n|---------|-------:|\n| p50, µs |      7 |\n");
    }

    #[test]
    fn all_broken_bounds_are_named() {
        let mut bounds = Bounds::default();
        bounds.check(true, || "kept".into());
        bounds.check(false, || "too slow".into());
        bounds.check(false, || "too many".into());
        assert_eq!(bounds.result().unwrap_err().to_string(), "too slow; too many");
    }
}

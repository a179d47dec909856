//! Figures to Markdown. Pure but for the writer.

use std::io::{self, Write};

/// The least, the middle and the greatest of a figure over all rounds.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) struct Spread {
    pub(crate) min: f64,
    pub(crate) median: f64,
    pub(crate) max: f64,
}

impl Spread {
    /// `None` of nothing.
    pub(crate) fn of(values: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut values: Vec<_> = values.into_iter().collect();
        values.sort_by(f64::total_cmp);
        let (min, max) = (*values.first()?, *values.last()?);
        let middle = values.len() / 2;
        let median = if values.len() % 2 == 1 {
            values[middle]
        } else {
            f64::midpoint(values[middle - 1], values[middle])
        };
        Some(Self { min, median, max })
    }

    /// Whether the rounds of both cannot be told apart.
    pub(crate) fn overlaps(self, other: Self) -> bool {
        self.min <= other.max && other.min <= self.max
    }
}

/// A count, a size or a time as what is divided.
#[allow(clippy::cast_precision_loss, reason = "far below 2^52")]
pub(crate) fn float(number: u64) -> f64 {
    number as f64
}

/// A number with about three digits.
pub(crate) fn three_digits(value: f64) -> String {
    let decimals = match value {
        value if value < 10.0 => 2,
        value if value < 100.0 => 1,
        _ => 0,
    };
    format!("{value:.decimals$}")
}

/// A number of entries as it is spoken.
pub(crate) fn count(number: u64) -> String {
    match number {
        number if number % 1_000_000 == 0 => format!("{} M", number / 1_000_000),
        number if number % 1_000 == 0 => format!("{} k", number / 1_000),
        number => number.to_string(),
    }
}

/// A Markdown table with aligned columns; the first row is its head.
///
/// # Errors
/// Where the writer has one.
pub(crate) fn markdown(out: &mut (impl Write + ?Sized), rows: &[Vec<String>]) -> io::Result<()> {
    let columns = rows.first().map_or(0, Vec::len);
    let width = |column: usize| {
        let cells = rows.iter().map(|row| row[column].chars().count());
        cells.max().unwrap_or(0).max(3)
    };
    let widths: Vec<_> = (0..columns).map(width).collect();
    for (index, row) in rows.iter().enumerate() {
        for (text, width) in row.iter().zip(&widths) {
            write!(out, "| {text:<width$} ")?;
        }
        writeln!(out, "|")?;
        if index == 0 {
            for width in &widths {
                write!(out, "|{:-<1$}", "", width + 2)?;
            }
            writeln!(out, "|")?;
        }
    }
    writeln!(out)
}

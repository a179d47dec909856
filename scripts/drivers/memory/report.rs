//! Many looks at memory to two tables. Pure but for the writer it is given.

use std::io::{self, Write};

use super::common::keys::PAYLOAD;
use super::common::server::Kind;
use super::common::table::{Spread, count, float, markdown, three_digits};

/// The plan's aim for the bytes that an entry takes, all told.
const AIM: f64 = 345.0;
const MIB: f64 = (1 << 20) as f64;

/// A server with many entries of one size. All are bytes, less those of the empty server.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Filled {
    /// What the process holds with all entries.
    pub(crate) held: u64,
    /// What the server itself says to take.
    pub(crate) told: Option<u64>,
    /// What it still holds after everything was removed.
    pub(crate) left: u64,
}

/// A moment in the day of churn, in bytes.
#[derive(Clone, Debug)]
pub(crate) struct Moment {
    pub(crate) when: String,
    /// What the process holds, less what it held when it was empty.
    pub(crate) held: u64,
    /// Keys and values that are alive.
    pub(crate) live: u64,
}

/// All measurements of a run.
pub(crate) struct Report<'a> {
    kinds: &'a [Kind],
    filled: Vec<(u64, Kind, Filled)>,
    days: Vec<(Kind, Vec<Moment>)>,
}

impl<'a> Report<'a> {
    pub(crate) fn new(kinds: &'a [Kind]) -> Self {
        Self {
            kinds,
            filled: Vec::new(),
            days: Vec::new(),
        }
    }

    pub(crate) fn add_filled(&mut self, entries: u64, kind: Kind, filled: Filled) {
        self.filled.push((entries, kind, filled));
    }

    pub(crate) fn add_day(&mut self, kind: Kind, moments: Vec<Moment>) {
        self.days.push((kind, moments));
    }

    /// Writes the tables.
    ///
    /// # Errors
    /// Where the writer has one.
    pub(crate) fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        writeln!(
            out,
            "## Bytes per entry of 37 + 256 = {PAYLOAD} bytes with a TTL\n\n\
             (What is held above the payload.) *Told*: what the server says of itself; memcached \
             its items and its hash table. *Left*: what is still held once everything was removed \
             at once, of what was held before.\n"
        )?;
        markdown(out, &self.filled_rows())?;
        if let Some((_, day)) = self.days.first() {
            writeln!(
                out,
                "## A day of churn: memory held over the keys and values that are alive\n"
            )?;
            markdown(out, &self.day_rows(day))?;
        }
        self.verdict(out)
    }

    fn head(&self, first: &str) -> Vec<String> {
        let names = self.kinds.iter().map(|kind| kind.name().to_owned());
        [first.to_owned()].into_iter().chain(names).collect()
    }

    fn filled_rows(&self) -> Vec<Vec<String>> {
        let mut sizes: Vec<_> = self.filled.iter().map(|(entries, ..)| *entries).collect();
        sizes.dedup();
        sizes.sort_unstable();
        sizes.dedup();
        let mut rows = vec![self.head("entries")];
        for entries in sizes {
            let of = |kind: Kind, figure: fn(&Filled) -> Option<f64>| {
                self.filled_median(entries, kind, figure)
            };
            let mut row = |what: &str, text: &dyn Fn(Kind) -> Option<String>| {
                let cells = self.kinds.iter().map(|kind| text(*kind));
                let mut row = vec![format!("{}, {what}", count(entries))];
                row.extend(cells.map(|cell| cell.unwrap_or_else(|| "–".to_owned())));
                rows.push(row);
            };
            row("held", &|kind| {
                let each = of(kind, |filled| Some(float(filled.held)))? / float(entries);
                Some(format!("{each:.1} ({:+.1})", each - float(PAYLOAD)))
            });
            row("told", &|kind| {
                let each = of(kind, |filled| Some(float(filled.told?)))? / float(entries);
                Some(format!("{each:.1}"))
            });
            row("left", &|kind| {
                let left = of(kind, |filled| Some(float(filled.left)))?;
                let share = of(kind, |filled| {
                    Some(float(filled.left) / float(filled.held.max(1)))
                })?;
                let mib = three_digits(left / MIB);
                Some(format!("{mib} MiB, {:.0} %", share * 100.0))
            });
        }
        rows
    }

    fn filled_median(
        &self,
        entries: u64,
        kind: Kind,
        figure: fn(&Filled) -> Option<f64>,
    ) -> Option<f64> {
        let those = self.filled.iter();
        let those = those.filter(|(size, of, _)| (*size, *of) == (entries, kind));
        let figures = those.filter_map(|(_, _, filled)| figure(filled));
        Spread::of(figures).map(|spread| spread.median)
    }

    fn day_rows(&self, day: &[Moment]) -> Vec<Vec<String>> {
        let mut rows = vec![self.head("moment")];
        for (at, moment) in day.iter().enumerate() {
            let mut row = vec![moment.when.clone()];
            row.extend(self.kinds.iter().map(|kind| self.moment(*kind, at)));
            rows.push(row);
        }
        rows
    }

    fn moment(&self, kind: Kind, at: usize) -> String {
        let days = self.days.iter().filter(|(of, _)| *of == kind);
        let moments: Vec<_> = days.filter_map(|(_, day)| day.get(at)).collect();
        let median = |figure: fn(&Moment) -> f64| {
            let figures = moments.iter().map(|moment| figure(moment));
            Spread::of(figures).map_or(0.0, |spread| spread.median)
        };
        let mib = |bytes: f64| three_digits(bytes / MIB);
        let (held, live) = (
            median(|moment| float(moment.held)),
            median(|moment| float(moment.live)),
        );
        if live == 0.0 {
            return format!("{} MiB left", mib(held));
        }
        let ratio = median(|moment| float(moment.held) / float(moment.live));
        format!("{ratio:.2}× ({} of {} MiB)", mib(held), mib(live))
    }

    /// What the plan asks.
    fn verdict(&self, out: &mut dyn Write) -> io::Result<()> {
        let figure: fn(&Filled) -> Option<f64> = |filled| Some(float(filled.held));
        if let Some(held) = self.filled_median(1_000_000, Kind::Ours, figure) {
            let each = held / 1e6;
            let verdict = if each <= AIM { "reached" } else { "**missed**" };
            writeln!(
                out,
                "The aim for a million entries, at most {AIM:.0} bytes each, is {verdict}: {each:.1}."
            )?;
        }
        Ok(())
    }
}

//! What the probe waited, to a table. Pure but for the writer it is given.

use std::io::{self, Write};

use super::common::histogram::Histogram;
use super::common::server::Kind;
use super::common::table::{Spread, float, markdown, three_digits};
use super::work::{Manner, Work};

/// Who did the work, and how.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Column {
    Floor,
    Ours,
    Redis,
    RedisInSteps,
}

impl Column {
    const EVERY: [Self; 4] = [Self::Floor, Self::Ours, Self::Redis, Self::RedisInSteps];

    pub(crate) fn of(kind: Kind, manner: Manner) -> Self {
        match (kind, manner) {
            (Kind::Redis, Manner::InSteps) => Self::RedisInSteps,
            (Kind::Redis | Kind::Memcached, Manner::AtOnce) => Self::Redis,
            (Kind::Floor, _) => Self::Floor,
            _ => Self::Ours,
        }
    }

    fn title(self) -> &'static str {
        match self {
            Self::Floor => "floor",
            Self::Ours => "memstore-cluster",
            Self::Redis => "redis",
            Self::RedisInSteps => "redis, gently",
        }
    }
}

/// What was waited in one round, in microseconds.
#[derive(Clone, Copy)]
struct Waits {
    p50: f64,
    p99: f64,
    p999: f64,
    max: f64,
}

/// All measurements of a run.
#[derive(Default)]
pub(crate) struct Report {
    waits: Vec<(Work, Column, Waits)>,
}

impl Report {
    pub(crate) fn add(&mut self, work: Work, column: Column, histogram: &Histogram) {
        let micros = |nanos: u64| float(nanos) / 1e3;
        let at = |share| micros(histogram.percentile(share));
        let waits = Waits {
            p50: at(0.5),
            p99: at(0.99),
            p999: at(0.999),
            max: micros(histogram.max()),
        };
        self.waits.push((work, column, waits));
    }

    /// Writes the table.
    ///
    /// # Errors
    /// Where the writer has one.
    pub(crate) fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        writeln!(
            out,
            "## What a get waits meanwhile, in µs: p50 / p99 / p99.9 / max\n\n\
             Medians of the rounds, and the greatest max. The floor has no store: what it shows is \
             the machine's own. *Gently*: SCAN, BGSAVE, FLUSHALL ASYNC. A window is longer than \
             some work, so the max tells most there.\n"
        )?;
        let has = |column: &Column| self.waits.iter().any(|(_, of, _)| of == column);
        let columns: Vec<_> = Column::EVERY.into_iter().filter(has).collect();
        let mut rows = vec![vec![String::new()]];
        rows[0].extend(columns.iter().map(|column| column.title().to_owned()));
        for work in Work::EVERY {
            let mut row = vec![label(work).to_owned()];
            row.extend(columns.iter().map(|column| self.cell(work, *column)));
            rows.push(row);
        }
        markdown(out, &rows)
    }

    fn cell(&self, work: Work, column: Column) -> String {
        let all = self.waits.iter();
        let all = all.filter(|(of, at, _)| (*of, *at) == (work, column));
        let spread = |figure: fn(&Waits) -> f64| {
            let figures = all.clone().map(|(_, _, waits)| figure(waits));
            Spread::of(figures)
        };
        let median = |figure| spread(figure).map(|spread| spread.median);
        let figures = [
            median(|waits| waits.p50),
            median(|waits| waits.p99),
            median(|waits| waits.p999),
            spread(|waits| waits.max).map(|spread| spread.max),
        ];
        let texts: Option<Vec<_>> = figures
            .into_iter()
            .map(|figure| figure.map(three_digits))
            .collect();
        texts.map_or("–".to_owned(), |texts| texts.join(" / "))
    }
}

fn label(work: Work) -> &'static str {
    match work {
        Work::Idle => "nothing",
        Work::Reads => "pipelined gets",
        Work::All => "all / KEYS *",
        Work::Dump => "dump / SAVE",
        Work::Growth => "growth to twice the size",
        Work::Release => "nine of ten are destroyed",
        Work::Clear => "clear / FLUSHALL",
        Work::Storm => "all expire in one second",
    }
}

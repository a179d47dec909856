//! Many measurements to a few tables. Pure but for the writer it is given.

use std::io::{self, Write};

use super::cases::Work;
use super::common::machine::Placement;
use super::common::table::{Spread, float, markdown, three_digits};
use super::contest::{Sample, Who};
use super::ticks::{Scene, Watched};

/// What throughput through a master shall be of that without one.
const AIM: f64 = 0.8;

/// A figure of a sample.
type Figure = fn(&Sample) -> f64;

const OPS: Figure = Sample::ops_per_second;

/// Those who are compared, the yardstick first.
const STORES: &[Who] = &[Who::Original, Who::InProcess, Who::Master];
const PIPELINES: &[Who] = &[
    Who::Direct,
    Who::ThroughMaster,
    Who::OwnClient,
    Who::ThroughProxy,
];

/// All measurements of a run.
#[derive(Default)]
pub(crate) struct Report {
    pub(crate) samples: Vec<Sample>,
    pub(crate) watched: Vec<Watched>,
}

/// What a row is about.
type Row = (&'static str, Work);

impl Report {
    /// Writes the tables of what was measured.
    ///
    /// # Errors
    /// Where the writer has one.
    pub(crate) fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        let placements = [
            (Placement::Pinned, "all on one processor"),
            (Placement::Unpinned, "not pinned"),
        ];
        for (placement, title) in placements {
            if self.has(placement, STORES) {
                writeln!(out, "## Stores and their npm originals, {title}\n")?;
                self.tables(out, placement, STORES)?;
                self.lost(out, placement)?;
            }
        }
        for (placement, title) in placements {
            if self.has(placement, PIPELINES) {
                writeln!(out, "## Pipelines to Redis, {title}\n")?;
                writeln!(
                    out,
                    "*8 × 64*: eight connections, each with 64 requests that are sent at once. A \
                     latency is that of such 64. *64 at once*: 64 clients that wait for each \
                     answer; to Redis they share a connection, as redis-rs has it, and to the \
                     master each has one, as workers do.\n"
                )?;
                self.tables(out, placement, PIPELINES)?;
                self.reached(out, placement)?;
            }
        }
        if !self.watched.is_empty() {
            self.ticks(out)?;
        }
        Ok(())
    }

    fn has(&self, placement: Placement, whom: &[Who]) -> bool {
        !self.rows(placement, whom).is_empty()
    }

    fn rows(&self, placement: Placement, whom: &[Who]) -> Vec<Row> {
        let mut rows = Vec::new();
        for sample in &self.samples {
            let row = (sample.contest, sample.work);
            let is_of = sample.placement == placement && whom.contains(&sample.who);
            if is_of && !rows.contains(&row) {
                rows.push(row);
            }
        }
        rows
    }

    fn spread(&self, placement: Placement, row: Row, who: Who, figure: Figure) -> Option<Spread> {
        let samples = self.samples.iter().filter(|sample| {
            let of = (sample.placement, (sample.contest, sample.work), sample.who);
            of == (placement, row, who)
        });
        Spread::of(samples.map(figure))
    }

    fn tables(&self, out: &mut dyn Write, placement: Placement, whom: &[Who]) -> io::Result<()> {
        writeln!(
            out,
            "### Thousand operations per second: median [least–most]\n"
        )?;
        self.table(out, placement, whom, |row, who| {
            let ops = self.spread(placement, row, who, OPS)?;
            let figures = [ops.median, ops.min, ops.max].map(|ops| three_digits(ops / 1e3));
            let [median, min, max] = figures;
            let ratio = if who == whom[0] {
                String::new()
            } else {
                self.ratio(placement, row, [who, whom[0]])
                    .map_or(String::new(), |(ratio, doubt)| {
                        format!(" {doubt}{ratio:.2}×")
                    })
            };
            Some(format!("{median} [{min}–{max}]{ratio}"))
        })?;
        writeln!(out, "### Latency in µs: p50 / p99\n")?;
        self.table(out, placement, whom, |row, who| {
            let figures: [Figure; 2] = [|sample| sample.done.p50, |sample| sample.done.p99];
            let [p50, p99] = figures.map(|figure| self.spread(placement, row, who, figure));
            let text = |spread: Spread| three_digits(spread.median);
            Some(format!("{} / {}", text(p50?), text(p99?)))
        })?;
        writeln!(
            out,
            "### Processor time per operation in µs, of all processes that take part\n"
        )?;
        self.table(out, placement, whom, |row, who| {
            let cpu = self.spread(placement, row, who, |sample| sample.cpu)?;
            Some(three_digits(cpu.median))
        })
    }

    /// A row for each work and a column for each of them.
    fn table(
        &self,
        out: &mut dyn Write,
        placement: Placement,
        whom: &[Who],
        text: impl Fn(Row, Who) -> Option<String>,
    ) -> io::Result<()> {
        let mut rows = vec![vec![String::new()]];
        rows[0].extend(whom.iter().map(|who| who.name().to_owned()));
        for row in self.rows(placement, whom) {
            let mut cells = vec![label(row)];
            let texts = whom.iter().map(|who| text(row, *who));
            cells.extend(texts.map(|text| text.unwrap_or("–".to_owned())));
            rows.push(cells);
        }
        markdown(out, &rows)
    }

    /// How many times the throughput of the second the first has; `~` where the rounds overlap, so
    /// that the difference may be chance.
    fn ratio(&self, placement: Placement, row: Row, whom: [Who; 2]) -> Option<(f64, &'static str)> {
        let [one, other] = whom.map(|who| self.spread(placement, row, who, OPS));
        let (one, other) = one.zip(other)?;
        let doubt = if one.overlaps(other) { "~" } else { "" };
        Some((one.median / other.median, doubt))
    }

    fn lost(&self, out: &mut dyn Write, placement: Placement) -> io::Result<()> {
        writeln!(
            out,
            "`~`: the rounds overlap, it may be chance. Slower than the original:\n"
        )?;
        for who in [Who::InProcess, Who::Master] {
            let rows = self.rows(placement, STORES);
            let lost: Vec<_> = rows
                .iter()
                .filter_map(|row| Some((row, self.ratio(placement, *row, [who, Who::Original])?)))
                .filter(|(_, (ratio, _))| *ratio < 1.0)
                .map(|(row, (ratio, doubt))| format!("{} ({doubt}{ratio:.2}×)", label(*row)))
                .collect();
            let lost = if lost.is_empty() {
                "none".to_owned()
            } else {
                lost.join("; ")
            };
            writeln!(out, "- {}, of {} rows: {lost}", who.name(), rows.len())?;
        }
        writeln!(out)
    }

    fn reached(&self, out: &mut dyn Write, placement: Placement) -> io::Result<()> {
        writeln!(
            out,
            "What was aimed at: through the master at least {AIM} of redis-rs to Redis.\n"
        )?;
        for row in self.rows(placement, PIPELINES) {
            for who in [Who::ThroughMaster, Who::OwnClient] {
                let Some((ratio, doubt)) = self.ratio(placement, row, [who, Who::Direct]) else {
                    continue;
                };
                let verdict = if ratio >= AIM {
                    "reached"
                } else {
                    "**missed**"
                };
                let name = who.name();
                writeln!(
                    out,
                    "- {}, {name}: {doubt}{ratio:.2} is {verdict}",
                    label(row)
                )?;
            }
        }
        writeln!(out)
    }

    fn ticks(&self, out: &mut dyn Write) -> io::Result<()> {
        writeln!(
            out,
            "## The loop while SQLite syncs\n\n\
             A ping is due every millisecond and waits from then, in µs: p50 / p99 / p99.9 / max. \
             A tick is a turn of the master's loop from waking up to sleeping, as `INFO backend` \
             tells it; in memory the loop does the work itself and does not take the time. The \
             backend has a turn for all that came together, pings among them, with one sync where \
             something was written. Medians of the rounds, and the longest of all.\n"
        )?;
        let head = [
            "",
            "sets / s",
            "turns of the backend / s",
            "a ping waits",
            "longest tick, µs",
            "ticks from 1 ms on",
        ];
        let mut rows = vec![head.map(str::to_owned).to_vec()];
        for scene in Scene::EVERY {
            rows.push(self.scene(scene));
        }
        markdown(out, &rows)
    }

    fn scene(&self, scene: Scene) -> Vec<String> {
        let all = self.watched.iter().filter(|watched| watched.scene == scene);
        let spread =
            |figure: &dyn Fn(&Watched) -> Option<f64>| Spread::of(all.clone().filter_map(figure));
        let median = |figure: &dyn Fn(&Watched) -> Option<f64>| {
            spread(figure).map_or("–".to_owned(), |spread| three_digits(spread.median))
        };
        let most = |figure: &dyn Fn(&Watched) -> Option<f64>| {
            spread(figure).map_or("–".to_owned(), |spread| three_digits(spread.max))
        };
        let mut waits = vec![
            median(&|watched| Some(watched.waits[0])),
            median(&|watched| Some(watched.waits[1])),
            median(&|watched| Some(watched.waits[2])),
        ];
        waits.push(most(&|watched| Some(watched.waits[3])));
        let share = |watched: &Watched| {
            let of_loop = watched.of_loop.as_ref()?;
            Some((of_loop.long, of_loop.ticks))
        };
        let (long, ticks) = all
            .clone()
            .filter_map(share)
            .fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1));
        let long = if ticks == 0 {
            "–".to_owned()
        } else {
            format!("{long} of {ticks}")
        };
        vec![
            scene.label(),
            median(&|watched| Some(watched.writes_per_second)),
            median(&|watched| Some(float(watched.of_loop.as_ref()?.turns) / watched.seconds)),
            waits.join(" / "),
            most(&|watched| Some(watched.of_loop.as_ref()?.longest)),
            long,
        ]
    }
}

fn label((contest, work): Row) -> String {
    match contest {
        "" => work.label(),
        contest => format!("{contest}: {}", work.label()),
    }
}

//! Many measurements to a few tables.
//!
//! Pure but for the writer it is given. A figure in a table is the median of the rounds; a peer
//! with a store that does better than we do is named beside it.

use std::io::{self, Write};

use super::common::dialect::Dialect;
use super::common::load::Shape;
use super::common::machine::Placement;
use super::common::server::Kind;
use super::common::table::{Spread, markdown, three_digits};
use super::common::wire::Op;
use super::sample::{Cell, Sample};

/// A figure of a sample, and whether more of it is better.
#[derive(Clone, Copy)]
struct Figure {
    of: fn(&Sample) -> f64,
    is_gain: bool,
    name: &'static str,
}

const OPS: Figure = Figure {
    of: |sample| sample.ops_per_second,
    is_gain: true,
    name: "throughput",
};
const P50: Figure = Figure {
    of: |sample| sample.p50,
    is_gain: false,
    name: "p50",
};
const P99: Figure = Figure {
    of: |sample| sample.p99,
    is_gain: false,
    name: "p99",
};
const P999: Figure = Figure {
    of: |sample| sample.p999,
    is_gain: false,
    name: "p99.9",
};
const CPU: Figure = Figure {
    of: |sample| sample.server_cpu,
    is_gain: false,
    name: "processor time",
};
const FAIRNESS: Figure = Figure {
    of: |sample| sample.fairness,
    is_gain: true,
    name: "fairness",
};

/// Below this share of its due a connection is starved, and the percentiles say little.
const FAIR: f64 = 0.5;

/// What the plan asks of 1 KiB by clients on the server's own processor.
struct Aim {
    op: Op,
    shape: Shape,
    figure: Figure,
    of: Yardstick,
    /// Where more is better at least so much, otherwise at most.
    bound: f64,
}

/// What a figure is measured by.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Yardstick {
    /// How many times this peer's it is.
    Times(Kind),
    /// It itself.
    Micros,
}

const ONE: Shape = Shape {
    connections: 1,
    depth: 1,
};
const DEEP: Shape = Shape {
    connections: 1,
    depth: 64,
};
const MANY: Shape = Shape {
    connections: 64,
    depth: 1,
};

const fn aim(op: Op, shape: Shape, figure: Figure, of: Yardstick, bound: f64) -> Aim {
    Aim {
        op,
        shape,
        figure,
        of,
        bound,
    }
}

const FLOOR: Yardstick = Yardstick::Times(Kind::Floor);
const REDIS: Yardstick = Yardstick::Times(Kind::Redis);

/// What is asked of the native dialect.
const NATIVE: &[Aim] = &[aim(Op::Get, ONE, P50, FLOOR, 1.35)];

/// What is asked of the Redis dialect.
const RESP: &[Aim] = &[
    aim(Op::Get, ONE, P50, FLOOR, 1.35),
    aim(Op::Set, ONE, P50, FLOOR, 1.35),
    aim(Op::Get, ONE, OPS, REDIS, 1.4),
    aim(Op::Set, ONE, OPS, REDIS, 1.4),
    aim(Op::Get, DEEP, OPS, REDIS, 1.5),
    aim(Op::Set, DEEP, OPS, REDIS, 1.5),
    aim(Op::Get, MANY, OPS, REDIS, 1.5),
    aim(Op::Set, MANY, OPS, REDIS, 1.5),
    aim(Op::Get, MANY, CPU, Yardstick::Micros, 3.0),
];

/// All measurements of a run.
pub(crate) struct Report<'a> {
    samples: &'a [Sample],
    peers: Vec<Kind>,
    aims: &'static [Aim],
}

impl<'a> Report<'a> {
    /// Of a run in which we were asked in this dialect.
    pub(crate) fn new(samples: &'a [Sample], dialect: Dialect) -> Self {
        let has = |kind: &Kind| samples.iter().any(|sample| sample.peer == *kind);
        Self {
            samples,
            peers: Kind::EVERY.into_iter().filter(has).collect(),
            aims: match dialect {
                Dialect::Resp => RESP,
                _ => NATIVE,
            },
        }
    }

    /// Writes the tables of every placement that was measured.
    ///
    /// # Errors
    /// Where the writer has one.
    pub(crate) fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        for (placement, title) in [
            (Placement::Pinned, "Client and server on one processor"),
            (Placement::Unpinned, "Not pinned"),
        ] {
            let cells = self.cells(placement);
            if cells.is_empty() {
                continue;
            }
            writeln!(out, "## {title}\n")?;
            writeln!(
                out,
                "### Thousand operations per second: median [least–most]\n"
            )?;
            self.table(out, &cells, OPS, Self::throughput)?;
            writeln!(
                out,
                "### Latency in µs: p50 / p99 / p99.9 (p50 ÷ floor)\n\n\
                 *starves*: the connection that got the least got only this part of an equal \
                 share, so the median says little.\n"
            )?;
            self.table(out, &cells, P50, Self::latency)?;
            writeln!(out, "### Processor time of the server per request in µs\n")?;
            self.table(out, &cells, CPU, Self::processor)?;
        }
        self.summary(out)
    }

    fn throughput(&self, cell: Cell, peer: Kind) -> Option<String> {
        let ops = self.spread(cell, peer, OPS)?;
        let [median, min, max] = [ops.median, ops.min, ops.max].map(|ops| three_digits(ops / 1e3));
        Some(format!("{median} [{min}–{max}]"))
    }

    fn latency(&self, cell: Cell, peer: Kind) -> Option<String> {
        let median = |figure| Some(self.spread(cell, peer, figure)?.median);
        let p50 = median(P50)?;
        let percentiles = [p50, median(P99)?, median(P999)?].map(three_digits);
        let floor = self.spread(cell, Kind::Floor, P50);
        let ratio = floor
            .filter(|_| peer != Kind::Floor)
            .map_or(String::new(), |floor| {
                format!(" ({:.2}×)", p50 / floor.median)
            });
        let fairness = median(FAIRNESS)?;
        let warning = if fairness < FAIR {
            format!(" starves: {:.0} %", fairness * 100.0)
        } else {
            String::new()
        };
        Some(percentiles.join(" / ") + &ratio + &warning)
    }

    fn processor(&self, cell: Cell, peer: Kind) -> Option<String> {
        Some(format!("{:.2}", self.spread(cell, peer, CPU)?.median))
    }

    /// What the tables say of us, in a few lines.
    fn summary(&self, out: &mut dyn Write) -> io::Result<()> {
        if !self.peers.contains(&Kind::Ours) {
            return Ok(());
        }
        writeln!(out, "## What we lose\n")?;
        writeln!(out, "`~`: the rounds overlap, it may be chance.\n")?;
        for placement in [Placement::Pinned, Placement::Unpinned] {
            for figure in [OPS, P50, CPU] {
                let cells = self.cells(placement);
                let lost: Vec<_> = cells
                    .iter()
                    .map(|cell| (label(*cell), self.lost_to(*cell, figure)))
                    .filter(|(_, to)| !to.is_empty())
                    .map(|(cell, to)| format!("{cell} ({to})"))
                    .collect();
                if !cells.is_empty() {
                    let (lost, all) = (lost.join("; "), cells.len());
                    let name = format!("{placement:?}, {}, {all} cells", figure.name);
                    let name = name.to_lowercase();
                    writeln!(
                        out,
                        "- {name}: {}",
                        if lost.is_empty() { "none" } else { &lost }
                    )?;
                }
            }
        }
        writeln!(out, "\n## What was aimed at, pinned\n")?;
        for aim in self.aims {
            if let Some(reached) = self.reached(aim) {
                writeln!(out, "- {reached}")?;
            }
        }
        writeln!(out)
    }

    /// A line about an aim, if what it is about was measured.
    fn reached(&self, aim: &Aim) -> Option<String> {
        let cell = Cell {
            placement: Placement::Pinned,
            op: aim.op,
            size: 1 << 10,
            shape: aim.shape,
        };
        let median = |peer| Some(self.spread(cell, peer, aim.figure)?.median);
        let ours = median(Kind::Ours)?;
        let (value, unit) = match aim.of {
            Yardstick::Times(peer) => (ours / median(peer)?, format!("× {}", peer.name())),
            Yardstick::Micros => (ours, " µs".to_owned()),
        };
        let (is_reached, bound) = if aim.figure.is_gain {
            (value >= aim.bound, "at least")
        } else {
            (value <= aim.bound, "at most")
        };
        let verdict = if is_reached { "reached" } else { "**missed**" };
        Some(format!(
            "{}, {}: {value:.2}{unit}; {bound} {} is {verdict}",
            label(cell),
            aim.figure.name,
            aim.bound,
        ))
    }

    fn cells(&self, placement: Placement) -> Vec<Cell> {
        let mut cells = Vec::new();
        for sample in self.samples {
            if sample.cell.placement == placement && !cells.contains(&sample.cell) {
                cells.push(sample.cell);
            }
        }
        let shape = |cell: &Cell| (cell.shape.connections, cell.shape.depth);
        cells.sort_by_key(|cell| (cell.op == Op::Set, cell.size, shape(cell)));
        cells
    }

    fn spread(&self, cell: Cell, peer: Kind, figure: Figure) -> Option<Spread> {
        let samples = self.samples.iter();
        let of_both = samples.filter(|sample| sample.cell == cell && sample.peer == peer);
        Spread::of(of_both.map(figure.of))
    }

    /// A row per cell, a column per peer, and where we are among them what the figure says of us.
    fn table(
        &self,
        out: &mut dyn Write,
        cells: &[Cell],
        figure: Figure,
        text: fn(&Self, Cell, Kind) -> Option<String>,
    ) -> io::Result<()> {
        let has_us = self.peers.contains(&Kind::Ours);
        let mut rows = vec![vec![String::new()]];
        rows[0].extend(self.peers.iter().map(|peer| peer.name().to_owned()));
        if has_us {
            rows[0].push("we ÷ redis".to_owned());
            rows[0].push("we lose to".to_owned());
        }
        for cell in cells {
            let mut row = vec![label(*cell)];
            let texts = self.peers.iter().map(|peer| text(self, *cell, *peer));
            row.extend(texts.map(Option::unwrap_or_default));
            if has_us {
                row.push(self.ratio_to_redis(*cell, figure));
                row.push(self.lost_to(*cell, figure));
            }
            rows.push(row);
        }
        markdown(out, &rows)
    }

    fn ratio_to_redis(&self, cell: Cell, figure: Figure) -> String {
        let both =
            self.spread(cell, Kind::Ours, figure)
                .zip(self.spread(cell, Kind::Redis, figure));
        both.map_or(String::new(), |(ours, redis)| {
            format!("{:.2}×", ours.median / redis.median)
        })
    }

    /// The peers with a store that are better than we are; `~` where the rounds overlap, so that
    /// the difference may be chance.
    fn lost_to(&self, cell: Cell, figure: Figure) -> String {
        let Some(ours) = self.spread(cell, Kind::Ours, figure) else {
            return String::new();
        };
        let mut lost = Vec::new();
        for peer in [Kind::Redis, Kind::Memcached] {
            let Some(theirs) = self.spread(cell, peer, figure) else {
                continue;
            };
            let is_lost = if figure.is_gain {
                theirs.median > ours.median
            } else {
                theirs.median < ours.median
            };
            if is_lost {
                let doubt = if ours.overlaps(theirs) { "~" } else { "" };
                lost.push(format!("{doubt}**{}**", peer.name()));
            }
        }
        lost.join(", ")
    }
}

fn label(cell: Cell) -> String {
    let op = format!("{:?}", cell.op).to_lowercase();
    let size = match cell.size {
        size if size >= 1024 && size % 1024 == 0 => format!("{} KiB", size / 1024),
        size => format!("{size} B"),
    };
    let shape = match cell.shape {
        Shape { depth: 1, .. } => format!("{} conn", cell.shape.connections),
        Shape { depth, .. } => format!("1 conn, {depth} deep"),
    };
    format!("{op} {size}, {shape}")
}

//! One measurement: what was measured, of whom, and what came out.

use super::common::histogram::Histogram;
use super::common::load::Shape;
use super::common::machine::Placement;
use super::common::server::Kind;
use super::common::wire::Op;

/// What is measured, whoever is measured.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Cell {
    pub(crate) placement: Placement,
    pub(crate) op: Op,
    pub(crate) size: usize,
    pub(crate) shape: Shape,
}

/// One measurement. Times are microseconds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sample {
    pub(crate) cell: Cell,
    pub(crate) peer: Kind,
    pub(crate) round: u32,
    pub(crate) requests: u64,
    pub(crate) ops_per_second: f64,
    pub(crate) p50: f64,
    pub(crate) p99: f64,
    pub(crate) p999: f64,
    pub(crate) server_cpu: f64,
    /// What the connection that got the least got of an equal share, 0 to 1.
    pub(crate) fairness: f64,
}

impl Sample {
    /// What was counted in `seconds`, for which the server worked `cpu_nanos`.
    #[allow(
        clippy::cast_precision_loss,
        reason = "counts and nanoseconds are far below 2^52"
    )]
    pub(crate) fn new(
        (cell, peer, round): (Cell, Kind, u32),
        histogram: &Histogram,
        seconds: f64,
        cpu_nanos: u64,
    ) -> Self {
        let micros = |share| histogram.percentile(share) as f64 / 1e3;
        let requests = histogram.total();
        Self {
            cell,
            peer,
            round,
            requests,
            ops_per_second: requests as f64 / seconds,
            p50: micros(0.5),
            p99: micros(0.99),
            p999: micros(0.999),
            server_cpu: cpu_nanos as f64 / 1e3 / requests.max(1) as f64,
            fairness: 1.0,
        }
    }

    /// Notes that the connection with the fewest answers had so many.
    #[allow(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
    pub(crate) fn rate_fairness(&mut self, fewest: u64) {
        let share = self.requests as f64 / self.cell.shape.connections as f64;
        self.fairness = fewest as f64 / share.max(1.0);
    }

    /// One line, without its end.
    pub(crate) fn json(&self) -> String {
        let Cell {
            placement,
            op,
            size,
            shape,
        } = self.cell;
        serde_json::json!({
            "placement": format!("{placement:?}").to_lowercase(),
            "op": format!("{op:?}").to_lowercase(),
            "size": size,
            "connections": shape.connections,
            "depth": shape.depth,
            "peer": self.peer.name(),
            "round": self.round,
            "requests": self.requests,
            "ops_per_second": self.ops_per_second,
            "p50_us": self.p50,
            "p99_us": self.p99,
            "p999_us": self.p999,
            "server_cpu_us": self.server_cpu,
            "fairness": self.fairness,
        })
        .to_string()
    }
}

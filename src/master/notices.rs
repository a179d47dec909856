//! The log lines about workers: what the state machine wants told, in fields and with a level.

use crate::supervisor::action::{Notice, SlotFailure, Verdict};

/// Writes a notice to the log.
pub(super) fn log(notice: &Notice) {
    match *notice {
        Notice::Started { worker, pid } => {
            tracing::info!(worker = %worker.slot, pid, "worker started");
        }
        Notice::SpawnFailed {
            worker,
            failure,
            verdict,
        } => {
            tracing::error!(worker = %worker.slot, %failure, next = %verdict, "worker not started");
        }
        Notice::Ready {
            worker,
            pid,
            sign,
            after,
        } => tracing::info!(worker = %worker.slot, pid, ?sign, ?after, "worker ready"),
        Notice::Exited {
            worker,
            pid,
            cause,
            uptime,
            verdict,
        } => match verdict {
            Verdict::Failed(SlotFailure::CrashLoop) => {
                tracing::error!(worker = %worker.slot, pid, %cause, ?uptime, next = %verdict, "worker ended");
            }
            Verdict::Finished | Verdict::Stopped => {
                tracing::info!(worker = %worker.slot, pid, %cause, ?uptime, next = %verdict, "worker ended");
            }
            _ => {
                tracing::warn!(worker = %worker.slot, pid, %cause, ?uptime, next = %verdict, "worker ended");
            }
        },
        Notice::ChannelHeld { worker, pid } => {
            tracing::warn!(worker = %worker.slot, pid, "something the worker started holds its channel; it is closed");
        }
        Notice::Stopping {
            kind,
            reason,
            workers,
        } => tracing::info!(?kind, ?reason, workers, "stopping the workers"),
        Notice::KillDeadline { worker, pid } => {
            tracing::warn!(worker = %worker.slot, pid, "worker did not end in its time and is killed");
        }
        Notice::Unkillable {
            worker,
            pid,
            waited,
        } => {
            tracing::error!(worker = %worker.slot, pid, ?waited, "worker was killed and is still there");
        }
    }
}

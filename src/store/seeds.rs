//! The seeds of simulations: of an ordinary run, or those that were asked for.

use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

/// Runs these seeds, or those in `MEMSTORE_SIM_SEED`: `7` for one, `0..500` for so many. Says how
/// to replay the one that fails. `run` is told whether its seed is the only one.
pub(crate) fn each(ordinary: Range<u64>, mut run: impl FnMut(u64, bool)) {
    let number = |text: &str| -> u64 { text.parse().expect("MEMSTORE_SIM_SEED=7 or =0..500") };
    let asked = std::env::var("MEMSTORE_SIM_SEED").ok();
    let seeds = match asked
        .as_deref()
        .map(|asked| (asked, asked.split_once("..")))
    {
        None => ordinary,
        Some((_, Some((from, to)))) => number(from)..number(to),
        Some((one, None)) => number(one)..number(one) + 1,
    };
    let is_only = seeds.end - seeds.start == 1;
    for seed in seeds {
        if let Err(failure) = catch_unwind(AssertUnwindSafe(|| run(seed, is_only))) {
            eprintln!("replay with MEMSTORE_SIM_SEED={seed}");
            resume_unwind(failure);
        }
    }
}

//! `scripts/bench backends`: every kind of store beside the npm module whose format it shares.
//!
//! This file holds the schedule: who is measured in which contest, when and for how long. [`cases`]
//! has what is compared, [`originals`], [`ours`] and [`pipelines`] are who does the work, [`ticks`]
//! watches the loop, [`report`] has the tables. Everybody's stores are open and filled from the
//! start; inside a round every work goes through all who do it before the next one, and their
//! order rotates with the rounds.

mod cases;
#[allow(dead_code, reason = "every driver uses a part")]
#[path = "../common/mod.rs"]
pub(crate) mod common;
mod contest;
pub(crate) mod options;
pub(crate) mod originals;
mod ours;
mod pipelines;
mod report;
mod ticks;

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fs::File;
use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, ExitCode};
use std::rc::Rc;
use std::time::Duration;

use cases::{Case, Storage, Work, redis_place};
use common::machine::{self, Cpus, Meter};
use common::server::{Kind, Server};
use common::table::three_digits;
use common::wire::Op;
use common::{Result, driver};
use contest::{Contest, Contestant, Who};
use options::{Options, Part};
use originals::{Node, Original};
use ours::{InProcess, Master};
use pipelines::{OwnClient, RedisRs};
use report::Report;
use ticks::Scene;

/// Databases of the Redis server: everybody has one.
const ORIGINALS: u8 = 1;
const IN_PROCESS: u8 = 2;
const MASTERS: u8 = 3;
/// twemproxy knows no other.
const PIPELINES: u8 = 0;
/// How many of the works' slots a scene gets.
const LONG: u32 = 4;

fn main() -> ExitCode {
    driver::start("backends", options::HELP, Options::parse, run)
}

/// Measures all that the options ask for.
///
/// # Errors
/// A store cannot be opened or refuses something.
pub(crate) fn run(options: &Options, out: &mut dyn Write) -> Result<()> {
    let dir = tempfile::tempdir_in(&options.dir)?;
    let mut bench = Bench {
        options,
        ours: driver::our_binary(options.binary.as_deref())?,
        dir: dir.path().to_owned(),
        cpus: Cpus::detect()?,
        redis: None,
        versions: Vec::new(),
        json: options.json.as_ref().map(File::create).transpose()?,
        report: Report::default(),
    };
    bench.start_redis();
    let (middle, most) = ticks::sync_micros(&bench.dir)?;
    let machine = machine::describe();
    let mut contests = bench.contests()?;
    let pids: BTreeSet<_> = contests.iter().flat_map(Contest::pids).collect();
    let pids = Vec::from_iter(pids);
    let meter = Meter::start(&pids)?;
    let slot = bench.schedule(&mut contests)?;
    let meanwhile = meter.tell(&pids)?;

    writeln!(out, "# Backends\n\n{machine}")?;
    for version in &bench.versions {
        writeln!(out, "- {version}")?;
    }
    writeln!(
        out,
        "\n{} sessions of {} B in each store. Rounds: {}, of {} ms for each measurement. A write of \
         4 KiB and its sync take the disk {} µs in the middle and {} at most.\n\n\
         *1 at once*, *8 at once*: calls under way. The originals run in Node's process, which \
         calls them, with 8 calls begun before the first is answered; *in process* our store is \
         called by 1 or 8 threads of one program, which is the like of that. *Through the master* \
         is what workers have: 1 or 8 connections to a Unix socket, each of which waits for its \
         answer; the originals pay for no such way. The originals parse and write JSON, ours are \
         given bytes. A touch of level-session-store and session-file-store writes the whole \
         session, as these modules do it. Where files are synced, ours sync the folder too.",
        bench.options.entries,
        cases::session().len(),
        options.rounds,
        slot.as_millis(),
        three_digits(middle),
        three_digits(most),
    )?;
    writeln!(out, "{meanwhile}\n")?;
    Ok(bench.report.write(out)?)
}

struct Bench<'a> {
    options: &'a Options,
    ours: PathBuf,
    dir: PathBuf,
    cpus: Cpus,
    redis: Option<Rc<Server>>,
    versions: Vec<String>,
    json: Option<File>,
    report: Report,
}

impl Bench<'_> {
    fn has(&self, part: Part) -> bool {
        self.options.parts.contains(&part)
    }

    /// Starts Redis where it is needed. Without it the rest is measured.
    fn start_redis(&mut self) {
        let of_stores = self.has(Part::Stores) && self.options.stores.contains(&Storage::Redis);
        if !of_stores && !self.has(Part::Pipelines) {
            return;
        }
        match Server::start(Kind::Redis, &self.ours, &self.dir) {
            Ok(server) => {
                self.versions.extend(Kind::Redis.version(&self.ours));
                self.redis = Some(Rc::new(server));
            }
            Err(error) => skip("redis cannot be measured", error.as_ref()),
        }
    }

    /// Opens and fills everybody's stores.
    fn contests(&mut self) -> Result<Vec<Contest>> {
        let mut contests = Vec::new();
        if self.has(Part::Stores) {
            let node = self.node();
            for case in Case::EVERY {
                if self.options.stores.contains(&case.storage) {
                    contests.extend(self.stores(case, node.as_ref())?);
                }
            }
        }
        if self.has(Part::Pipelines) {
            contests.extend(self.pipelines()?);
        }
        Ok(contests)
    }

    fn folder(&self, name: &str) -> Result<PathBuf> {
        let folder = self.dir.join(name);
        std::fs::create_dir(&folder)?;
        Ok(folder)
    }

    fn node(&mut self) -> Option<Rc<RefCell<Node>>> {
        match Node::start(self.options.entries) {
            Ok(node) => {
                let version = Command::new("node").arg("--version").output();
                let version = version.map(|output| output.stdout).unwrap_or_default();
                let version = String::from_utf8_lossy(&version).trim().to_owned();
                self.versions.push(format!("Node {version}"));
                Some(Rc::new(RefCell::new(node)))
            }
            Err(error) => {
                skip("the npm originals cannot be measured", error.as_ref());
                None
            }
        }
    }

    /// A kind of store with a setting: the original, ours in process, ours through a master.
    fn stores(&mut self, case: Case, node: Option<&Rc<RefCell<Node>>>) -> Result<Option<Contest>> {
        let lasting = if case.is_durable { "-durable" } else { "" };
        let folder = self.folder(&format!("{}{lasting}", case.storage.name()))?;
        let place = |name: &str, database| match (&self.redis, case.storage) {
            (Some(redis), Storage::Redis) => redis_place(&redis.sock, database),
            _ => folder.join(name).to_string_lossy().into_owned(),
        };
        let server = match (&self.redis, case.storage) {
            (None, Storage::Redis) => return Ok(None),
            (Some(redis), Storage::Redis) => Some(redis.pid()),
            _ => None,
        };
        driver::tell(&format!("{}: the stores are filled", case.label()));
        let entries = self.options.entries;
        let mut contestants: Vec<Box<dyn Contestant>> = Vec::new();
        if let Some(node) = node {
            let original = Original::open(node, case, place("original", ORIGINALS), server)?;
            if !self.versions.contains(&original.version) {
                self.versions.push(original.version.clone());
            }
            contestants.push(Box::new(original));
        }
        let in_process = InProcess::open(case, &place("in-process", IN_PROCESS), server, entries)?;
        contestants.push(Box::new(in_process));
        let url = case.url(&place("master", MASTERS));
        let master = Master::start(&self.ours, &folder, &url, server, entries)?;
        contestants.push(Box::new(master));

        let ops = [Op::Get, Op::Set, Op::Touch];
        let work = |op, calls| Work {
            op,
            calls,
            depth: 1,
        };
        let works = ops.into_iter().flat_map(|op| [work(op, 1), work(op, 8)]);
        Ok(Some(Contest {
            name: case.label(),
            works: works.collect(),
            contestants,
            servers: Vec::new(),
        }))
    }

    /// Pipelines to Redis: redis-rs to it, the same through a master, and our client.
    fn pipelines(&mut self) -> Result<Option<Contest>> {
        let Some(redis) = &self.redis else {
            return Ok(None);
        };
        let entries = self.options.entries;
        let folder = self.folder("pipelines")?;
        let url = format!("redis+unix:{}", redis_place(&redis.sock, PIPELINES));
        let master = Master::start(&self.ours, &folder, &url, Some(redis.pid()), entries)?;
        let pids = master.pids();
        let server = vec![redis.pid()];
        let mut direct = RedisRs::connect(Who::Direct, &redis.sock, PIPELINES, server, entries)?;
        direct.fill()?;
        let (who, sock) = (Who::ThroughMaster, master.sock());
        let through = RedisRs::connect(who, sock, 0, pids.clone(), entries)?;
        let own = OwnClient::connect(sock, pids, entries)?;
        let mut contestants: Vec<Box<dyn Contestant>> =
            vec![Box::new(direct), Box::new(through), Box::new(own)];
        let proxy = pipelines::proxy(&redis.sock, &folder, &self.ours);
        match &proxy {
            Ok(proxy) => {
                let (who, pids) = (Who::ThroughProxy, vec![proxy.pid(), redis.pid()]);
                let through = RedisRs::connect(who, &proxy.sock, 0, pids, entries)?;
                contestants.push(Box::new(through));
                self.versions.extend(Kind::Twemproxy.version(&self.ours));
            }
            Err(error) => skip("twemproxy cannot be measured", error.as_ref()),
        }
        Ok(Some(Contest {
            name: "",
            works: pipelines::WORKS.to_vec(),
            contestants,
            servers: proxy.into_iter().chain([master.into_server()]).collect(),
        }))
    }

    /// Measures everything, and says how long each measurement took.
    fn schedule(&mut self, contests: &mut [Contest]) -> Result<Duration> {
        let options = self.options;
        let of_contests: usize = contests
            .iter()
            .map(|contest| contest.works.len() * contest.contestants.len())
            .sum();
        let mut slots = u32::try_from(of_contests * options.placements.len())?;
        if self.has(Part::Ticks) {
            slots += LONG * u32::try_from(Scene::EVERY.len())?;
        }
        let slot = options.time / (slots * options.rounds).max(1);
        for round in 0..options.rounds {
            driver::tell(&format!("round {} of {}", round + 1, options.rounds));
            for contest in &mut *contests {
                self.hold(contest, round, slot)?;
            }
            if self.has(Part::Ticks) {
                self.watch(round, slot * LONG)?;
            }
        }
        Ok(slot)
    }

    /// A round of a contest.
    fn hold(&mut self, contest: &mut Contest, round: u32, slot: Duration) -> Result<()> {
        let count = contest.contestants.len();
        for placement in &self.options.placements {
            for work in &contest.works {
                for turn in 0..count {
                    driver::check_interrupt()?;
                    let contestant = &mut contest.contestants[(turn + round as usize) % count];
                    let what = (contest.name, *work, *placement);
                    let measured =
                        contest::measure(contestant.as_mut(), what, round, &self.cpus, slot);
                    let sample = measured.map_err(|error| {
                        let (work, who) = (work.label(), contestant.who().name());
                        format!("{} {work}, {who}: {error}", contest.name)
                    })?;
                    self.note(&sample.json())?;
                    self.report.samples.push(sample);
                }
            }
        }
        Ok(())
    }

    /// A round of the scenes, not pinned.
    fn watch(&mut self, round: u32, time: Duration) -> Result<()> {
        self.cpus
            .place_all(machine::Placement::Unpinned, &[std::process::id()])?;
        let entries = usize::try_from(self.options.entries)?;
        for scene in Scene::EVERY {
            driver::check_interrupt()?;
            let watched = ticks::watch(&self.ours, &self.dir, (scene, round), entries, time)
                .map_err(|error| format!("{}: {error}", scene.label()))?;
            self.note(&watched.json())?;
            self.report.watched.push(watched);
        }
        Ok(())
    }

    fn note(&mut self, line: &str) -> Result<()> {
        if let Some(file) = &mut self.json {
            writeln!(file, "{line}")?;
        }
        Ok(())
    }
}

fn skip(what: &str, error: &dyn std::error::Error) {
    driver::tell(&format!("SKIPPED: {what}: {error}"));
}

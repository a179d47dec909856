//! Many processes that race to be the master: one wins, whatever is killed.
//!
//! Every racer asks for a store at once with all others and says what it became. In a calm round
//! all of them must agree on one master. In a wild round masters and others are killed at random
//! moments of the race. At no time may two be masters: whoever becomes one first leaves a file
//! with its process id and then looks for those of others, all of whom must have been marked as
//! killed before they were.

#![cfg(all(feature = "cli", target_os = "linux"))]
#![allow(clippy::unwrap_used, reason = "helpers may panic as the tests do")]

mod common;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use common::parts::{self, part, say};
use common::{PATIENCE, Running, connect, folder};
use memstore_cluster::{Error, Options, Role, SetOptions, Standalone, Store};
use nix::fcntl::{Flock, FlockArg};
use nix::sys::signal::Signal;

const RACERS: usize = 50;
/// The last is calm, to see who is left; with every kill there are still some then.
const ROUNDS: usize = 11;

/// Whether masters are killed while the round is run.
fn is_wild(round: usize) -> bool {
    round % 2 == 1
}

#[test]
fn play_a_part() {
    if parts::asked().is_some() {
        race();
    }
}

/// The files beside the socket by which the race is run.
struct Track(PathBuf);

impl Track {
    fn beside(sock: &Path) -> Self {
        Self(sock.parent().unwrap().to_owned())
    }

    /// Held exclusively until the round begins.
    fn gate(&self, round: usize) -> PathBuf {
        self.0.join(format!("gate-{round}"))
    }

    /// The file that a process leaves when it becomes a master.
    fn crown(&self, pid: &str) -> PathBuf {
        self.0.join("crowns").join(pid)
    }

    /// The file that the test leaves before it kills a process.
    fn grave(&self, pid: &str) -> PathBuf {
        self.0.join("graves").join(pid)
    }

    fn mark_as_killed(&self, pid: u32) {
        File::create(self.grave(&pid.to_string())).unwrap();
    }

    /// Becomes a master, of whom there must be no other.
    fn take_crown(&self) {
        let own = std::process::id().to_string();
        File::create_new(self.crown(&own)).unwrap();
        for other in fs::read_dir(self.0.join("crowns")).unwrap() {
            let other = other.unwrap().file_name().into_string().unwrap();
            let is_dead = other == own || self.grave(&other).exists();
            assert!(is_dead, "{own} and {other} are both masters");
        }
    }
}

fn lock(path: &Path, how: FlockArg) -> Flock<File> {
    let file = File::options().read(true).write(true).open(path).unwrap();
    Flock::lock(file, how).map_err(|(_, errno)| errno).unwrap()
}

/// Runs in every round. Says `round NUMBER: PID is the master`, and in a calm round also whether
/// it was this process that wrote what only one can.
fn race() {
    let sock = parts::sock();
    let track = Track::beside(&sock);
    let mut store = None;
    let mut is_crowned = false;
    for round in 0..ROUNDS {
        drop(lock(&track.gate(round), FlockArg::LockShared));
        let store = store.get_or_insert_with(|| enter(&sock));
        let master = find_master(store, &track, &mut is_crowned);
        let mut line = format!("round {round}: {master} is the master");
        if !is_wild(round) {
            let once = SetOptions::new().if_absent();
            line += match store.set_with(format!("only {round}"), "", once) {
                Ok(_) => ", won",
                Err(Error::Conflict { .. }) => ", lost",
                Err(error) => panic!("{error:?}"),
            };
        }
        say(&line);
    }
    loop {
        std::thread::park();
    }
}

fn enter(sock: &Path) -> Store {
    Options {
        sock: Some(sock.to_owned()),
        standalone: Standalone::Never,
        patience: PATIENCE,
        timeout: PATIENCE,
        ..Options::default()
    }
    .create()
    .unwrap()
}

/// The process id of the master, which may be this process.
fn find_master(store: &Store, track: &Track, is_crowned: &mut bool) -> String {
    common::eventually("somebody is the master", || {
        let found = store.get("master").unwrap();
        if store.role() == Role::Master && !*is_crowned {
            *is_crowned = true;
            track.take_crown();
            let once = SetOptions::new().if_absent();
            let own = std::process::id().to_string();
            store.set_with("master", own, once).unwrap();
            return None;
        }
        found.map(|entry| String::from_utf8(entry.value).unwrap())
    })
}

/// The racers that are alive, and the gates they wait at.
struct Race {
    track: Track,
    sock: PathBuf,
    gates: Vec<Flock<File>>,
    racers: BTreeMap<u32, Running>,
    random: fastrand::Rng,
}

impl Race {
    fn new(sock: &Path, seed: u64) -> Self {
        let track = Track::beside(sock);
        fs::create_dir(track.0.join("crowns")).unwrap();
        fs::create_dir(track.0.join("graves")).unwrap();
        let gate = |round| {
            File::create(track.gate(round)).unwrap();
            lock(&track.gate(round), FlockArg::LockExclusive)
        };
        let gates = (0..ROUNDS).rev().map(gate).collect();
        let start = |_| {
            let racer = Running::start(&mut part("racer", sock));
            (racer.pid(), racer)
        };
        Self {
            gates,
            racers: (0..RACERS).map(start).collect(),
            sock: sock.to_owned(),
            random: fastrand::Rng::with_seed(seed),
            track,
        }
    }

    fn kill(&mut self, pid: u32) {
        self.track.mark_as_killed(pid);
        let mut racer = self.racers.remove(&pid).expect("it is alive");
        racer.signal(Signal::SIGKILL);
        racer.wait();
    }

    /// What a racer says of a round, without `round NUMBER: `.
    fn report(&self, pid: u32, round: usize) -> String {
        let line = self.racers[&pid]
            .stdout()
            .until_contains(&format!("round {round}: "));
        line.split_once(": ").unwrap().1.to_owned()
    }

    /// Everybody agrees on one master, and one wrote what only one can. Kills the master.
    fn calm(&mut self, round: usize) {
        let reports: Vec<_> = self
            .racers
            .keys()
            .map(|pid| self.report(*pid, round))
            .collect();
        let master = reports[0].split(' ').next().unwrap();
        let agree = |report: &&String| report.starts_with(&format!("{master} is the master"));
        assert_eq!(
            reports.iter().filter(agree).count(),
            reports.len(),
            "{reports:#?}"
        );
        let winners = reports
            .iter()
            .filter(|report| report.ends_with(", won"))
            .count();
        assert_eq!(winners, 1, "{reports:#?}");

        let master: u32 = master.parse().unwrap();
        assert!(
            self.racers.contains_key(&master),
            "{master} is not among the living"
        );
        let served = connect(&self.sock).get("master").unwrap().unwrap();
        assert_eq!(served.value, master.to_string().as_bytes());
        let held = Options {
            sock: Some(self.sock.clone()),
            serve: true,
            ..Options::default()
        };
        let error = held.create().unwrap_err();
        assert!(
            matches!(error, Error::Held { pid: Some(pid), .. } if pid == master),
            "{error:?}"
        );
        self.kill(master);
    }

    /// Kills a few of those of whom others say that they are the master, as soon as they say it,
    /// and somebody else each time.
    fn wild(&mut self, round: usize) {
        for _ in 0..self.random.usize(1..=3) {
            let witness = self.anybody();
            let report = self.report(witness, round);
            let master: u32 = report.split(' ').next().unwrap().parse().unwrap();
            if self.racers.contains_key(&master) {
                self.kill(master);
            }
            let bystander = self.anybody();
            self.kill(bystander);
        }
    }

    fn anybody(&mut self) -> u32 {
        let pids: Vec<_> = self.racers.keys().copied().collect();
        *self.random.choice(&pids).expect("most are alive")
    }

    fn run(&mut self) {
        for round in 0..ROUNDS {
            drop(self.gates.pop());
            if is_wild(round) {
                self.wild(round);
            } else {
                self.calm(round);
            }
        }
    }
}

#[test]
fn of_fifty_processes_one_is_the_master_whoever_is_killed() {
    let seed =
        std::env::var("TEST_SEED").map_or_else(|_| fastrand::u64(..), |seed| seed.parse().unwrap());
    println!("TEST_SEED={seed}");
    let folder = folder();
    Race::new(&folder.path().join("s"), seed).run();
}

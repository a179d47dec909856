//! The same histories over the same backend, on the loop's thread and on one of its own: every
//! peer gets the same bytes.

use std::io::Write;

use memstore_cluster::backend::{
    Backend, BackendError, Cursor, Deadline, EntryRef, MemoryBackend, MemoryUse, SetOutcome,
    Teller, Upkeep, Visitor,
};
use memstore_cluster::contract::{Capabilities, Condition, Kind};
use memstore_cluster::protocol::{Request, codec};
use memstore_cluster::testing::TestMaster;
use memstore_cluster::time::{ManualClock, Millis};
use memstore_cluster::{Options, Source};
use proptest::prelude::*;

use super::peer::{Peer, command, set};

/// A memory backend that says that it blocks.
struct Aside(MemoryBackend);

impl Backend for Aside {
    fn capabilities(&self) -> Capabilities {
        self.0.capabilities()
    }
    fn blocks(&self) -> bool {
        true
    }
    fn get(&mut self, now: Millis, key: &[u8]) -> Result<Option<EntryRef<'_>>, BackendError> {
        self.0.get(now, key)
    }
    fn set(
        &mut self,
        now: Millis,
        key: &[u8],
        value: &[u8],
        deadline: Deadline,
        condition: Condition,
    ) -> Result<SetOutcome, BackendError> {
        self.0.set(now, key, value, deadline, condition)
    }
    fn set_kind(
        &mut self,
        now: Millis,
        key: &[u8],
        value: (Kind, &[u8]),
        deadline: Deadline,
        condition: Condition,
    ) -> Result<SetOutcome, BackendError> {
        self.0.set_kind(now, key, value, deadline, condition)
    }
    fn touch(&mut self, now: Millis, key: &[u8], to: Deadline) -> Result<bool, BackendError> {
        self.0.touch(now, key, to)
    }
    fn destroy(&mut self, now: Millis, key: &[u8]) -> Result<bool, BackendError> {
        self.0.destroy(now, key)
    }
    fn all(
        &mut self,
        now: Millis,
        cursor: Cursor,
        visit: &mut Visitor<'_>,
    ) -> Result<Option<Cursor>, BackendError> {
        self.0.all(now, cursor, visit)
    }
    fn length(&mut self, now: Millis) -> Result<u64, BackendError> {
        self.0.length(now)
    }
    fn clear(&mut self, now: Millis) -> Result<(), BackendError> {
        self.0.clear(now)
    }
    fn memory_use(&self) -> Option<MemoryUse> {
        self.0.memory_use()
    }
    fn upkeep(&mut self, now: Millis) -> Upkeep {
        self.0.upkeep(now)
    }
    fn gone(&mut self, tell: Option<&mut Teller<'_>>) {
        self.0.gone(tell);
    }
    fn commit(&mut self) -> Result<(), BackendError> {
        self.0.commit()
    }
}

/// How many peers take part; the last one speaks the native dialect.
const PEERS: usize = 4;

/// What one peer sends at once.
struct Burst {
    peer: usize,
    bytes: Vec<u8>,
    /// Where it is cut into writes.
    cut: usize,
}

fn burst(rng: &mut fastrand::Rng) -> Burst {
    let peer = rng.usize(..PEERS);
    let mut bytes = Vec::new();
    for _ in 0..rng.usize(1..30) {
        let key = format!("k{}", rng.u8(..6));
        if peer == PEERS - 1 {
            let request = match rng.u8(..5) {
                0 => Request::Ping,
                1 => Request::Length,
                2 => Request::Destroy {
                    key: key.as_bytes(),
                },
                3 => Request::Get {
                    key: key.as_bytes(),
                },
                _ => set(&key, b"native"),
            };
            codec::write_request(&mut bytes, rng.u32(..), &request);
        } else {
            bytes.extend_from_slice(&words(rng, &key));
        }
    }
    let cut = rng.usize(..=bytes.len());
    Burst { peer, bytes, cut }
}

fn words(rng: &mut fastrand::Rng, key: &str) -> Vec<u8> {
    let large = vec![b'x'; rng.usize(..100_000)];
    let line = match rng.u8(..26) {
        0 => format!("GET {key}"),
        1 => format!("SET {key} {}", rng.u16(..)),
        2 => format!("INCR {key}"),
        3 => "MULTI".to_owned(),
        4 => "EXEC".to_owned(),
        5 => "DISCARD".to_owned(),
        6 => format!("WATCH {key}"),
        7 => format!("HSET {key} f {}", rng.u8(..)),
        8 => format!("HGETALL {key}"),
        9 => format!("DEL {key}"),
        10 => "DBSIZE".to_owned(),
        11 => format!("SUBSCRIBE c{}", rng.u8(..2)),
        12 => "UNSUBSCRIBE".to_owned(),
        13 => format!("PUBLISH c{} hello", rng.u8(..2)),
        14 => "HELLO 3".to_owned(),
        15 => "HELLO 2".to_owned(),
        16 => "CLIENT REPLY SKIP".to_owned(),
        17 => "no such command".to_owned(),
        18 => String::new(),
        19 => format!("MGET {key} k1 k2"),
        20 => format!("PEXPIRE {key} 100000"),
        21 => format!("APPEND {key} x"),
        22 => "RESET".to_owned(),
        23 => "CLIENT ID".to_owned(),
        24 => return command(&[b"SET", key.as_bytes(), &large]),
        _ => return command(&[b"ECHO", b"\r\n"]),
    };
    line.into_bytes().into_iter().chain(*b"\r\n").collect()
}

/// What each peer got, burst by burst.
fn play(source: Source, seed: u64) -> Vec<Vec<u8>> {
    let mut rng = fastrand::Rng::with_seed(seed);
    let clock = ManualClock::new(Millis::from_unix(5_000));
    let options = Options {
        store: source,
        keyspace_events: "KEA".parse().unwrap(),
        ..Options::default()
    };
    let master = TestMaster::builder()
        .clock(clock)
        .options(options)
        .start()
        .unwrap();
    let mut peers: Vec<_> = (0..PEERS)
        .map(|_| Peer::of(master.raw_channel(0).unwrap()))
        .collect();
    // Numbers of connections are given in the order of their first words.
    for (number, peer) in peers.iter_mut().enumerate() {
        if number == PEERS - 1 {
            peer.hello();
        } else {
            peer.ask("PING", "+PONG\r\n");
        }
    }
    let mut got = vec![Vec::new(); PEERS];
    for number in 0..rng.u32(1..12) {
        let Burst { peer, bytes, cut } = burst(&mut rng);
        // The next one may begin when this one is done, and in whichever protocol and state the
        // peer is, a PING with words of its own comes back and ends it.
        let mark = format!("mark-{number}");
        let end = if peer == PEERS - 1 {
            let mut end = Vec::new();
            codec::write_request(&mut end, u32::MAX - number, &Request::Ping);
            end
        } else {
            format!("\r\nCLIENT REPLY ON\r\nDISCARD\r\nPING {mark}\r\n").into_bytes()
        };
        let mut writer = peers[peer].0.try_clone().unwrap();
        std::thread::scope(|scope| {
            scope.spawn(move || {
                writer.write_all(&bytes[..cut]).unwrap();
                writer.write_all(&bytes[cut..]).unwrap();
                writer.write_all(&end).unwrap();
            });
            let wanted = if peer == PEERS - 1 {
                (u32::MAX - number).to_le_bytes().to_vec()
            } else {
                format!("{mark}\r\n").into_bytes()
            };
            let from = got[peer].len();
            while !got[peer][from..]
                .windows(wanted.len())
                .any(|bytes| bytes == wanted)
            {
                read(&mut peers[peer], &mut got[peer]);
            }
        });
    }
    // Messages that are still on their way come before the end.
    drop(master);
    for (peer, got) in peers.iter_mut().zip(&mut got) {
        got.extend_from_slice(&peer.rest());
    }
    got
}

fn read(peer: &mut Peer, got: &mut Vec<u8>) {
    let mut bytes = [0; 4 << 10];
    let count = std::io::Read::read(&mut peer.0, &mut bytes).unwrap();
    assert_ne!(count, 0, "the master has closed the connection");
    got.extend_from_slice(&bytes[..count]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn every_peer_gets_the_same_bytes_on_either_thread(seed in any::<u64>()) {
        let here = play(Source::new(|| Ok(Box::new(MemoryBackend::new()))), seed);
        let aside = play(Source::new(|| Ok(Box::new(Aside(MemoryBackend::new())))), seed);
        for (peer, (here, aside)) in here.iter().zip(&aside).enumerate() {
            let (here, aside) = (here.escape_ascii(), aside.escape_ascii());
            prop_assert_eq!(here.to_string(), aside.to_string(), "peer {}", peer);
        }
    }
}

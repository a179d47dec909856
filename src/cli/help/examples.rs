//! The examples at the end of each help.

/// Those of a sub-command, or of the program for its own name.
pub(super) fn of(name: &str) -> Option<&'static str> {
    let found = EXAMPLES.iter().find(|(of, _)| *of == name);
    found.map(|(_, text)| *text)
}

const EXAMPLES: &[(&str, &str)] = &[
    (
        "memstore-cluster",
        "\
A web application on every core behind port 8080, its sessions in the master:
  memstore-cluster run --bind 0.0.0.0:8080 -- node app.js

Look into its store from another terminal:
  memstore-cluster length
  memstore-cluster all

Keep something for an hour and a half, for every process of this user:
  memstore-cluster set greeting hello --ttl 1h30m
  memstore-cluster get greeting

See which settings hold and where they came from:
  memstore-cluster config --show --config /etc/memstore-cluster.toml
",
    ),
    (
        "run",
        "\
A worker for each core, all accepting from one socket:
  memstore-cluster run --bind 127.0.0.1:8080 -- ./server

Two workers that open nothing and are not started again if they end well:
  memstore-cluster run --workers 2 --restart on-failure -- ./batch --all

A port for each, 8000 and up, for a server that opens its own socket:
  memstore-cluster run --port-base 8000 -- sh -c 'exec php -S 127.0.0.1:$PORT'

One process on a small board, with the same program:
  memstore-cluster run --standalone -- ./server
",
    ),
    (
        "serve",
        "\
A store of its own for other programs of this user:
  memstore-cluster serve --sock /run/shop/store.sock --max-value 64KiB
",
    ),
    (
        "set",
        "\
An entry that goes after half an hour:
  memstore-cluster set session:7 '{\"user\":1}' --ttl 30m

A file as value:
  memstore-cluster set logo < logo.png

A lock that at most one process gets, and that nobody can forget to free:
  memstore-cluster set lock:backup \"$$\" --nx --ttl 10m && backup
",
    ),
    (
        "destroy",
        "\
A logout that no request under way undoes:
  memstore-cluster destroy session:7 --tombstone 10s
",
    ),
    (
        "publish",
        "\
From a script that runs as a worker to all who listen:
  memstore-cluster publish news 'the cache is cold'
",
    ),
    (
        "subscribe",
        "\
A line for each message, for a script:
  memstore-cluster subscribe news --plain | while read -r line; do echo \"$line\"; done

Changes of keys, where the master has --notify-keyspace-events KA:
  memstore-cluster subscribe --matching '__keyspace@0__:*'
",
    ),
    (
        "touch",
        "\
Another half hour:
  memstore-cluster touch session:7 --ttl 30m
",
    ),
    (
        "dump",
        "\
Every night, into a file that is replaced when the new one is whole:
  memstore-cluster dump /var/backups/sessions.dump

What is in the store, for jq:
  memstore-cluster dump --format jsonl | jq -r 'select(.expires_at_ms == null) | .key'
",
    ),
    (
        "load",
        "\
From one master to another:
  memstore-cluster dump --sock a.sock | memstore-cluster load --sock b.sock

What is missing, and nothing that is newer:
  memstore-cluster load --if-absent /var/backups/sessions.dump
",
    ),
    (
        "config",
        "\
A file to begin with:
  memstore-cluster config --show > memstore-cluster.toml
",
    ),
    (
        "completions",
        "\
For bash, and all shells that this user starts from now on:
  memstore-cluster completions bash > ~/.local/share/bash-completion/completions/memstore-cluster
",
    ),
    (
        "man",
        "\
For this user:
  memstore-cluster man ~/.local/share/man/man1
",
    ),
];

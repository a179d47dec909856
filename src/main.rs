//! The `memstore-cluster` binary: the command line of the library, see [`memstore_cluster::cli`].

use std::process::ExitCode;

fn main() -> ExitCode {
    memstore_cluster::cli::main()
}

#!/bin/sh
# A plain shell script as a worker: it counts its starts in the shared store.
#
#   memstore-cluster run --workers 2 -- examples/worker.sh
#
# MEMSTORE_SOCK, set by the master, tells the command line where the store is.
set -eu

starts=$(memstore-cluster get "starts:$MEMSTORE_WORKER" 2>/dev/null || echo 0)
memstore-cluster set "starts:$MEMSTORE_WORKER" "$((starts + 1))" --ttl 1h >/dev/null
echo "worker $MEMSTORE_WORKER of $MEMSTORE_WORKERS: start number $((starts + 1)), pid $$"

# Work: stay until the master says TERM.
trap 'exit 0' TERM
while :; do
    sleep 3600 &
    wait $!
done

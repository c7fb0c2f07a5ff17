# Starts and stops one engine of a build tree. Sourced by tools/run.
# shellcheck shell=bash

hako_engine_pid=''
hako_engine_socket=''

# hako_engine_start STATE_DIR SCRATCH_DIR; the engine's own output goes to SCRATCH_DIR/hakod.log.
hako_engine_start() {
    local state=$1 scratch=$2 waiter_pid finished='' status=0
    hako_engine_socket="$state/hako.sock"
    local notify="$scratch/notify.sock" bound=''
    rm -f -- "$notify"
    exec {waiter_fd}< <(exec /usr/bin/python3 "$hako_root/tools/lib/await_ready.py" "$notify" 60)
    waiter_pid=$!
    read -r bound <&"$waiter_fd" || true
    [ "$bound" = bound ] || hako_die "cannot make the readiness socket $notify"
    NOTIFY_SOCKET="$notify" "$hako_build/engine/hakod" --state "$state" \
        --socket "$hako_engine_socket" >"$scratch/hakod.log" 2>&1 </dev/null &
    hako_engine_pid=$!
    wait -n -p finished "$waiter_pid" "$hako_engine_pid" || status=$?
    exec {waiter_fd}<&-
    if [ "$finished" = "$hako_engine_pid" ]; then
        hako_engine_pid=''
        kill "$waiter_pid" 2>/dev/null || true
        hako_engine_failed "$scratch/hakod.log" "the engine ended with status $status while starting"
    elif [ "$status" -ne 0 ]; then
        hako_engine_failed "$scratch/hakod.log" "the engine was not ready within 60 s"
    fi
    hako ping >/dev/null || hako_engine_failed "$scratch/hakod.log" "the engine does not answer a ping"
}

hako_engine_failed() {
    printf '%s; the last lines of its log (%s):\n' "$2" "$1" >&2
    tail -n 25 -- "$1" >&2
    exit 1
}

# The command line client of the same tree, on the engine's socket.
hako() { "$hako_build/tools/hako/hako" --socket "$hako_engine_socket" "$@"; }

# Asks the engine to drain and waits for it; a second signal follows if it takes over 20 s.
hako_engine_stop() {
    [ -n "$hako_engine_pid" ] || return 0
    local pid=$hako_engine_pid status=0
    hako_engine_pid=''
    kill -TERM "$pid" 2>/dev/null || true
    timeout 20 tail --pid="$pid" -f /dev/null || {
        kill -TERM "$pid" 2>/dev/null || true
        timeout 5 tail --pid="$pid" -f /dev/null || kill -KILL "$pid" 2>/dev/null || true
    }
    wait "$pid" || status=$?
    return "$status"
}

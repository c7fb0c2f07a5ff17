# Starts and stops one engine of a build tree. tools/run sources it and sets hako_root, hako_build.
# shellcheck shell=bash disable=SC2154

hako_engine_pid=''
hako_engine_socket=''
hako_engine_waiter_pid=''

# hako_engine_start STATE_DIR SCRATCH_DIR; what the engine prints goes to SCRATCH_DIR/hakod.log.
hako_engine_start() {
    local state=$1 scratch=$2 finished='' status=0 bound=''
    local log="$scratch/hakod.log" notify="$scratch/notify.sock"
    hako_engine_socket="$scratch/hako.sock"
    rm -f -- "$notify" "$scratch/bound"
    mkfifo -- "$scratch/bound"
    /usr/bin/python3 "$hako_root/tools/lib/await_ready.py" "$notify" 60 \
        >"$scratch/bound" 2>>"$log" </dev/null &
    hako_engine_waiter_pid=$!
    read -r bound <"$scratch/bound" || true
    [ "$bound" = bound ] || hako_engine_failed "$log" "cannot make the readiness socket $notify"
    # In a process group of its own (set -m): Ctrl-C is for us, and we then ask the engine to drain.
    set -m
    NOTIFY_SOCKET="$notify" "$hako_build/engine/hakod" --state "$state" \
        --socket "$hako_engine_socket" >>"$log" 2>&1 </dev/null &
    hako_engine_pid=$!
    set +m
    # Whichever comes first: the message READY=1, or the end of the engine.
    wait -n -p finished "$hako_engine_waiter_pid" "$hako_engine_pid" || status=$?
    if [ "$finished" = "$hako_engine_pid" ]; then
        hako_engine_pid=''
        hako_engine_failed "$log" "the engine ended with status $status while starting"
    fi
    hako_engine_waiter_pid=''
    [ "$status" -eq 0 ] || hako_engine_failed "$log" "the engine was not ready within 60 s"
    hako ping >/dev/null || hako_engine_failed "$log" "the engine does not answer a ping"
}

hako_engine_failed() {
    printf '%s; the last lines of its log (%s):\n' "$2" "$1" >&2
    tail -n 25 -- "$1" >&2
    exit 1
}

# The command line client of the same tree, on the engine's socket.
hako() { "$hako_build/tools/hako/hako" --socket "$hako_engine_socket" "$@"; }

# Waits for a child: hako_await_end PID SECONDS. True if it ended in time.
hako_await_end() { timeout "$2" tail --pid="$1" -s 0.1 -f /dev/null; }

# Asks the engine to drain; a second signal after 20 s ends what still runs. Its exit status.
hako_engine_stop() {
    [ -z "$hako_engine_waiter_pid" ] || kill "$hako_engine_waiter_pid" 2>/dev/null || true
    hako_engine_waiter_pid=''
    [ -n "$hako_engine_pid" ] || return 0
    local pid=$hako_engine_pid status=0
    hako_engine_pid=''
    kill -TERM "$pid" 2>/dev/null || true
    if ! hako_await_end "$pid" 20; then
        kill -TERM "$pid" 2>/dev/null || true
        hako_await_end "$pid" 5 || kill -KILL "$pid" 2>/dev/null || true
    fi
    wait "$pid" || status=$?
    return "$status"
}

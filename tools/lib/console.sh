# Progress, logs and clean-up shared by tools/run, tools/test and tools/dev.
# shellcheck shell=bash

if [ -t 1 ] && [ -z "${NO_COLOR:-}" ] && [ "${TERM:-dumb}" != dumb ]; then
    hako_bold=$'\e[1m' hako_dim=$'\e[2m' hako_red=$'\e[31m' hako_green=$'\e[32m' hako_plain=$'\e[0m'
else
    hako_bold='' hako_dim='' hako_red='' hako_green='' hako_plain=''
fi

hako_steps_total=0
hako_step_index=0
hako_step_started_ms=0
hako_logs_dir=''

hako_now_ms() { echo $(("${EPOCHREALTIME/[.,]/}" / 1000)); }

# hako_seconds MS -> "1.2 s"
hako_seconds() { printf '%d.%d s' $(($1 / 1000)) $(($1 % 1000 / 100)); }

# Ends the step before, if any, and announces the next: hako_step "building"
hako_step() {
    hako_step_done
    hako_step_index=$((hako_step_index + 1))
    hako_step_started_ms=$(hako_now_ms)
    printf '%s[%d/%d]%s %s\n' "$hako_bold" "$hako_step_index" "$hako_steps_total" "$hako_plain" "$1"
}

hako_step_done() {
    [ "$hako_step_started_ms" -ne 0 ] || return 0
    local took_ms=$(($(hako_now_ms) - hako_step_started_ms))
    printf '      %sdone in %s%s\n' "$hako_dim" "$(hako_seconds "$took_ms")" "$hako_plain"
    hako_step_started_ms=0
}

hako_note() { printf '      %s\n' "$*"; }

hako_die() {
    printf '%s%s: %s%s\n' "$hako_red" "${0##*/}" "$*" "$hako_plain" >&2
    exit 1
}

# Where hako_logged keeps its logs; kept after a failure, removed by hako_drop_logs after success.
hako_open_logs() {
    hako_logs_dir=$(mktemp -d "${TMPDIR:-/tmp}/hako-logs.XXXXXX")
    trap 'rmdir -- "$hako_logs_dir" 2>/dev/null || true' EXIT
}
hako_drop_logs() { [ -z "$hako_logs_dir" ] || rm -rf -- "$hako_logs_dir"; }

# Runs a command with its output in a log; on failure shows the end of the log and gives up.
# hako_logged NAME COMMAND...
hako_logged() {
    local log="$hako_logs_dir/$1.log" status=0
    shift
    "$@" >"$log" 2>&1 </dev/null || status=$?
    [ "$status" -ne 0 ] || return 0
    printf '%s%s failed with status %d; the last lines of %s:%s\n' \
        "$hako_red" "$1" "$status" "$log" "$hako_plain" >&2
    tail -n 25 -- "$log" >&2
    exit 1
}

# Makes or refreshes a meson build tree: hako_configure DIR OPTION...
# A tree that meson cannot reconfigure (another compiler or meson) is made anew.
hako_configure() {
    local dir=$1
    shift
    # ccache fails the compiler call when it cannot write its cache.
    [ -w "${CCACHE_DIR:-${HOME:-/nonexistent}}" ] || export CCACHE_DISABLE=1
    if [ -f "$dir/build.ninja" ] &&
        meson setup --reconfigure "$dir" "$hako_root" "$@" \
            >"$hako_logs_dir/configure.log" 2>&1 </dev/null; then
        return 0
    fi
    if [ -d "$dir" ] && [ ! -d "$dir/meson-private" ] && [ -n "$(ls -A -- "$dir")" ]; then
        hako_die "$dir has files but is no meson build tree; name another with HAKO_BUILD"
    fi
    rm -rf -- "$dir"
    mkdir -p -- "$(dirname -- "$dir")"
    hako_logged configure meson setup "$dir" "$hako_root" "$@"
}

# Builds a tree; on a terminal ninja shows its own progress line, elsewhere only a failure shows.
# hako_compile DIR TARGET...
hako_compile() {
    local dir=$1
    shift
    if [ -t 1 ]; then
        ninja -C "$dir" "$@" || exit 1
    else
        hako_logged build ninja -C "$dir" "$@"
    fi
}

# The libFuzzer targets, instrumented by clang; tests/fuzz/run runs them.
hako_build_fuzzers() {
    CC=clang-19 CXX=clang++-19 hako_configure "$hako_root/build/fuzz" --buildtype=debugoptimized \
        -Dfuzz=true -Dpython=disabled -Dbench=disabled -Db_lundef=false
    hako_compile "$hako_root/build/fuzz" fuzzers
}

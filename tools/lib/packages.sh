# The Debian 12 packages hako needs, in one place. Sourced by tools/run, tools/test and tools/dev.
# shellcheck shell=bash

hako_packages_build=(
    g++ meson ninja-build pkg-config ccache
    libboost-context1.81-dev liburing-dev libseccomp-dev libcap-dev libsimdjson-dev libfmt-dev
    libsqlite3-dev libssl-dev libzip-dev zlib1g-dev libpcre2-dev libcurl4-openssl-dev
    libtomlplusplus-dev libcli11-dev libyaml-cpp-dev libpython3-dev python3
)
# uidmap: newuidmap, with which an ordinary user's sandboxes get ids of their own.
hako_packages_test=(
    libgtest-dev libgmock-dev libbenchmark-dev python3-botocore python3-boto3 awscli nginx-light
    curl uidmap
)
hako_packages_lint=(git clang-19 clang-format-19 clang-tidy-19)
hako_packages_fuzz=(clang-19 libclang-rt-19-dev)
# virtiofsd is in qemu-system-common, on which qemu-system-x86 depends.
hako_packages_vm=(qemu-system-x86 busybox-static cpio)

# Prints the packages of the named groups that are not installed, one per line.
hako_missing_packages() {
    local group installed package
    installed=$(dpkg-query -W -f='${db:Status-Status} ${Package}\n' | sed -n 's/^installed //p')
    for group in "$@"; do
        local -n list="hako_packages_$group"
        for package in "${list[@]}"; do
            grep -qxF -- "$package" <<<"$installed" || echo "$package"
        done
    done | sort -u
}

# Installs what the named groups lack; touches the network only if something is missing.
# HAKO_SKIP_PACKAGES=1 trusts the machine (another distribution, an image built ahead).
hako_install_packages() {
    [ -z "${HAKO_SKIP_PACKAGES:-}" ] || return 0
    if ! command -v apt-get >/dev/null || ! command -v dpkg-query >/dev/null; then
        hako_die "this is not Debian (no apt-get). Install what tools/lib/packages.sh lists by" \
            "your own means, then set HAKO_SKIP_PACKAGES=1."
    fi
    local missing=()
    mapfile -t missing < <(hako_missing_packages "$@")
    if [ "${#missing[@]}" -eq 0 ]; then
        hako_note "all packages are there"
        return 0
    fi
    if [ "$(id -u)" -ne 0 ]; then
        hako_die "packages are missing and only root can install them:" \
            "sudo apt-get install --no-install-recommends ${missing[*]}"
    fi
    hako_note "installing ${#missing[@]} packages: ${missing[*]}"
    export DEBIAN_FRONTEND=noninteractive
    hako_logged packages-update apt-get -q update
    hako_logged packages-install apt-get -q -y --no-install-recommends install "${missing[@]}"
}

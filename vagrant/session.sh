#!/bin/sh
# The README's console session, checked: runs every command as a plain user, compares
# status and output, and fails at the end when one of them differed.
#   session.sh [--no-setup]     --no-setup: little-container is already installed
set -eu

case ${1:-} in
    '' | --no-setup) ;;
    *) echo "usage: session.sh [--no-setup]" >&2 && exit 2 ;;
esac

SRC=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
PATH=$HOME/.local/bin:$PATH
WORK=$(mktemp -d "${TMPDIR:-/tmp}/session.XXXXXX")
trap 'rm -rf -- "$WORK"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

passed=0
failed=0
wrong() {
    printf '  WRONG: %s\n' "$*"
    right=
}

# expect STATUS OUTPUT COMMAND...   OUTPUT is exact; "..." stands for "something, no matter what".
expect() {
    status=$1 output=$2
    shift 2
    printf '$ %s\n' "$*"
    right=yes
    got=0
    "$@" >"$WORK/out" 2>"$WORK/err" </dev/null || got=$?
    sed 's/^/  /' "$WORK/out" "$WORK/err"
    [ "$got" -eq "$status" ] || wrong "status $got, expected $status"
    if [ "$output" = ... ]; then
        [ -s "$WORK/out" ] || [ -s "$WORK/err" ] || wrong "no output"
    else
        printf '%s' "$output" | cmp -s - "$WORK/out" || wrong "standard output differs from: $output"
    fi
    if [ -n "$right" ]; then passed=$((passed + 1)); else failed=$((failed + 1)); fi
}

# The folder and the archive that the session uses: one static program is a whole system.
make_rootfs() {
    mkdir -p rootfs/bin rootfs/dev rootfs/etc rootfs/proc rootfs/sys rootfs/tmp
    cp "$(command -v busybox)" rootfs/bin/busybox
    ln -s busybox rootfs/bin/sh
    tar -czf rootfs.tar.gz -C rootfs .
}

import_and_run() { little-container import mybox rootfs.tar.gz >&2 && little-container run mybox sh -c 'echo hi'; }

if [ "${1:-}" != --no-setup ]; then
    echo '$ ./setup'
    (cd "$SRC" && ./setup)
fi

cd "$WORK"
make_rootfs

# shellcheck disable=SC2016 # the container's shell expands $$
expect 7 "1
0
" little-container run bash -c 'echo $$; id -u; exit 7'
expect 0 "" little-container run --image host true
expect 3 "hi
" little-container run --rootfs ./rootfs /bin/sh -c 'echo hi; exit 3'
expect 0 "hi
" import_and_run
expect 0 ... little-container run --explain true
expect 0 ... little-container run --dry-run bash
expect 0 ... little-container doctor

printf '%s passed, %s failed\n' "$passed" "$failed"
[ "$failed" -eq 0 ]

#!/bin/sh
# Runs the unit test programs, three at once per processor, since some wait. Prints the output of
# each one that fails, and a summary line.
# usage: unit.sh PROGRAM...
printf '%s\n' "$@" | xargs -P $((3 * $(nproc))) -n 1 sh -c '
    "$0" >"$0.log" 2>&1 && exit
    echo "program failed: $0" | cat - "$0.log"
    echo "program failed" >>"$0.log"
    exit 1'
status=$?
for program in "$@"; do cat "$program.log"; done | awk '
    /PASSED  \]/ { passed += $4 }
    /^program failed/ { failed++ }
    END { printf "unit: %d tests passed, %d programs failed\n", passed, failed }'
[ $status = 0 ]

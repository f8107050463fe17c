#!/bin/sh
# Runs the unit test programs; prints the output of each failing one, and a summary line.
# usage: unit.sh PROGRAM...
passed=0 failed=0
for program in "$@"; do
    if output=$("$program" 2>&1); then
        n=$(printf '%s\n' "$output" | sed -n 's/.*PASSED  \] \([0-9]*\) test.*/\1/p' | awk '{ n += $1 } END { print n + 0 }')
        passed=$((passed + n))
    else
        printf '%s\n' "$program" "$output"
        failed=$((failed + 1))
    fi
done
echo "unit: $passed tests passed, $failed programs failed"
[ $failed = 0 ]

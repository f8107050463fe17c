#!/bin/sh
# Runs the functional tests, three files at once per processor, since tests wait a lot: first the
# slow small ones, then the largest. Prints the output of a file if it fails.
# usage: SUITEGATE=BINARY functional.sh LOGS FILE...
set -u
logs=$1; shift
processes=$((3 * $(nproc)))
[ $processes -le 8 ] || processes=8 # as many as have ports of their own: gate.py
slow='/test_(build|chains|check_(faults|limits|servers)|deadlines|ordinary|records)\.py$'
rm -rf "$logs"; mkdir -p "$logs"
{ ls "$@" | grep -E "$slow"; ls -S "$@" | grep -Ev "$slow"; } |
    xargs -P $processes -n 1 --process-slot-var=SUITEGATE_TEST_SLOT sh -c '
    name=$(basename "$1" .py)
    /usr/bin/python3 -B -m pytest -q -p no:cacheprovider "$1" >"$0/$name.log" 2>&1
    status=$? # 5: none of its tests is for this build
    if [ $status = 0 ] || [ $status = 5 ]; then
        echo "$name: $(tail -n 1 "$0/$name.log")"
    else
        cat "$0/$name.log"
        exit 1
    fi' "$logs"
status=$?
tail -q -n 1 "$logs"/*.log | awk '
    { gsub(/,/, ""); for (i = 1; i < NF; i++) n[$(i + 1)] += $i }
    END { printf "functional: %d passed, %d skipped, %d failed\n", n["passed"], n["skipped"],
              n["failed"] + n["error"] + n["errors"] }'
[ $status = 0 ]

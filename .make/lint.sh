#!/bin/sh
# Static checks: format, layering, cppcheck, clang-tidy, documentation. All run; any fails it.
# usage: lint.sh FILE...   (the files whose format counts)
set -u
status=0
step() { echo "lint: $1"; shift; "$@" || { status=1; echo "lint: failed" >&2; }; }
flags="-std=c11 -D_GNU_SOURCE -Iinclude -isystem build/wolfssl/include"
sources=$(ls src/*/*.c)

step format clang-format --dry-run --Werror "$@"
step layering .make/layers.sh
step cppcheck cppcheck --quiet --error-exitcode=1 --std=c11 --enable=warning,performance,portability \
    --inline-suppr --suppress=missingIncludeSystem --suppress=normalCheckLevelMaxBranches \
    -D_GNU_SOURCE -DSUITEGATE_VERSION='"lint"' -Iinclude -j "$(nproc)" src
tidy() { printf '%s\n' $sources | xargs -P "$(nproc)" -n 4 sh -c 'clang-tidy --quiet "$@" -- '"$flags"' 2>/dev/null' tidy; }
step clang-tidy tidy
step documentation sh -c 'make --no-print-directory -s build/docs && /usr/bin/python3 -B .make/docs.py build/docs'
[ $status = 0 ] && echo "lint: clean"
exit $status

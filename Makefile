# suitegate. `make run` and `make test` do everything; `make help` lists the rest.
# All output is in build/, except the local CA, which make run puts into certs/.

VERSION := 0.1.0
PREFIX ?= /usr/local
SYSCONFDIR ?= /etc
BUILD := build
WOLFSSL := $(BUILD)/wolfssl

CC ?= cc
WARNINGS := -Wall -Wextra -Wshadow -Wconversion -Werror
HARDENING := -fstack-protector-strong -D_FORTIFY_SOURCE=2 -fPIE -fno-strict-aliasing
DEFINES := -D_GNU_SOURCE -DSUITEGATE_VERSION='"$(VERSION)"' \
	-DSUITEGATE_CONFIG='"$(SYSCONFDIR)/suitegate/suitegate.ini"'
# Libraries whose headers are not where the compiler looks.
SYSTEM_HEADERS = -isystem $(WOLFSSL)/include -isystem /usr/include/p11-kit-1
CPPFLAGS_ALL = -Iinclude $(SYSTEM_HEADERS) $(DEFINES) $(CPPFLAGS)
OPTIMIZE := -O2 -g
CFLAGS_ALL = -std=c11 $(WARNINGS) $(OPTIMIZE) $(HARDENING) $(CFLAGS)
LDFLAGS_ALL = -pie -Wl,-z,relro,-z,now,-z,noexecstack $(LDFLAGS)
LIBS := $(WOLFSSL)/lib/libwolfssl.a -lev -linih -lcares -ljansson -lseccomp -lz -lm -lpthread

# Twice: the TLS library needs src/pki/random.c.
CORE_LIBS := $(BUILD)/libcore.a $(LIBS) $(BUILD)/libcore.a

SOURCES := $(sort $(wildcard src/*/*.c))
OBJECTS := $(SOURCES:src/%.c=$(BUILD)/obj/%.o)
TIDIED := $(SOURCES:src/%.c=$(BUILD)/tidy/%.ok)
# Everything but main(), for the tests.
CORE := $(filter-out %/cli/main.o,$(OBJECTS))
UNIT := $(sort $(wildcard tests/unit/test_*.c))
UNIT_PROGRAMS := $(UNIT:tests/unit/%.c=$(BUILD)/unit/%)
FUZZ := $(sort $(wildcard tests/fuzz/fuzz_*.c))
FUZZ_PROGRAMS := $(FUZZ:tests/fuzz/%.c=$(BUILD)/fuzz/%)
FUZZ_SECONDS ?= 600
HEADERS := $(sort $(wildcard include/*/*.h include/*/*.def src/*/*.h src/*/*.def))
FORMATTED := $(SOURCES) $(filter %.h,$(HEADERS)) $(wildcard tests/unit/*.[ch] tests/fuzz/*.c tests/tools/*.c)

.PHONY: FORCE all packages library run test programs unit functional fuzz fuzz-short asan covered mutants soak bench bench-instructions lint lint-format lint-layering lint-cppcheck lint-documentation format docs install uninstall deb base clean help
.DEFAULT_GOAL := all

# One process per processor, unless the caller gives -j.
PARALLEL = $(MAKE) --no-print-directory $(if $(findstring -j,$(MAKEFLAGS)),,-j$(shell nproc))

all: packages
	+@$(PARALLEL) $(BUILD)/suitegate

help:
	@echo 'make run      get what is needed, build, make a local CA, run the proxy on 127.0.0.1:8080'
	@echo 'make test     get what is needed, build, run all tests (about ten minutes)'
	@echo 'make asan     unit and functional tests under ASan and UBSan'
	@echo 'make covered  find the tests that make asan may leave out, as others run their code'
	@echo 'make mutants  small faults in the program, and whether a test notices (MUTANTS="SEED COUNT")'
	@echo 'make lint     format, static analysis, layering, documentation (with clang 14, as in Debian 12)'
	@echo 'make soak     the long tests      make fuzz   fuzz for FUZZ_SECONDS each (600)'
	@echo 'make bench    cost beside nginx, HAProxy, sslsplit, Squid and mitmproxy (ten minutes)'
	@echo 'make bench-instructions   instructions a connection and a MiB, and how they changed'
	@echo 'make install DESTDIR= PREFIX=/usr/local   make uninstall   make deb   a Debian package'
	@echo 'make format   make docs   make clean'

packages:
	@.make/deps.sh build
# Needs the packages, but no prerequisite: so that it begins first where it is the first goal.
library:
	@.make/wolfssl.sh $(WOLFSSL)
$(WOLFSSL)/profile.stamp: .make/wolfssl.sh .make/wolfssl.profile .make/wolfssl.sed | packages library
	@touch $@

# Rewritten only if the compiler or its flags have changed.
$(BUILD)/flags.stamp: FORCE
	@mkdir -p $(@D)
	@echo '$(subst ','"'"',$(CC) $(CPPFLAGS_ALL) $(CFLAGS_ALL) $(LDFLAGS_ALL))' | cmp -s - $@ || \
	    echo '$(subst ','"'"',$(CC) $(CPPFLAGS_ALL) $(CFLAGS_ALL) $(LDFLAGS_ALL))' >$@
FORCE:

# Only pki/ and tls/ include the library: all else is compiled while the library is built.
$(filter $(BUILD)/obj/pki/% $(BUILD)/obj/tls/%,$(OBJECTS)): $(WOLFSSL)/profile.stamp
$(BUILD)/obj/%.o: src/%.c $(BUILD)/flags.stamp | packages
	@mkdir -p $(@D)
	@echo "cc $<"
	@$(CC) $(CPPFLAGS_ALL) $(CFLAGS_ALL) -MMD -MP -c $< -o $@

$(BUILD)/suitegate: $(OBJECTS) $(WOLFSSL)/profile.stamp
	@echo "link $@"
	@$(CC) $(CFLAGS_ALL) $(LDFLAGS_ALL) $(OBJECTS) $(LIBS) -o $@

$(BUILD)/libcore.a: $(CORE)
	@rm -f $@
	@ar rcs $@ $^

# The tests themselves, for a short build. _FORTIFY_SOURCE needs optimization.
UNOPTIMIZED := -O0 -U_FORTIFY_SOURCE
$(BUILD)/unit/%: tests/unit/%.c $(BUILD)/libcore.a $(wildcard tests/unit/*.h)
	@mkdir -p $(@D)
	@echo "cc $<"
	@$(CC) $(CPPFLAGS_ALL) $(CFLAGS_ALL) $(UNOPTIMIZED) $(LDFLAGS_ALL) \
	    $(WRAPPED_$*:%=-Wl,--wrap=%) $< $(CORE_LIBS) -lcmocka -o $@
# Calls that the test replaces.
WRAPPED_test_connection_faults := malloc calloc realloc suitegate_random ca_mint
WRAPPED_test_leg := malloc
WRAPPED_test_lines := realloc
WRAPPED_test_mirror := clock_steady_ns
WRAPPED_test_relay_steps := session_read session_write session_close_notify \
    session_renegotiation_asked session_fault session_alert_sent session_alert_received \
    session_handshake_done leg_fill leg_flush leg_end evidence_opened evidence_closed conn_uncount \
    conn_set_state
WRAPPED_test_session_faults := malloc calloc realloc free suitegate_random session_handshake \
    session_read session_write session_close_notify
WRAPPED_test_conn := session_handshake session_agreed conn_refuse client_start_handshake \
    conn_set_state conn_run lookup_overdue leg_poll
WRAPPED_test_loop_memory := malloc realloc
WRAPPED_test_record := realloc
WRAPPED_test_recorder := malloc realloc
WRAPPED_test_resolver := malloc
WRAPPED_test_sources := free
WRAPPED_test_state := pread digest_sha256
WRAPPED_test_ticket := random_bytes
WRAPPED_test_writer := fdatasync fsync ftruncate

certs/ca.pem: | $(BUILD)/suitegate
	@[ -e $@ ] || $(BUILD)/suitegate ca init --out certs

run: all certs/ca.pem
	@echo
	@echo 'In another terminal, try:'
	@echo
	@echo '    curl --proxy http://127.0.0.1:8080 --cacert certs/ca.pem https://HOST/'
	@echo
	@echo 'The records go to build/audit.jsonl. Ctrl-C stops the proxy.'
	@echo
	@config=conf/suitegate.ini; \
	if [ "$$(id -u)" = 0 ]; then \
	    config=$(BUILD)/run.ini; \
	    { cat conf/suitegate.ini; printf '\n; Root itself runs it here.\n[process]\nuser = root\n'; } >$$config; \
	fi; \
	exec $(BUILD)/suitegate run -c $$config

test: all
	@.make/deps.sh test
	+@$(PARALLEL) programs $(FUZZ_PROGRAMS)
	@$(MAKE) --no-print-directory base
	@$(MAKE) --no-print-directory unit
	@$(MAKE) --no-print-directory fuzz-short
	@$(MAKE) --no-print-directory functional

programs: $(BUILD)/suitegate $(UNIT_PROGRAMS)

unit: $(UNIT_PROGRAMS)
	@.make/unit.sh $^

functional: $(BUILD)/suitegate
	@SUITEGATE=$(abspath $(BUILD)/suitegate) .make/functional.py $(BUILD)/functional \
	    tests/functional/test_*.py

# Sanitizers have their own tree; wolfSSL is shared. The small quarantine keeps the tests' bounds on
# memory. Static runtimes cut the time to start and end a process by a third.
SANITIZE := -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer
SANITIZED = BUILD=$(BUILD)/asan WOLFSSL=$(WOLFSSL) OPTIMIZE='-O1 -g' HARDENING=-fPIE \
    CFLAGS='$(SANITIZE)' LDFLAGS='-static-libasan -static-libubsan'
asan: export ASAN_OPTIONS := detect_leaks=1:quarantine_size_mb=1:thread_local_quarantine_size_kb=64
asan: export UBSAN_OPTIONS := print_stacktrace=1
asan: all
	@.make/deps.sh test
	+@$(PARALLEL) $(SANITIZED) programs
	@$(MAKE) --no-print-directory $(SANITIZED) unit
	@$(MAKE) --no-print-directory $(SANITIZED) functional

# Updates tests/functional/covered.txt: the tests that run no code of their own.
COVERAGE := $(BUILD)/coverage
covered: all
	@.make/deps.sh test
	@rm -rf $(COVERAGE)
	@mkdir -p $(COVERAGE)
	@clang -O2 -c tests/tools/coverage.c -o $(COVERAGE)/coverage.o
	+@$(PARALLEL) BUILD=$(COVERAGE) WOLFSSL=$(WOLFSSL) CC=clang OPTIMIZE=-O1 WARNINGS=-w \
	    CFLAGS=-fsanitize-coverage=trace-pc-guard \
	    LDFLAGS='$(COVERAGE)/coverage.o -Wl,--wrap=_exit' $(COVERAGE)/suitegate
	@COVERED_FOLDER=$(abspath $(COVERAGE)) /usr/bin/python3 -B tests/tools/covered.py \
	    $(abspath $(COVERAGE)/suitegate) .make/functional.py $(BUILD)/functional \
	    tests/functional/test_*.py

# How good the tests are: faults put into copies of the tree, two at a time. About an hour.
MUTANTS ?= 1 150
mutants: export MUTANTS_CC = $(CC) -std=c11 -w -O2 -fno-strict-aliasing $(CPPFLAGS_ALL)
mutants: export MUTANTS_LIBS = $(LIBS)
mutants: export MUTANTS_WRAPPED = $(foreach t,$(UNIT:tests/unit/%.c=%),$(WRAPPED_$t:%=$t:%))
mutants: export WOLFSSL := $(WOLFSSL)
mutants: all
	@.make/deps.sh test
	@/usr/bin/python3 -B tests/tools/mutants.py $(MUTANTS)

# Fuzz targets: clang's libFuzzer over the pure rooms; fuzz_log and fuzz_cert over pki too, fuzz_log
# over audit and ledger, fuzz_smtp, fuzz_pac, fuzz_list_file, fuzz_open_line and
# fuzz_certificate_request over a file or two.
FUZZ_CC = clang -std=c11 $(DEFINES) -Iinclude -Isrc $(SYSTEM_HEADERS) -g -O1 \
    -fno-sanitize-recover=all
fuzz_objects = $(patsubst src/%.c,$(BUILD)/fuzz/obj/%.o,$(sort $(wildcard $(1))))
$(FUZZ_PROGRAMS): $(call fuzz_objects,src/base/*.c src/policy/*.c src/config/*.c)
$(BUILD)/fuzz/fuzz_log: $(call fuzz_objects,src/pki/*.c src/audit/*.c src/ledger/*.c)
$(BUILD)/fuzz/fuzz_cert: $(call fuzz_objects,src/pki/*.c)
$(BUILD)/fuzz/fuzz_cert: FUZZ_LIBS := $(WOLFSSL)/lib/libwolfssl.a -ljansson -lm
$(BUILD)/fuzz/fuzz_certificate_request: $(call fuzz_objects,src/pki/der.c src/pki/name.c)
$(BUILD)/fuzz/fuzz_smtp: $(call fuzz_objects,src/check/smtp.c)
$(BUILD)/fuzz/fuzz_pac: $(call fuzz_objects,src/page/pac.c)
$(BUILD)/fuzz/fuzz_list_file: $(call fuzz_objects,src/runtime/list_files.c)
$(BUILD)/fuzz/fuzz_list_file: FUZZ_LIBS := -ljansson
$(BUILD)/fuzz/fuzz_open_line: $(call fuzz_objects,src/audit/open_line.c src/audit/frame.c src/audit/receipt.c)
$(BUILD)/fuzz/fuzz_open_line: FUZZ_LIBS := -ljansson
$(BUILD)/fuzz/fuzz_log: FUZZ_LIBS := $(WOLFSSL)/lib/libwolfssl.a -lev -ljansson -lm
$(BUILD)/fuzz/%: tests/fuzz/%.c $(HEADERS)
	@echo "cc $<"
	@$(FUZZ_CC) -fsanitize=fuzzer,address,undefined $(filter %.c %.o,$^) $(FUZZ_LIBS) \
	    -linih -lseccomp -lz -lpthread -o $@
$(BUILD)/fuzz/obj/%.o: src/%.c $(HEADERS) $(WOLFSSL)/profile.stamp
	@mkdir -p $(@D)
	@echo "cc $< (fuzz)"
	@$(FUZZ_CC) -fsanitize=fuzzer-no-link,address,undefined -c $< -o $@

fuzz-short: $(FUZZ_PROGRAMS)
	@/usr/bin/python3 -B tests/fuzz/seed.py $(BUILD)/fuzz/corpus
	@printf '%s\n' $^ | xargs -P $(shell nproc) -n 1 sh -c 'name=$$(basename $$0); \
	    mkdir -p $(BUILD)/fuzz/corpus/$$name; \
	    $$0 -max_total_time=5 -verbosity=0 -artifact_prefix=$(BUILD)/fuzz/ \
	        $(BUILD)/fuzz/corpus/$$name >$(BUILD)/fuzz/$$name.log 2>&1 || \
	        { cat $(BUILD)/fuzz/$$name.log; exit 255; }; \
	    echo "$$name: clean for 5 seconds"'

fuzz: all
	@.make/deps.sh test
	+@$(PARALLEL) $(FUZZ_PROGRAMS)
	@/usr/bin/python3 -B tests/fuzz/seed.py $(BUILD)/fuzz/corpus
	@set -e; for t in $(FUZZ_PROGRAMS); do name=$$(basename $$t); \
	    mkdir -p $(BUILD)/fuzz/corpus/$$name; \
	    $$t -max_total_time=$(FUZZ_SECONDS) -print_final_stats=1 \
	        -artifact_prefix=$(BUILD)/fuzz/ $(BUILD)/fuzz/corpus/$$name; done

soak: all
	@.make/deps.sh test soak
	SUITEGATE=$(abspath $(BUILD)/suitegate) /usr/bin/python3 -B tests/soak/soak.py all
	SUITEGATE=$(abspath $(BUILD)/suitegate) SUITEGATE_TESTSSL=1 SUITEGATE_BUILDAH=1 \
	    /usr/bin/python3 -B -m pytest -q -p no:cacheprovider tests/functional/test_check_servers.py \
	    tests/functional/test_package.py

bench: all
	@.make/deps.sh test bench
	SUITEGATE=$(abspath $(BUILD)/suitegate) /usr/bin/python3 -B tests/bench/bench.py

bench-instructions: all
	@.make/deps.sh test instructions
	@SUITEGATE=$(abspath $(BUILD)/suitegate) /usr/bin/python3 -B tests/bench/instructions.py

# Reports all errors; clang-tidy runs only on changed files.
lint:
	@.make/deps.sh build lint
	+@$(PARALLEL) -k library lint-format lint-layering lint-cppcheck \
	    $(TIDIED) lint-documentation
	@echo 'lint: clean'
lint-format:
	@echo 'lint: format'
	@clang-format --dry-run --Werror $(FORMATTED)
lint-layering:
	@echo 'lint: layering'
	@/usr/bin/python3 -B .make/layers.py
	@/usr/bin/python3 -B .make/lengths.py
lint-cppcheck:
	@echo 'lint: cppcheck'
	@cppcheck --quiet --error-exitcode=1 --std=c11 --enable=warning,performance,portability \
	    --inline-suppr --suppress=missingIncludeSystem --suppress=normalCheckLevelMaxBranches \
	    -D_GNU_SOURCE -DSUITEGATE_VERSION='"lint"' -Iinclude src
$(filter $(BUILD)/tidy/pki/% $(BUILD)/tidy/tls/%,$(TIDIED)): $(WOLFSSL)/profile.stamp
$(BUILD)/tidy/%.ok: src/%.c $(HEADERS) .clang-tidy
	@mkdir -p $(@D)
	@echo "lint: clang-tidy $<"
	@clang-tidy --quiet $< -- -std=c11 -D_GNU_SOURCE -Iinclude \
	    $(SYSTEM_HEADERS) 2>/dev/null
	@touch $@
lint-documentation: $(BUILD)/docs
	@echo 'lint: documentation'
	@/usr/bin/python3 -B .make/docs.py $(BUILD)/docs

format:
	clang-format -i $(FORMATTED)

docs: $(BUILD)/docs
	/usr/bin/python3 -B .make/docs.py $(BUILD)/docs --write

$(BUILD)/docs: tests/tools/docs.c $(BUILD)/libcore.a
	@echo "cc $<"
	@$(CC) $(CPPFLAGS_ALL) $(CFLAGS_ALL) $(LDFLAGS_ALL) $< $(CORE_LIBS) -o $@

# Man pages and completions.
SHARE := $(BUILD)/share
EPOCH = $(or $(SOURCE_DATE_EPOCH),$(shell git log -1 --format=%ct 2>/dev/null || date +%s))
$(SHARE)/made: $(BUILD)/suitegate $(BUILD)/docs $(wildcard .make/*.py) conf/suitegate.ini
	@.make/deps.sh install
	@rm -rf $(@D) && mkdir -p $(@D)
	@/usr/bin/python3 -B .make/manual.py $(BUILD)/suitegate $(BUILD)/docs conf/suitegate.ini \
	    $$(date -ud @$(EPOCH) +%F) $(@D)
	@/usr/bin/python3 -B .make/completion.py $(BUILD)/suitegate $(@D)
	@gzip -9n $(@D)/*.[15]
	@touch $@

INSTALL = DESTDIR='$(DESTDIR)' PREFIX='$(PREFIX)' SYSCONFDIR='$(SYSCONFDIR)' BUILD='$(BUILD)' .make/install.sh
install: all $(SHARE)/made
	@$(INSTALL) put
uninstall:
	@$(INSTALL) take

deb: all $(SHARE)/made
	@BUILD='$(BUILD)' SOURCE_DATE_EPOCH=$(EPOCH) MAINTAINER='$(MAINTAINER)' .make/deb.sh $(VERSION)
# A Debian for the package's tests, which only root can make and enter.
base: deb
	@[ "$$(id -u)" != 0 ] || .make/base.sh $(BUILD)/suitegate_$(VERSION)_*.deb $(BUILD)/base

clean:
	rm -rf $(BUILD)

-include $(OBJECTS:.o=.d)

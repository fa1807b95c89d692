#!/bin/bash
# SPDX-License-Identifier: MIT OR Apache-2.0
#
# Builds and runs test suites in the environment it is started in. tests/run.sh
# sees to that environment and starts this; it sets
#
#   P2PANDA_TEST_OUT   folder for builds and logs
#   CARGO_TARGET_DIR   where the Rust peers are built
#   P2PANDA_FUZZ_KEPT  folder of what fuzzing has found, which stays from run to run
#   P2PANDA_TEST_CACHE what else stays (packaging/common.sh)
#
# Each suite appends `<suite> <passed> <failed>` to $P2PANDA_TEST_OUT/results, and what
# failed, for the end of the whole run, to $P2PANDA_TEST_OUT/failed.
set -u -o pipefail

tree=$(cd "$(dirname "$0")/.." && pwd)
out=$P2PANDA_TEST_OUT
export PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin # mosquitto

say() { echo "== $*"; }

# result <suite> <passed> <failed>
result() {
	echo "$1 $2 $3" >>"$out/results"
	[ "$3" = 0 ] || echo "suite $1: $3 failed" >>"$out/failed"
}

# sum_up <suite> [text]: says how many passed
sum_up() {
	awk -v suite="$1" -v text="${2:-}" '$1 == suite { p += $2; f += $3 }
		END { printf "== suite %s: passed %d, failed %d%s\n", suite, p, f, text }' \
		"$out/results"
}

# broken <suite> <why>: a suite that cannot run is a failure
broken() {
	say "$1 cannot run: $2"
	result "$1" 0 1
}

# count <suite> <junit file>...
count() {
	local suite=$1 sums
	shift
	sums=$(python3 "$tree/tests/count.py" "$@" 2>"$out/failed.now") || sums="0 1"
	cat "$out/failed.now" >&2
	cat "$out/failed.now" >>"$out/failed"
	# shellcheck disable=SC2086 # two numbers
	result "$suite" $sums
}

# build <preset> [cmake option...]: into $out/<preset>, once per run
declare -A built begun_early
build() {
	local preset=$1 dir=$out/$1 log=$out/$1.log begun=$SECONDS
	shift
	if [ -n "${begun_early[$preset]:-}" ]; then
		wait "${begun_early[$preset]}"
		unset "begun_early[$preset]"
	fi
	if [ -z "${built[$preset]:-}" ]; then
		say "building $preset"
		if (cd "$tree" && cmake --preset "$preset" -B "$dir" "$@") >"$log" 2>&1 &&
			cmake --build "$dir" >>"$log" 2>&1; then
			built[$preset]=yes
			say "built $preset in $((SECONDS - begun)) s"
		else
			built[$preset]=no
			tail -n 80 "$log"
			say "building $preset failed (above: the end of $log)"
		fi
	fi
	[ "${built[$preset]}" = yes ]
}

# A sanitized plugin stays mapped after the broker has closed it: the leak report
# at the end could name no frame of it otherwise.
build_sanitized() { build "$1" -DCMAKE_MODULE_LINKER_FLAGS=-Wl,-z,nodelete; }

# What is built for a later suite in the background, while tests wait for something;
# build() then does what is left and judges it.
build_early() {
	[ -z "${begun_early[$1]:-}${built[$1]:-}" ] || return
	(renice -n 19 -p $BASHPID; build_sanitized "$1") >/dev/null 2>&1 &
	begun_early[$1]=$!
}

asan_options=strict_string_checks=1:detect_stack_use_after_return=1:check_initialization_order=1
ubsan_options=print_stacktrace=1:halt_on_error=1

# What is installed, and beside it what the tests need.
build_release() { build release -DP2PANDA_TOOLS=ON -DP2PANDA_SIMULATION=ON; }

# ctest_suite <suite> <preset>
ctest_suite() {
	local suite=$1 xml=$out/$1.xml
	if [ "$2" = asan ]; then build_sanitized asan; else build "$2"; fi ||
		{ broken "$suite" "its build failed"; return; }
	rm -f "$xml"
	ASAN_OPTIONS=$asan_options UBSAN_OPTIONS=$ubsan_options \
		ctest --test-dir "$out/$2" -L "^$suite\$" --no-tests=error --output-on-failure \
		--output-junit "$xml" --test-output-size-passed 10000000 \
		--test-output-size-failed 10000000 --timeout 300 -j "$(nproc)"
	count "$suite" "$xml"
}

# Tests on machines of their own (harness/netns.py) need network namespaces: root may make
# them, others in a user namespace. Who cannot fails there, with the reason.
rights=()
if ! unshare --net true 2>/dev/null &&
	unshare --map-current-user --keep-caps unshare --net true 2>/dev/null; then
	rights=(unshare --map-current-user --keep-caps)
fi

# Six at a time: the tests wait more than they work (two processors are half idle then).
# pytest_run <preset> <junit file> <which: a marker expression, or all> <folder below tests...>;
# more by the environment
pytest_run() {
	local preset=$1 xml=$2 which=${3#all}
	shift 3
	rm -f "$xml"
	P2PANDA_PLUGIN=$out/$preset/mosquitto_p2panda.so P2PANDA_PEER_DIR=${peer_dir:-} \
		P2PANDA_PRELOAD=${P2PANDA_PRELOAD:-} P2PANDA_SANITIZER=${P2PANDA_SANITIZER:-none} \
		timeout -k 10 1800 "${rights[@]}" python3 -m pytest -v -n 6 --maxschedchunk=1 -m "$which" \
		-p no:cacheprovider --tb=short --color=no --rootdir="$tree/tests" \
		--junitxml="$xml" "${@/#/$tree/tests/}" ||
		say "pytest $*: exit status $?"
}

# What is made in the background, before any suite begins: it takes minutes when it is new, and
# stays in the cache.
declare -A making making_what making_good
# begin <name> <what> <command...>: begins to make it; what it prints is for need
begin() {
	local name=$1
	making_what[$name]=$2
	shift 2
	say "making ${making_what[$name]} in the background (log: $out/$name.log)"
	# Idle: it has what the tests leave, for some of these measure time.
	chrt --idle 0 nice -n 19 "$@" >"$out/$name.made" 2>"$out/$name.log" &
	making[$name]=$!
}

# need <name>: waits for it; false when it could not be made
need() {
	local name=$1 begun=$SECONDS said=0
	if [ -n "${making[$name]}" ]; then
		while kill -0 "${making[$name]}" 2>/dev/null; do
			if [ $((SECONDS - begun)) -ge "$said" ]; then
				say "waiting for ${making_what[$name]} ($(tail -n 1 "$out/$name.log" | cut -c 1-100))"
				said=$((SECONDS - begun + 30))
			fi
			sleep 0.2
		done
		if wait "${making[$name]}"; then
			making_good[$name]=yes
		else
			tail -n 40 "$out/$name.log"
			say "no ${making_what[$name]} (above: the end of $out/$name.log)"
		fi
		making[$name]=
	fi
	[ -n "${making_good[$name]:-}" ]
}

begin_peers() { begin peers "the Rust peers" "$tree/tests/interop/build.sh"; }

# need_peers: sets peer_dir
peer_dir=
need_peers() { need peers && peer_dir=$(tail -n 1 "$out/peers.made"); }

begin_old() {
	begin old "Mosquitto 2.0" bash -euc 'for version in 2.0.11 2.0.21; do "$0" $version; done' \
		"$tree/tests/stock/mosquitto.sh"
}

begin_stock() {
	begin stock "roots, the self-contained plugin and packages" \
		"$tree/tests/packaging/prepare.sh" "$out/stock"
}

suite_stock() {
	local variable
	build_release || { broken stock "its build failed"; return; }
	need_peers || { broken stock "no Rust peers"; return; }
	need stock || { broken stock "no packages"; return; }
	while read -r variable; do
		export "${variable?}"
	done <"$out/stock.made"
	rm -f "$out/stock.figures"
	pytest_run release "$out/stock.xml" all packaging
	[ ! -f "$out/stock.figures" ] || cat "$out/stock.figures"
	count stock "$out/stock.xml"
}

# The plugin in Mosquitto 2.0.11 and 2.0.21, which tests/stock/mosquitto.sh builds.
suite_mosquitto20() {
	build_release || { broken mosquitto20 "its build failed"; return; }
	need_peers || { broken mosquitto20 "no Rust peers"; return; }
	need old || { broken mosquitto20 "no Mosquitto 2.0"; return; }
	pytest_run release "$out/mosquitto20.xml" "not once" stock
	count mosquitto20 "$out/mosquitto20.xml"
}

suite_unit() { ctest_suite unit asan; }
suite_vectors() { ctest_suite vectors asan; }

# Most of the whole nodes' simulation is for a build without sanitizers: it takes minutes of
# processor time, beside all that comes meanwhile and waits. Its figures are shown.
worlds_pid=
suite_simulation() {
	ctest_suite simulation asan
	build_release || { broken simulation "its build failed"; return; }
	rm -f "$out/worlds.xml"
	nice -n 19 ctest --test-dir "$out/release" -L '^(rest|stories)$' --no-tests=error -V \
		--output-junit "$out/worlds.xml" --test-output-size-passed 10000000 \
		--test-output-size-failed 10000000 -j "$(nproc)" >"$out/worlds.log" 2>&1 &
	worlds_pid=$!
}

end_worlds() {
	[ -n "$worlds_pid" ] || return
	say "the simulation of whole nodes, which ran beside the others"
	wait "$worlds_pid"
	sed -n 's/^[0-9]*: //p' "$out/worlds.log" | grep -v '^Test '
	count simulation "$out/worlds.xml"
	sum_up simulation
}

# How long the node's thread works at a stretch when everything is as large as it may be: two
# minutes and more of waiting for the most part, beside all that comes after it. (It is the
# thread's processor time that counts.)
scale_pid=
suite_scale() {
	build_release || { broken scale "its build failed"; return; }
	timeout -k 10 900 nice -n 5 "$out/release/scale" >"$out/scale.log" 2>&1 &
	scale_pid=$!
}

end_scale() {
	[ -n "$scale_pid" ] || return
	say "the suite scale, which ran beside the others"
	if wait "$scale_pid"; then result scale 1 0; else result scale 0 1; fi
	cat "$out/scale.log"
	sum_up scale
}

# All numbers of nodes with ten seeds each, stories of a thousand nodes, gossip of ten thousand: hours.
suite_worlds() {
	local topology story passed=0 failed=0
	build_release || { broken worlds "its build failed"; return; }
	for topology in mesh hub chain discovered bootstrap; do
		if "$out/release/simulation_test_rest" -a -t $topology; then
			passed=$((passed + 1))
		else
			failed=$((failed + 1))
		fi
	done
	for story in deaths30 deaths80 minute churn spread; do
		if "$out/release/simulation_test_stories" -t $story -n 1000 -m 10 -k 1; then
			passed=$((passed + 1))
		else
			failed=$((failed + 1))
		fi
	done
	for story in single-10000 changing-10000; do
		if "$out/release/simulation_test_figures" -s $story -k 4; then
			passed=$((passed + 1))
		else
			failed=$((failed + 1))
		fi
	done
	result worlds $passed $failed
}

# fuzzing <seconds for each target>: ends with 'N passed, N failed'
fuzzing() {
	ASAN_OPTIONS=$asan_options UBSAN_OPTIONS=$ubsan_options \
		nice -n 19 python3 "$tree/tests/fuzz/fuzz.py" --build "$out/fuzz" --seconds "$1" \
		--kept "$P2PANDA_FUZZ_KEPT" --out "$out/fuzzing" --jobs "$(nproc)"
}

# The corpus now; then each target looks for more for a minute, beside all that comes meanwhile
# and waits, and is judged at the end.
fuzzing_pid=
suite_fuzz() {
	ctest_suite fuzz fuzz
	[ "${built[fuzz]}" = yes ] || return
	mkdir -p "$out/fuzzing"
	fuzzing 60 >"$out/fuzzing/all.log" 2>&1 &
	fuzzing_pid=$!
}

# count_fuzzing <suite>
count_fuzzing() {
	local sums
	sums=$(sed -n 's/^\([0-9]*\) passed, \([0-9]*\) failed$/\1 \2/p' "$out/fuzzing/all.log")
	# shellcheck disable=SC2086 # two numbers
	result "$1" ${sums:-0 1}
}

end_fuzzing() {
	[ -n "$fuzzing_pid" ] || return
	say "fuzzing, which ran beside the others"
	wait "$fuzzing_pid"
	cat "$out/fuzzing/all.log"
	count_fuzzing fuzz
	sum_up fuzz
}

# The same for long.
suite_fuzzing() {
	build fuzz || { broken fuzzing "its build failed"; return; }
	if [ -n "$fuzzing_pid" ]; then # both would write the same files
		end_fuzzing
		fuzzing_pid=
	fi
	mkdir -p "$out/fuzzing"
	fuzzing "${P2PANDA_FUZZ_SECONDS:-600}" 2>&1 | tee "$out/fuzzing/all.log"
	count_fuzzing fuzzing
}

# Two tests of the broker suite wait for minutes: beside all that comes meanwhile. (They are in
# network namespaces of their own, so their ports are nobody else's.)
once_pid=
start_once() {
	pytest_run release "$out/once.xml" once broker >"$out/once.log" 2>&1 &
	once_pid=$!
}

end_once() {
	[ -n "$once_pid" ] || return
	say "the slowest tests of the suite broker, which ran beside the others"
	wait "$once_pid"
	cat "$out/once.log"
	count broker "$out/once.xml"
}

# Idle overlays of real nodes: five minutes of waiting, begun here and judged at the end, beside all
# that comes after it. (Processor time is counted per process, and they are at addresses of their
# own.)
rest_pid=
suite_rest() {
	local seconds=${P2PANDA_REST_SECONDS:-30}
	build_release || { broken rest "its build failed"; return; }
	timeout -k 10 $((3 * seconds + 400)) "$out/release/rest" "$seconds" >"$out/rest.log" 2>&1 &
	rest_pid=$!
}

end_rest() {
	local sums
	[ -n "$rest_pid" ] || return
	say "the suite rest, which ran beside the others"
	wait "$rest_pid"
	cat "$out/rest.log"
	sums=$(sed -n 's/^\([0-9]*\) passed, \([0-9]*\) failed$/\1 \2/p' "$out/rest.log")
	# shellcheck disable=SC2086 # two numbers
	result rest ${sums:-0 1}
	sum_up rest
}

suite_broker() {
	build_release || { broken broker "its build failed"; return; }
	start_once
	pytest_run release "$out/broker.xml" "not once" broker
	count broker "$out/broker.xml"
}

suite_interop() {
	build_release || { broken interop "its build failed"; return; }
	need_peers || { broken interop "no Rust peers"; return; }
	pytest_run release "$out/interop.xml" all interop
	count interop "$out/interop.xml"
}

# The tests that are repeated with every generation, with the one that is not in use there.
suite_interop07() {
	build_release || { broken interop07 "its build failed"; return; }
	need_peers || { broken interop07 "no Rust peers"; return; }
	P2PANDA_GENERATIONS=07 pytest_run release "$out/interop07.xml" all interop
	count interop07 "$out/interop07.xml"
}

# The same with 0.5, whose peer shares little with the others: it is built here, in the foreground.
suite_interop05() {
	build_release || { broken interop05 "its build failed"; return; }
	peer_dir=$("$tree/tests/interop/build.sh" 05 2>"$out/peer05.log" | tail -n 1)
	tail -n 1 "$out/peer05.log"
	[ -n "$peer_dir" ] || { broken interop05 "no Rust peer"; return; }
	P2PANDA_GENERATIONS=05 pytest_run release "$out/interop05.xml" all interop
	count interop05 "$out/interop05.xml"
}

# Instructions of fixed scripts, against those of the tree's baseline.
suite_instructions() {
	local sums
	build_release || { broken instructions "its build failed"; return; }
	sums=$(python3 "$tree/tests/bench/instructions.py" "$out/release/instructions" |
		tee >(cat >&2) | sed -n 's/^\([0-9]*\) passed, \([0-9]*\) failed$/\1 \2/p')
	# shellcheck disable=SC2086 # two numbers
	result instructions ${sums:-0 1}
}

# What it costs, as ratios to the native bridge: for docs/costs.md, and to see what a change does.
suite_bench() {
	need_peers || { broken bench "no Rust peers"; return; }
	build_release || { broken bench "its build failed"; return; }
	if P2PANDA_PLUGIN=$out/release/mosquitto_p2panda.so P2PANDA_PEER_DIR=$peer_dir \
		python3 "$tree/tests/bench/bench.py" --out "$out/bench" \
		${P2PANDA_BENCH_PARTS:+--parts "$P2PANDA_BENCH_PARTS"} | tee "$out/bench.md"; then
		result bench 1 0
	else
		result bench 0 1
	fi
}

# reports <name>: a report with a frame of ours is a failure. The broker itself and
# the libraries are not built with the sanitizer: what is theirs alone is not.
reports() {
	local file ours=0 others=0
	for file in "$out/reports/$1".*; do
		[ -s "$file" ] || continue
		if grep -Eq '^ +#[0-9]+ .*(mosquitto_p2panda|/(bridge|plugin)/)|/(bridge|plugin)/.*runtime error' "$file"; then
			ours=$((ours + 1))
			say "$1 report with a frame of ours ($file):"
			head -n 60 "$file"
		else
			others=$((others + 1))
		fi
	done
	[ "$others" = 0 ] || say "$others processes had $1 reports without a frame of ours ($out/reports)"
	if [ "$ours" = 0 ]; then
		result sanitizers 1 0
	else
		result sanitizers 0 "$ours"
	fi
}

# All at once and for long, with ASan.
suite_soak() {
	need_peers || { broken soak "no Rust peers"; return; }
	build_sanitized asan || { broken soak "its build failed"; return; }
	if P2PANDA_PLUGIN=$out/asan/mosquitto_p2panda.so P2PANDA_PEER_DIR=$peer_dir \
		P2PANDA_SANITIZER=asan P2PANDA_PRELOAD=$(realpath "$(gcc -print-file-name=libasan.so)") \
		ASAN_OPTIONS=$asan_options UBSAN_OPTIONS=$ubsan_options \
		python3 "$tree/tests/soak/soak.py" --seconds "${P2PANDA_SOAK_SECONDS:-600}"; then
		result soak 1 0
	else
		result soak 0 1
	fi
}

# The broker and interop suites with a sanitized plugin in the stock broker.
# Reports go to files and leave exit statuses alone; reports() judges them.
suite_sanitizers() {
	local name library log
	need_peers || { broken sanitizers "no Rust peers"; return; }
	for name in asan tsan; do
		build_sanitized "$name" || { broken sanitizers "the $name build failed"; continue; }
		library=$(realpath "$(gcc -print-file-name="lib$name.so")")
		[ -f "$library" ] || { broken sanitizers "gcc has no lib$name.so"; continue; }
		rm -rf "$out/reports/$name".*
		mkdir -p "$out/reports"
		log=log_path=$out/reports/$name
		say "sanitizers: broker and interop with $name"
		P2PANDA_SANITIZER=$name P2PANDA_PRELOAD=$library \
			ASAN_OPTIONS=$asan_options:$log LSAN_OPTIONS=exitcode=0 \
			UBSAN_OPTIONS=$ubsan_options:$log \
			TSAN_OPTIONS=second_deadlock_stack=1:halt_on_error=0:exitcode=0:suppressions=$tree/tests/harness/tsan.txt:$log \
			pytest_run "$name" "$out/$name.xml" all broker interop
		count sanitizers "$out/$name.xml"
		reports "$name"
	done
}

cd "$tree" || exit 1
mkdir -p "$out"
: >"$out/results"
: >"$out/failed"
case " $* " in
*" interop "* | *" interop07 "* | *" sanitizers "* | *" stock "* | *" mosquitto20 "* | *" soak "* | \
	*" bench "*)
	begin_peers
	;;
esac
case " $* " in
*" mosquitto20 "*) begin_old ;;
esac
case " $* " in
*" stock "*) begin_stock ;;
esac
for suite in "$@"; do
	begun=$SECONDS
	say "suite $suite"
	case "$suite $* " in
	broker*" sanitizers "* | interop*" sanitizers "*) build_early tsan ;;
	esac
	"suite_$suite"
	case $suite$rest_pid$scale_pid in
	rest?* | scale?*) ;; # that has only begun
	*) sum_up "$suite" ", in $((SECONDS - begun)) s" ;;
	esac
done
end_worlds
end_rest
end_scale
end_once
end_fuzzing
exit 0

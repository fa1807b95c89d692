#!/usr/bin/env python3
# SPDX-License-Identifier: MIT OR Apache-2.0
"""Fuzzes every libFuzzer target for a while.

    fuzz.py --build <folder> --kept <folder> --out <folder> [--seconds N] [--jobs N] [target...]

build   where the targets are: fuzz_<target>
kept    stays from run to run. <target>/corpus: the inputs that reach what the seeds beside this
        file (corpus/<target>) do not, the fewest and smallest that do. <target>/findings: what was
        found and is not mended; each is run again first, and joins the corpus when it is
out     <target>.log and, under findings/, the inputs that this run has found

A crash, a report of a sanitizer, a leak, an input that takes too long or too much memory: its
target has failed, and what repeats it is printed. The last line is 'N passed, N failed'.
"""

import argparse
import base64
import concurrent.futures
import contextlib
import fcntl
import os
import pathlib
import re
import shlex
import shutil
import subprocess
import time

SEEDS = pathlib.Path(__file__).resolve().with_name("corpus")
# Of one target's inputs that are kept.
MOST_FILES = 2048
MOST_BYTES = 8 << 20
MOST_INPUT = 16384
# By the clock on the wall, and beside suites that come first.
INPUT_SECONDS = 30
INPUT_MEGABYTES = 1024
MERGE_SECONDS = 180
# Beyond its time a target may be slow to begin, beside others that come first.
SLACK_SECONDS = 900
# Inputs up to this size are printed.
PRINTED = 3000
LIMITS = [f"-timeout={INPUT_SECONDS}", f"-rss_limit_mb={INPUT_MEGABYTES}"]


def named(line: str) -> str:
    """A frame of a stack with its function, file and line: clang's symbolizer is a package of
    its own, and addr2line is there."""
    frame = re.match(r"^ *#\d+ 0x[0-9a-f]+ +\((\S+)\+(0x[0-9a-f]+)\)", line)
    if not frame:
        return line
    done = subprocess.run(
        ["addr2line", "-sfpe", frame[1], frame[2]], capture_output=True, text=True, check=False
    )
    return f"{line.split('(')[0]}{done.stdout.strip()}" if done.returncode == 0 else line


class Target:
    def __init__(self, name: str, options: argparse.Namespace):
        self.name = name
        self.program = options.build / f"fuzz_{name}"
        self.seconds = options.seconds
        self.kept = options.kept / name
        self.log = options.out / f"{name}.log"
        self.found = options.out / "findings" / name
        self.work = options.out / "corpus" / name
        self.lines: list[str] = []
        for folder in (self.found, self.work):
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
        for folder in (self.kept / "corpus", self.kept / "findings"):
            folder.mkdir(parents=True, exist_ok=True)
        self.log.write_text("")

    @contextlib.contextmanager
    def _locked(self):
        """Runs of several trees may keep their inputs in one place."""
        with (self.kept / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _start(self, *words: object, seconds: float) -> tuple[int | None, str]:
        """Runs it; returns its exit status (None: it did not end) and what it said."""
        command = [str(self.program), *map(str, words)]
        try:
            done = subprocess.run(
                command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT, timeout=seconds, check=False,
            )  # fmt: skip
            status, said = done.returncode, done.stdout
        except subprocess.TimeoutExpired as error:
            status, said = None, error.stdout or b""
        text = said.decode(errors="replace")
        with self.log.open("a") as log:
            log.write(f"$ {shlex.join(command)}\n{text}\n")
        return status, text

    def run(self) -> bool:
        """Whether nothing was found."""
        begun = time.monotonic()
        well = self._repeat()
        if well:
            well = self._fuzz()
        more = self._keep() if well else 0
        self.lines.append(f"{self.name}: {more} new inputs, {time.monotonic() - begun:.0f} s in all")
        return well

    def _repeat(self) -> bool:
        """What was found before: whether all of it is mended."""
        well = True
        for path in sorted((self.kept / "findings").iterdir()):
            status, said = self._start(*LIMITS, path, seconds=4 * INPUT_SECONDS)
            if status == 0:
                path.rename(self.kept / "corpus" / path.name)
            else:
                well = False
                self._show(path, said, "found by an earlier run, and not mended")
        return well

    def _fuzz(self) -> bool:
        with self._locked():
            shutil.copytree(self.kept / "corpus", self.work, dirs_exist_ok=True)
        status, said = self._start(
            *LIMITS, f"-max_total_time={self.seconds}", f"-max_len={MOST_INPUT}",
            "-print_final_stats=1", f"-artifact_prefix={self.found}/", self.work, SEEDS / self.name,
            seconds=self.seconds + SLACK_SECONDS,
        )  # fmt: skip
        runs, speed = (
            re.search(rf"^stat::{name}:\s+(\d+)", said, re.M)
            for name in ("number_of_executed_units", "average_exec_per_sec")
        )
        covered = re.findall(r"^#\d+\s+DONE\s+cov: (\d+)", said, re.M)
        if runs and speed and covered:
            self.lines.append(
                f"{self.name}: {runs[1]} runs, {speed[1]} a second, {covered[-1]} places reached"
            )
        # An input that is only slow is told by its name and is no failure of its own.
        found = [path for path in sorted(self.found.iterdir()) if "slow-unit" not in path.name]
        for path in found:
            with self._locked():
                shutil.copy(path, self.kept / "findings")
            self._show(path, said, "found now")
        if status != 0 and not found:
            self._show(None, said, f"exit status {status}")
        return status == 0 and not found

    def _show(self, path: pathlib.Path | None, said: str, why: str):
        at = re.search(r"^.*(==\d+==\s*ERROR|ERROR: libFuzzer|runtime error|Assertion)", said, re.M)
        lines = said[at.start() :].splitlines()[:60] if at else said.splitlines()[-40:]
        self.lines += [f"{self.name}: FAILED: {why} (log: {self.log})", *(f"    {named(one)}" for one in lines)]
        if path is None:
            return
        data = path.read_bytes()
        if len(data) <= PRINTED:
            self.lines.append(f"    its {len(data)} bytes, in base64:")
            self.lines.append(f"    {base64.b64encode(data).decode()}")
        else:
            self.lines.append(f"    it has {len(data)} bytes")
        self.lines.append("    again: " + shlex.join([str(self.program), str(path)]))

    def _keep(self) -> int:
        """The smallest set that reaches all that was reached; returns how many of it are new."""
        new = self.work.with_name(f"{self.name}.new")
        shutil.rmtree(new, ignore_errors=True)
        new.mkdir()
        # What the seeds reach need not be kept.
        seeds = [shutil.copy(path, new / f"seed-{path.name}") for path in (SEEDS / self.name).iterdir()]
        with self._locked():
            status, _ = self._start(
                "-merge=1", *LIMITS, f"-max_len={MOST_INPUT}", new, self.kept / "corpus", self.work,
                seconds=MERGE_SECONDS,
            )  # fmt: skip
            if status != 0:
                self.lines.append(f"{self.name}: not merged (exit status {status}), nothing new kept")
                return 0
            for path in seeds:
                os.unlink(path)
            kept, total = set(), 0
            for path in sorted(new.iterdir(), key=lambda one: one.stat().st_size):
                total += path.stat().st_size
                if len(kept) < MOST_FILES and total <= MOST_BYTES:
                    kept.add(path.name)
            before = {path.name for path in (self.kept / "corpus").iterdir()}
            for name in kept - before:
                # Whole under its name, or not there.
                shutil.copy(new / name, self.kept / "new")
                (self.kept / "new").rename(self.kept / "corpus" / name)
            for name in before - kept:
                (self.kept / "corpus" / name).unlink()
        shutil.rmtree(new)
        return len(kept - before)


def main() -> int:
    parser = argparse.ArgumentParser()
    for name in ("build", "kept", "out"):
        parser.add_argument(f"--{name}", type=pathlib.Path, required=True)
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    parser.add_argument("targets", nargs="*")
    options = parser.parse_args()
    names = options.targets or sorted(
        path.stem.removeprefix("fuzz_") for path in pathlib.Path(__file__).parent.glob("fuzz_*.c")
    )
    targets = [Target(name, options) for name in names]
    passed = 0
    with concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
        for target, well in zip(targets, pool.map(Target.run, targets), strict=True):
            print("\n".join(target.lines), flush=True)
            passed += well
    print(f"{passed} passed, {len(targets) - passed} failed")
    return passed != len(targets)


if __name__ == "__main__":
    raise SystemExit(main())

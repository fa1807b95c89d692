#!/usr/bin/env python3
# SPDX-License-Identifier: MIT OR Apache-2.0
"""Counts the cases in JUnit files written by ctest and pytest.

    count.py <file.xml>...

Prints `<passed> <failed>` on stdout and what failed on stderr. A skipped case and
a file that is missing, broken or empty are failures. A ctest test that is a cmocka
program counts as its cases, which are read from its output.
"""

import re
import sys
import xml.etree.ElementTree as ElementTree

RUN = re.compile(r"^\[ RUN +\] (.+)$", re.MULTILINE)
OK = re.compile(r"^\[ +OK \] (.+)$", re.MULTILINE)


def verdict(case):
    """None for a case that passed, else what happened to it."""
    for child in case:
        if child.tag in ("failure", "error", "skipped"):
            return child.tag
    if case.get("status", "run") != "run":  # ctest: fail, notrun, disabled
        return case.get("status")
    return None


def count(path):
    """The number of cases that passed, and a list of those that did not."""
    try:
        cases = list(ElementTree.parse(path).iter("testcase"))
    except (OSError, ElementTree.ParseError) as error:
        return 0, [f"{path}: {error}"]
    if not cases:
        return 0, [f"{path}: no test ran"]
    passed, failed = 0, []
    for case in cases:
        where = case.get("classname", "")
        name = case.get("name", "?")
        name = name if where in ("", name) else f"{where}::{name}"
        bad = verdict(case)
        output = case.findtext("system-out") or ""
        started = RUN.findall(output)
        if not started:
            passed += bad is None
            failed += [] if bad is None else [f"{name} ({bad})"]
            continue
        succeeded = OK.findall(output)
        passed += len(succeeded)
        lost = list(started)
        for done in succeeded:
            lost.remove(done)
        failed += [f"{name}: {one}" for one in lost]
        if bad is not None and not lost:  # a leak at its end, for example
            failed.append(f"{name}: its cases passed, the program did not ({bad})")
    return passed, failed


def main():
    passed, failed = 0, []
    for path in sys.argv[1:]:
        one_passed, one_failed = count(path)
        passed += one_passed
        failed += one_failed
    for line in failed:
        print(f"   failed: {line}", file=sys.stderr)
    print(passed, len(failed))


main()

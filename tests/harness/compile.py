# SPDX-License-Identifier: MIT OR Apache-2.0
"""Small C libraries and programs that tests put beside the plugin under test."""

import pathlib
import subprocess


_COMMAND = ["cc", "-std=gnu17", "-O1", "-Wall", "-Wextra", "-Wno-unused-parameter", "-Werror"]


def _compile(source: pathlib.Path, target: pathlib.Path, *options: str) -> pathlib.Path:
    done = subprocess.run(
        [*_COMMAND, *options, "-o", str(target), str(source)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return target


def shared_library(source: pathlib.Path, folder: pathlib.Path) -> pathlib.Path:
    """Compiles a source file into folder; returns the library."""
    return _compile(source, folder / f"{source.stem}.so", "-shared", "-fPIC")


def program(source: pathlib.Path, folder: pathlib.Path) -> pathlib.Path:
    """The same for a program."""
    return _compile(source, folder / source.stem)

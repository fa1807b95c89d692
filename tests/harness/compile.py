# SPDX-License-Identifier: MIT OR Apache-2.0
"""Small C libraries that tests put beside the plugin under test."""

import pathlib
import subprocess


def shared_library(source: pathlib.Path, folder: pathlib.Path) -> pathlib.Path:
    """Compiles a source file into folder; returns the library."""
    library = folder / f"{source.stem}.so"
    command = ["cc", "-std=gnu17", "-O1", "-Wall", "-Wextra", "-Wno-unused-parameter", "-Werror"]
    done = subprocess.run(
        [*command, "-shared", "-fPIC", "-o", str(library), str(source)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return library

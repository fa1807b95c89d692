# SPDX-License-Identifier: MIT OR Apache-2.0
"""A broker to which system calls are denied, as the sandboxes of services do it (seccomp).

    Broker(..., launcher=denied(tmp_path, "sendmsg=EPERM"))

denied.c says what a rule is.
"""

import pathlib

from compile import program

SOURCE = pathlib.Path(__file__).with_name("denied.c")


def denied(folder: pathlib.Path, *rules: str) -> list[str]:
    """The launcher of such a broker; what is compiled for it is in folder."""
    return [str(program(SOURCE, folder)), *rules, "--"]

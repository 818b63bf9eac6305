"""What the benchmarks share: fits in processes of their own, and tables."""

import json
import os
import subprocess
import sys
from typing import Any

Row = dict[str, Any]


def in_fresh_process(script: str, arguments: list[Any], seconds: float) -> Row:
    """Returns the row that a script prints, from a process that has compiled nothing before.

    Args:
        script: it is run with `--one` and the arguments as JSON; its last line is the row.
        arguments: what JSON can hold.
        seconds: that it may take. If it takes longer or fails, the row has an "error".
    """
    try:
        process = subprocess.run(
            [sys.executable, script, "--one", json.dumps(arguments)],
            capture_output=True,
            text=True,
            timeout=seconds,
            env={**os.environ, "JAX_ENABLE_COMPILATION_CACHE": "false"},
        )
    except subprocess.TimeoutExpired:
        return {"seconds": seconds, "error": f"took more than {seconds:.0f} s"}
    if process.returncode != 0:
        last = process.stderr.strip().splitlines()[-1:]
        return {"error": f"exit status {process.returncode}: {' '.join(last)}"}
    return json.loads(process.stdout.splitlines()[-1])


def write(report: Row, json_path: str | None) -> None:
    """Writes what is known so far to a file, if one is asked for."""
    if json_path is not None:
        with open(json_path, "w") as file:
            json.dump(report, file, indent=1)


def print_row(values: list[Any]) -> None:
    """Prints a row of a Markdown table."""
    print("| " + " | ".join(map(str, values)) + " |", flush=True)

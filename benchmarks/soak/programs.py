"""The programs of the soak: several instances of each function, each with its own clock."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from benchmarks.soak.plan import ODD, clocks
from local import stack
from local.emulators import free_port
from local.options import Options
from local.processes import Program

INSTANCES = 2

# A run must end before the soak does. In the live form, it waits five seconds for each of three bulk lists before it
# comes to the work queue: shorter runs would work off less than the soak's changes add.
JOB_DEADLINE_SECONDS = {"guide": 20, "live": 45}

CLOCK = "SOAK_CLOCK_SECONDS"  # environment variable: how far the clock of an instance is ahead


def instances(options: Options, folder: Path) -> list[Program]:
    """Return INSTANCES programs for each function, each with its own port."""
    programs = []
    for number in range(1, INSTANCES + 1):
        ports = {**options.ports, **{port: free_port() for port in stack.PORT_OF.values()}}
        for program in stack.functions(replace(options, ports=ports), folder):
            variables = {**program.environment, "JOB_DEADLINE_SECONDS": str(JOB_DEADLINE_SECONDS[options.form])}
            programs.append(replace(program, name=f"{program.name} {number}", environment=variables))
    return programs


def skewed(programs: Sequence[Program], seed: int) -> list[Program]:
    """Return the programs, each with its own clock."""
    ahead = clocks(seed, [program.name for program in programs])
    return [
        replace(
            program,
            command=["benchmarks/soak/skewed_main.py" if part == "main.py" else part for part in program.command],
            environment={**program.environment, CLOCK: str(ahead[program.name])},
        )
        for program in programs
    ]


def with_odd_records(program: Program) -> Program:
    """Add unusual records to the simulator."""
    return replace(program, command=[*program.command, *ODD]) if "simulator" in program.command else program

"""Times in seconds, and what to say when they are not: a log in milliseconds has no session in it.

Seconds since 1970 stay below 10^10 until the year 2286 and below 10^11 until 5138; times of any other origin
are smaller. Milliseconds since 1970 passed 10^11 in 1973. So a time of 10^11 or more is in another unit.
"""

END = 1e11  # seconds; no time is as late as this
UNITS = ((1e17, "nanoseconds", 1e9), (1e14, "microseconds", 1e6), (END, "milliseconds", 1e3))


def suspicion(time: float) -> str:
    """What a time of `END` or more is likely to be in, and what to divide it by; empty for a smaller one."""
    for least, unit, factor in UNITS:
        if abs(time) >= least:
            return f"this looks like {unit} since 1970: divide by {factor:,.0f}"
    return ""


def check_seconds(latest: float, name: str) -> None:
    """Raise ValueError, with the unit suspected and what to divide by, if `latest` cannot be in seconds.

    latest: the largest time there is, in absolute value; `name` says in the message whose it is.
    """
    if said := suspicion(latest):
        raise ValueError(f"{name} reaches {latest:.6g}; expected seconds: {said}")

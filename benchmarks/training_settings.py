"""How fast the bare training step is in several settings: a part of `training_throughput.py`."""

import statistics
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import asdict, dataclass
from typing import Any

import torch
from intervals import ratio_of
from torch import nn

from mnas.arch import Architecture, count
from mnas.nets import build
from mnas.training.depthwise import pad_small_maps_first

BATCH = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """How a training step is computed."""

    channels_last: bool = True
    pads_small_maps_first: bool = False
    bf16: bool = False
    is_compiled: bool = False
    threads: int = 1
    processes: int = 1


SETTINGS = {
    "contiguous": Setting(channels_last=False),
    "channels_last": Setting(),
    "channels_last, small maps padded first": Setting(pads_small_maps_first=True),
    "channels_last, bf16 autocast": Setting(bf16=True),
    "channels_last, torch.compile": Setting(is_compiled=True),
    "channels_last, 2 threads": Setting(threads=2),
    "channels_last, 2 processes": Setting(processes=2),
}
BASE = "contiguous"
_steps: dict[tuple[str, Setting], Callable[[], None]] = {}  # of this process, ready to be timed


def prepare(arch: Architecture, setting: Setting) -> float:
    """Build, and take the first two steps, which compile; returns their seconds."""
    torch.set_num_threads(setting.threads)
    torch.manual_seed(0)
    side = arch.input.resolution
    order = torch.channels_last if setting.channels_last else torch.contiguous_format
    images = torch.randn(BATCH, arch.input.channels, side, side).to(memory_format=order)
    labels = torch.randint(0, arch.num_classes, (BATCH,))
    module: nn.Module = build(arch).to(memory_format=order)  # type: ignore[call-overload]
    if setting.pads_small_maps_first:
        pad_small_maps_first(module)
    optimizer = torch.optim.SGD(module.parameters(), lr=0.01, momentum=0.9, nesterov=True)
    called = torch.compile(module) if setting.is_compiled else module

    def step() -> None:
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=setting.bf16):
            loss = nn.functional.cross_entropy(called(images), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    started = time.perf_counter()
    step()
    step()
    _steps[arch.id, setting] = step
    return time.perf_counter() - started


def rate(arch_id: str, setting: Setting, seconds: float) -> float:
    """Images a second of a prepared step."""
    torch.set_num_threads(setting.threads)
    step = _steps[arch_id, setting]
    done, started = 0, time.perf_counter()
    while (passed := time.perf_counter() - started) < seconds or done == 0:
        step()
        done += 1
    return done * BATCH / passed


def settings(
    pools: Sequence[Executor],
    networks: Sequence[Architecture],
    *,
    rounds: int,
    seconds: float,
    chosen: Sequence[str] = tuple(SETTINGS),
) -> list[dict[str, Any]]:
    """Images a second in every setting, for each network, as the setting's turn comes.

    Args:
        pools: Two of one process each: a setting is timed in the first, or in both at once.
        networks: What is trained, on random images.
        rounds: How often every setting is timed.
        seconds: How long each time.
        chosen: Names among `SETTINGS`, `BASE` one of them.

    Returns:
        A row for each network and setting.
    """
    rows = []
    for arch in networks:
        first_s: dict[str, float] = {}
        rates: dict[str, list[float]] = {}
        failures: dict[str, str] = {}
        for name in chosen:
            setting = SETTINGS[name]
            used = pools[: setting.processes]
            try:
                asked = [pool.submit(prepare, arch, setting) for pool in used]
                first_s[name] = max(each.result() for each in asked)
                rates[name] = []
            except Exception as error:
                if not setting.is_compiled:
                    raise
                # a machine without a compiler is a finding
                failures[name] = f"{type(error).__name__}: {str(error)[:200]}"
        for turn in range(rounds):
            for name in sorted(rates, reverse=turn % 2 == 1):
                setting = SETTINGS[name]
                used = pools[: setting.processes]
                asked = [pool.submit(rate, arch.id, setting, seconds) for pool in used]
                rates[name].append(sum(each.result() for each in asked))
        for name in chosen:
            row: dict[str, Any] = {"params": count(arch).params, "setting": name}
            if name in failures:
                rows.append({**row, "failed": failures[name]})
                continue
            pairs = list(zip(rates[name], rates[BASE], strict=True))
            rows.append(
                {
                    **row,
                    "images_per_second": statistics.median(rates[name]),
                    "ratio": asdict(ratio_of(pairs)),
                    "first_two_steps_s": first_s[name],
                }
            )
    return rows

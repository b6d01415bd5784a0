"""Several processes that train one network together, each on its share of every batch."""

import contextlib
import multiprocessing
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from multiprocessing.process import BaseProcess
from pathlib import Path

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed import FileStore  # type: ignore[attr-defined]  # torch exports it by a star

from mnas.arch import MnasError

_INTERFACE = "GLOO_SOCKET_IFNAME"
_TO_JOIN = timedelta(minutes=5)
# Process 0 judges while the others wait; one that is gone is noticed by its closed connection.
_TO_ANSWER = timedelta(days=1)


class TeamError(MnasError):
    """The processes of a training fell apart; the same call goes on from the last epoch."""

    exit_code = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Team:
    """This process among those that train together; by default it is alone.

    torch.distributed connects them; DistributedDataParallel's wrapper does not, because it lays its
    buckets out anew after the first step, so that a continued training would round differently
    (decision 0060).

    Attributes:
        rank: Which one this is, from 0; process 0 judges, writes and tells.
        size: How many there are.
    """

    rank: int = 0
    size: int = 1

    @property
    def own(self) -> tuple[int, ...]:
        """What sets this process's random draws apart; nothing for process 0, as if alone."""
        return (self.rank,) if self.rank else ()

    def share(self, batch: Tensor) -> Tensor:
        """This process's part of a batch; all parts together are the batch."""
        return batch[self.rank :: self.size]

    def average(self, tensors: Sequence[Tensor]) -> None:
        """Replace each tensor by its mean over the processes, in one exchange.

        Raises:
            TeamError: Another process is gone.
        """
        if self.size == 1:
            return
        flat = torch.cat([tensor.flatten() for tensor in tensors])
        self._sum(flat)
        flat /= self.size
        parts = torch.split(flat, [tensor.numel() for tensor in tensors])
        for tensor, part in zip(tensors, parts, strict=True):
            tensor.copy_(part.view_as(tensor))

    def require_same(self, tensors: Sequence[Tensor]) -> None:
        """See that all processes hold the same numbers: once they differ, they stay different.

        Raises:
            TeamError: They do not, or another process is gone.
        """
        if self.size == 1:
            return
        # sums of whole numbers are exact in any order
        own = torch.stack([each.detach().view(torch.int32).long().sum() for each in tensors])
        total = own.clone()
        self._sum(total)
        # a difference makes the sum wrong for somebody, and then all must know
        differing = (total != own * self.size).any().long()
        self._sum(differing)
        if differing.item():
            raise TeamError(
                f"the weights of the {self.size} processes that train together differ: what was "
                "trained since the last epoch is not used. Run the same command again; if this "
                "comes again, train with one process"
            )

    def _sum(self, tensor: Tensor) -> None:
        try:
            dist.all_reduce(tensor)
        except RuntimeError as error:
            raise _gone(self.size, " ".join(str(error).split())[:200]) from None


ALONE = Team()
Part = Callable[[Team], None]


@contextlib.contextmanager
def team_of(size: int, part: Part, *, backend: str = "gloo") -> Iterator[Team]:
    """Be process 0 of a team; the others are started here and end with the block.

    Args:
        size: How many processes, this one included; 1 starts none.
        part: What each of the others does; can be pickled.
        backend: torch.distributed's: `gloo` for processors, `nccl` for GPUs.

    Raises:
        TeamError: A process did not start, or this one is in a process group already.
    """
    if size == 1:
        yield ALONE
        return
    if dist.is_initialized():
        raise TeamError(
            f"a training with {size} processes starts them itself, and this process is in a group "
            "of torch.distributed already: start it without torchrun"
        )
    # a file in a folder of our own: torch's TCPStore would listen on every interface
    folder = Path(tempfile.mkdtemp(prefix="mnas-team-"))
    meeting = str(folder / "store")
    store = FileStore(meeting, size)
    context = multiprocessing.get_context("spawn")
    others: list[BaseProcess] = [
        context.Process(target=_take_part, args=(rank, size, meeting, part, backend), daemon=True)
        for rank in range(1, size)
    ]
    try:
        for other in others:
            other.start()
        _wait_for(others, store)
        with _joined(0, size, store, backend) as team:
            yield team
            for other in others:  # all have come to the end of the same last step
                other.join(timeout=_TO_JOIN.total_seconds())
    finally:
        for other in others:
            if other.pid is not None:
                other.kill()
                other.join()
        shutil.rmtree(folder, ignore_errors=True)


def _wait_for(others: list[BaseProcess], store: FileStore) -> None:
    """Until every process has reported; one that died first would be waited for in vain."""
    until = time.monotonic() + _TO_JOIN.total_seconds()
    keys = [f"here/{rank}" for rank in range(1, len(others) + 1)]
    while not store.check(keys):
        dead = next((each for each in others if each.exitcode is not None), None)
        if dead is not None:
            raise _gone(len(others) + 1, f"it ended with exit code {dead.exitcode} at its start")
        if time.monotonic() > until:
            raise _gone(len(others) + 1, f"it did not start within {_TO_JOIN.seconds} s")
        time.sleep(0.02)


def _take_part(rank: int, size: int, meeting: str, part: Part, backend: str) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all; process 0 ends the others
    store = FileStore(meeting, size)
    store.set(f"here/{rank}", "yes")
    try:
        with _joined(rank, size, store, backend) as team:
            part(team)
    except MnasError:
        sys.exit(1)  # process 0 meets the same and says it


@contextlib.contextmanager
def _joined(rank: int, size: int, store: FileStore, backend: str) -> Iterator[Team]:
    # gloo looks the host's name up, which need not be its own; all are on this machine anyway
    before = os.environ.get(_INTERFACE)
    os.environ[_INTERFACE] = before or ("lo0" if sys.platform == "darwin" else "lo")
    try:
        dist.init_process_group(
            backend, store=store, rank=rank, world_size=size, timeout=_TO_ANSWER
        )
    finally:
        if before is None:
            del os.environ[_INTERFACE]
    try:
        yield Team(rank=rank, size=size)
    finally:
        dist.destroy_process_group()


def _gone(size: int, why: str) -> TeamError:
    return TeamError(
        f"one of the {size} processes that train together is gone ({why}). Every finished epoch is "
        "saved; the same command goes on from there"
    )

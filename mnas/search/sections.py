"""The sections of an experiment file: devices, limits, objectives, the search, who works."""

import re
from typing import Annotated, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    ValidationInfo,
    field_validator,
    model_validator,
)

from mnas.latency import Address, parse_address
from mnas.latency.addresses import Here

NAME_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._-]*$"
OBJECTIVES = ("accuracy", "latency", "params", "macs", "peak_activation_bytes")
Objective = Literal["accuracy", "latency", "params", "macs", "peak_activation_bytes"]
# In place of a cluster's address: no Ray at all, the driver does the work itself.
INLINE = "inline"
# Among the runs of `warm_start`: the published networks that lie inside the space.
PUBLISHED = "published"


def _plain_line(text: str) -> str:
    """A text that a terminal shows as it is: what a file makes run is shown first."""
    if not text.isprintable():
        raise ValueError(f"must be one line of printable characters; got {text!r}")
    return text


class Door(BaseModel):
    """What every part of an experiment file has in common: nothing unknown, nothing converted."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


class TargetSection(Door):
    """A device with its latency table and, if it has one, its budget.

    Attributes:
        address: Where the device is: `local`, `ssh:[user@]host[:port]` or `cmd:COMMAND`. Tables of
            `auto` are measured there, and the first target's networks timed.
        python: Runs the agent on a device behind ssh; null for `python3`.
        table: Path of a table, or `auto`: reuse one measured there for this space, else measure it.
        budget_ms: Highest latency allowed, in milliseconds; null for none.
        confidence: Probability with which a network shall keep the budget, by the error that the
            table showed on whole networks; null takes the prediction as it is.
    """

    name: Annotated[str, Field(pattern=NAME_PATTERN)] = "this-cpu"
    runtime: str = "onnxruntime"
    threads: Annotated[int, Field(ge=1)] = 1
    dtype: str = "fp32"
    address: Annotated[str, AfterValidator(_plain_line)] = "local"
    python: Annotated[str, AfterValidator(_plain_line), Field(min_length=1)] | None = None
    table: str = "auto"
    budget_ms: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    confidence: Annotated[float, Field(ge=0.5, lt=1)] | None = None

    @property
    def place(self) -> Address:
        """Where the device is."""
        return parse_address(self.address)

    @property
    def is_here(self) -> bool:
        """Whether the device is this machine."""
        return isinstance(self.place, Here)

    @field_validator("address")
    @classmethod
    def _address_is_one(cls, address: str) -> str:
        parse_address(address)
        return address

    @field_validator("python")
    @classmethod
    def _python_is_behind_ssh(cls, python: str | None, info: ValidationInfo) -> str | None:
        address = info.data.get("address")
        if python is not None and address is not None and not address.startswith("ssh:"):
            raise ValueError(
                f"names the Python of a device behind ssh; got {python!r} with the address "
                f"{address!r}: leave it out"
            )
        return python

    @field_validator("confidence")
    @classmethod
    def _confidence_is_in_a_budget(
        cls, confidence: float | None, info: ValidationInfo
    ) -> float | None:
        if confidence is not None and info.data.get("budget_ms") is None:
            raise ValueError("needs budget_ms: it says how surely that budget is kept")
        return confidence


class ConstraintsSection(Door):
    """Hard limits that are counted and not measured."""

    params: Annotated[int, Field(ge=1)] | None = None
    macs: Annotated[int, Field(ge=1)] | None = None
    peak_activation_bytes: Annotated[int, Field(ge=1)] | None = None


class RewardSection(Door):
    """One objective instead of a front: MnasNet's accuracy x (latency / budget) ^ exponent.

    Tan et al. 2019, arXiv:1807.11626, equations 2 and 3. Their soft constraint is exponent -0.07
    on both sides of the budget, their hard one exponent 0 and exponent_over -1.

    Attributes:
        exponent: Of networks within the budget.
        exponent_over: Of networks over it; null for the same. Only for a soft budget.
        budget: `hard` trains nothing over the budget; `soft` trains it and lets the reward judge.
    """

    reward: Literal["mnasnet"]
    exponent: Annotated[float, Field(le=0, allow_inf_nan=False)] = -0.07
    exponent_over: Annotated[float, Field(le=0, allow_inf_nan=False)] | None = None
    budget: Literal["hard", "soft"] = "hard"

    @model_validator(mode="after")
    def _over_needs_soft(self) -> Self:
        if self.budget == "hard" and self.exponent_over is not None:
            raise ValueError("exponent_over needs budget: soft; over a hard one nothing is scored")
        return self


class SearchSection(Door):
    """How to search: `trials` counts distinct architectures whose scoring started.

    Attributes:
        patience: Trials in a row that leave the front as it is, after which the search ends; null
            for never.
    """

    sampler: str = "greybox"
    trials: Annotated[int, Field(ge=1)] = 100
    hours: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    patience: Annotated[int, Field(ge=1)] | None = None
    seed: Annotated[int, Field(ge=0)] = 0


class ConfirmSection(Door):
    """The fair comparison at the end: candidates and baselines, same recipe, fresh seeds."""

    top: Annotated[int, Field(ge=1)] = 5
    seeds: Annotated[int, Field(ge=1)] = 3
    epochs: Annotated[int, Field(ge=1)] = 20


class WorkersSection(Door):
    """Who trains: `count` Ray actors with `cpus` threads each.

    Attributes:
        gpus: Share of an NVIDIA GPU that each worker takes: 0 trains on processors, 0.25 lets four
            workers share one, 1 gives each its own.
        address: Null starts Ray on this machine; `host:port` or `auto` is a running cluster;
            `inline` is no Ray at all: the driver trains itself, one network after the other.
    """

    count: Annotated[int, Field(ge=1)] = 2
    cpus: Annotated[int, Field(ge=1)] = 1
    gpus: Annotated[float, Field(ge=0, le=1)] = 0
    address: str | None = None

    @property
    def device(self) -> Literal["cpu", "cuda"]:
        """Where a worker trains."""
        return "cuda" if self.gpus else "cpu"

    @field_validator("address")
    @classmethod
    def _address_is_possible(cls, address: str | None) -> str | None:
        if address is not None and not re.fullmatch(r"inline|auto|[A-Za-z0-9.-]+:\d+", address):
            raise ValueError(
                "must be null, the host:port of a Ray cluster, auto or inline; "
                f"got {address!r} (a driver runs on a node of its cluster, so not ray://)"
            )
        return address

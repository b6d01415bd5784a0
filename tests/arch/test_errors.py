"""Errors that a person can act on, and that reach the driver from a worker."""

import pickle

import pytest

from mnas.arch import (
    Fault,
    InvalidArchitectureError,
    InvalidFileError,
    MnasError,
    UnknownNameError,
    count,
    did_you_mean,
)


def test_each_fault_has_its_line_under_the_subject() -> None:
    error = InvalidFileError(
        "search_spaces/phone.yaml is not a search space:",
        [Fault("stages.0.kernel", "must be odd; got 4", 7, 3), Fault("", "too long")],
    )

    assert str(error).splitlines() == [
        "search_spaces/phone.yaml is not a search space:",
        "  7:3: stages.0.kernel: must be odd; got 4",
        "  document: too long",
    ]


@pytest.mark.parametrize(
    "error",
    [
        MnasError("plain"),
        UnknownNameError("search space", "mobilnet_v2", ["mobilenet_v2", "fbnet"]),
        InvalidArchitectureError.at("not a block:", "kernel", "must be odd"),
    ],
)
def test_an_error_travels_between_processes(error: MnasError) -> None:
    copy = pickle.loads(pickle.dumps(error))

    assert type(copy) is type(error)
    assert str(copy) == str(error)
    assert getattr(copy, "faults", ()) == getattr(error, "faults", ())


def test_an_unknown_name_is_told_with_the_near_one_and_all_known() -> None:
    error = UnknownNameError("search space", "mobilnet_v2", iter(["mobilenet_v2", "fbnet"]))

    assert str(error) == (
        "unknown search space 'mobilnet_v2' (did you mean 'mobilenet_v2'?); "
        "known: fbnet, mobilenet_v2"
    )


@pytest.mark.parametrize("written", ["MobileNet-V2", "mobilenetv2", "MOBILENET_V2"])
def test_capitals_and_dashes_do_not_hide_the_name_that_is_meant(written: str) -> None:
    assert did_you_mean(written, ["fbnet", "mobilenet_v2"]) == " (did you mean 'mobilenet_v2'?)"


def test_nothing_is_suggested_for_a_name_that_is_like_none() -> None:
    assert did_you_mean("zzz", ["kernel"]) == ""


def test_bad_input_ends_a_command_with_2_and_is_a_value_error() -> None:
    assert issubclass(MnasError, ValueError)
    assert MnasError.exit_code == 2


def test_of_many_known_names_the_nearest_are_listed():
    known = [f"network_{index}" for index in range(50)] + ["mobilenet_v2", "mobilenet_v3"]
    said = str(UnknownNameError("published network", "mobilenet", known))
    assert "the nearest of the 52 known: mobilenet_v" in said
    assert said.count(",") == 4


@pytest.mark.parametrize("wrong", ["mobilenet_v2", None, 3])
def test_a_count_of_what_is_no_architecture_says_what_to_call(wrong):
    with pytest.raises(TypeError, match=r"count takes an Architecture; got .*from_json") as caught:
        count(wrong)
    assert ("load_published('mobilenet_v2')" in str(caught.value)) == isinstance(wrong, str)


def test_of_very_many_faults_the_first_are_shown_and_all_are_kept() -> None:
    error = InvalidFileError("a.json is none:", [Fault(f"blocks.{n}", "no") for n in range(60)])

    assert str(error).splitlines()[-2:] == ["  blocks.49: no", "  and 10 more faults"]
    assert len(error.faults) == 60

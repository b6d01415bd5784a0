"""What a search space does with architectures and choices."""

import csv
import dataclasses
import pickle
import random
import re
import subprocess
import sys

import numpy as np
import optuna
import pandas
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mnas.arch import Architecture, count, layer_macs, plan
from mnas.results import Record
from mnas.results.frames import option_text, records_frame
from mnas.space import (
    InvalidChoicesError,
    OutsideSpaceError,
    load_published,
    load_space,
)
from mnas.space.choices import branches, index_of
from tests.space.documents import space_of_document
from tests.strategies import space_documents

seeds = st.integers(0, 2**32)
SMALL = load_space("small_digits")
OFA = load_space("ofa_mobilenet_v3")


@settings(max_examples=50, deadline=None)
@given(space_documents(), seeds)
def test_decode_undoes_encode_and_encode_gives_the_first_fit(document, seed):
    space = space_of_document(document)
    arch = space.sample(random.Random(seed))
    choices = space.encode(arch)
    assert space.decode(choices) == arch
    assert space.contains(arch)
    assert space.why_not(arch) == ""
    found = branches(lambda ask: space._paths.walk(ask)[0])
    first = next(asked for asked, other in found if other == arch)
    assert choices == {choice.name: choice.options[i] for choice, i in first.items()}


@settings(max_examples=15, deadline=None)
@given(space_documents(), seeds)
def test_what_is_drawn_passes_every_check_again_and_is_drawn_alike(document, seed):
    space = space_of_document(document)
    for number in range(3):
        drawn = space.sample(random.Random(seed + number))
        assert dataclasses.replace(drawn) == drawn
        assert space.decode(space.sample_choices(random.Random(seed + number))) == drawn


@settings(max_examples=20, deadline=None)
@given(seeds)
def test_sampled_choices_decode_to_the_sampled_architecture(seed):
    for space in (SMALL, OFA):
        choices = space.sample_choices(random.Random(seed))
        assert space.decode(choices) == space.sample(random.Random(seed))
        assert list(choices) == list(space.encode(space.decode(choices)))


@settings(max_examples=20, deadline=None)
@given(seeds)
def test_neighbours_differ_in_one_choice_and_are_inside(seed):
    arch = SMALL.sample(random.Random(seed))
    own = SMALL.encode(arch)
    near = SMALL.neighbours(arch)
    assert len({other.id for other in near} | {arch.id}) == len(near) + 1
    for other in near:
        theirs = SMALL.encode(other)
        changed = [name for name in own if name in theirs and own[name] != theirs[name]]
        assert len(changed) == 1


@settings(max_examples=25, deadline=None)
@given(space_documents())
def test_reachable_blocks_are_exactly_those_of_all_architectures(document):
    space = space_of_document(document)
    met = {block.key for arch in space.enumerate() for block in plan(arch).blocks}
    assert set(space.reachable_blocks()) == met


@settings(max_examples=25, deadline=None)
@given(space_documents())
def test_the_cheapest_network_costs_no_more_than_any(document):
    space = space_of_document(document)

    def cost(block):
        return sum(map(layer_macs, block.layers))

    cheapest = space.cheapest(cost)
    assert count(cheapest).macs == min(count(arch).macs for arch in space.enumerate())


@settings(max_examples=25, deadline=None)
@given(space_documents())
def test_choices_hold_every_name_that_is_ever_active(document):
    space = space_of_document(document)
    for seed in range(5):
        for name, option in space.sample_choices(random.Random(seed)).items():
            assert option in space.choices[name]


def test_an_optuna_trial_is_asked_for_active_choices_only():
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    for _ in range(5):
        trial = study.ask()
        arch = OFA.suggest(trial)
        assert list(trial.params) == list(OFA.encode(arch))
        assert OFA.decode(trial.params) == arch


def test_the_depth_decides_which_layers_are_asked():
    choices = OFA.sample_choices(random.Random(3))
    for stage in range(1, 6):
        depth = choices[f"stages.{stage}.depth"]
        asked = [name for name in choices if name.startswith(f"stages.{stage}.layers.")]
        assert len(asked) == 2 * depth


def test_decode_ignores_inactive_names():
    choices = SMALL.sample_choices(random.Random(0))
    all_of_them = {name: options[0] for name, options in SMALL.choices.items()}
    assert SMALL.decode({**all_of_them, **choices}) == SMALL.decode(choices)


def test_decode_takes_numbers_as_a_csv_gives_them_back():
    choices = SMALL.sample_choices(random.Random(0))
    floats = {
        name: float(value) if isinstance(value, int) else value for name, value in choices.items()
    }
    assert SMALL.decode(floats) == SMALL.decode(choices)


KINDS = space_of_document(
    {
        "schema": "mnas.space/1",
        "name": "every_kind_of_option",
        "input": {"channels": 3, "resolution": [16, 24]},
        "width": [0.5, 1.0],
        "stem": {"kernel": 3, "stride": 1, "out_channels": 16, "activation": "relu"},
        "stages": [
            {
                "op": "depthwise_separable",
                "depth": [1, 2],
                "kernel": {"each": [3, 5]},
                "out_channels": 16,
                "activation": ["relu", "silu"],
                "pointwise_activation": {"each": [None, "relu"]},
                "se": [
                    None,
                    {"name": "four", "channels": 4, "activation": "relu", "gate": "sigmoid"},
                    {"channels": 8, "activation": "relu", "gate": "sigmoid"},
                ],
                "residual": {"each": [True, False]},
            }
        ],
        "head": [{"op": "pool"}, [None, {"name": "wide", "op": "linear", "out_features": 8}]],
    }
)


def record_of(number: int, arch: Architecture) -> Record:
    return Record(
        number=number,
        id=arch.id,
        kind="trial",
        rung=None,
        epochs=1,
        seed=0,
        state="complete",
        reason=None,
        accuracy=0.5,
        latency_ms={},
        measured_ms={},
        params=1,
        macs=1,
        peak_activation_bytes=1,
        seconds=1.0,
        started="2026-01-01T00:00:00+00:00",
        choices=KINDS.encode(arch),
    )


def as_the_run_writes_it(frame: pandas.DataFrame) -> pandas.DataFrame:
    """Nulls and booleans spelled as in `records.csv`; what is not active stays empty."""
    return frame.map(lambda cell: cell if isinstance(cell, float) else option_text(cell))


@pytest.mark.parametrize("written", [lambda frame: frame, as_the_run_writes_it])
@pytest.mark.parametrize("options", [{}, {"dtype": str}, {"dtype_backend": "numpy_nullable"}])
def test_a_table_of_records_decodes_after_a_csv_file(written, options, tmp_path):
    networks = [KINDS.sample(random.Random(seed)) for seed in range(60)]
    frame = records_frame([record_of(i, arch) for i, arch in enumerate(networks)], [])
    names = [name for name in KINDS.choices if name in frame]
    written(frame[names]).to_csv(tmp_path / "records.csv", index=False)

    rows = pandas.read_csv(tmp_path / "records.csv", **options).to_dict("records")

    assert [KINDS.decode(row) for row in rows] == networks


def test_every_single_row_decodes_whatever_kinds_pandas_makes_of_it(tmp_path):
    for seed in range(40):
        arch = KINDS.sample(random.Random(seed))
        frame = records_frame([record_of(0, arch)], [])
        as_the_run_writes_it(frame[list(KINDS.encode(arch))]).to_csv(tmp_path / "one.csv")
        (row,) = pandas.read_csv(tmp_path / "one.csv", index_col=0).to_dict("records")
        with (tmp_path / "one.csv").open() as file:
            (texts,) = ({k: v for k, v in row.items() if k} for row in csv.DictReader(file))

        assert KINDS.decode(row) == KINDS.decode(texts) == arch


@pytest.mark.parametrize(
    ("options", "value", "index"),
    [
        ((3, "3"), "3", 1),
        ((3, "3"), 3.0, 0),
        ((True, 1), 1, 1),
        ((1, True), np.True_, 1),
        ((3, 5), np.int64(5), 1),
        ((0.5, 1.0), "1.0", 1),
        ((None, "null"), "null", 1),
        ((None, "null"), None, 0),
        ((False, True), "true", 1),
    ],
)
def test_an_option_is_found_by_itself_before_its_spelling(options, value, index):
    assert index_of(options, value) == index


@pytest.mark.parametrize(
    ("options", "value"), [((3, "3.0"), np.str_("03")), ((True, "True"), np.True_), ((3, 5), None)]
)
def test_a_spelling_of_none_or_of_several_options_is_refused(options, value):
    with pytest.raises(ValueError, match=re.escape(str(value))):
        index_of(options, value)


def test_decode_tells_unknown_missing_and_impossible_choices_at_once():
    choices = dict(SMALL.sample_choices(random.Random(0)))
    del choices["width"]
    choices |= {"resolution": 100, "stages.0.dephts": 1}
    with pytest.raises(InvalidChoicesError, match="not the choices") as caught:
        SMALL.decode(choices)
    message = str(caught.value)
    assert "stages.0.dephts: unknown choice (did you mean 'stages.0.depth'?)" in message
    assert "width: missing; options: 1.0, 1.5" in message
    assert "resolution: got 100; options: 24, 32" in message


def test_why_not_names_the_first_field_outside():
    arch = OFA.sample(random.Random(0))
    blocks = list(arch.blocks)
    blocks[2] = dataclasses.replace(blocks[2], kernel=9)
    changed = dataclasses.replace(arch, blocks=tuple(blocks))
    assert OFA.why_not(changed) == "blocks.2.kernel: got 9; allowed here: 3, 5, 7"
    assert not OFA.contains(changed)
    with pytest.raises(OutsideSpaceError, match=r"is not in ofa_mobilenet_v3: blocks\.2\.kernel"):
        OFA.encode(changed)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"num_classes": 5}, "num_classes: got 5; allowed here: 1000"),
        ({"dropout": 0.5}, "dropout: got 0.5; allowed here: 0.0"),
        ({"head": load_published("mobilenet_v1").head}, "head.0.op: got pool; allowed here: conv"),
        ({"blocks": ()}, "blocks: has 0; allowed after these: more"),
    ],
)
def test_why_not_also_looks_outside_the_blocks(change, said):
    assert OFA.why_not(dataclasses.replace(OFA.sample(random.Random(0)), **change)) == said


def test_why_not_says_how_many_blocks_are_allowed():
    arch = OFA.sample(random.Random(0))
    longer = dataclasses.replace(arch, blocks=(*arch.blocks, *[arch.blocks[-1]] * 5))
    assert OFA.why_not(longer).startswith(
        f"blocks: has {len(longer.blocks)}; allowed here: at most"
    )


def test_a_name_does_not_put_a_network_outside():
    assert OFA.contains(dataclasses.replace(OFA.sample(random.Random(0)), name="other"))


def test_a_deeper_neighbour_repeats_its_last_layer():
    arch = SMALL.sample(random.Random(1))
    shallow = dict(SMALL.encode(arch)) | {"stages.2.depth": 1}
    shallow = {name: v for name, v in shallow.items() if not name.startswith("stages.2.layers.1.")}
    arch = SMALL.decode(shallow)
    deeper = [
        other for other in SMALL.neighbours(arch) if SMALL.encode(other)["stages.2.depth"] == 2
    ]
    (other,) = deeper
    choices = SMALL.encode(other)
    for field in ("kernel", "expansion"):
        assert choices[f"stages.2.layers.1.{field}"] == choices[f"stages.2.layers.0.{field}"]


def test_a_space_survives_pickling():
    again = pickle.loads(pickle.dumps(SMALL))
    assert again == SMALL
    assert again.sample(random.Random(5)) == SMALL.sample(random.Random(5))


def test_the_room_needs_no_torch():
    code = (
        "import random, sys\n"
        "from mnas.space import load_space\n"
        "space = load_space('small_digits')\n"
        "space.size(); space.sample(random.Random(0)); space.reachable_blocks()\n"
        "heavy = {'torch', 'pandas', 'optuna', 'ray', 'onnx'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("call", ["why_not", "contains", "encode"])
def test_a_name_in_place_of_an_architecture_says_what_to_call(call):
    with pytest.raises(TypeError, match=rf"{call} takes an Architecture.*load_published\('v2'\)"):
        getattr(load_space("small_digits"), call)("v2")


def test_choices_that_are_no_mapping_are_refused():
    with pytest.raises(TypeError, match=r"takes a mapping of the names of choices.*; got \[\]"):
        load_space("small_digits").decode([])

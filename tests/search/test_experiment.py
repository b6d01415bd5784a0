import pytest

from mnas.search.experiment import InvalidExperimentError, differing_keys, load_experiment
from mnas.search.preparing import prepare
from mnas.training import DeviceError

TEXT = """\
schema: mnas.experiment/1
name: small
space: small_digits
data: {source: digits}
proxy: {epochs: [1, 2]}
targets:
  - {name: this-cpu, budget_ms: 0.5}
objectives: [accuracy, latency]
search: {sampler: random, trials: 3}
"""


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "small.yaml"
    path.write_text(TEXT)
    return path


def test_defaults_are_written_out_in_the_resolved_experiment(file):
    resolved = load_experiment(file).resolved()

    assert resolved["confirm"] == {"top": 5, "seeds": 3, "epochs": 20}
    assert resolved["targets"][0]["runtime"] == "onnxruntime"
    assert resolved["search"]["seed"] == 0


def test_resolved_experiment_is_read_back_as_the_same(file, tmp_path):
    from mnas.search.run_files import write_experiment

    first = load_experiment(file)
    write_experiment(tmp_path, first.resolved())

    assert load_experiment(tmp_path / "experiment.yaml") == first


def test_shipped_experiment_is_found_by_its_bare_name():
    assert load_experiment("quickstart").name == "quickstart"


def test_override_replaces_one_key_and_keeps_the_others(file):
    experiment = load_experiment(file, ["search.trials=7", "targets.0.budget_ms=1.5"])

    assert experiment.search.trials == 7
    assert experiment.search.sampler == "random"
    assert experiment.target.budget_ms == 1.5


def test_every_fault_is_told_at_once_with_line_and_column(file):
    file.write_text(TEXT.replace("trials: 3", "trails: 3").replace("epochs: [1, 2]", "epochs: x"))

    with pytest.raises(InvalidExperimentError, match="is not an experiment") as caught:
        load_experiment(file)

    message = str(caught.value)
    assert "small.yaml" in message
    assert "9:27: search.trails: unknown field (did you mean 'trials'?)" in message
    assert "5:17: proxy.epochs" in message


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("search.trials=0", "search.trials: must be greater than or equal to 1; got 0"),
        ("search.trials=three", "search.trials: must be a valid integer; got 'three'"),
        ("objectives=[latency]", "objectives: must hold accuracy"),
        ("objectives=[accuracy, params, params]", "objectives: must hold accuracy"),
        ("objectives=[accuracy, speed]", "objectives.1"),
        ("targets.0={budget_ms: null, confidence: 0.9}", "targets.0.confidence: needs budget_ms"),
        ("targets.0.confidence=1.0", "targets.0.confidence"),
        ("search.patience=0", "search.patience"),
        ("warm_start=[published, published]", "warm_start: runs must differ"),
        ("name=../up", "name"),
        ("workers.gpus=2", "workers.gpus: must be less than or equal to 1; got 2"),
        ("mirror=my.db", "mirror: must be null or the address of an Optuna storage"),
        ("workers.address=ray://head:10001", "workers.address: must be null"),
        ("targets=[]", "targets"),
        ("schema=mnas.experiment/2", "schema"),
        ("targets.0.budget_ms=-1", "targets.0.budget_ms"),
        ("searchh.trials=1", "searchh: unknown field"),
        ("proxy.epochs=[3, 1]", "increasing"),
        ("proxy.filter={score: zen, keep: 0.05}", "proxy.filter: keep must be at least 0.1"),
        ("proxy.filter={score: zen, keep: 1.0}", "and below 1 (leave the filter out to train all)"),
        ("proxy.filter={score: zen, kept: 0.5}", "proxy.filter.kept: unknown field"),
        ("proxy.filter={keep: 0.5}", "proxy.filter.score"),
        ("proxy.filter=zen", "proxy.filter"),
    ],
)
def test_impossible_value_is_refused_and_named(file, change, said):
    with pytest.raises(InvalidExperimentError, match="is not an experiment") as caught:
        load_experiment(file, [change])

    assert said in str(caught.value)


def test_text_that_is_no_override_is_refused(file):
    with pytest.raises(InvalidExperimentError, match="written key=value"):
        load_experiment(file, ["search.trials"])


def test_missing_experiment_names_the_shipped_ones(tmp_path):
    with pytest.raises(InvalidExperimentError, match="quickstart"):
        load_experiment(tmp_path / "nothing.yaml")


def test_reward_needs_a_budget(file):
    with pytest.raises(InvalidExperimentError, match="a reward needs budget_ms"):
        load_experiment(file, ["objectives={reward: mnasnet}", "targets.0.budget_ms=null"])


def test_only_how_long_and_with_whom_may_change_on_resume(file):
    before = load_experiment(file).resolved()
    after = load_experiment(file, ["search.trials=9", "workers.count=1", "search.hours=1"])
    other = load_experiment(file, ["search.seed=9", "confirm.top=1"])

    assert differing_keys(before, after.resolved()) == []
    assert differing_keys(before, other.resolved()) == ["confirm.top", "search.seed"]


def test_relative_inputs_are_relative_to_the_file(tmp_path, file):
    space = tmp_path / "mine.yaml"
    space.write_text("schema: mnas.space/1\n")

    experiment = load_experiment(file, ["space=mine.yaml", "data={source: idx, path: images}"])

    assert experiment.space == str(space)
    assert experiment.data.path == str(tmp_path / "images")


def test_missing_table_is_refused_before_anything_starts(file, tmp_path):
    with pytest.raises(ValueError, match=r"there is no latency table .*absent.csv"):
        load_experiment(file, ["targets.0.table=absent.csv"])


@pytest.mark.parametrize(("gpus", "device"), [(0, "cpu"), (0.25, "cuda"), (1, "cuda")])
def test_workers_with_a_share_of_a_gpu_train_on_it(file, gpus, device):
    assert load_experiment(file, [f"workers.gpus={gpus}"]).workers.device == device


def test_gpus_are_refused_before_anything_is_done_where_there_are_none(file):
    experiment = load_experiment(file, ["workers.gpus=0.5"])
    with pytest.raises(DeviceError, match=r"asks for 0\.5 GPU per worker .*has none") as caught:
        prepare(experiment)
    assert "workers.gpus=0" in str(caught.value)

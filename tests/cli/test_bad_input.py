import pytest

from mnas.cli import main


def is_one_message(ended, code=2):
    """What a person sees of a fault: one error on stderr after any progress, nothing on stdout."""
    return (
        ended.code == code
        and ended.out == ""
        and f"\n{ended.err}".count("\nerror: ") == 1
        and "Traceback" not in ended.err
    )


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (("serch",), "Did you mean 'search'?\nSee `mnas --help`."),
        (("latency", "compere", "a", "b"), "See `mnas latency --help`."),
        (("latency", "measure", "x.yaml"), "See `mnas latency measure --help`."),
        (("latency", "measure", "x.yaml", "-o", "t.csv", "--most", "0"), "--most"),
        (("space", "sample", "x.yaml", "-n", "none"), "See `mnas space sample --help`."),
        (("space", "sample", "x.yaml", "-n", "0"), "See `mnas space sample --help`."),
        (("rescore", "run"), "rescore"),
        (("space",), "See `mnas space --help`."),
    ],
)
def test_a_misuse_names_the_help_that_tells_more(mnas, argv, said):
    ended = mnas(*argv)

    assert is_one_message(ended)
    assert said in ended.err


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (("space", "show", "nowhere.yaml"), "nowhere.yaml"),
        (("space", "check", "mobilenet_v7"), "mobilenet_v2"),
        (
            ("space", "show", "small_digits", "--table", "t.csv", "--budget-ms", "-1"),
            "--budget-ms must be above 0; got -1",
        ),
        (("count", "nowhere.json"), "cannot read the architecture nowhere.json"),
        (("count", "mobilenet_v7"), "mobilenet_v2"),
        (("latency", "show", "nowhere.csv"), "nowhere.csv"),
        (("latency", "predict", "nowhere.csv", "mobilenet_v2"), "nowhere.csv"),
        (("latency", "plan", "small_digits", "--runtime", "onnx"), "onnxruntime"),
        (("latency", "plan", "small_digits", "--dtype", "int3"), "int3"),
        (("search", "nowhere.yaml"), "there is no experiment file nowhere.yaml"),
        (("search", "quickstart", "search.trials"), "key=value"),
        (("search", "quickstart", "search.trails=3"), "did you mean 'trials'?"),
        (("search", "quickstart", "search.trials=many"), "search.trials"),
        (("search", "quickstart", "data.source=mnist"), "digits"),
        (("status", "nowhere"), "there is no such folder"),
        (("report", "nowhere"), "there is no such folder"),
        (("train", "nowhere"), "neither the folder of a run nor an architecture document"),
        (("train", "mobilenet_v2"), "--data SOURCE[:PATH] and -o DIR"),
        (("train", "mobilenet_v2", "--pick", "x"), "--pick chooses a network of a run"),
        (("export", "nowhere"), "neither the folder of a run nor an architecture document"),
        (("export",), "say what to export"),
        (("export", "--trust"), "--trust goes with --check DIR"),
        (("export", "--format", "onnx", "--check", "x"), "--check DIR stands alone"),
        (("export", "data.val=9", "--check", "x"), "no data is given: --data SOURCE"),
        (("export", "mobilenet_v2", "--format", "onnx-int8"), "with --data SOURCE"),
        (("export", "--check", "nowhere"), "nowhere"),
        (("export", "mobilenet_v2", "--format", "tflite"), "onnx"),
        (("space", "show", "small_digits", "--budget-ms", "1"), "--table"),
    ],
)
def test_what_is_not_there_or_does_not_go_together_is_one_message(
    mnas, argv, said, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)

    ended = mnas(*argv)

    assert is_one_message(ended)
    assert said in ended.err
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_key_of_a_space_is_told_with_its_line(mnas, space_file):
    space_file.write_text(space_file.read_text().replace("depth: 1", "deepth: 1"))

    ended = mnas("space", "check", space_file)

    assert is_one_message(ended)
    assert "deepth" in ended.err
    assert "\n  7:" in ended.err


def test_every_fault_of_a_space_is_told_at_once(mnas, space_file):
    text = space_file.read_text().replace("kernel: [3, 5]", "kernel: [3, 4]")
    space_file.write_text(text.replace("stride: 2, depth", "stride: [], depth"))

    ended = mnas("space", "show", space_file)

    assert is_one_message(ended)
    assert "kernel" in ended.err
    assert "stride" in ended.err


def test_an_unknown_key_of_an_experiment_is_told_with_its_line(mnas, experiment_file):
    experiment_file.write_text(experiment_file.read_text() + "budget: 3\n")

    ended = mnas("search", experiment_file)

    assert is_one_message(ended)
    assert "8:1: budget: unknown field" in ended.err


def test_an_unknown_key_of_an_architecture_names_the_file(mnas, network_file):
    network_file.write_text(network_file.read_text().replace('"name"', '"nmae"'))

    ended = mnas("count", network_file)

    assert is_one_message(ended)
    assert f"{network_file} is not an architecture" in ended.err
    assert "did you mean 'name'?" in ended.err


def test_an_unknown_key_of_a_table_names_the_file(mnas, table_file):
    table_file.write_text("# colour: 3\n" + table_file.read_text())

    ended = mnas("latency", "show", table_file)

    assert is_one_message(ended)
    assert str(table_file) in ended.err


def test_a_folder_that_is_no_run_says_what_it_lacks(mnas, tmp_path):
    ended = mnas("status", tmp_path)

    assert is_one_message(ended)
    assert "experiment.yaml" in ended.err


def test_options_of_a_document_are_refused_for_a_run(mnas, tmp_path):
    ended = mnas("train", tmp_path, "--data", "digits")

    assert is_one_message(ended)
    assert "a run has its own data and folder" in ended.err


def test_a_table_of_another_runtime_is_refused_before_anything_is_written(
    mnas, experiment_file, table_file, tmp_path
):
    ended = mnas(
        "search",
        experiment_file,
        "targets.0.table=table.csv",
        "targets.0.runtime=torch",
        "--out",
        tmp_path / "run",
    )

    assert is_one_message(ended)
    assert "torch" in ended.err
    assert "onnxruntime" in ended.err
    assert not (tmp_path / "run" / "records.db").exists()


def test_a_budget_that_nothing_can_meet_ends_with_3_and_names_the_fastest(
    mnas, experiment_file, table_file
):
    ended = mnas(
        "search",
        experiment_file,
        "targets.0.table=table.csv",
        "targets.0.budget_ms=0.0001",
        "--dry-run",
    )

    assert is_one_message(ended, code=3)
    assert "the fastest" in ended.err


def test_what_the_machine_refuses_is_no_defect(mnas, network_file, monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device", "x.onnx")

    monkeypatch.setattr("mnas.cli.count_command.count", full)

    ended = mnas("count", network_file, "--no-thop")

    assert is_one_message(ended)
    assert "No space left on device" in ended.err


def test_main_takes_the_arguments_of_the_process_by_default(monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["mnas", "serch"])

    assert main() == 2
    assert "serch" in capsys.readouterr().err


def test_a_folder_in_place_of_a_network_is_told_as_one(mnas, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "networks").mkdir()
    ended = mnas("count", "networks")
    assert ended.code == 2
    assert "networks is a folder. Give an architecture document" in ended.err


def test_an_unknown_network_names_the_nearest_and_not_all(mnas):
    ended = mnas("count", "nope")
    assert ended.code == 2
    assert "unknown published network 'nope'; the nearest of the" in ended.err
    assert len(ended.err) < 300

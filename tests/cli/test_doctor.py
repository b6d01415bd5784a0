import itertools
import json

import pytest

from mnas.cli.doctor import measure_noise, packages


def ticking(*steps):
    """A clock that is read in pairs, each pair apart by the next of the steps."""
    times = itertools.accumulate(itertools.cycle(itertools.chain(*((0.0, step) for step in steps))))
    return lambda: next(times)


def noise_of(cpu, wall):
    """The verdict where each repetition takes the next of these CPU times and this wall time."""
    begun = itertools.chain([0.0], itertools.count(0, wall))
    return measure_noise(seconds=0.0, wall=lambda: next(begun), cpu=ticking(*cpu))


def test_equal_times_are_quiet():
    assert noise_of([1.0], 1.0).verdict == "quiet"


def test_times_that_vary_are_noisy():
    assert noise_of([1.0, 1.5, 1.1, 1.6], 1.3).verdict == "noisy"


def test_waiting_for_the_processor_is_noisy():
    found = noise_of([1.0], 2.0)

    assert found.verdict == "noisy"
    assert found.wall_over_cpu == pytest.approx(2.0, rel=0.3)


def test_versions_are_compared_with_those_of_the_tests(tmp_path):
    constraints = tmp_path / "constraints.txt"
    constraints.write_text("# tested\ntyper==0.0.1\nRuamel_yaml==9  # newer\n")

    found = {each.name: each for each in packages(constraints)}

    assert found["typer"].tested == "0.0.1"
    assert found["ruamel.yaml"].tested == "9"
    assert found["numpy"].tested is None
    assert found["numpy"].version is not None
    assert "pytest" not in found


def test_doctor_looks_at_runtimes_ray_data_and_cache(mnas, monkeypatch, tmp_path):
    monkeypatch.setenv("MNAS_CACHE", str(tmp_path))
    monkeypatch.setattr("mnas.cli.doctor._NOISE_SECONDS", 0.01)

    found = json.loads(mnas("doctor", "--json").out)

    assert {each["name"] for each in found["runtimes"]} >= {"onnxruntime", "torch"}
    assert "listens on all network interfaces" in found["ray"]["listens"]
    assert "digits" in found["data_sources"]
    assert found["cached_tables"] == 0


def test_doctor_names_the_sources_that_cannot_be_read_here(mnas, monkeypatch, tmp_path):
    monkeypatch.setenv("MNAS_CACHE", str(tmp_path))
    monkeypatch.setattr("mnas.cli.doctor._NOISE_SECONDS", 0.01)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name == "pyarrow" else 1)
    (tmp_path / "images" / "0").mkdir(parents=True)
    (tmp_path / "images" / "0" / "8.npy").write_bytes(bytes(1000))

    found = json.loads(mnas("doctor", "--json").out)

    assert "imagefolder" in found["data_sources"]
    assert [each["name"] for each in found["data_problems"]] == ["parquet"]
    assert "pip install 'mnas[parquet]'" in found["data_problems"][0]["problem"]
    assert found["image_cache_bytes"] == 1000


def test_doctor_is_readable(mnas, monkeypatch):
    monkeypatch.setattr("mnas.cli.doctor._NOISE_SECONDS", 0.01)

    shown = mnas("doctor").out

    for word in ("python", "memory", "packages", "runtime onnxruntime", "noise", "ray"):
        assert f"\n{word}" in f"\n{shown}"

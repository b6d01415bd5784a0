"""The manifest reads back, and refuses what no export writes."""

import json

import pytest

from mnas.export import ExportTiming, InvalidManifestError, Manifest


@pytest.fixture
def fields(exported):
    return json.loads((exported / "manifest.json").read_text())


def test_manifest_reads_back_as_it_was_written(fields):
    manifest = Manifest.from_json(json.dumps(fields))

    assert Manifest.from_json(manifest.to_json()) == manifest
    assert json.loads(manifest.to_json()) == fields


def test_manifest_with_timing_reads_back(fields):
    timing = ExportTiming(
        file="model.onnx", target={"name": "here", "threads": 1}, device="a machine",
        measured_ms=2.0, spread=0.1, wall_ms=2.1, predicted_ms=1.0, low_ms=0.9, high_ms=1.1,
        predicted_share=0.0, within_margin=False, note="measured 2 ms, outside",
    )  # fmt: skip
    written = Manifest.from_json(json.dumps({**fields, "timing": timing_fields(timing)}))

    assert written.timing == timing


def timing_fields(timing):
    return {name: getattr(timing, name) for name in timing.__dataclass_fields__}


@pytest.mark.parametrize(
    "name", ["../x", "/etc/passwd", "..", ".hidden", "a/b", "a\\b", "", "model.onnx\n"]
)
def test_a_file_name_that_leaves_the_folder_is_refused(name, fields):
    fields["formats"][0]["file"] = name

    with pytest.raises(InvalidManifestError, match=r"formats\.0\.file: must be a plain file name"):
        Manifest.from_json(json.dumps(fields))


def test_unknown_and_missing_fields_are_named_at_once(fields):
    fields["formats"][0]["sha265"] = fields["formats"][0].pop("sha256")

    with pytest.raises(InvalidManifestError, match="is not a manifest") as info:
        Manifest.from_json(json.dumps(fields), source="out/manifest.json")

    assert "out/manifest.json is not a manifest (schema mnas.manifest/1)" in str(info.value)
    assert "formats.0.sha256: this field is required" in str(info.value)
    assert "formats.0.sha265: unknown field" in str(info.value)


def test_another_schema_is_refused(fields):
    fields["schema"] = "mnas.manifest/2"

    with pytest.raises(InvalidManifestError, match=r"schema: must be 'mnas\.manifest/1'"):
        Manifest.from_json(json.dumps(fields))


def test_a_file_listed_twice_is_refused(fields):
    fields["formats"].append(fields["formats"][0])

    with pytest.raises(InvalidManifestError, match="formats: each file is listed once; got arch"):
        Manifest.from_json(json.dumps(fields))

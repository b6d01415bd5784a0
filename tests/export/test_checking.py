"""Checking an exported folder: checksums first, and no code without trust."""

import hashlib
import json

import pytest

from mnas.export import ExportError, InvalidManifestError, check_export

CODE = {"source", "pt2"}


def states(checks):
    return {check.format: check.state for check in checks}


def rewrite_manifest(folder, change):
    path = folder / "manifest.json"
    fields = json.loads(path.read_text())
    change(fields)
    path.write_text(json.dumps(fields))


def entry_of(fields, name):
    return next(entry for entry in fields["formats"] if entry["format"] == name)


def without(folder, *names):
    """Take formats out of the folder, as if they had never been exported."""

    def change(fields):
        for name in names:
            (folder / entry_of(fields, name)["file"]).unlink()
        fields["formats"] = [each for each in fields["formats"] if each["format"] not in names]

    rewrite_manifest(folder, change)


def forge(folder, name, content):
    """Replace a file and its checksum, as somebody with bad intent would."""

    def change(fields):
        entry = entry_of(fields, name)
        (folder / entry["file"]).write_bytes(content)
        entry["sha256"] = hashlib.sha256(content).hexdigest()

    rewrite_manifest(folder, change)


def test_a_sound_folder_passes_and_code_is_not_run(exported):
    checks = check_export(exported)

    assert states(checks) == {
        "architecture": "passed",
        "source": "not run",
        "weights": "passed",
        "pt2": "not run",
        "onnx": "passed",
    }
    onnx = checks[-1]
    assert onnx.max_difference is not None
    assert onnx.max_difference <= 1e-4


def test_a_trusted_folder_is_run_entirely(exported):
    assert set(states(check_export(exported, trust=True)).values()) == {"passed"}


def test_forged_source_is_not_run_without_trust(exported, tmp_path):
    mark = tmp_path / "ran"
    forge(exported, "source", f"open({str(mark)!r}, 'w')\n".encode())

    checks = check_export(exported)

    assert states(checks)["source"] == "not run"
    assert not mark.exists()


def test_a_changed_file_fails_by_its_checksum_and_is_not_run(exported):
    path = exported / "model.onnx"
    path.write_bytes(path.read_bytes()[:-1])

    (check,) = (check for check in check_export(exported) if check.format == "onnx")

    assert check.state == "failed"
    assert "model.onnx has the sha256" in check.detail


def test_a_forged_onnx_file_fails_by_its_answers(exported, tmp_path, tiny):
    from mnas.export import export_network

    export_network(tiny(), None, "onnx", tmp_path / "other")
    forge(exported, "onnx", (tmp_path / "other" / "model.onnx").read_bytes())

    (check,) = (check for check in check_export(exported) if check.format == "onnx")

    assert check.state == "failed"
    assert "differs from the network" in check.detail


def test_bytes_that_are_no_onnx_fail_with_what_the_runtime_says(exported):
    forge(exported, "onnx", b"not a graph")

    (check,) = (check for check in check_export(exported) if check.format == "onnx")

    assert check.state == "failed"
    assert "does not run in onnxruntime" in check.detail


def test_a_missing_file_fails(exported):
    (exported / "model.pt2").unlink()

    (check,) = (check for check in check_export(exported) if check.format == "pt2")

    assert (check.state, check.detail) == ("failed", "model.pt2 is missing")


def test_a_link_is_not_followed(exported, tmp_path):
    (exported / "model.onnx").rename(tmp_path / "outside.onnx")
    (exported / "model.onnx").symlink_to(tmp_path / "outside.onnx")

    (check,) = (check for check in check_export(exported) if check.format == "onnx")

    assert check.state == "failed"
    assert "is a link" in check.detail


def test_onnx_alone_is_run_and_must_give_finite_logits(exported):
    without(exported, "architecture", "weights", "source", "pt2")

    (check,) = check_export(exported)

    assert check.state == "passed"
    assert "logits are finite; no sound architecture.json and weights.safetensors" in check.detail


def test_onnx_alone_of_another_shape_fails(exported):
    without(exported, "architecture", "weights", "source", "pt2")
    rewrite_manifest(exported, lambda fields: fields.update(num_classes=7))

    (check,) = check_export(exported)

    assert (check.state, check.max_difference) == ("failed", None)
    assert "does not give (1, 7) finite logits" in check.detail


def test_weights_without_their_architecture_are_not_run(exported):
    without(exported, "architecture")

    assert states(check_export(exported))["weights"] == "not run"


def test_broken_weights_fail_whatever_their_checksum_says(exported):
    forge(exported, "weights", b"not tensors")

    checks = check_export(exported)

    assert states(checks)["weights"] == states(checks)["onnx"] == "failed"
    assert "not a safetensors file" in checks[0].detail


def test_an_architecture_that_is_not_the_manifest_s_fails(exported, tiny):
    forge(exported, "architecture", tiny().to_json().encode())

    (check, *_) = check_export(exported)

    assert check.state == "failed"
    assert "the manifest says" in check.detail


@pytest.mark.parametrize(
    ("field", "value", "detail"),
    [
        ("format", "onnx-int4", "the format 'onnx-int4' is not known"),
        ("file", "manifest.json", "a file of the format 'architecture' is called"),
    ],
)
def test_an_entry_no_export_writes_fails(field, value, detail, exported):
    rewrite_manifest(exported, lambda fields: fields["formats"][0].update({field: value}))

    (check, *_) = check_export(exported)

    assert check.state == "failed"
    assert detail in check.detail


def test_a_manifest_that_leaves_the_folder_is_refused(exported):
    rewrite_manifest(exported, lambda fields: fields["formats"][0].update(file="../x"))

    with pytest.raises(InvalidManifestError, match=r"plain file name .* got '\.\./x'"):
        check_export(exported)


def test_a_folder_without_manifest_is_told(tmp_path):
    with pytest.raises(ExportError, match=r"holds no manifest\.json; give a folder"):
        check_export(tmp_path)

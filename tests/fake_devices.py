"""Devices that are not there: a command that misbehaves, an ssh that goes no further than here."""

import sys
from pathlib import Path

from mnas.latency import Settings

QUICK = Settings(warm_ups=1, runs=2, passes=1, most_passes=1, group_ms=0.001, contention=1e6)
FAKE_SSH = f"""#!{sys.executable}
import os, pathlib, subprocess, sys

home = pathlib.Path(os.environ["FAKE_SSH_HOME"])
with (home / "calls").open("a") as calls:
    calls.write(repr(sys.argv[1:]) + "\\n")
at = sys.argv.index("--")
destination, command = sys.argv[at + 1], sys.argv[at + 2]
if destination == "nowhere":
    sys.stderr.write("ssh: connect to host nowhere port 22: No route to host\\n")
    sys.exit(255)
run = subprocess.Popen(["/bin/sh", "-c", command], cwd=home, stdout=subprocess.PIPE,
                       env=dict(os.environ, HOME=str(home)))
drops = home / "drops"
for line in run.stdout:
    if "--stream" in command and drops.exists():
        left = int(drops.read_text()) - 1
        drops.write_text(str(left))
        if left < 0:
            drops.unlink()
            run.stdout.close()
            sys.stderr.write("client_loop: send disconnect: Broken pipe\\n")
            sys.exit(255)
    sys.stdout.buffer.write(line)
    sys.stdout.flush()
sys.exit(run.wait())
"""


def fake_ssh(folder: Path) -> Path:
    """Put an `ssh` there whose devices all are this one; gives its home folder."""
    home = folder / "home"
    home.mkdir()
    script = folder / "bin" / "ssh"
    script.parent.mkdir()
    script.write_text(FAKE_SSH)
    script.chmod(0o755)
    return home


def device_command(folder: Path, body: str) -> str:
    """A target text of a command whose Python body sees `model` and counts its calls in `n`."""
    script = folder / "device.py"
    counter = folder / "calls"
    script.write_text(
        "import pathlib, sys, time\n"
        "model = sys.argv[1]\n"
        f"counter = pathlib.Path({str(counter)!r})\n"
        "n = int(counter.read_text()) if counter.exists() else 0\n"
        "counter.write_text(str(n + 1))\n" + body
    )
    return f"cmd:{sys.executable} -S -E {script} {{model}}"

import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import nbformat
import papermill
import pytest
from jupyter_client.provisioning import LocalProvisioner

NOTHING_RECORDED = "from mmlib import records\nrecords.load = lambda *_: []"


def poll(pid):
    """None while a process runs, which is no child of this one; so how it ended is not known."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return 0
    return None


@pytest.fixture(scope="session")
def kernels():
    """Chapters' kernels are forks of one process: what all import, which takes seconds, is once.

    On Linux alone: other systems' libraries need not live on in a fork.
    """
    if sys.platform != "linux":
        yield
        return
    command = [sys.executable, "-P", Path(__file__).with_name("kernels.py")]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as forking:

        async def launch(self, cmd, **_):
            arguments = cmd[cmd.index("ipykernel_launcher") + 1 :]
            print(json.dumps([os.getcwd(), arguments]), file=forking.stdin, flush=True)
            self.pid = self.pgid = pid = int(forking.stdout.readline())
            self.process = SimpleNamespace(
                pid=pid, poll=lambda: poll(pid), wait=lambda: poll(pid),
                send_signal=lambda number: os.kill(pid, number), stdin=None, stdout=None,
                stderr=None,
            )  # fmt: skip
            return self.connection_info

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(LocalProvisioner, "launch_kernel", launch)
            yield
        forking.kill()


@pytest.fixture(scope="session")
def execute(kernels):
    """Runs a notebook at ``smoke`` in ``folder``, and returns the record that it leaves in ``run``.

    The notebook is written when it has ended: before and after each cell would take seconds. Not
    ``recorded``, it runs as where nothing is recorded: what pages show of records takes as long as
    the smallest runs.
    """

    def run(notebook, folder, *, run="run", recorded=True, **parameters):
        notebook = nbformat.read(notebook, as_version=4)
        if not recorded:
            notebook.cells.insert(0, nbformat.v4.new_code_cell(NOTHING_RECORDED))
        papermill.execute_notebook(
            notebook, folder / "out.ipynb",
            {"preset": "smoke", "folder": str(folder / run)} | parameters,
            progress_bar=False, cwd=folder, request_save_on_cell_execute=False,
        )  # fmt: skip
        return json.loads((folder / run / "record.json").read_text())

    return run

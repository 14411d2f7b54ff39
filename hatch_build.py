"""Compiles ``tether.c`` into the package while it is built, where that is possible. Without it all works, slower."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

SOURCE = "src/emperor_trio/processes/tether.c"
PROGRAM = "src/emperor_trio/processes/tether"

# Neither a C library nor anything that needs one, so that one binary runs on every Linux of its architecture.
FLAGS = (
    *("-Os", "-s", "-static", "-nostdlib", "-ffreestanding", "-fno-stack-protector", "-fno-asynchronous-unwind-tables"),
    *("-fno-pie", "-no-pie", "-Wl,--build-id=none", "-Wl,-z,noseparate-code"),
)


class TetherHook(BuildHookInterface):  # type: ignore[type-arg]
    """Makes the wheel one of this architecture where the program could be compiled, else leaves it as it is."""

    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        if self.target_name != "wheel" or not self._compile(Path(self.root)):
            return
        build_data["artifacts"].append(f"/{PROGRAM}")
        if version != "editable":
            machine = platform.machine()
            build_data["pure_python"] = False
            build_data["tag"] = f"py3-none-manylinux2014_{machine}.musllinux_1_1_{machine}"

    def _compile(self, root: Path) -> bool:
        compiler = shutil.which(os.environ.get("CC", "cc"))
        draft = root / f"{PROGRAM}.{os.getpid()}"
        if compiler is None or platform.system() != "Linux":
            self.app.display_warning("no C compiler: vassals will be started through setpriv and sh, which is slower")
            return False
        made = subprocess.run(
            [compiler, *FLAGS, "-o", draft, root / SOURCE], capture_output=True, text=True, check=False
        )
        if made.returncode != 0:
            self.app.display_warning(f"tether.c does not compile here, vassals will be started slower: {made.stderr}")
            return False
        draft.replace(root / PROGRAM)
        return True

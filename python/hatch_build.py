"""Puts the command and its library into the wheel. `cargo xtask wheel` lays them beside this file first."""

import os
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

#: The platform that the wheel is for, such as ``manylinux_2_28_x86_64``: what the files in it need.
PLATFORM = "SLIDEMILL_WHEEL_PLATFORM"


class BinaryHook(BuildHookInterface):
    """A wheel for any Python 3 on one platform."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        if version == "editable":
            return
        programs = [path for path in Path(self.root, "bin").glob("slidemill*") if path.is_file()]
        platform = os.environ.get(PLATFORM)
        if len(programs) != 1 or not platform:
            raise RuntimeError("the command is not here: run `cargo xtask wheel` in the checkout instead")
        build_data["pure_python"] = False
        build_data["tag"] = f"py3-none-{platform}"
        build_data["shared_scripts"] = {str(program): program.name for program in programs}

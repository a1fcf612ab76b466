"""What a process does not load."""

import subprocess
import sys

import pytest
from alembic.config import Config
from alembic.script import ScriptDirectory

import migrations


@pytest.mark.slow
@pytest.mark.parametrize("process", ["workers.pool", "workers.web.app"])
def test_no_process_loads_what_only_migrating_needs(process: str) -> None:
    program = f"import sys, {process}, workers.commands.run; print('alembic' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "False\n"


def test_the_head_is_what_alembic_takes_for_it() -> None:
    config = Config()
    config.set_main_option("script_location", str(next(iter(migrations.__path__))))
    assert migrations.head() == ScriptDirectory.from_config(config).get_current_head()

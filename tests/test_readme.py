"""The README's code runs as it stands."""

import pathlib
import re

README = pathlib.Path(__file__).parent.parent / "README.md"


def test_readme_code_runs():
    blocks = re.findall(r"```python\n(.*?)```", README.read_text(), flags=re.DOTALL)
    assert len(blocks) == 3
    names: dict = {}
    for block in blocks:
        exec(block, names)
    assert names["y"].shape == (1000, 8)
    assert names["draws"]["x"].shape == (1000, 8)
    assert names["log_p"].shape == (2,)

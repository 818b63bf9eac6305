"""The code of the README, and of the page on extensions, runs as it stands."""

import pathlib
import pkgutil
import re

ROOT = pathlib.Path(__file__).parent.parent


def run(path, num_blocks):
    """Runs the blocks of a page one after the other, and returns the names they leave."""
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / path).read_text(), flags=re.DOTALL)
    assert len(blocks) == num_blocks
    names: dict = {"__name__": path}
    for block in blocks:
        exec(block, names)
    return names


def test_readme_code_runs(quick_flow):
    names = run("README.md", 3)
    assert names["y"].shape == (1000, 8)
    assert names["draws"]["x"].shape == (1000, 8)
    assert names["log_p"].shape == (2,)
    assert names["held_out"].shape == (100,)


def test_code_on_extensions_runs():
    assert run("docs/extending.md", 5)["q"].event_shape == (3,)


def test_the_reference_names_what_there_is():
    names = re.findall(r"^::: (\S+)$", (ROOT / "docs/reference.md").read_text(), flags=re.MULTILINE)
    assert len(names) > 50
    for name in names:
        assert pkgutil.resolve_name(name)

"""Tables of text."""


def table(rows: dict[str, str]) -> str:
    """Returns names and values as lines, the values under each other."""
    width = max(map(len, rows))
    return "\n".join(f"{name:<{width}}  {value}" for name, value in rows.items())


def columns(rows: list[list[str]]) -> str:
    """Returns rows of cells as lines, the first column aligned left and the others right.

    The last column, which may hold sentences, is aligned left too.
    """
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for first, *middle, last in rows:
        cells = [f"{cell:>{width}}" for cell, width in zip(middle, widths[1:-1], strict=True)]
        lines.append("  ".join([f"{first:<{widths[0]}}", *cells, last]).rstrip())
    return "\n".join(lines)

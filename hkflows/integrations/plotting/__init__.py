"""Pictures of a fit: its loss, its draws, the tail of its weights.

Each function returns a `matplotlib.figure.Figure` of its own, which notebooks show and
`figure.savefig(path)` saves; pyplot and its settings are left alone.
"""

from hkflows.integrations.plotting.fit import plot_fit
from hkflows.integrations.plotting.losses import plot_losses
from hkflows.integrations.plotting.pairs import plot_pairs
from hkflows.integrations.plotting.weight_tail import plot_weight_tail

__all__ = ["plot_fit", "plot_losses", "plot_pairs", "plot_weight_tail"]

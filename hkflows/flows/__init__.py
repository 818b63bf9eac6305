"""Ready-made flows: each returns an `hk.Transformed` that builds a `FlowDistribution`.

`params = flow.init(key, context)` and `q = flow.apply(params, context)`; `context` may be left out.
Every flow starts as the standard normal distribution, and ends in a trainable location and scale
per dimension, so that it reaches posteriors and data of any unit of measurement. Two that were made
by equal arguments are equal.

All take a `context_network`, whose result all layers share in place of the context: the hidden
widths of an `MLP`, such as `(64, 32)`, or a Haiku callable `[..., C] -> [..., H]`. A callable is
told by its identity: with one, flows are equal only if it is the same, and `load_fit` needs the
flow again.
"""

from hkflows.flows.autoregressive import iaf, maf
from hkflows.flows.blocks import bnaf
from hkflows.flows.continuous import ffjord
from hkflows.flows.couplings import nice, realnvp
from hkflows.flows.gaussians import gaussian, mean_field
from hkflows.flows.residual import planar, radial, sylvester
from hkflows.flows.splines import nsf

__all__ = [
    "bnaf",
    "ffjord",
    "gaussian",
    "iaf",
    "maf",
    "mean_field",
    "nice",
    "nsf",
    "planar",
    "radial",
    "realnvp",
    "sylvester",
]

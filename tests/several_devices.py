"""Fits on one device and on eight virtual ones; `test_sharding.py` runs this by itself."""

import jax
import jax.numpy as jnp
import numpy as np

import hkflows as hkf

jax.config.update("jax_num_cpu_devices", 8)
jax.config.update("jax_disable_most_optimizations", True)

ROWS = np.random.default_rng(0).normal(size=(400, 3)).astype(np.float32)
JOINT = hkf.elbo.minibatch(
    lambda theta: -0.5 * jnp.sum(theta["mean"] ** 2),
    lambda theta, rows: -0.5 * jnp.sum((rows - theta["mean"]) ** 2, axis=-1),
    num_data=len(ROWS),
)
TARGET = hkf.Target.from_log_joint(JOINT, {"mean": hkf.supports.real(3)})
SETTINGS = {"key": 0, "num_steps": 40, "batch_size": 64, "progress": False}
FLOW = hkf.flows.iaf(3, num_layers=1, hidden_sizes=(8,))


def losses(mesh: jax.sharding.Mesh | None) -> np.ndarray:
    """The losses of a posterior and of a density fit."""
    fits = [
        hkf.training.fit_flow(TARGET, FLOW, data=ROWS, num_samples=16, mesh=mesh, **SETTINGS),
        hkf.fit_density(hkf.flows.maf(3, num_layers=1), ROWS, mesh=mesh, **SETTINGS),
    ]
    for fit in fits:
        assert all(len(leaf.devices()) == 1 for leaf in jax.tree.leaves(fit.params))
    return np.concatenate([fit.losses for fit in fits])


def main() -> None:
    mesh = jax.make_mesh((8,), ("devices",))
    q = hkf.standard_normal(2)
    _, aux = jax.jit(
        lambda key: hkf.elbo.negative_elbo(q, q.log_prob, seed=key, num_samples=16, mesh=mesh)
    )(jax.random.key(0))
    shards = [shard.data.shape for shard in aux["log_weights"].addressable_shards]
    print(f"{len(shards)} shards of shape {shards[0]}")
    print(np.abs(losses(mesh) / losses(None) - 1.0).max())


if __name__ == "__main__":
    main()

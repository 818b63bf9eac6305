"""Several processes: one fit, two processes with two devices each, as on two machines.

Run it with

    python examples/two_processes.py

which starts the two processes on this machine. Each of them calls `jax.distributed.initialize`,
makes a mesh of all devices, its own and the other's, and makes the same call of
`hkflows.training.fit_flow` (`hkflows.fit_posterior` takes a mesh as well). The draws of a step and
the rows of the data are spread over the devices; what is trained is on each, and the gradients are
summed over the wires by JAX itself. At the end each process has the whole result. The first one
repeats it on one device, and prints how far the two are apart: by the rounding of sums in another
order.

The model is a linear regression whose weights have a heavy-tailed prior, 20,000 rows, 64 a step.
"""

import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy import stats

import hkflows as hkf

NUM_PROCESSES = 2
DEVICES_EACH = 2
WEIGHTS = np.asarray([1.0, -2.0, 0.0, 0.5], np.float32)


def simulate(num_rows: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns features, `[N, 4]`, and responses, `[N]`."""
    rng = np.random.default_rng(0)
    features = rng.standard_normal((num_rows, len(WEIGHTS))).astype(np.float32)
    noise = rng.standard_normal(num_rows).astype(np.float32)
    return features, features @ WEIGHTS + noise


def log_prior(theta: dict[str, jax.Array]) -> jax.Array:
    """Returns the log density of the weights (nats), a scalar."""
    return jnp.sum(stats.cauchy.logpdf(theta["weights"]))


def log_likelihood(theta: dict[str, jax.Array], rows: tuple[jax.Array, jax.Array]) -> jax.Array:
    """Returns the log density of some responses (nats), `[B]`."""
    features, responses = rows
    return stats.norm.logpdf(responses, features @ theta["weights"])


def fit(
    mesh: jax.sharding.Mesh | None, num_rows: int, num_steps: int
) -> tuple[jax.Array, np.ndarray]:
    """Returns the mean of the fitted weights and the losses, from a mesh or from one device."""
    joint = hkf.elbo.minibatch(log_prior, log_likelihood, num_data=num_rows)
    target = hkf.Target.from_log_joint(joint, {"weights": hkf.supports.real(len(WEIGHTS))})
    flow = hkf.flows.mean_field(len(WEIGHTS))
    result = hkf.training.fit_flow(
        target,
        flow,
        key=0,
        data=simulate(num_rows),
        batch_size=64,
        num_samples=16,
        num_steps=num_steps,
        mesh=mesh,
        progress=False,
    )
    draws = flow.apply(result.params).sample(seed=jax.random.key(1), sample_shape=(1000,))
    return draws.mean(axis=0), result.losses


def run(rank: int, port: int, num_rows: int, num_steps: int) -> None:
    """What each process does."""
    jax.config.update("jax_num_cpu_devices", DEVICES_EACH)
    jax.distributed.initialize(f"localhost:{port}", NUM_PROCESSES, rank)
    mesh = jax.make_mesh((jax.device_count(),), ("devices",))
    mean, losses = fit(mesh, num_rows, num_steps)
    if rank == 0:
        _, alone = fit(None, num_rows, num_steps)
        apart = np.abs(losses / alone - 1.0).max()
        print(f"weights         {WEIGHTS}\nposterior mean  {np.round(mean, 3)}")
        print(f"{jax.device_count()} devices of {jax.process_count()} processes and one device:")
        print(f"the losses are at most {apart:.1e} apart, relatively")


def main(port: int = 12355, num_rows: int = 20_000, num_steps: int = 2000) -> str:
    """Starts the processes and returns what the first one prints."""
    command = [sys.executable, __file__]
    processes = [
        subprocess.Popen(
            [*command, str(rank), str(port), str(num_rows), str(num_steps)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(NUM_PROCESSES)
    ]
    outputs = [process.communicate() for process in processes]
    for process, (_, errors) in zip(processes, outputs, strict=True):
        if process.returncode:
            raise RuntimeError(f"A process ended with {process.returncode}:\n{errors}")
    return outputs[0][0]


if __name__ == "__main__":
    if len(sys.argv) > 1:
        run(*map(int, sys.argv[1:]))
    else:
        print(main())

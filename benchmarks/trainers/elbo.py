"""The ELBO of a 32-dimensional Brownian bridge: 4 inverse autoregressive layers, 256 draws a step.

Two hidden layers of 64; draws and their densities cost one pass a layer.
"""

import jax
from inference.brownian import NUM_TIMES, log_density

from trainers import RATE, Trainer

Array = jax.Array

D = NUM_TIMES + 2
NUM_LAYERS = 4
WIDTH = 64
NUM_BINS = 8
NUM_SAMPLES = 256


def hkflows(spline: bool) -> Trainer:
    """Returns `hkflows.training.fit_flow`."""
    import optax

    import hkflows as hkf

    transformer = hkf.RationalQuadratic(num_bins=NUM_BINS) if spline else hkf.Affine()
    flow = hkf.flows.iaf(
        D, num_layers=NUM_LAYERS, hidden_sizes=(WIDTH, WIDTH), transformer=transformer
    )
    target = hkf.Target(log_density, D)
    optimizer = optax.adam(RATE)
    fitted = {}

    def train(num_steps: int) -> None:
        result = hkf.training.fit_flow(
            target,
            flow,
            key=0,
            num_steps=num_steps,
            num_samples=NUM_SAMPLES,
            optimizer=optimizer,
            estimator="total",
            progress=False,
        )
        fitted["params"] = jax.block_until_ready(result.params)

    @jax.jit(static_argnames="num")
    def sample(params: object, key: Array, num: int) -> tuple[Array, Array]:
        return flow.apply(params).sample_and_log_prob(seed=key, sample_shape=(num,))

    return Trainer(
        train, lambda num: jax.block_until_ready(sample(fitted["params"], jax.random.key(1), num))
    )


def numpyro(spline: bool) -> Trainer:
    """Returns `numpyro.infer.SVI.update`, scanned."""
    import numpyro
    from numpyro import distributions as dist
    from numpyro.infer import SVI, Trace_ELBO, autoguide

    if spline:
        raise ValueError("NumPyro has no inverse autoregressive flow of splines.")

    def model() -> None:
        flat = dist.ImproperUniform(dist.constraints.real_vector, (), (D,))
        numpyro.factor("density", log_density(numpyro.sample("z", flat)))

    guide = autoguide.AutoIAFNormal(model, num_flows=NUM_LAYERS, hidden_dims=[WIDTH, WIDTH])
    svi = SVI(model, guide, numpyro.optim.Adam(RATE), Trace_ELBO(NUM_SAMPLES))
    fitted = {}

    @jax.jit(static_argnames="num_steps")
    def steps(state: object, num_steps: int) -> object:
        return jax.lax.scan(lambda state, _: svi.update(state), state, length=num_steps)

    def train(num_steps: int) -> None:
        state, _ = jax.block_until_ready(steps(svi.init(jax.random.key(0)), num_steps))
        fitted["params"] = svi.get_params(state)

    @jax.jit(static_argnames="num")
    def sample(params: dict[str, Array], key: Array, num: int) -> tuple[Array, Array]:
        q = guide.get_posterior(params)
        # Its flows have no cheap inverse: the draws' own intermediate values give their density.
        z, intermediates = q.sample_with_intermediates(key, (num,))
        return z, q.log_prob(z, intermediates)

    return Trainer(
        train, lambda num: jax.block_until_ready(sample(fitted["params"], jax.random.key(1), num))
    )


def flowjax(spline: bool) -> Trainer:
    """Returns `flowjax.train.fit_to_key_based_loss`."""
    import optax
    from flowjax.train import fit_to_key_based_loss
    from flowjax.train.losses import ElboLoss

    from trainers import flowjax_flow

    num_bins = NUM_BINS if spline else None
    flow = flowjax_flow.build(D, NUM_LAYERS, WIDTH, num_bins, fast_draws=True)
    loss = ElboLoss(log_density, num_samples=NUM_SAMPLES)
    optimizer = optax.adam(RATE)
    fitted = {}

    def train(num_steps: int) -> None:
        fitted["flow"], _ = fit_to_key_based_loss(
            jax.random.key(0),
            flow,
            loss_fn=loss,
            steps=num_steps,
            optimizer=optimizer,
            show_progress=False,
        )

    def draw(num: int) -> None:
        jax.block_until_ready(flowjax_flow.sample(fitted["flow"], jax.random.key(1), num))

    return Trainer(train, draw)


LIBRARIES = {"hkflows": hkflows, "numpyro": numpyro, "flowjax": flowjax}
NO_SPLINE = {"numpyro"}

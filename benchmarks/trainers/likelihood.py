"""The likelihood of scikit-learn's digits, 64-dimensional: 5 masked autoregressive layers.

Two hidden layers of 128, batches of 256 rows. Scoring rows costs one pass a layer, drawing D.
"""

import jax
import jax.numpy as jnp
import numpy as np
from sklearn import datasets

from trainers import RATE, Trainer

Array = jax.Array

D = 64
NUM_LAYERS = 5
WIDTH = 128
NUM_BINS = 8
BATCH_SIZE = 256


def rows() -> np.ndarray:
    """Returns the images, each level of grey spread to an interval, in standard units."""
    images = datasets.load_digits().data
    images = images + np.random.default_rng(0).uniform(0.0, 1.0, images.shape)
    return ((images - images.mean(axis=0)) / images.std(axis=0)).astype(np.float32)


def hkflows(spline: bool) -> Trainer:
    """Returns `hkflows.fit_density`."""
    import optax

    import hkflows as hkf

    transformer = hkf.RationalQuadratic(num_bins=NUM_BINS) if spline else hkf.Affine()
    flow = hkf.flows.maf(
        D, num_layers=NUM_LAYERS, hidden_sizes=(WIDTH, WIDTH), transformer=transformer
    )
    data, optimizer = rows(), optax.adam(RATE)
    fitted = {}

    def train(num_steps: int) -> None:
        fit = hkf.fit_density(
            flow,
            data,
            key=0,
            num_steps=num_steps,
            batch_size=BATCH_SIZE,
            optimizer=optimizer,
            validation_fraction=0.0,  # so that it does all steps
            progress=False,
        )
        fitted["q"] = jax.block_until_ready(fit.distribution)

    @jax.jit(static_argnames="num")
    def sample(q: hkf.FlowDistribution, key: Array, num: int) -> tuple[Array, Array]:
        return q.sample_and_log_prob(seed=key, sample_shape=(num,))

    return Trainer(
        train, lambda num: jax.block_until_ready(sample(fitted["q"], jax.random.key(1), num))
    )


def surjectors(spline: bool) -> Trainer:
    """Returns a loop over a compiled step, as in the tutorials of surjectors, which has no own."""
    import distrax
    import haiku as hk
    import optax
    import surjectors
    import surjectors.nn

    if spline:
        raise ValueError("surjectors has no masked autoregressive flow of splines.")

    def affine(params: Array) -> distrax.Bijector:
        shift, log_scale = params[..., 0], params[..., 1]
        return surjectors.ScalarAffine(shift, log_scale)

    def build() -> surjectors.TransformedDistribution:
        layers = []
        for _ in range(NUM_LAYERS):
            network = surjectors.nn.MADE(D, [WIDTH, WIDTH], 2)
            layers.append(surjectors.MaskedAutoregressive(network, affine))
            layers.append(surjectors.Permutation(jnp.arange(D)[::-1], 1))
        base = distrax.Independent(distrax.Normal(jnp.zeros(D), jnp.ones(D)), 1)
        return surjectors.TransformedDistribution(base, surjectors.Chain(layers))

    log_prob = hk.without_apply_rng(hk.transform(lambda y: build().log_prob(y)))
    sampling = hk.transform(lambda num: build().sample_and_log_prob(sample_shape=(num,)))
    data, optimizer = jnp.asarray(rows()), optax.adam(RATE)
    fitted = {}

    @jax.jit
    def step(params: object, opt_state: object, batch: Array) -> tuple[object, object, Array]:
        loss, gradient = jax.value_and_grad(
            lambda params: -jnp.mean(log_prob.apply(params, batch))
        )(params)
        updates, opt_state = optimizer.update(gradient, opt_state)
        return optax.apply_updates(params, updates), opt_state, loss

    def train(num_steps: int) -> None:
        rng = np.random.default_rng(0)
        params = log_prob.init(jax.random.key(0), data[:1])
        opt_state = optimizer.init(params)
        for _ in range(num_steps):
            batch = data[rng.choice(len(data), BATCH_SIZE, replace=False)]
            params, opt_state, loss = step(params, opt_state, batch)
        jax.block_until_ready((params, loss))
        fitted["params"] = params

    sample = jax.jit(sampling.apply, static_argnums=2)
    return Trainer(
        train, lambda num: jax.block_until_ready(sample(fitted["params"], jax.random.key(1), num))
    )


def flowjax(spline: bool) -> Trainer:
    """Returns `flowjax.train.fit_to_data`."""
    import optax
    from flowjax.train import fit_to_data
    from flowjax.train.losses import MaximumLikelihoodLoss

    from trainers import flowjax_flow

    num_bins = NUM_BINS if spline else None
    flow = flowjax_flow.build(D, NUM_LAYERS, WIDTH, num_bins, fast_draws=False)
    data, loss, optimizer = jnp.asarray(rows()), MaximumLikelihoodLoss(), optax.adam(RATE)
    steps_an_epoch = len(data) // BATCH_SIZE
    fitted = {}

    def train(num_steps: int) -> None:
        epochs = -(-num_steps // steps_an_epoch)
        fitted["flow"], _ = fit_to_data(
            jax.random.key(0),
            flow,
            # As many rows as make so many steps, with one to hold out, which it insists on.
            jnp.concatenate([data[: steps_an_epoch * BATCH_SIZE], data[:1]]),
            loss_fn=loss,
            optimizer=optimizer,
            max_epochs=epochs,
            max_patience=epochs,
            batch_size=BATCH_SIZE,
            val_prop=1.0 / (steps_an_epoch * BATCH_SIZE + 1),
            show_progress=False,
        )

    def draw(num: int) -> None:
        jax.block_until_ready(flowjax_flow.sample(fitted["flow"], jax.random.key(1), num))

    return Trainer(train, draw)


def zuko(spline: bool) -> Trainer:
    """Returns a loop as in the tutorials of zuko, which has no own; torch does not compile it."""
    import torch
    import zuko

    kind = zuko.flows.NSF if spline else zuko.flows.MAF
    settings = {"bins": NUM_BINS} if spline else {}
    fitted = {}

    def train(num_steps: int) -> None:
        torch.manual_seed(0)
        flow = kind(D, transforms=NUM_LAYERS, hidden_features=(WIDTH, WIDTH), **settings)
        optimizer = torch.optim.Adam(flow.parameters(), lr=RATE)
        data = torch.as_tensor(rows())
        for _ in range(num_steps):
            optimizer.zero_grad()
            loss = -flow().log_prob(data[torch.randperm(len(data))[:BATCH_SIZE]]).mean()
            loss.backward()
            optimizer.step()
        fitted["flow"] = flow

    def draw(num: int) -> None:
        with torch.no_grad():
            fitted["flow"]().rsample_and_log_prob((num,))

    return Trainer(train, draw)


LIBRARIES = {"hkflows": hkflows, "surjectors": surjectors, "flowjax": flowjax, "zuko": zuko}
NO_SPLINE = {"surjectors"}

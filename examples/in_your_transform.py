"""In your transform: a variational autoencoder whose posterior is a flow.

You have a Haiku model, here an autoencoder of scikit-learn's 8x8 digits, and want a better
posterior than a diagonal Gaussian (Kingma et al. 2016, arXiv:1606.04934). A flow is built where you
are, between your own modules, from what they computed: its `context` is the encoder's output, and
its weights are parameters of your transform like all others. Run it with

    python examples/in_your_transform.py

It trains the model twice, with a mean-field posterior and with two inverse autoregressive layers
(IAF) on top, and prints the evidence lower bound of each, and how far below the evidence it is.
"""

import functools
import pathlib
from typing import Any, NamedTuple

import distrax
import haiku as hk
import jax
import jax.numpy as jnp
import numpy as np
import optax
from sklearn import datasets

import hkflows as hkf

PIXELS = 64
LATENTS = 8
NUM_TRAIN = 1500  # of 1797 images
PRIOR = hkf.standard_normal(LATENTS)


class Model(NamedTuple):
    """The two functions that share the parameters of one transform."""

    posterior: Any
    decode: Any


def build(num_layers: int) -> tuple[Any, Model]:
    """Builds the autoencoder: any Haiku code, with a flow in the middle."""
    encoder = hk.nets.MLP([128, 64], activate_final=True, name="encoder")
    decoder = hk.nets.MLP([128, PIXELS], name="decoder")

    def posterior(images: jax.Array) -> hkf.FlowDistribution:
        h = encoder(images)  # [B, C]
        layers = [hkf.Elementwise(LATENTS, hkf.Affine(), context=h)]  # the mean-field Gaussian
        for order in ("natural", "reverse")[:num_layers]:
            layers.append(hkf.IAF(hkf.MADE(LATENTS, [64], order=order), context=h))
        return hkf.FlowDistribution(PRIOR, hkf.Chain(layers))

    def init(images: jax.Array) -> jax.Array:
        z = posterior(images).sample(seed=hk.next_rng_key())
        return decoder(z)

    return init, Model(posterior, decoder)


def make_model(num_layers: int) -> hk.MultiTransformed:
    """Returns the model; `hk.multi_transform` is `hk.transform` for more than one function."""
    return hk.without_apply_rng(hk.multi_transform(functools.partial(build, num_layers)))


def negative_elbo(
    model: hk.MultiTransformed, params: Any, images: jax.Array, key: jax.Array, num_samples: int
) -> tuple[jax.Array, dict[str, jax.Array]]:
    """Estimates the negative ELBO of binary images, `[B, 64]` (nats an image)."""
    q = model.apply.posterior(params, images)  # left the transform: a distribution as any other

    # `hkf.elbo` maps this over its draws with `jax.vmap`. Haiku modules must not be called inside
    # of a JAX transformation, `decode` with its parameters in hand may: it is a pure function.
    def log_joint(z: jax.Array) -> jax.Array:
        logits = model.apply.decode(params, z)
        log_likelihood = distrax.Bernoulli(logits).log_prob(images)
        return PRIOR.log_prob(z) + jnp.sum(log_likelihood, axis=-1)

    return hkf.elbo.negative_elbo(q, log_joint, seed=key, num_samples=num_samples, estimator="path")


@functools.partial(jax.jit, static_argnums=(0, 3, 4))
def train(
    model: hk.MultiTransformed,
    intensities: jax.Array,
    key: jax.Array,
    num_steps: int,
    batch_size: int,
) -> tuple[Any, jax.Array]:
    """Trains the model, and returns its parameters and the loss of every step, `[num_steps]`."""
    optimizer = optax.adam(optax.cosine_decay_schedule(2e-3, num_steps))

    def step(state: tuple[Any, Any], key: jax.Array) -> tuple[tuple[Any, Any], jax.Array]:
        params, opt_state = state
        row_key, pixel_key, draw_key = jax.random.split(key, 3)
        rows = intensities[jax.random.choice(row_key, len(intensities), (batch_size,))]
        images = binarize(pixel_key, rows)

        def loss(params: Any) -> jax.Array:
            return negative_elbo(model, params, images, draw_key, num_samples=1)[0]

        value, gradient = jax.value_and_grad(loss)(params)
        updates, opt_state = optimizer.update(gradient, opt_state)
        return (optax.apply_updates(params, updates), opt_state), value

    init_key, train_key = jax.random.split(key)
    params = model.init(init_key, intensities[:1])
    keys = jax.random.split(train_key, num_steps)
    (params, _), losses = jax.lax.scan(step, (params, optimizer.init(params)), keys)
    return params, losses


def binarize(key: jax.Array, intensities: jax.Array) -> jax.Array:
    """Draws binary images whose pixels are on with the probability of their intensity."""
    return jax.random.bernoulli(key, intensities).astype(jnp.float32)


def main(
    *,
    num_steps: int = 5000,
    batch_size: int = 128,
    num_eval_samples: int = 500,
    seed: int = 0,
    figure: pathlib.Path | None = pathlib.Path("figures/in_your_transform.png"),
) -> dict[str, Any]:
    """Trains both models, prints their bounds on unseen digits, and draws what the flow's does.

    Args:
        num_steps: optimiser steps of each model.
        batch_size: images a step.
        num_eval_samples: draws an image for the bounds.
        seed: of everything random.
        figure: where to save the picture; `None` for no picture.

    Returns:
        The printed numbers.
    """
    intensities = jnp.asarray(datasets.load_digits().data / 16.0, dtype=jnp.float32)
    split_key, pixel_key, train_key, eval_key, draw_key = jax.random.split(jax.random.key(seed), 5)
    intensities = jax.random.permutation(split_key, intensities)
    images = binarize(pixel_key, intensities)
    evaluate = jax.jit(negative_elbo, static_argnums=(0, 4))

    numbers: dict[str, Any] = {}
    print("               train ELBO  test ELBO  log evidence  gap   (nats an image)")
    for name, num_layers in (("mean field", 0), ("IAF", 2)):
        model = make_model(num_layers)
        params, losses = train(model, intensities[:NUM_TRAIN], train_key, num_steps, batch_size)
        train_loss, _ = evaluate(model, params, images[:NUM_TRAIN], eval_key, 10)
        test_loss, aux = evaluate(model, params, images[NUM_TRAIN:], eval_key, num_eval_samples)
        log_evidence = jnp.mean(hkf.diagnostics.log_evidence(aux["log_weights"]))
        result = {
            "train_elbo": -float(train_loss),
            "test_elbo": -float(test_loss),
            "log_evidence": float(log_evidence),
            "gap": float(log_evidence + test_loss),
            "losses": np.asarray(losses),
        }
        numbers[name] = result
        print(
            f"{name:12}{result['train_elbo']:13.2f}{result['test_elbo']:11.2f}"
            f"{result['log_evidence']:14.2f}{result['gap']:7.2f}"
        )
    if figure is not None:
        draw(figure, model, params, images[NUM_TRAIN:], draw_key)
        print(f"Picture: {figure}")
    return numbers


def draw(
    path: pathlib.Path, model: hk.MultiTransformed, params: Any, images: jax.Array, key: jax.Array
) -> None:
    """Draws images, their reconstructions, and images from the prior."""
    from matplotlib.figure import Figure

    columns = 12
    posterior_key, prior_key = jax.random.split(key)
    images = images[:columns]
    z = model.apply.posterior(params, images).sample(seed=posterior_key)
    new_z = PRIOR.sample(seed=prior_key, sample_shape=(columns,))
    rows = {
        "images": images,
        "reconstructions": jax.nn.sigmoid(model.apply.decode(params, z)),
        "samples": jax.nn.sigmoid(model.apply.decode(params, new_z)),
    }

    picture = Figure(figsize=(columns * 0.8, len(rows) * 0.9), layout="constrained")
    axes = picture.subplots(len(rows), columns)
    for line, (label, pixels) in zip(axes, rows.items(), strict=True):
        for ax, image in zip(line, pixels, strict=True):
            ax.imshow(image.reshape(8, 8), cmap="gray_r", vmin=0.0, vmax=1.0)
            ax.set(xticks=[], yticks=[])
        line[0].set_ylabel(label, fontsize=8)

    path.parent.mkdir(parents=True, exist_ok=True)
    picture.savefig(path, dpi=150)


if __name__ == "__main__":
    main()

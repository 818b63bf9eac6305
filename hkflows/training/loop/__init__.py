"""The training loop: objectives are minimised in chunks of steps on the device."""

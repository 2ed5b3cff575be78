"""Our layers into any torch model, with the activations and additions behind them."""

"""Following observations with a model: filters, smoothers, ensembles, scores."""

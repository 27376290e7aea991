"""Who may come in, how often, and how slowly: tokens, limits, origins, headers, time-outs."""

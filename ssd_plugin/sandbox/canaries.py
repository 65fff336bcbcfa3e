def run_canaries(pool, tier):
    return 1

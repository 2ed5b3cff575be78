"""Claims: how must BN be used?"""

"""Claims: does BN generalise?"""

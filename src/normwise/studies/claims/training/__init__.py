"""Claims: does BN train better?"""

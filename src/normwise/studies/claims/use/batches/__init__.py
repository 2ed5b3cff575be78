"""Claims: how large must a batch be?"""

"""Claims: where is a bias of use?"""
